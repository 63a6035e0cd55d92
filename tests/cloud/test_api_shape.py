"""So large and no larger: queries, JSON, pages of other origins; and ETags over all of it."""

from __future__ import annotations

import json
from contextlib import nullcontext, suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.app import create_app
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.config_api import ApiSettings
from plantroom_cloud.conventions.etags import Precondition, etag, read_tags
from plantroom_cloud.conventions.shape import check_json
from plantroom_cloud.db import Database
from plantroom_cloud.kit.problems import InvalidRequest
from support.api_document import live, numbers_without_ends
from support.api_routes import all_routes
from support.api_world import Tenant, client_of

NO_IF_MATCH = {"/v1/me": "nobody but the user itself changes it"}
"""PUT and PATCH routes that overwrite nothing anybody else could have changed, and why."""


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """No SQL of these tests differs."""
    return sqlite_database


def _depth(value: Any) -> int:
    if isinstance(value, list | dict):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(_depth, inner), default=0)
    return 0


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(value=JSON, ascii_only=st.booleans())
def test_depth_is_counted_as_a_parser_would(value: Any, ascii_only: bool) -> None:
    """Whatever stands in texts, JSON passes at its own depth and not at one less."""
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    depth = _depth(value)
    check_json(body, depth, 10_000)
    if depth:
        with pytest.raises(InvalidRequest) as caught:
            check_json(body, depth - 1, 10_000)
        assert caught.value.problem_code == "too_deep"


@given(st.text(st.sampled_from('ab\\"\0\ud800\udbff\udc00\udfff😀u0d8'), max_size=8))
def test_a_text_is_what_every_database_takes(text: str) -> None:
    """Refused are NUL and halves of pairs, however they are escaped: what Python reads tells."""
    body = json.dumps([text], ensure_ascii=True).encode()
    (read,) = json.loads(body)
    wrong = "\0" in read or any("\ud800" <= ch <= "\udfff" for ch in read)
    with pytest.raises(InvalidRequest) if wrong else nullcontext() as caught:
        check_json(body, 5, 50)
    assert caught is None or caught.value.problem_code == "no_text"


@given(st.binary(max_size=200))
def test_what_is_no_json_does_no_harm(body: bytes) -> None:
    """Bytes of any kind are passed or refused."""
    with suppress(InvalidRequest):
        check_json(body, 5, 50)


def test_members_are_counted() -> None:
    """A flat list is refused by its length, one of strings with commas is not."""
    check_json(json.dumps([1] * 100).encode(), 3, 100)
    check_json(json.dumps([",,,,,," * 100]).encode(), 3, 100)
    check_json(rb'["\",\",\",\",\",\\"]', 3, 3)
    with pytest.raises(InvalidRequest):
        check_json(json.dumps([1] * 101).encode(), 3, 100)


async def test_json_that_costs_more_than_it_weighs(client: httpx.AsyncClient) -> None:
    """Deep nesting and hundreds of thousands of values are told as such, on every route."""
    kind = {"Content-Type": "application/json"}
    for body, code in (
        (b"[" * 500_000, "too_many_values"),
        (b"[" * 50 + b"]" * 50, "too_deep"),
        (b"[" + b"0," * 300_000 + b"0]", "too_many_values"),
    ):
        for path in ("/v1/mapping-overrides", "/v1/jobs", "/v1/thing-models/import"):
            answer = await client.post(path, content=body, headers=kind)
            assert (answer.status_code, answer.json()["code"]) == (422, code), path
    number = await client.post(
        "/v1/mapping-overrides", content=b'{"sign":' + b"9" * 100_000 + b"}", headers=kind
    )
    assert number.status_code == 422


async def test_files_have_rules_of_their_own(client: httpx.AsyncClient, acme: Tenant) -> None:
    """A file to be imported may hold more values than a request."""
    rows = [{"id": f"r:{number}", "a": 1, "b": 2} for number in range(40_000)]
    answer = await client.post(f"/v1/sites/{acme.site}/import", json={"rows": rows})
    assert answer.json()["code"] == "invalid_file", "it was read, and holds no point"


async def test_long_queries(client: httpx.AsyncClient, acme: Tenant) -> None:
    """A thousand point ids of the longest kind pass; longer queries are told so."""
    most = "&".join(f"point={2**63 - 1 - n}" for n in range(1000))
    assert (await client.get(f"/v1/latest?{most}")).status_code == 200
    answer = await client.get("/v1/latest?x=" + "y" * 40_000)
    assert (answer.status_code, answer.json()["code"]) == (414, "query_too_long")


async def test_other_origins(database: Database, acme: Tenant) -> None:
    """Nobody's page may call unless its origin is allowed; then it reads what it needs to."""
    ours, other = "https://console.example", "https://evil.example"
    ask = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "If-Match"}
    allowing = create_app(CloudSettings(api=ApiSettings(cors=(ours,))), database)
    async with client_of(allowing) as client:
        said = await client.options("/v1/sites", headers=ask | {"Origin": ours})
        assert said.headers["access-control-allow-origin"] == ours
        assert "access-control-allow-credentials" not in said.headers
        got = await client.get("/v1/sites", headers=acme.headers | {"Origin": ours})
        assert got.headers["access-control-allow-origin"] == ours
        assert "ETag" in got.headers["access-control-expose-headers"]
        said = await client.options("/v1/sites", headers=ask | {"Origin": other})
        assert "access-control-allow-origin" not in said.headers
    async with client_of(create_app(CloudSettings(), database)) as client:
        said = await client.options("/v1/sites", headers=ask | {"Origin": ours})
        assert "access-control-allow-origin" not in said.headers


# ---------------------------------------------------------------- ETags


async def test_every_resource_has_an_etag(client: httpx.AsyncClient, acme: Tenant) -> None:
    """The same state has the same tag, compressed or not; who has it already gets a 304."""
    path = f"/v1/points/{acme.points[0]}"
    first = await client.get(path, headers={"Accept-Encoding": "identity"})
    again = await client.get(path)
    tag = first.headers["etag"]
    assert again.headers["etag"] == tag == etag(first.json())
    for known in (tag, f"W/{tag}", f'"x", {tag}'):
        unchanged = await client.get(path, headers={"If-None-Match": known})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == tag
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200
    other = await client.get(f"/v1/points/{acme.points[1]}")
    assert other.headers["etag"] != tag
    assert "etag" not in (await client.get("/v1/points/999999")).headers
    assert "etag" not in (await client.get(f"/v1/sites/{acme.site}/export")).headers


async def test_nobody_overwrites_what_they_have_not_seen(
    api: FastAPI, client: httpx.AsyncClient, acme: Tenant
) -> None:
    """Rules are put only over the state that was read; of two who read the same, one is told."""
    path = f"/v1/sites/{acme.site}/review/rules"
    key = {"Authorization": f"Bearer {acme.key}"}
    async with client_of(api, headers=key) as bare:
        tag = (await bare.get(path)).headers["etag"]
        body = {"request": "one", "text": 'anywhere: "QXZW" means High_Temperature_Alarm'}
        missing = await bare.put(path, json=body)
        assert (missing.status_code, missing.json()["code"]) == (428, "if_match_needed")
        bad = await bare.put(path, json=body, headers={"If-Match": "abc"})
        assert (bad.status_code, bad.json()["errors"][0]["name"]) == (422, "If-Match")
        done = await bare.put(path, json=body, headers={"If-Match": tag})
        assert done.status_code == 200
        late = await bare.put(path, json={"request": "two", "text": ""}, headers={"If-Match": tag})
        assert (late.status_code, late.json()["code"]) == (412, "changed_meanwhile")
        now = (await bare.get(path)).headers["etag"]
        assert late.headers["etag"] == now != tag
        done = await bare.put(path, json={"request": "two", "text": ""}, headers={"If-Match": now})
        assert done.status_code == 200


async def test_a_model_is_deleted_as_it_was_seen(client: httpx.AsyncClient, acme: Tenant) -> None:
    """A tag of another state keeps the model; its own lets it go."""
    path = f"/v1/thing-models/{acme.model}"
    tag = (await client.get(path)).headers["etag"]
    late = await client.delete(path, headers={"If-Match": '"other"'})
    assert late.status_code == 412
    assert (await client.get(path)).headers["etag"] == tag
    assert (await client.delete(path, headers={"If-Match": tag})).status_code == 200


def test_tags_are_read_as_they_are_written() -> None:
    """Lists, weak tags and the star; anything else is refused."""
    assert read_tags('"a", W/"b"', "If-Match") == frozenset({'"a"', '"b"'})
    assert read_tags(" * ", "If-Match") is None
    Precondition(None).check({})
    for wrong in ("a", '"a" "b"', '"a",', ""):
        with pytest.raises(InvalidRequest):
            read_tags(wrong, "If-Match")


def test_every_put_says_what_it_overwrites(api: FastAPI) -> None:
    """A route that replaces a resource takes If-Match, or stands on the list with its reason."""
    document = api.openapi()["paths"]
    for route in all_routes(api):
        if route.method in {"PUT", "PATCH"} and route.path not in NO_IF_MATCH:
            parameters = document[route.path][route.method.lower()].get("parameters", [])
            assert "If-Match" in {item["name"] for item in parameters}, route


def test_every_number_has_ends() -> None:
    """A whole number that no database can hold is refused at the door, not where it is looked up."""
    assert numbers_without_ends(live()) == []
