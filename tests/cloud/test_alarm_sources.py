"""Findings and gateway conditions into alarms: each once, whatever is looked at twice."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from plantroom_cloud.alarms.dues import note
from plantroom_cloud.alarms.jobs import AlarmWorker
from plantroom_cloud.alarms.setting import SETTLED
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.alarms import AlarmRepository
from plantroom_cloud.ingest.samples import SampleRepository
from plantroom_cloud.isolation.lookups import companies_with_alarms
from plantroom_cloud.tables import AlarmDue, FindingRow, GapRecord, Gateway, Site
from support.alarm_world import MINUTE, ON_POSTGRES, SECOND, START, World
from support.api_world import EPOCH, NOW, ONE_ENGINE, Seeder, Stopped, Tenant, seed_company
from support.waiting import eventually


@pytest.fixture
async def world(database: Database, acme: Tenant, clock: Stopped) -> World:
    """A company with a gateway and one finding that is open."""
    return World(database, acme, clock)


async def _find(world: World, *rows: dict[str, Any], noted: bool = True) -> None:
    """Store findings as the ingest does, and let the worker look."""
    defaults = {"detector": "pca", "subject": "bacnet:1001", "points": [], "score": 2.0}
    defaults |= {"text": "odd", "evidence": {}, "ended_us": None}
    async with world.database.write(world.scope) as session:
        sink = SampleRepository(session, world.scope, world.tenant.gateway)
        findings = [defaults | row for row in rows]
        await sink.add_findings(world.tenant.gateway, world.tenant.site, findings)
    if not noted:
        async with world.owner.write() as session:
            await session.execute(delete(AlarmDue).where(AlarmDue.gateway_id != ""))
    await world.work()


FINDINGS = {"kind": "finding", "detector": "pca"}


@ON_POSTGRES
async def test_a_finding_is_an_alarm_until_it_ends(world: World) -> None:
    """What is found already is found by a new rule; further ones of that device are the same alarm."""
    await world.rule(FINDINGS)
    alarm = await world.only()
    assert (alarm.standing, alarm.title) == ("unacknowledged", "too warm: pca bacnet:1001")
    await _find(world, {"id": "f2", "started_us": START + SECOND})
    assert await world.history() == ["raised", "again"]
    await _find(world, {"id": "pca/chiller:1", "started_us": NOW - 60 * MINUTE, "ended_us": START})
    assert await world.standing() == "unacknowledged"
    await _find(world, {"id": "f2", "started_us": START + SECOND, "ended_us": START + 9 * SECOND})
    assert await world.standing() == "returned"
    assert await world.history() == ["raised", "again", "returned"]


@ONE_ENGINE
async def test_findings_come_again_and_count_once(world: World) -> None:
    """The same report again, the start after the end, or the same note again change nothing."""
    await world.rule(FINDINGS)
    end = {"id": "f2", "started_us": START, "ended_us": START + SECOND}
    await _find(world, end)
    await _find(world, end)
    await _find(world, end | {"ended_us": None})
    rule = (await world.only()).rule_id
    async with world.database.write(world.scope) as session:
        await note(session, world.scope, rule=rule)
    await world.work()
    assert await world.history() == ["raised", "occurred"]


@ONE_ENGINE
async def test_findings_under_way_while_a_rule_is_made_are_found(world: World) -> None:
    """A finding stored by a transaction that did not see the new rule is found a minute later."""
    await world.rule(FINDINGS)
    before = len(await world.alarms())
    await _find(world, {"id": "new", "started_us": START, "subject": "x"}, noted=False)
    assert len(await world.alarms()) == before
    world.clock.now = START + SETTLED
    await world.work()
    assert len(await world.alarms()) == before + 1


@ONE_ENGINE
async def test_which_findings_count(world: World) -> None:
    """Detector, score and site decide which findings are alarms."""
    await world.rule({"kind": "finding", "detector": "other"})
    await world.rule({"kind": "finding", "least_score": 9.0})
    await world.rule({"kind": "finding", "least_score": 2.5}, site=world.tenant.site)
    await _find(world, {"id": "f3", "started_us": START, "score": 3.0, "subject": "x"})
    assert {alarm.subject.rpartition("/")[2] for alarm in await world.alarms()} == {
        "bacnet:1001", "x",
    }  # fmt: skip


@ONE_ENGINE
async def test_a_finding_that_came_and_went_still_calls(world: World) -> None:
    """Found and over between two looks, it waits for somebody; over for long, it is history."""
    async with world.owner.write() as session:
        await session.execute(update(FindingRow).values(ended_us=NOW - 59 * MINUTE))
    await world.rule(FINDINGS)
    assert await world.alarms() == []
    await _find(world, {"id": "f", "started_us": START - 2 * SECOND, "ended_us": START - SECOND})
    assert await world.standing() == "returned"
    old = {"id": "o", "started_us": NOW - 300 * MINUTE, "ended_us": NOW - 200 * MINUTE}
    await _find(world, old)
    assert await world.history() == ["raised", "returned", "occurred"]


# ---------------------------------------------------------------- gateways


async def _gateway(world: World, **values: Any) -> None:
    async with world.owner.write() as session:
        mine = update(Gateway).where(Gateway.id == world.tenant.gateway)
        await session.execute(mine.values(**values))


@ON_POSTGRES
async def test_a_gateway_that_is_offline(world: World) -> None:
    """Offline for long enough it alarms, from when it was last seen; online again it is over."""
    await world.rule({"kind": "gateway", "conditions": ["offline"], "offline_s": 60})
    await world.at(59)
    assert await world.alarms() == []
    await world.at(60)
    alarm = await world.only()
    assert (alarm.standing, alarm.raised_us) == ("unacknowledged", START)
    await world.at(90)
    await _gateway(world, online=True, seen_us=START + 100 * SECOND)
    await world.at(101)
    await world.at(110)
    assert await world.history("kind", "at_us") == [
        ("raised", START), ("returned", START + 100 * SECOND),
    ]  # fmt: skip
    await _gateway(world, online=False)
    await world.at(200)
    assert await world.history() == ["raised", "returned", "raised"]


@ONE_ENGINE
@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("clock_skew", "clock"),
        ("duplicate_identity", "clone"),
        ("stream_fork", "fork"),
        ("restored", "restored"),
    ],
)
async def test_what_the_delivery_says(world: World, kind: Any, condition: str) -> None:
    """What the ingest notes about a gateway is an alarm while it stands, and each time it comes."""
    await world.rule({"kind": "gateway", "conditions": [condition]})
    async with world.database.write(world.scope) as session:
        alarms = AlarmRepository(session, world.scope)
        await alarms.note(world.tenant.gateway, kind, {"skew_s": 3}, START)
    await world.sweep()
    await world.sweep()
    assert await world.standing() == "unacknowledged"
    async with world.database.write(world.scope) as session:
        alarms = AlarmRepository(session, world.scope)
        await alarms.clear(world.tenant.gateway, kind, START + SECOND)
        await alarms.note(world.tenant.gateway, kind, {}, START + 2 * SECOND)
        await alarms.clear(world.tenant.gateway, kind, START + 3 * SECOND)
    world.clock.now = START + 4 * SECOND
    await world.sweep()
    assert await world.history() == ["raised", "returned", "raised", "returned"]
    (doc, *_) = await world.history("doc")
    assert doc == {"details": {"skew_s": 3}}


@ON_POSTGRES
async def test_rows_that_are_lost(world: World) -> None:
    """A gap that is declared calls somebody once; what was lost before the rule does not."""
    world.clock.now = START + SECOND
    await world.rule({"kind": "gateway", "conditions": ["gap"]})
    world.clock.now = START + 10 * SECOND
    gap = {"gateway_id": world.tenant.gateway, "company_id": world.tenant.company, "epoch": EPOCH}
    gap |= {"stream": "tel", "cause": "quota"}
    async with world.owner.write() as session:
        rows = [gap | {"lo": n, "hi": n + 4, "received_us": START + 2 * SECOND} for n in (100, 200)]
        await session.execute(insert(GapRecord), rows)
        old = gap | {"lo": 300, "hi": 300, "received_us": START - SECOND}
        await session.execute(insert(GapRecord), [old])
    await world.sweep()
    await world.sweep()
    assert await world.standing() == "returned"
    assert (await world.history("kind", "called")).count(("raised", True)) == 1
    (doc, *_) = await world.history("doc")
    assert doc == {"rows": 5, "cause": "quota", "stream": "tel"}


@ONE_ENGINE
async def test_which_gateways(world: World) -> None:
    """A rule may name its gateways, or a site; a gateway that was never seen is not offline."""
    about = {"kind": "gateway", "conditions": ["offline", "clock"]}
    await world.rule(about | {"gateways": ["gw-other"]})
    async with world.owner.write() as session:
        seeder = Seeder(session, world.tenant)
        annex = await seeder.put(Site, slug="annex", name="Annex", created_us=NOW, **seeder.own)
    await world.rule(about, site=annex)
    await _gateway(world, seen_us=None)
    await world.rule(about)
    await world.at(3600)
    assert await world.alarms() == []


# ---------------------------------------------------------------- the worker


async def test_rounds_go_through_all_companies(
    world: World, database: Database, rival: Tenant
) -> None:
    """A round deals with everybody's notes; a company without rules costs nothing."""
    other = World(database, rival, world.clock)
    await seed_company(database, "empty")
    await world.above(8)
    await other.above(8)
    for one in (world, other):
        await one.say((10, 9.0), settle=False)
    worker = AlarmWorker(database, world.settings, world.clock)
    assert await worker.round() == 2
    assert await worker.round() == 0
    assert [await one.standing() for one in (world, other)] == ["unacknowledged"] * 2
    async with database.read(None) as session:
        found = await companies_with_alarms(session)
        assert found == [Scope(world.tenant.company), Scope(rival.company)]
    world.clock.now += 3600 * SECOND
    await worker.round()


@ON_POSTGRES
async def test_two_workers_enter_it_once(world: World) -> None:
    """Two workers at the same time enter everything once."""
    import asyncio

    await world.above(8)
    second = AlarmWorker(world.database, world.settings, world.clock)
    for n in range(5):
        await world.say((10 * n, 9.0), (10 * n + 5, 7.0), settle=False)
        async with asyncio.timeout(60):
            await asyncio.gather(world.worker.round(), second.round())
    await world.work()
    assert await world.history() == ["raised", "returned"] * 5


@ONE_ENGINE
async def test_a_shelf_ends_by_itself(world: World) -> None:
    """When its time is over, what is shelved comes back, and calls if its condition is on."""
    from plantroom_cloud.alarms.service import AlarmService
    from plantroom_cloud.alarms.states import Act

    await world.above(8)
    await world.say((10, 9.0))
    alarm = await world.only()
    async with world.database.write(world.scope) as session:
        service = AlarmService(session, world.scope, world.clock, "somebody")
        await service.act(alarm.id, Act.SHELVE, reason="noisy", seconds=60)
    await world.at(69)
    assert await world.standing() == "shelved"
    await world.at(71)
    assert await world.standing() == "unacknowledged"
    assert await world.history("kind", "actor", "called") == [
        ("raised", "", True), ("shelved", "somebody", False), ("shelf_ended", "", True),
    ]  # fmt: skip


@ONE_ENGINE
async def test_the_job_goes_on_after_trouble(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's jobs run until cancelled, and a database that is away costs a pause."""
    import asyncio

    from sqlalchemy.exc import OperationalError

    from plantroom_cloud.alarms import jobs
    from plantroom_cloud.alarms.notify import jobs as notify_jobs
    from plantroom_cloud.config import CloudSettings
    from plantroom_shared.cancelling import ended

    await world.above(8)
    await world.say((10, 9.0), settle=False)
    failed = asyncio.Event()
    real = companies_with_alarms

    async def away(session: Any) -> Any:
        if not failed.is_set():
            failed.set()
            msg = "away"
            raise OperationalError(msg, None, Exception(msg))
        return await real(session)

    monkeypatch.setattr("plantroom_cloud.alarms.jobs.companies_with_alarms", away)
    monkeypatch.setattr(jobs, "IDLE", 0.01)
    settings = CloudSettings.model_validate(
        {"alarms": {"smtp": {"host": "127.0.0.1", "sender": "a@b.example"}}}
    )
    tasks = [
        asyncio.create_task(module.run(world.database, settings, world.clock))
        for module in (jobs, notify_jobs)
    ]

    async def stands() -> bool:
        return await world.standing() == "unacknowledged"

    await eventually(stands, "the alarm")
    await ended(*tasks)
    assert failed.is_set()
