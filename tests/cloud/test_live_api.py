"""Live events at the API: who may follow what, over which line, and how it ends."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import select, update
from websockets.exceptions import ConnectionClosed, InvalidStatus

from plantroom_cloud.app import create_app
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity.permissions import ROLES, Permission, Principal
from plantroom_cloud.identity.standing import Holder
from plantroom_cloud.kit.problems import Forbidden, NotFound
from plantroom_cloud.live import topics
from plantroom_cloud.live.bus import MemoryBus
from plantroom_cloud.live.events import Event
from plantroom_cloud.live.following import Live
from plantroom_cloud.live.tickets import LIFE_US
from plantroom_cloud.tables import ApiKey, LiveTicket
from support import servers
from support.api_tokens import claims_of, signed, user_headers
from support.api_world import DATA, HOUR, NOW, Stopped, Tenant, client_of, seed, served
from support.live_client import Events, events, heard, socket, ticket
from support.waiting import eventually

ORIGIN = "https://console.example"


pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = CloudSettings(
    data=DATA,
    api={"cors": [ORIGIN], "per_address": None},
    live={"sockets": 3, "room": 50, "recheck": 0.3, "beat": 0.1},
)
_numbers = count(1)


@dataclass
class World:
    """A service that runs as long as this module's tests do; what is open in it is each test's own."""

    app: FastAPI
    base: str
    database: Database
    clock: Stopped


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    path = shutil.copy(sqlite_template, tmp_path_factory.mktemp("live") / "plantroom.db")
    clock = Stopped()
    async with servers.opened(f"sqlite+aiosqlite:///{path}") as database:
        app = create_app(SETTINGS, database, clock=clock)
        async with served(app) as base:
            yield World(app, base, database, clock)


@pytest.fixture
def app(world: World) -> FastAPI:
    world.database.bus = bus = MemoryBus()
    live = Live(world.database, bus, SETTINGS.live, world.clock, origins=SETTINGS.api.cors)
    world.app.state.live = live
    return world.app


@pytest.fixture
def base(world: World, app: FastAPI) -> str:
    del app  # with nothing open from the test before
    return world.base


@pytest.fixture
def sqlite_database(world: World) -> Database:
    return world.database


@pytest.fixture
def clock(world: World) -> Stopped:
    return world.clock


@pytest_asyncio.fixture(loop_scope="module")
async def tenant(world: World) -> Tenant:
    return await seed(world.database, f"acme{next(_numbers)}")


@pytest_asyncio.fixture(loop_scope="module")
async def foreign(world: World) -> Tenant:
    return await seed(world.database, f"rival{next(_numbers)}")


def _live(app: FastAPI) -> Live:
    live: Live = app.state.live
    return live


def _publish(
    app: FastAPI, tenant: Tenant, topic: str, sites: tuple[int, ...] = (), **data: Any
) -> None:
    _live(app).bus.publish(Scope(tenant.company), topic, data, sites)


async def _revoke(database: Database, tenant: Tenant) -> None:
    async with database.write(Scope(tenant.company)) as session:
        mine = (ApiKey.id == tenant.key_id, ApiKey.company_id == tenant.company)
        await session.execute(update(ApiKey).where(*mine).values(revoked_us=1))


# ---------------------------------------------------------------- server-sent events


async def test_events_come_as_they_happen(app: FastAPI, base: str, tenant: Tenant) -> None:
    """A client hears `ready`, then its topics, each event with an id to go on from."""
    wanted = f"alarms,samples/{tenant.site}"
    async with events(base, tenant.headers, wanted) as stream:
        ready = await stream.next()
        assert (ready.event, ready.data) == ("ready", {"topics": wanted.split(",")})
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        _publish(app, tenant, "alarms", text='line\nend\r\n\r\ndata: "x"')
        _publish(app, tenant, "jobs", never=1)
        _publish(app, tenant, f"samples/{tenant.site}", values=[1.5])
        told = [await stream.next() for _ in range(2)]
    assert [one.event for one in told] == ["alarms", "samples"]
    assert told[0].data["data"] == {"text": 'line\nend\r\n\r\ndata: "x"'}
    assert told[1].data["topic"] == f"samples/{tenant.site}"
    assert told[0].id == told[0].data["id"] != told[1].id


async def test_silence_is_broken_by_signs_of_life(app: FastAPI, base: str, tenant: Tenant) -> None:
    """Where nothing happens there are beats, and behind the id of one nothing is missed."""
    async with events(base, tenant.headers, "alarms,jobs") as stream:
        await stream.next()
        _publish(app, tenant, "jobs", n=1)
        await stream.next()
        beat = await stream.next(beats=True)
    assert beat.event == "beat"
    _publish(app, tenant, "alarms", n=2)
    async with events(base, tenant.headers, "alarms", **{"Last-Event-ID": beat.id}) as stream:
        assert (await stream.next()).event == "ready"
        assert (await stream.next()).data["data"] == {"n": 2}


async def test_an_id_too_old_calls_for_reading_anew(
    app: FastAPI, base: str, tenant: Tenant
) -> None:
    """Who comes back with an id that is not known any more is told that events are missing."""
    async with events(base, tenant.headers, "alarms", **{"Last-Event-ID": "old-1"}) as stream:
        assert (await stream.next()).event == "ready"
        told = await stream.next()
        assert (told.event, told.data) == ("resync", {"why": "gap"})
        _publish(app, tenant, "alarms", n=1)
        assert (await stream.next()).data["data"] == {"n": 1}


async def test_nothing_of_another_company(
    app: FastAPI, base: str, tenant: Tenant, foreign: Tenant
) -> None:
    """No event of one company reaches a client of another."""
    async with (
        events(base, tenant.headers, "alarms,jobs,gateways") as ours,
        events(base, foreign.headers, "alarms,jobs,gateways") as theirs,
    ):
        await ours.next(), await theirs.next()
        for topic in ("alarms", "jobs", "gateways"):
            _publish(app, tenant, topic, secret="acme")
        _publish(app, foreign, "alarms", end=1)
        assert [(await ours.next()).data["data"] for _ in range(3)] == [{"secret": "acme"}] * 3
        assert (await theirs.next()).data["data"] == {"end": 1}


WRONG = {
    "": 422, "nonsense": 422, "alarms,samples/x": 422, "samples/0": 422, "~access": 422,
    "samples/01": 422, "samples/1\n": 422, "samples/999": 404, "samples/{foreign}": 404,
    ",".join(f"samples/{n}" for n in range(1, 52)): 422, "samples/" + "9" * 40: 422,
}  # fmt: skip


async def test_topics_are_checked(base: str, tenant: Tenant, foreign: Tenant) -> None:
    """A topic there is not is a 422; the site of another company is one there is not, a 404."""
    async with httpx.AsyncClient(base_url=base, headers=tenant.headers) as client:
        for wanted, status in WRONG.items():
            asked = {"topics": wanted.format(foreign=foreign.site)}
            answer = await client.get("/v1/live/events", params=asked)
            assert (answer.status_code, "code" in answer.json()) == (status, True), wanted


async def test_pages_of_other_origins_are_refused(base: str, tenant: Tenant) -> None:
    """A page may follow if its origin is one of the settings; what is no page sends none."""
    async with httpx.AsyncClient(base_url=base, headers=tenant.headers) as client:
        for origin in (
            "https://evil.example",
            "null",
            f"{ORIGIN}.evil.example",
            f"{ORIGIN}:444",
            "",
        ):
            answer = await client.get(
                "/v1/live/events", params={"topics": "jobs"}, headers={"Origin": origin}
            )
            assert answer.status_code == 403, origin
    async with events(base, tenant.headers, "jobs", Origin=ORIGIN) as stream:
        assert (await stream.next()).event == "ready"


async def test_seats_are_few_and_given_back(
    app: FastAPI, base: str, tenant: Tenant, foreign: Tenant
) -> None:
    """One key has so many connections and no more; one that ends makes room, others have their own."""
    async with events(base, tenant.headers, "jobs"), events(base, tenant.headers, "jobs"):
        async with events(base, tenant.headers, "jobs"), httpx.AsyncClient(base_url=base) as client:
            url = "/v1/live/events?topics=jobs"
            answer = await client.get(url, headers=tenant.headers)
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_connections")
            async with events(base, foreign.headers, "jobs") as other:
                assert (await other.next()).event == "ready"
        await eventually(lambda: len(_live(app).connections) <= 2, "the end of the connection")
        async with events(base, tenant.headers, "jobs") as stream:
            assert (await stream.next()).event == "ready"


@pytest.mark.parametrize("told", [True, False])
async def test_a_revoked_key_ends_its_connections(
    app: FastAPI, base: str, tenant: Tenant, sqlite_database: Database, told: bool
) -> None:
    """A connection ends when its key is revoked: at once where that is told, else at the next look."""
    if told:
        _rarely_looked(app)
    async with events(base, tenant.headers, "alarms") as stream:
        await stream.next()
        await _revoke(sqlite_database, tenant)
        if told:
            _publish(app, tenant, topics.ACCESS)
        assert ((bye := await stream.next()).event, bye.data) == ("bye", {"why": "revoked"})
        await stream.ended()


def _rarely_looked(app: FastAPI) -> None:
    """Let nothing end a connection but that it is told."""
    live = _live(app)
    live.settings = live.settings.model_copy(update={"recheck": 50.0})


async def _service_headers(app: FastAPI, tenant: Tenant) -> dict[str, str]:
    claims = claims_of(tenant, sub=f"service:{tenant.account}", sid=NOW - HOUR)
    return {"Authorization": f"Bearer {await signed(app, claims)}"}


@pytest.mark.parametrize("who", ["user", "service", "key"])
async def test_who_is_put_out_is_gone_at_once(
    app: FastAPI, base: str, tenant: Tenant, who: str
) -> None:
    """Whatever one came in by: when it is revoked at the API, what it has open ends right then."""
    _rarely_looked(app)
    admin = await user_headers(app, tenant)
    headers, method, url = {
        "user": (await user_headers(app, tenant), "POST", "/v1/me/logout"),
        "service": (
            await _service_headers(app, tenant),
            "POST",
            f"/v1/service-accounts/{tenant.account}/secret",
        ),
        "key": (tenant.headers, "DELETE", f"/v1/api-keys/{tenant.key_id}"),
    }[who]
    async with (
        httpx.AsyncClient(base_url=base, timeout=60) as client,
        events(base, headers, "gateways") as stream,
        events(base, admin, "gateways") as other,
    ):
        await stream.next(), await other.next()
        opening = json.dumps({"ticket": await ticket(base, headers), "topics": ["gateways"]})
        by = headers if who == "user" else admin
        answer = await client.request(method, url, headers=by)
        assert answer.status_code == 200, answer.text
        assert (await stream.next()).data == {"why": "revoked"}
        await _refused(base, opening, 4403, "forbidden")
        _publish(app, tenant, "gateways", n=1)
        assert (await other.next()).data["data"] == {"n": 1}, "nobody else is put out"


async def test_a_narrowed_token_follows_no_more_than_it_may(
    app: FastAPI, base: str, tenant: Tenant
) -> None:
    """What a token was narrowed to holds for what it opens, and for its tickets."""
    claims = claims_of(tenant, scope="point:read")
    headers = {"Authorization": f"Bearer {await signed(app, claims)}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as client:
        answer = await client.get("/v1/live/events", params={"topics": "alarms"})
        assert answer.status_code == 403
    samples = f"samples/{tenant.site}"
    async with events(base, headers, samples) as stream, socket(base) as opened:
        assert (await stream.next()).event == "ready"
        given = {"ticket": await ticket(base, headers), "topics": [samples]}
        await opened.send(json.dumps(given))
        assert (await heard(opened))["topic"] == "ready"
    given = {"ticket": await ticket(base, headers), "topics": ["alarms"]}
    await _refused(base, json.dumps(given), 4403, "forbidden")


async def test_losing_a_permission_ends_it(
    app: FastAPI, base: str, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that lacks the permission of one of its topics by now ends."""
    live = _live(app)
    async with events(base, tenant.headers, "alarms,jobs") as stream:
        await stream.next()
        less = ROLES["viewer"] - {Permission.ALARM_READ}

        async def look_up(_: Scope, holders: Collection[Holder]) -> Mapping[Holder, Principal]:
            return {one: Principal(one.company, one.kind, one.id, "", less) for one in holders}

        monkeypatch.setattr(live, "look_up", look_up)
        assert (await stream.next()).data == {"why": "revoked"}


async def test_a_database_that_is_away_ends_it_in_the_end(
    app: FastAPI, base: str, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rights that cannot be looked up end a connection, though not at the first try."""
    tries = []

    async def look_up(*asked: Any) -> Mapping[Holder, Principal]:
        tries.append(asked)
        raise OSError

    async with events(base, tenant.headers, "alarms") as stream:
        await stream.next()
        monkeypatch.setattr(_live(app), "look_up", look_up)
        assert (await stream.next()).data == {"why": "unchecked"}
    assert len(tries) == 4


async def test_confined_to_a_site(
    app: FastAPI, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is confined to some sites hears of these alone, and of nothing that is of no site."""
    live, mine = _live(app), frozenset({tenant.site})
    role = ROLES["operator"]
    confined = Principal(tenant.company, "user", 1, "Ann", role, mine)
    holder = Holder.of(confined)

    async def look_up(*_: Any) -> Mapping[Holder, Principal]:
        return {holder: confined}

    monkeypatch.setattr(live, "look_up", look_up)
    with pytest.raises(NotFound):
        await live.open(holder, ["samples/999"], None)
    confined = Principal(tenant.company, "user", 1, "Ann", ROLES["installer"], mine)
    with pytest.raises(Forbidden):
        await live.open(holder, ["alarms"], None)
    confined = Principal(tenant.company, "user", 1, "Ann", role, mine)
    connection = await live.open(holder, ["alarms", f"samples/{tenant.site}"], None)
    told = connection.told()
    await anext(told)
    for number, sites in enumerate([(), (tenant.site + 1,), (tenant.site, tenant.site + 1)]):
        _publish(app, tenant, "alarms", sites, n=number)
    _publish(app, tenant, "alarms", (tenant.site,), n="mine")
    async with asyncio.timeout(20):
        async for one in told:
            if isinstance(one, Event):
                break
    assert isinstance(one, Event)
    assert json.loads(one.data) == {"n": "mine"}
    await connection.close()


async def test_stopping_says_goodbye(app: FastAPI, base: str, tenant: Tenant) -> None:
    """When the service stops every client is told to come back, and nobody new is let in."""
    async with (
        events(base, tenant.headers, "alarms") as stream,
        socket(base) as opened,
    ):
        await stream.next()
        await opened.send(
            json.dumps({"ticket": await ticket(base, tenant.headers), "topics": ["jobs"]})
        )
        await heard(opened)
        await _live(app).drain()
        assert (await stream.next()).data == {"why": "restart"}
        await stream.ended()
        while (said := await heard(opened))["topic"] == "beat":
            pass
        assert said == {"topic": "bye", "data": {"why": "restart"}}
        with pytest.raises(ConnectionClosed) as caught:
            await heard(opened)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
        async with httpx.AsyncClient(base_url=base, headers=tenant.headers) as client:
            answer = await client.get("/v1/live/events", params={"topics": "jobs"})
            assert answer.status_code == 503
    assert not _live(app).connections


async def test_an_api_by_itself_says_what_it_lacks(
    app: FastAPI, world: World, tenant: Tenant
) -> None:
    """Where samples are stored by a process that the bus does not reach, nobody is let wait in vain."""
    bus = _live(app).bus
    app.state.live = Live(world.database, bus, SETTINGS.live, world.clock, lonely=True)
    async with client_of(app, headers=tenant.headers) as client:
        answer = await client.get("/v1/live/events", params={"topics": "jobs"})
    assert (answer.status_code, "redis" in answer.json()["detail"]) == (503, True)


# ---------------------------------------------------------------- WebSocket


async def _opening(base: str, tenant: Tenant, *wanted: str, **more: Any) -> str:
    given = {"ticket": await ticket(base, tenant.headers), "topics": wanted}
    return json.dumps(given | more)


async def test_a_socket_opens_with_a_ticket(app: FastAPI, base: str, tenant: Tenant) -> None:
    """The first message has the ticket; then events come, and an id leads on from there."""
    async with socket(base, origin=ORIGIN) as opened:
        await opened.send(await _opening(base, tenant, "alarms"))
        ready = await heard(opened)
        assert (ready["topic"], ready["data"]) == ("ready", {"topics": ["alarms"]})
        await opened.send("whatever")
        _publish(app, tenant, "alarms", n=1)
        told = await heard(opened)
        while told["topic"] == "beat":
            told = await heard(opened)
        assert (told["topic"], told["data"]) == ("alarms", {"n": 1})
    _publish(app, tenant, "alarms", n=2)
    async with socket(base) as opened:
        await opened.send(await _opening(base, tenant, "alarms", after=told["id"]))
        assert (await heard(opened))["topic"] == "ready"
        assert (await heard(opened))["data"] == {"n": 2}


async def test_a_ticket_is_used_once_and_soon(
    base: str, tenant: Tenant, clock: Stopped, sqlite_database: Database
) -> None:
    """A ticket opens one socket, within thirty seconds; the database keeps no ticket that opens."""
    first = await _opening(base, tenant, "jobs")
    async with sqlite_database.read(Scope(tenant.company)) as session:
        kept = (await session.execute(select(LiveTicket.digest))).scalars().all()
    assert json.loads(first)["ticket"] not in kept
    late = await _opening(base, tenant, "jobs")
    async with socket(base) as opened:
        await opened.send(first)
        assert (await heard(opened))["topic"] == "ready"
    await _refused(base, first, 4401, "unauthorized")
    clock.now += LIFE_US
    await _refused(base, late, 4401, "unauthorized")


async def _refused(base: str, said: str | bytes, code: int, why: str) -> None:
    async with socket(base) as opened:
        await opened.send(said)
        assert (await heard(opened))["error"] == why
        with pytest.raises(ConnectionClosed) as caught:
            await heard(opened)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == code


async def test_forged_openings_are_refused(base: str, tenant: Tenant, foreign: Tenant) -> None:
    """No key, no rubbish and no ticket of a changed company opens a socket."""
    good = json.loads(await _opening(base, tenant, "jobs"))
    _, company, rest = good["ticket"].split("_", 2)
    tickets = [
        "",
        tenant.key,
        f"lt_{foreign.company}_{rest}",
        f"lt_{company}_{rest[:-1]}",
        "lt_1_" + "A" * 43,
    ]
    tickets += [f"lt_0{company}_{rest}", f"lt_{10**17}_{rest}", "lt_1_' or 1=1 --"]
    for forged in tickets:
        await _refused(base, json.dumps(good | {"ticket": forged}), 4401, "unauthorized")
    for rubbish in (
        "",
        "{}",
        "[]",
        "x" * 1000,
        b"\x00\xff",
        "1",
        json.dumps(good | {"admin": True}),
    ):
        await _refused(base, rubbish, 4422, "invalid_request")
    await _refused(base, json.dumps(good | {"topics": ["~access"]}), 4422, "invalid_request")
    again = await _opening(base, tenant, f"samples/{foreign.site}")
    await _refused(base, again, 4404, "not_found")


async def test_a_socket_of_another_origin_is_not_opened(base: str) -> None:
    """The handshake of a page of another origin is answered with a 403."""
    for origin in ("https://evil.example", "null", "http://console.example"):
        with pytest.raises(InvalidStatus) as caught:
            async with socket(base, origin=origin):
                pass
        assert caught.value.response.status_code == 403


async def test_a_socket_that_says_nothing_is_closed(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not say its ticket in time is not waited for, and who hangs up is no trouble."""
    monkeypatch.setattr("plantroom_cloud.live.socket._FIRST", 0.1)
    async with socket(base) as opened:
        with pytest.raises(ConnectionClosed) as caught:
            await heard(opened)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4408
    async with socket(base) as opened:
        await opened.close()


async def test_a_revoked_socket_is_closed(
    app: FastAPI, base: str, tenant: Tenant, sqlite_database: Database
) -> None:
    """A WebSocket whose key is revoked is told so, and closed."""
    async with socket(base) as opened:
        await opened.send(await _opening(base, tenant, "alarms"))
        await heard(opened)
        await _revoke(sqlite_database, tenant)
        while (said := await heard(opened))["topic"] == "beat":
            pass
        assert said["data"] == {"why": "revoked"}
        with pytest.raises(ConnectionClosed) as caught:
            await heard(opened)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4403


async def test_a_client_that_takes_nothing(app: FastAPI, base: str, tenant: Tenant) -> None:
    """One that reads nothing costs bounded memory, and hears that events are missing when it reads."""
    async with (
        events(base, tenant.headers, "alarms") as slow,
        events(base, tenant.headers, "jobs") as quick,
    ):
        await slow.next(), await quick.next()
        big = "x" * 100_000
        for number in range(300):
            _publish(app, tenant, "alarms", n=number, big=big)
            if number % 20 == 0:
                await asyncio.sleep(0)
        _publish(app, tenant, "jobs", n=1)
        assert (await quick.next()).data["data"] == {"n": 1}
        waiting = [one._subscription for one in _live(app).connections]
        assert all(len(one._waiting) <= 50 for one in waiting)
        assert await _resynced(slow) == {"why": "slow"}
        _publish(app, tenant, "alarms", n="after")
        while (told := await slow.next()).event != "alarms" or told.data["data"]["n"] != "after":
            pass


async def _resynced(stream: Events) -> Any:
    while (told := await stream.next()).event != "resync":
        pass
    return told.data
