"""The Python client: made from the document as it is, and at home with the running service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from plantroom_client import (
    ApiProblem,
    AsyncPlantroom,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    Plantroom,
    PreconditionFailed,
    RateLimited,
    Retries,
    Unauthorized,
    Unavailable,
    Unreachable,
    etag,
)
from plantroom_client.errors import problem
from plantroom_client.transport import Call
from plantroom_cloud.db import Database
from plantroom_cloud.tables import MappingOverride
from support import api_client
from support.api_document import CLIENT, live
from support.api_world import Tenant, served
from support.servers import as_owner


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """No SQL of these tests differs."""
    return sqlite_database


class Flaky(httpx.AsyncBaseTransport):
    """Passes requests on, and loses the first answers of each kind on the way back."""

    def __init__(self, api: FastAPI, lost: int) -> None:
        self._inner, self._lost = httpx.ASGITransport(api), lost
        self.keys: list[str | None] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; say that the connection broke as long as there is something to lose."""
        self.keys.append(request.headers.get("idempotency-key"))
        answer = await self._inner.handle_async_request(request)
        if self._lost > 0:
            self._lost -= 1
            msg = "the connection broke"
            raise httpx.ReadError(msg)
        return answer


def connected(api: FastAPI, tenant: Tenant, lost: int, pauses: list[float]) -> AsyncPlantroom:
    """Return a client whose first `lost` answers get lost, and which only notes its pauses."""

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    http = httpx.AsyncClient(transport=Flaky(api, lost), base_url="http://api")
    return AsyncPlantroom("", tenant.key, client=http, sleep=pause)


@pytest.fixture
async def ours(api: FastAPI, acme: Tenant) -> AsyncIterator[AsyncPlantroom]:
    """A client of the application in this process."""
    async with connected(api, acme, 0, []) as client:
        yield client


def test_the_client_is_that_of_the_document() -> None:
    """What is checked in is what the generator makes of the document: `./plantroom api renew`."""
    made = api_client.generated(live())
    assert made == api_client.generated(live())
    for name, text in made.items():
        assert (CLIENT / name).read_text() == text, name


def test_every_operation_has_a_method_of_either_kind() -> None:
    """What the document describes under /v1 can be called, waiting or awaiting."""
    document = live()
    names = {
        operation["operationId"]
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if path.startswith("/v1/")
    }
    names -= {"follow_events"}  # never ends: nothing for a client that waits for answers
    assert len(names) > 50
    for kind in (Plantroom, AsyncPlantroom):
        assert names <= set(dir(kind))


async def test_pages_are_one_list(ours: AsyncPlantroom, acme: Tenant) -> None:
    """However small the pages are, each item comes once and in order."""
    whole = [point["id"] for point in (await ours.list_points())["items"]]
    assert len(whole) >= 4
    assert [point["id"] async for point in ours.all_points(limit=1)] == whole
    assert [point["id"] async for point in ours.all_points(limit=3, site=acme.site)] == whole


async def test_what_broke_is_sent_again_and_done_once(
    api: FastAPI, acme: Tenant, database: Database
) -> None:
    """Three answers lost on the way back: the fourth try gets the answer of the first."""
    pauses: list[float] = []
    async with as_owner(database).read() as session:
        before = await session.scalar(select(func.count()).select_from(MappingOverride)) or 0
    async with connected(api, acme, 3, pauses) as client:
        made = await client.add_override({"model": "EnOS_HVAC_CH", "sign": -1})
    async with as_owner(database).read() as session:
        assert await session.scalar(select(func.count()).select_from(MappingOverride)) == before + 1
        assert await session.get(MappingOverride, made["id"]) is not None
    assert len(pauses) == 3
    async with connected(api, acme, 4, pauses) as client:
        with pytest.raises(Unreachable):
            await client.list_sites()


async def test_errors_are_exceptions(api: FastAPI, ours: AsyncPlantroom, acme: Tenant) -> None:
    """Each problem detail becomes the exception of its status, with code, words and trace id."""
    with pytest.raises(NotFound) as missing:
        await ours.get_point(999_999)
    assert (missing.value.code, missing.value.status) == ("not_found", 404)
    assert len(missing.value.trace_id) == 32
    with pytest.raises(InvalidRequest) as wrong:
        await ours.list_points(limit=5000)
    assert wrong.value.errors[0]["name"] == "limit"
    with pytest.raises(PreconditionFailed):
        await ours.put_rules(acme.site, {"request": "r", "text": ""})
    await ours.add_override({"model": "EnOS_HVAC_CH", "sign": -1}, key="k")
    with pytest.raises(Conflict) as reused:
        await ours.add_override({"model": "EnOS_HVAC_CH", "sign": 1}, key="k")
    assert reused.value.code == "idempotency_key_reused"
    stranger = Tenant("none", "pk_none")
    async with connected(api, stranger, 0, []) as client:
        with pytest.raises(Unauthorized):
            await client.list_sites()


async def test_over_a_socket_and_without_asyncio(api: FastAPI, acme: Tenant) -> None:
    """Code that waits has the same: pages, files, ETags, bodies that are files."""

    def work(url: str) -> None:
        with Plantroom(url, acme.key) as client:
            (site,) = [item["id"] for item in client.all_sites()]
            rules = client.get_rules(site)
            client.put_rules(site, {"request": "a", "text": ""}, if_match=etag(rules))
            with pytest.raises(PreconditionFailed):
                client.put_rules(
                    site,
                    {"request": "b", "text": 'anywhere: "X" means Alarm'},
                    if_match='"another-state"',
                )
            assert b"CH1.SupplyTemp" in client.export_site(site, format_="csv")
            job = client.start_job(b"point_name\nAHU-1 Supply Air Temp\n", name="Tower")
            assert client.get_job(job["id"])["source"] == "upload"
            assert client.list_latest(point=acme.points[:2])["items"]
            history = client.list_samples(acme.points[0], from_="2026-01-31T00:00:00Z")
            assert history["from"] == "2026-01-31T00:00:00.000000Z"

    async with asyncio.timeout(60), served(api) as url:
        await asyncio.to_thread(work, url)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, Forbidden), (429, RateLimited), (503, Unavailable), (418, ApiProblem)],
)
def test_every_status_has_a_kind(status: int, kind: type[ApiProblem]) -> None:
    """What is no problem detail is an error with its status all the same."""
    assert type(problem(status, "<html>")) is kind
    assert problem(status, {"errors": 1}).errors == []


def test_pauses_keep_to_what_the_service_asks() -> None:
    """Retry-After is heeded up to a limit; what says nothing of later is not tried again."""
    retries = Retries(tries=3, first=0.0, most=5.0)
    busy = httpx.Response(429, headers={"Retry-After": "3"})
    assert retries.pause(1, busy) == 3.0
    assert retries.pause(1, httpx.Response(503, headers={"Retry-After": "600"})) == 5.0
    assert retries.pause(3, busy) is None
    assert retries.pause(1, httpx.Response(500)) is None
    running = httpx.Response(409, content=json.dumps({"code": "idempotency_running"}))
    assert retries.pause(1, running) == 0.0
    assert retries.pause(1, httpx.Response(409, content=b"[]")) is None
    assert retries.pause(1, httpx.Response(409, content=b"{")) is None


def test_what_is_sent() -> None:
    """Parameters that were left out are not sent; files have their own type; keys are made."""
    options = Call("GET", "/x", {"a": None, "b": True, "c": [1, 2], "d": "e"}).options()
    assert options == {"params": {"b": "true", "c": [1, 2], "d": "e"}, "headers": {}}
    first, second = (Call("POST", "/x", body=b"1", kinds=("application/json",)) for _ in "12")
    assert first.options()["headers"]["Content-Type"] == "application/json"
    keys = {one.options()["headers"]["Idempotency-Key"] for one in (first, second)}
    assert len(keys) == 2
