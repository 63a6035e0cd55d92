"""Nobody sees anything of another company, on any route, by any parameter."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import and_, or_, select, update

from plantroom_cloud.api import PUBLIC
from plantroom_cloud.db import Database
from plantroom_cloud.tables import ApiKey, Latest, Point, SampleRow
from support.api_routes import Route, all_routes
from support.api_tokens import headers_for
from support.api_world import ONE_ENGINE, Tenant, client_of
from support.scope_watch import unscoped, watching

OK = (200, 202)


def _closed_routes(app: FastAPI) -> list[Route]:
    found = [route for route in all_routes(app) if route.path not in PUBLIC]
    return sorted(found, key=lambda route: route.late)


@ONE_ENGINE
def test_public_routes_are_few_and_listed(api: FastAPI) -> None:
    """At most ten paths stand outside of /v1, and all of them are on the list."""
    outside = {route.path for route in all_routes(api) if not route.path.startswith("/v1/")}
    assert outside == PUBLIC
    assert len(PUBLIC) <= 10


@ONE_ENGINE
async def test_no_route_answers_without_a_key(
    api: FastAPI, acme: Tenant, anonymous: httpx.AsyncClient
) -> None:
    """Every route but the public ones says 401, whatever else is wrong with the request."""
    routes = _closed_routes(api)
    assert len(routes) >= 18
    for route in routes:
        for url in (route.url(acme), route.path, f"{route.url(acme)}?limit=x&from=x"):
            answer = await anonymous.request(route.method, url)
            assert answer.status_code == 401, url
            assert answer.json()["code"] == "unauthorized"


async def test_own_routes_answer_what_they_describe(
    api: FastAPI, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """Every route answers its company, in exactly the shape that the description gives."""
    for route in _closed_routes(api):
        if route.is_stream:
            continue
        headers = await headers_for(route, api, acme)
        answer = await client.request(
            route.method, route.url(acme), json=route.body, headers=headers
        )
        assert answer.status_code in OK, f"{route.path}: {answer.text}"
        _assert_shape(api, route, answer)


def _assert_shape(app: FastAPI, route: Route, answer: httpx.Response) -> None:
    document = app.openapi()
    operation = document["paths"][route.path][route.method.lower()]
    if answer.headers["content-type"] == "application/x-ndjson":
        assert "application/x-ndjson" in operation["responses"]["200"]["content"]
        assert all(isinstance(json.loads(line), dict) for line in answer.text.splitlines())
        return
    body = answer.json()
    schema = operation["responses"][str(answer.status_code)]["content"]["application/json"][
        "schema"
    ]
    problems = list(_misfits(document, schema, body, route.path))
    assert not problems, problems


def _misfits(document: Any, schema: Any, body: Any, where: str) -> list[str]:
    """Return where `body` has a key too many or too few for `schema`."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        tried = [_misfits(document, part, body, where) for part in schema["anyOf"]]
        return min(tried, key=len)
    kinds: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool}
    kinds |= {"integer": int, "number": (int, float), "null": type(None)}
    kind = schema.get("type")
    if kind and not isinstance(body, kinds[kind]):
        return [f"{where}: {body!r} is no {kind}"]
    if kind == "array":
        parts = (_misfits(document, schema["items"], item, f"{where}[]") for item in body)
        return [problem for part in parts for problem in part]
    if "properties" not in schema:
        return []
    fields, needed = schema["properties"], set(schema.get("required", []))
    wrong = [f"{where}: {key} is not described" for key in body.keys() - fields.keys()]
    wrong += [f"{where}: {key} is missing" for key in needed - body.keys()]
    for key in body.keys() & fields.keys():
        wrong += _misfits(document, fields[key], body[key], f"{where}.{key}")
    return wrong


async def test_foreign_ids_are_not_found(api: FastAPI, acme: Tenant, rival: Tenant) -> None:
    """With another company's key every id in a path is a 404, and no list holds a foreign row."""
    async with client_of(api, headers=rival.headers) as client:
        for route in _closed_routes(api):
            headers = await headers_for(route, api, rival)
            answer = await client.request(
                route.method, route.url(acme), json=route.body, headers=headers
            )
            if route.has_id:
                assert answer.status_code == 404, f"{route.path}: {answer.text}"
                assert "acme" not in answer.text.replace(acme.gateway, "")
            elif not route.is_stream:
                assert answer.status_code in OK
                assert "acme" not in answer.text, route.path


async def test_foreign_filters_find_nothing(api: FastAPI, acme: Tenant, rival: Tenant) -> None:
    """A filter by another company's site, gateway, device or point gives an empty list."""
    foreign: dict[str, Any] = {"site": acme.site, "gateway": acme.gateway, "device": acme.device}
    foreign["point"] = acme.points[0]
    asked = 0
    async with client_of(api, headers=rival.headers) as client:
        for route in _closed_routes(api):
            for name in route.query & foreign.keys() if "{" not in route.path else ():
                answer = await client.get(route.path, params={name: foreign[name]})
                body = answer.json()
                assert answer.status_code == 200
                empty = body.get("items") == [] or 0 in {body.get("points"), body.get("calls")}
                assert empty, (route.path, name)
                asked += 1
    assert asked >= 10


@ONE_ENGINE
async def test_a_foreign_cursor_shows_own_rows_only(
    api: FastAPI, acme: Tenant, rival: Tenant, client: httpx.AsyncClient
) -> None:
    """A cursor taken from one company leads another nowhere but into its own rows."""
    cursor = (await client.get("/v1/points", params={"limit": 1})).json()["next"]
    async with client_of(api, headers=rival.headers) as other:
        body = (await other.get("/v1/points", params={"after": cursor})).json()
    assert {item["site"] for item in body["items"]} == {rival.site}


async def test_every_statement_names_the_company(
    api: FastAPI, database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """Each statement of the API filters each tenant table that it touches by the key's company."""
    with watching(database) as watch:
        for route in _closed_routes(api):
            headers = await headers_for(route, api, acme)
            await client.request(route.method, route.url(acme), json=route.body, headers=headers)
            for name in sorted(route.query - {"limit", "after", "from", "to", "interval", "agg"}):
                await client.get(route.url(acme), params={name: "1"})
        await client.get(f"/v1/points/{acme.points[0]}/samples", params={"interval": "1h"})
        await client.get("/v1/findings", params={"from": "0", "to": "9999999999"})
    assert watch.statements > 50
    assert watch.escaped == []


@pytest.mark.parametrize(
    "statement",
    [
        select(Point.id),
        select(Point.id).where(Point.company_id == 2),
        select(Point.id).where(or_(Point.company_id == 1, Point.id == 1)),
        select(Point.id).join(Latest, Latest.point_id == Point.id).where(Point.company_id == 1),
        select(Point.id).where(
            and_(
                Point.company_id == 1,
                Point.id.in_(select(SampleRow.point_id).where(SampleRow.ts_us > 0)),
            )
        ),
        select(ApiKey.digest),
        update(ApiKey).where(ApiKey.id == 1).values(name="x"),
    ],
)
def test_the_listener_finds_unscoped_statements(statement: Any) -> None:
    """A statement that forgets, or only offers, the company for one of its tables is caught."""
    assert unscoped(statement, 1)
