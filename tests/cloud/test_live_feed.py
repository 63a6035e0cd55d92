"""What is stored is told when it is committed, and costs nothing where nobody follows."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.alarms import AlarmRepository
from plantroom_cloud.ingest import news
from plantroom_cloud.ingest.store import Item, Store
from plantroom_cloud.live.bus import MemoryBus, Subscription
from plantroom_cloud.live.events import Event
from plantroom_cloud.pipeline.steps import Means
from plantroom_cloud.pipeline.work import Worker
from plantroom_shared import wire
from plantroom_shared.model import Value
from support import cloud_site as site
from support import streaming
from support.api_world import ONE_ENGINE, Stopped, Tenant
from support.cloud_site import EPOCH, GATEWAY, NOW, Home, TestClock, inv, tel
from support.pipeline_world import drain, point_list


@pytest.fixture
async def home(database: Database) -> Home:
    database.bus = MemoryBus()
    return await site.add_home(database)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database, TestClock())


async def _follow(database: Database, home: Home, *topics: str) -> Subscription:
    bus: MemoryBus = database.bus
    return await bus.subscribe(Scope(home.company_id), topics, room=100)


async def _told(subscription: Subscription) -> list[tuple[str, Any, tuple[int, ...]]]:
    """Return topic, data and sites of everything that waits."""
    found = []
    while isinstance(event := await subscription.next(0.01), Event):
        found.append((event.topic, json.loads(event.data), event.sites))
    assert event is None
    return found


def _hello(*, online: bool = True) -> Item:
    if online:
        hello = wire.Hello(session="00000000000000bb", agent="7", epochs=[wire.Holding(ep=EPOCH)])
        return site.incoming("hello", wire.encode(hello))
    return site.incoming("state", wire.encode(wire.State(online=False)))


async def test_samples_are_told_after_the_commit(
    database: Database, home: Home, store: Store
) -> None:
    """The newest row of each point of a commit is told to who follows the site, and only then."""
    topic = f"samples/{home.site_id}"
    subscription = await _follow(database, home, topic)
    other = await _follow(database, home, "samples/999", "jobs")
    values: list[Value] = [1.0, "text", 3.0, "newest", 2**60]
    message = site.incoming("tel", site.samples(1, 5, points=3, values=values))
    await store.store([inv(site.dictionary(3)), message])
    ((heard, data, sites),) = await _told(subscription)
    assert (heard, sites, data["gateway"]) == (topic, (home.site_id,), GATEWAY)
    assert set(data["values"]) == {"newest", str(2**60), 3.0}
    assert len(set(data["points"])) == len(data["ts_us"]) == len(data["quality"]) == 3
    assert await _told(other) == []
    await store.store([message])
    assert await _told(subscription) == [], "a repetition is no news"


@ONE_ENGINE
async def test_what_is_not_committed_is_not_told(
    database: Database, home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that fails tells nothing; when it goes through it is told once."""
    subscription = await _follow(database, home, f"samples/{home.site_id}")
    real = store._fill

    async def fail(*given: Any) -> Any:
        await real(*given)
        raise OSError

    monkeypatch.setattr(store, "_fill", fail)
    items = [inv(site.dictionary(1)), tel(1, 3)]
    with pytest.raises(Exception, match="cannot store"):
        await store.store(items)
    assert await _told(subscription) == []
    monkeypatch.setattr(store, "_fill", real)
    await store.store(items)
    assert len(await _told(subscription)) == 1


@ONE_ENGINE
async def test_nobody_follows_nothing_is_made(
    database: Database, home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody follows a site nothing is made of its samples, bus or no bus."""
    made: list[object] = []
    monkeypatch.setattr(news, "publish", lambda *given: made.append(given))
    await store.store([inv(site.dictionary(1)), tel(1, 3)])
    database.bus = None
    await store.store([tel(4, 3)])
    assert made == []


@ONE_ENGINE
async def test_gateways_come_and_go(database: Database, home: Home, store: Store) -> None:
    """That a gateway has come or gone is told once, not with every report."""
    subscription = await _follow(database, home, "gateways")
    for online in (True, True, False, False, True):
        await store.store([_hello(online=online)])
    told = await _told(subscription)
    assert [data["kind"] for _, data, _ in told] == [
        "gateway.online", "gateway.offline", "gateway.online"
    ]  # fmt: skip
    assert {(data["gateway"], data["site"], sites) for _, data, sites in told} == {
        (GATEWAY, home.site_id, (home.site_id,))
    }


@ONE_ENGINE
async def test_findings_and_troubles_are_alarms(
    database: Database, home: Home, store: Store
) -> None:
    """Findings that open and close, and troubles of delivery, are told as alarms, each once."""
    subscription = await _follow(database, home, "alarms")
    await store.store([site.incoming("evt", site.findings(1, [site.finding("a")]))])
    ended = [site.finding("a", ended=NOW)]
    await store.store([site.incoming("evt", site.findings(2, ended))])
    async with database.write(Scope(home.company_id)) as session:
        alarms = AlarmRepository(session, Scope(home.company_id))
        for _ in range(2):
            await alarms.note(GATEWAY, "clock_skew", {"skew_us": 9}, NOW)
        for _ in range(2):
            await alarms.clear(GATEWAY, "clock_skew", NOW)
    told = [data for _, data, _ in await _told(subscription)]
    assert [data["kind"] for data in told] == [
        "finding.opened", "finding.closed", "delivery_alarm.raised", "delivery_alarm.cleared"
    ]  # fmt: skip
    assert [data.get("finding") or data["alarm"] for data in told] == ["a", "a"] + [
        "clock_skew"
    ] * 2


@ONE_ENGINE
async def test_streaming_devices_are_told_too(database: Database, home: Home, store: Store) -> None:
    """A device that streams by itself is told as a gateway is: its samples, and that it is there."""
    await streaming.add_streaming(database, home)
    subscription = await _follow(database, home, "gateways", f"samples/{home.site_id}")
    body = {"point": "power", "value": 4.5, "ts": streaming.MS}
    await store.store([streaming.sent(body)])
    told = {topic.partition("/")[0]: data for topic, data, _ in await _told(subscription)}
    assert told["gateways"]["kind"] == "gateway.online"
    assert told["samples"]["values"] == [4.5]


@ONE_ENGINE
async def test_jobs_are_told_step_by_step(
    database: Database, acme: Tenant, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """A job is told when it is made, with every step, and when it is done or cancelled."""
    bus: MemoryBus = database.bus
    subscription = await bus.subscribe(Scope(acme.company), ["jobs"], room=100)
    headers = {"Content-Type": "text/csv"}
    made = await client.post("/v1/jobs", content=point_list(1, 1), headers=headers)
    job = made.json()["id"]
    async with asyncio.timeout(60):
        await drain(Worker(Means(database, clock), 30.0))
    told = [data for _, data, _ in await _told(subscription)]
    assert {data["job"] for data in told} == {job}
    assert (told[0]["kind"], told[-1]["kind"]) == ("job.open", "job.done")
    steps = [data["stage"] for data in told if data["kind"] == "job.step"]
    assert steps == ["group", "analyse", "map", "score"]
    other = await client.post("/v1/jobs", json={})
    for _ in range(2):
        await client.post(f"/v1/jobs/{other.json()['id']}/cancel")
    told = [data for _, data, _ in await _told(subscription)]
    assert [data["kind"] for data in told] == ["job.open", "job.cancelled"]
