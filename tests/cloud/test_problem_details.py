"""Whatever goes wrong, the answer is a problem with a trace id, and no stack trace leaves."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from sqlalchemy.exc import InternalError, OperationalError
from starlette.responses import StreamingResponse

from plantroom_cloud.db import Database
from plantroom_cloud.kit import problems
from plantroom_cloud.kit.middleware import MAX_BODY
from plantroom_shared.errors import Unavailable
from support.api_world import Tenant, client_of, make_app


@pytest.fixture
def app(sqlite_database: Database) -> FastAPI:
    """The application with routes that fail in every way."""
    app = make_app(sqlite_database)

    @app.get("/crash")
    async def crash() -> None:
        msg = "secret detail"
        raise ZeroDivisionError(msg)

    @app.get("/gone")
    async def gone() -> None:
        statement = "SELECT secret"
        raise OperationalError(statement, {}, Exception("secret host"))

    @app.get("/handed-over/{state}")
    async def handed_over(state: str) -> None:
        statement, original = "UPDATE secret", Exception("secret")
        original.sqlstate = state  # type: ignore[attr-defined] # as psycopg's errors have one
        raise InternalError(statement, {}, original)

    @app.get("/later")
    async def later() -> None:
        msg = "secret"
        raise Unavailable(msg, retry_after=7.4)

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"some"
            msg = "midway"
            raise RuntimeError(msg)

        return StreamingResponse(parts())

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.post("/typed")
    async def typed(body: dict[str, int]) -> dict[str, int]:
        return body

    return app


@pytest.fixture
async def visitor(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the failing routes."""
    async with client_of(app) as opened:
        yield opened


def _check(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = problems.Problem.model_validate(answer.json(), extra="forbid")
    assert (problem.status, problem.code) == (status, code)
    assert problem.type == f"urn:plantroom:problem:{code}"
    assert problem.trace_id == answer.headers["x-trace-id"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


async def test_a_bug_is_a_500_and_stays_in_the_log(
    visitor: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """An unforeseen error shows only its trace id; the log has both."""
    answer = await visitor.get("/crash")
    _check(answer, 500, "internal")
    record = next(item for item in caplog.records if item.getMessage() == "request failed")
    assert vars(record)["trace_id"] == answer.json()["trace_id"]
    assert record.exc_info is not None
    assert record.levelno == logging.ERROR


async def test_a_database_that_is_away_is_a_503(visitor: httpx.AsyncClient) -> None:
    """A failing database, or part, says when to come again and nothing about itself."""
    answer = await visitor.get("/gone")
    _check(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    answer = await visitor.get("/later")
    _check(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "7"
    # A server that has just become a standby takes no writes; any other inner error is a bug.
    _check(await visitor.get("/handed-over/25006"), 503, "unavailable")
    _check(await visitor.get("/handed-over/XX000"), 500, "internal")


async def test_unknown_paths_and_methods(visitor: httpx.AsyncClient) -> None:
    """404 and 405 are problems too; a 405 says what is allowed."""
    _check(await visitor.get("/v2/points"), 404, "not_found")
    # No redirect either: it would be made from a Host header that anybody can write.
    _check(await visitor.get("/v1/points/"), 404, "not_found")
    answer = await visitor.delete("/livez")
    _check(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]


async def test_wrong_parameters_are_named(
    sqlite_database: Database, acme_on_sqlite: Tenant
) -> None:
    """A 422 names each parameter, where it stands and what is wrong with it."""
    async with client_of(make_app(sqlite_database), headers=acme_on_sqlite.headers) as client:
        answer = await client.get("/v1/points", params={"limit": "many", "site": 0})
        _check(answer, 422, "invalid_request")
        named = {(item["where"], item["name"]) for item in answer.json()["errors"]}
        assert named == {("query", "limit"), ("query", "site")}
        answer = await client.get("/v1/points/abc")
        assert answer.json()["errors"][0]["where"] == "path"


_HOSTILE = [
    "/v1/points?q=%00",
    "/v1/gateways/%00",
    "/v1/findings/x/%00",
    f"/v1/points/{2**63}",
    f"/v1/latest?point={2**63}",
    "/v1/points?limit=0",
    "/v1/points?limit=1001",
    "/v1/points?after=x",
    "/v1/mappings?state=maybe",
    "/v1/mappings?min_confidence=nan",
    "/v1/findings?from=x",
    "/v1/findings?to=x",
    "/v1/points?q=" + "x" * 201,
]


async def test_hostile_parameters_are_refused_on_both_databases(
    client: httpx.AsyncClient,
) -> None:
    """What a database could choke on never reaches it."""
    for url in _HOSTILE:
        _check(await client.get(url), 422, "invalid_request")


async def test_a_body_over_the_limit_is_refused(visitor: httpx.AsyncClient) -> None:
    """More than a megabyte is a 413, whether it is announced or only sent."""

    async def parts(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 65536):
            yield bytes(65536)

    assert (await visitor.post("/echo", content=bytes(MAX_BODY))).text == str(MAX_BODY)
    _check(await visitor.post("/echo", content=bytes(MAX_BODY + 1)), 413, "too_large")
    assert (await visitor.post("/echo", content=parts(MAX_BODY))).text == str(MAX_BODY)
    _check(await visitor.post("/echo", content=parts(2 * MAX_BODY)), 413, "too_large")
    _check(await visitor.post("/typed", content=parts(2 * MAX_BODY)), 413, "too_large")


async def test_a_failure_after_the_first_byte_cuts_the_answer(app: FastAPI) -> None:
    """Nothing is appended to an answer that has already begun."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        with pytest.raises(RuntimeError, match="midway"):
            await client.get("/half")


async def test_a_callers_trace_id_is_kept(visitor: httpx.AsyncClient) -> None:
    """A valid W3C traceparent gives the trace id; an invalid one is replaced."""
    given = "4bf92f3577b34da6a3ce929d0e0e4736"
    header = {"traceparent": f"00-{given}-00f067aa0ba902b7-01"}
    assert (await visitor.get("/crash", headers=header)).headers["x-trace-id"] == given
    for bad in (f"00-{'0' * 32}-00f067aa0ba902b7-01", "00-x-y-01", "x" * 5000):
        made = (await visitor.get("/livez", headers={"traceparent": bad})).headers["x-trace-id"]
        assert len(made) == 32
        assert made not in bad


async def test_every_answer_has_the_security_headers(visitor: httpx.AsyncClient) -> None:
    """Good or bad, an answer tells a browser not to sniff, frame or store."""
    for url in ("/livez", "/v1/sites", "/nowhere", "/crash", "/docs"):
        headers = (await visitor.get(url)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers
    secure = await visitor.get("https://api/livez")
    assert secure.headers["strict-transport-security"].startswith("max-age=")


async def test_not_ready_without_tables(tmp_path: Path) -> None:
    """A database without tables, or one that nobody answers for, is alive but not ready."""
    nobody = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    for url in (f"sqlite+aiosqlite:///{tmp_path / 'new.db'}", nobody):
        db = Database(url)
        async with client_of(make_app(db), headers={"X-API-Key": "pk_x"}) as client:
            assert (await client.get("/livez")).json() == {"status": "ok"}
            _check(await client.get("/readyz"), 503, "unavailable")
            _check(await client.get("/v1/sites"), 503, "unavailable")
        await db.close()


async def test_the_lifespan_passes_through(app: FastAPI) -> None:
    """Start-up and shut-down messages go through every layer untouched."""
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.shutdown" if sent else "lifespan.startup"}

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "state": {}}, receive, send)  # type: ignore[arg-type] # as above
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
