"""The API behind a real server on a socket, as a program and a person meet it."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import re

import httpx
import pytest
from fastapi import FastAPI

from plantroom_cloud.db import Database
from support.api_world import Tenant, served


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """One engine is enough here: no SQL of these tests differs."""
    return sqlite_database


async def test_over_a_socket(api: FastAPI, acme: Tenant, database: Database) -> None:
    """Keys, errors, compression and parallel requests work over TCP as they do in the process."""
    async with (
        served(api) as url,
        httpx.AsyncClient(base_url=url, headers=acme.headers) as client,
    ):
        assert (await client.get("/readyz", headers={"Authorization": ""})).status_code == 200
        answers = await asyncio.gather(*(client.get("/v1/points") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert answers[0].headers["content-encoding"] == "gzip"
        small = await client.get("/v1/counters")
        assert "content-encoding" not in small.headers
        assert (await client.get("/v1/sites/abc")).status_code == 422
        anonymous = await client.get("/v1/points", headers={"Authorization": ""})
        assert anonymous.status_code == 401


async def test_a_plus_sign_sent_bare_is_understood(api: FastAPI, acme: Tenant) -> None:
    """A time with +01:00 that nobody percent-encoded means what was written."""
    async with served(api) as url:
        host = url.removeprefix("http://")
        path = f"/v1/points/{acme.points[0]}/samples?to=2026-01-31T13:00:00+01:00&interval=1h"

        def fetch() -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(host, timeout=10)
            connection.request("GET", path, headers=acme.headers | {"Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            body = answer.read()
            packed = answer.headers.get("Content-Encoding") == "gzip"
            connection.close()
            return answer.status, gzip.decompress(body) if packed else body

        status, body = await asyncio.to_thread(fetch)
    assert status == 200
    assert b'"to":"2026-01-31T12:00:00.000000Z"' in body


async def test_the_description_is_complete(api: FastAPI, anonymous: httpx.AsyncClient) -> None:
    """Every operation has tag, summary, text, problems and described parameters; all refs lead on."""
    document = (await anonymous.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]
            assert operation["tags"]
            if path.startswith("/v1/"):
                assert operation["security"]
                assert {"401", "404", "422", "503"} <= operation["responses"].keys()
            for parameter in operation.get("parameters", []):
                schema = parameter["schema"]
                described = parameter.get("description") or schema.get("examples")
                assert described or parameter.get("example"), (path, parameter["name"])
    names = set(document["components"]["schemas"])
    text = (await anonymous.get("/openapi.json")).text
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) <= names
    assert "HTTPValidationError" not in names
    assert "Problem" in names


async def test_the_docs_need_nothing_from_elsewhere(
    api: FastAPI, anonymous: httpx.AsyncClient
) -> None:
    """The page lists every path with an example, loads no script and no foreign file."""
    answer = await anonymous.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    document = (await anonymous.get("/openapi.json")).json()
    for path in document["paths"]:
        assert f"<code>{path}</code>" in answer.text
    assert "<script" not in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]


def test_docs_escape_what_they_show() -> None:
    """A description with markup in it stays text."""
    from plantroom_cloud.kit.docs import render

    operation = {
        "summary": "<script>",
        "description": "<img>",
        "parameters": [{"name": "<b>", "schema": {"type": "<i>"}, "required": True}],
        "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/x/Loop"}}}}},
    }
    loop = {"properties": {"<u>": {"$ref": "#/x/Loop"}}}
    page = render(
        {
            "info": {"title": "<t>", "version": "1"},
            "paths": {"/<p>": {"get": operation}},
            "components": {"schemas": {"Loop": loop}},
        }
    )
    for markup in ("<script>", "<img>", "<i>", "<u>", "<t>", "<p>/"):
        assert markup not in page
    assert "(required)" in page
