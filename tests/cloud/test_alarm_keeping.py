"""How long the history of alarms is kept, and what the database refuses."""

from __future__ import annotations

import pytest
from sqlalchemy import Executable, delete, func, select, text, update
from sqlalchemy.exc import DBAPIError

from plantroom_cloud.alarms import keeping
from plantroom_cloud.alarms.dues import note
from plantroom_cloud.alarms.keeping import DAY, Keeping, retain
from plantroom_cloud.config_alarms import AlarmSettings
from plantroom_cloud.db import Database
from plantroom_cloud.tables import Alarm, AlarmEvent, AlarmNotice, AlarmOccurrence, AlarmRule
from plantroom_shared.errors import ConfigError
from support.alarm_world import World
from support.api_world import ONE_ENGINE, Stopped, Tenant


@pytest.fixture
async def world(database: Database, acme: Tenant, clock: Stopped) -> World:
    """A company with points, and nothing watched yet."""
    return World(database, acme, clock)


async def _count(world: World, table: type[AlarmEvent | AlarmNotice | Alarm | AlarmRule]) -> int:
    async with world.owner.read() as session:
        query = select(func.count()).select_from(table)
        mine = table.company_id == world.tenant.company
        return await session.scalar(query.where(mine)) or 0


async def _execute(world: World, *statements: Executable) -> None:
    async with world.owner.write() as session:
        for statement in statements:
            await session.execute(statement)


async def test_the_history_refuses_changes(world: World) -> None:
    """The database itself refuses to change what has happened, and to delete what is kept."""
    await world.above(8)
    await world.say((10, 9.0))
    before = await world.history("id", "kind", "actor")
    for statement in (
        update(AlarmEvent).values(actor="nobody"),
        delete(AlarmEvent).where(AlarmEvent.kind == "raised"),
    ):
        with pytest.raises(DBAPIError, match="append-only"):
            await _execute(world, delete(AlarmNotice), statement)
    if not world.database.is_sqlite:
        with pytest.raises(DBAPIError):
            await _execute(world, text("TRUNCATE alarm_event CASCADE"))
    assert await world.history("id", "kind", "actor") == before


async def test_what_is_old_goes(world: World, rival: Tenant) -> None:
    """What was entered before the days that are kept goes, to the last row, and only that."""
    other = World(world.database, rival, world.clock)
    await world.above(8)
    await other.above(8)
    for day in range(4):
        second = day * 86_400.0
        for one in (world, other):
            await one.say((second, 9.0), (second + 60, 7.0))
    days = [at // DAY for at in await world.history("entered_us")]
    assert len(set(days)) == 4
    now = max(days) * DAY + 30 * DAY
    gone = await retain(world.database, world.scope, 30, now)
    assert gone >= 6
    assert {at // DAY for at in await world.history("entered_us")} == {max(days)}
    assert len({at // DAY for at in await other.history("entered_us")}) == 4
    assert (await world.occurrences())[-1] == (3 * 86_400.0, 3 * 86_400.0 + 60)
    assert await retain(world.database, world.scope, 30, now) == 0
    assert await world.standing() == "returned"
    await world.say((3 * 86_400 + 120, 9.0))
    assert await world.standing() == "unacknowledged"


@ONE_ENGINE
async def test_in_portions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Much goes in many transactions, none of which is long."""
    monkeypatch.setattr(keeping, "MOST", 3)
    await world.above(8)
    await world.say(*[(10.0 * n, 9.0 if n % 2 else 7.0) for n in range(20)])
    events = await _count(world, AlarmEvent)
    assert await retain(world.database, world.scope, 30, world.clock.now + 40 * DAY) == events
    assert await _count(world, AlarmEvent) == await _count(world, AlarmNotice) == 0


@ONE_ENGINE
async def test_what_is_kept_longer_than_asked(world: World) -> None:
    """For ever is for ever; a company's own days count more than the service's; back is nothing."""
    await world.above(8)
    await world.say((10, 9.0))
    later = world.clock.now + 5_000 * DAY
    assert await retain(world.database, world.scope, 0, later) == 0
    async with world.database.write(world.scope) as session:
        await Keeping(session, world.scope).choose(0, "ada")
    assert await retain(world.database, world.scope, 30, later) == 0
    async with world.database.write(world.scope) as session:
        await Keeping(session, world.scope).choose(4_000, "ada")
    assert await retain(world.database, world.scope, 0, later) > 0
    async with world.database.write(world.scope) as session:
        kept = Keeping(session, world.scope)
        begins = (await kept.days())[1]
        await kept.choose(None, "ada")
        assert await kept.advance(0, later) == (begins, False)
        with pytest.raises(ConfigError, match="30"):
            await kept.choose(29, "ada")
    with pytest.raises(ValueError, match="30"):
        AlarmSettings(keep_days=7)


@ONE_ENGINE
async def test_what_ended_goes_with_its_history(world: World) -> None:
    """A deleted rule and its alarms go when nothing that is kept speaks of them; what is on stays."""
    rule = await world.above(8)
    await world.above(8)
    await world.say((10, 9.0))
    alarms, rules = await _count(world, Alarm), await _count(world, AlarmRule)
    async with world.owner.write() as session:
        ending = {"deleted_us": world.clock.now, "enabled": False}
        await session.execute(update(AlarmRule).where(AlarmRule.id == rule).values(**ending))
        await note(session, world.scope, rule=rule)
    await world.work()
    assert await retain(world.database, world.scope, 30, world.clock.now + 29 * DAY) == 0
    assert await _count(world, AlarmRule) == rules
    await retain(world.database, world.scope, 30, world.clock.now + 40 * DAY)
    assert (await _count(world, Alarm), await _count(world, AlarmRule)) == (alarms - 1, rules - 1)
    assert await world.standing() == "unacknowledged"
    async with world.owner.read() as session:
        held = select(AlarmOccurrence.alarm_id).where(AlarmOccurrence.ended_us.is_(None))
        assert (await world.only()).id in set((await session.execute(held)).scalars())


@ONE_ENGINE
async def test_the_worker_keeps_it(world: World) -> None:
    """The worker deletes what is old by itself."""
    await world.above(8)
    await world.say((10, 9.0))
    world.clock.now += 2_000 * DAY
    await world.worker.round()
    assert "raised" not in await world.history()
