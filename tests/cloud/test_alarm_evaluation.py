"""Samples into alarms: limits, delays, crashes, late samples, suppression."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import delete, event, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from plantroom_cloud.alarms.conditions import Fold, Limit, Reading, Watch
from plantroom_cloud.alarms.setting import SETTLED
from plantroom_cloud.config_alarms import AlarmSettings
from plantroom_cloud.db import Database
from plantroom_cloud.tables import AlarmDue, AlarmRule, AlarmWatch, Mapping
from support.alarm_world import ON_POSTGRES, SECOND, START, World
from support.api_world import ONE_ENGINE, Stopped, Tenant


@pytest.fixture
async def world(database: Database, acme: Tenant, clock: Stopped) -> World:
    """A company with points, and nothing watched yet."""
    return World(database, acme, clock)


@ONE_ENGINE
async def test_a_limit_raises_and_returns(world: World) -> None:
    """Beyond the limit the alarm is raised at the sample's time; back within the dead band it is over."""
    await world.above(8, dead_band=1)
    assert await world.standing() == "normal"
    await world.say((10, 9.0))
    alarm = await world.only()
    assert (alarm.standing, alarm.raised_us, alarm.value) == (
        "unacknowledged", START + 10 * SECOND, 9.0,
    )  # fmt: skip
    await world.say((20, 7.5))
    assert await world.standing() == "unacknowledged"
    await world.say((30, 7.0))
    assert await world.standing() == "returned"
    assert await world.history("kind", "at_us", "called") == [
        ("raised", START + 10 * SECOND, True),
        ("returned", START + 30 * SECOND, False),
    ]
    assert await world.occurrences() == [(10, 30)]


@ON_POSTGRES
async def test_nothing_is_entered_twice(world: World) -> None:
    """The same notes again, and again after everything, find no difference."""
    await world.above(8)
    await world.say((10, 9.0), (20, 7.0), (30, 9.5))
    before = await world.history("id", "kind")
    for _ in range(3):
        async with world.database.write(world.scope) as session:
            from plantroom_cloud.alarms.dues import note

            await note(session, world.scope, points=[world.point], lo=START)
        await world.sweep()
    assert await world.history("id", "kind") == before
    assert await world.occurrences() == [(10, 20), (30, None)]


@ONE_ENGINE
async def test_a_delay_ends_by_the_clock(world: World) -> None:
    """A value that stays beyond the limit alarms when the delay is over, though no sample comes."""
    await world.above(8, on_delay_s=60, off_delay_s=30)
    await world.say((10, 9.0))
    await world.at(69)
    assert await world.standing() == "normal"
    await world.at(70)
    assert (await world.only()).raised_us == START + 70 * SECOND
    await world.say((80, 5.0))
    await world.at(109)
    assert await world.standing() == "unacknowledged"
    await world.at(111)
    assert await world.occurrences() == [(70, 110)]


@ONE_ENGINE
async def test_a_late_sample_withdraws(world: World) -> None:
    """Where a late sample shows that the limit was not exceeded for long enough, that is entered."""
    await world.above(8, on_delay_s=60)
    await world.say((10, 9.0))
    await world.at(75)
    assert await world.standing() == "unacknowledged"
    await world.say((30, 7.0))
    assert await world.occurrences() == []
    assert await world.history() == ["raised", "withdrawn", "returned"]
    assert await world.standing() == "returned"


@ONE_ENGINE
async def test_a_late_sample_corrects_the_times(world: World) -> None:
    """An occurrence that began earlier than was known stays the same one, and nobody is called again."""
    await world.above(8)
    await world.say((0, 7.0), (60, 9.0))
    await world.say((30, 9.5))
    assert await world.occurrences() == [(30, None)]
    assert await world.history("kind", "called") == [("raised", True), ("corrected", False)]


@ONE_ENGINE
async def test_two_that_grow_together_stay_on(world: World) -> None:
    """Where a late sample makes one of two occurrences, the alarm stands on and calls nobody again."""
    await world.above(8, off_delay_s=10)
    await world.say((10, 9.0), (20, 7.0), (40, 9.0))
    assert await world.occurrences() == [(10, 30), (40, None)]
    await world.say((25, 9.0))
    assert await world.occurrences() == [(10, None)]
    alarm = await world.only()
    assert (alarm.active, alarm.standing) == (True, "unacknowledged")
    assert (await world.history("called")).count(True) == 2


@ONE_ENGINE
async def test_what_is_long_over_is_history(world: World) -> None:
    """A backlog that tells of yesterday enters what was, and calls nobody."""
    world.settings = AlarmSettings(settle=0, history_after=600)
    world.__post_init__()
    await world.above(8)
    await world.say((0, 7.0))
    await world.say((7200, 7.0))
    await world.say((1000, 9.0), (1500, 7.0))
    await world.sweep()
    assert await world.occurrences() == [(1000, 1500)]
    assert await world.history("kind", "called") == [("occurred", False)]
    assert await world.standing() == "normal"


@ONE_ENGINE
async def test_what_just_was_calls(world: World) -> None:
    """What came and went between two looks still calls: somebody must know."""
    await world.above(8)
    await world.say((0, 7.0), (10, 9.0), (20, 7.0))
    assert await world.standing() == "returned"
    assert await world.history("kind", "called") == [("raised", True), ("returned", False)]


@ONE_ENGINE
async def test_bad_samples_change_nothing(world: World) -> None:
    """A bad or uncertain sample neither raises nor ends an alarm, and a text is no number."""
    await world.above(8)
    await world.say((10, 99.0), quality=2)
    await world.say((11, 99.0), quality=1)
    await world.say((12, "hot"))
    assert await world.standing() == "normal"
    await world.say((13, 9.0))
    await world.say((14, 1.0), quality=2)
    assert await world.standing() == "unacknowledged"


@ONE_ENGINE
async def test_too_late_is_too_late(world: World) -> None:
    """Samples older than the limit for late ones are stored and change no alarm."""
    world.settings = AlarmSettings(settle=0, late_limit=3600)
    world.__post_init__()
    await world.above(8)
    for hour in range(6):
        await world.say((hour * 3600, 7.0))
    await world.say((1800, 9.0))
    await world.sweep()
    assert await world.occurrences() == []
    await world.say((4.5 * 3600, 9.0), (4.6 * 3600, 7.0))
    await world.sweep()
    assert await world.occurrences() == [(4.5 * 3600, 4.6 * 3600)]


@pytest.mark.parametrize("seed", range(2))
async def test_any_order_of_arrival_ends_the_same(world: World, seed: int) -> None:
    """However samples are cut, mixed up and looked at, the occurrences are those of one pass."""
    dice = random.Random(seed)
    said = [(float(10 * n), float(dice.choice((6, 7, 8, 9, 10)))) for n in range(1, 70)]
    await world.above(8, dead_band=1, on_delay_s=25, off_delay_s=15)
    await world.say((0, 6.0))
    await world.at(700)
    parts: list[list[Any]] = []
    rest = said.copy()
    while rest:
        size = dice.randint(1, 20)
        parts.append(rest[:size])
        rest = rest[size:]
    dice.shuffle(parts)
    for part in parts:
        await world.say(*part, settle=dice.random() < 0.7)
        if dice.random() < 0.3:
            await world.sweep()
    await world.sweep()
    watch = Watch(Limit("above", high=8, dead_band=1), 25 * SECOND, 15 * SECOND)
    readings = [Reading(round(s * SECOND), v) for s, v in [(0.0, 6.0), *said]]
    fold, spans = watch.take(Fold(-1), readings)
    spans += watch.until(fold, 700 * SECOND)
    expected = [(s.start / SECOND, None if s.end is None else s.end / SECOND) for s in spans]
    assert expected
    assert await world.occurrences() == expected
    active = (await world.only()).active
    assert active is (expected[-1][1] is None)


async def test_a_crash_anywhere_leaves_nothing_or_all(world: World) -> None:
    """Whichever statement the worker dies at, everything is entered once in the end."""
    await world.above(8)
    await world.say((10, 9.0), (20, 7.0), (30, 9.0), settle=False)
    countdown = [0]

    def die(*_: Any) -> None:
        countdown[0] -= 1
        if countdown[0] == 0:
            msg = "killed"
            raise DBAPIError(msg, None, Exception(msg))

    engine = world.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", die)
    deaths = 0
    try:
        for number in range(1, 200):
            countdown[0] = number
            try:
                await world.worker.notes(world.scope)
            except DBAPIError:
                deaths += 1
                continue
            break
    finally:
        event.remove(engine, "before_cursor_execute", die)
    assert deaths > 10
    assert await world.history() == ["raised", "returned", "raised"]
    assert await world.occurrences() == [(10, 20), (30, None)]
    async with world.owner.read() as session:
        query = select(func.count()).select_from(AlarmDue).where(AlarmDue.due_us == 0)
        assert await session.scalar(query) == 0


# ---------------------------------------------------------------- rules that change


async def _change(world: World, rule: int, **values: Any) -> None:
    from plantroom_cloud.alarms.dues import note

    async with world.owner.write() as session:
        await session.execute(update(AlarmRule).where(AlarmRule.id == rule).values(**values))
        await note(session, world.scope, rule=rule)
    await world.work()


@ONE_ENGINE
async def test_a_new_limit_goes_on_with_what_is_on(world: World) -> None:
    """A changed limit calls nobody again for what is still beyond it, and ends what no longer is."""
    rule = await world.above(8)
    await world.say((10, 9.0))
    async with world.owner.read() as session:
        query = select(AlarmRule.config).where(AlarmRule.id == rule)
        config = (await session.execute(query)).scalar_one()
    await _change(world, rule, config=config | {"when": config["when"] | {"high": 8.5}})
    assert await world.history() == ["raised"]
    await _change(world, rule, config=config | {"when": config["when"] | {"high": 9.5}})
    assert await world.history() == ["raised", "withdrawn", "returned"]


@ON_POSTGRES
async def test_a_rule_that_is_switched_off_ends_its_alarms(world: World) -> None:
    """Alarms of a rule that is off are on no list; switched on again, they begin anew."""
    rule = await world.above(8)
    await world.say((10, 9.0))
    await _change(world, rule, enabled=False)
    assert await world.alarms() == []
    await world.say((20, 9.5))
    assert await world.history() == ["raised", "ended"]
    await _change(world, rule, enabled=True)
    assert await world.standing() == "unacknowledged"
    assert await world.history() == ["raised", "ended", "raised"]


@ONE_ENGINE
async def test_samples_under_way_while_a_rule_is_made_are_found(world: World) -> None:
    """A transaction of the ingest that did not see the new rule is made up for a minute later.

    However old its samples are, and whatever newer ones the worker has looked at before.
    """
    await world.say((0, 7.0))
    world.clock.now = START + 100 * SECOND
    await world.above(8)
    await world.say((20, 7.0))
    await world.say((10, 9.0), settle=False)
    async with world.owner.write() as session:
        await session.execute(delete(AlarmDue).where(AlarmDue.due_us == 0))
    await world.work()
    assert await world.standing() == "normal"
    world.clock.now = START + 100 * SECOND + SETTLED
    await world.work()
    assert await world.standing() == "returned"
    assert await world.occurrences() == [(10, 20)]


@ONE_ENGINE
async def test_no_rule_no_notes(world: World) -> None:
    """Samples of a company without rules leave nothing to do."""
    await world.say((10, 9.0), settle=False)
    async with world.owner.read() as session:
        assert await session.scalar(select(func.count()).select_from(AlarmDue)) == 0


@ONE_ENGINE
async def test_checkpoints_stay_few(world: World) -> None:
    """After days of samples there are few checkpoints, and the oldest is not too old to be of use."""
    await world.above(8)
    for day in range(8):
        for hour in range(0, 24, 6):
            await world.say((day * 86_400 + hour * 3600, 7.0))
    async with world.owner.read() as session:
        folds = (await session.execute(select(AlarmWatch.folds))).scalar_one()
    assert len(folds) < 30
    assert folds[0][0] <= world.clock.now - 3 * 86_400 * SECOND
    assert folds[0][0] > world.clock.now - 5 * 86_400 * SECOND


@ONE_ENGINE
async def test_many_samples_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read in pages comes to the same, those of one moment together."""
    monkeypatch.setattr("plantroom_cloud.alarms.evaluation.PAGE", 3)
    await world.above(8)
    rows = [(n // 4, 9.0 if n % 4 == 3 and n < 12 else 1.0) for n in range(40)]
    await world.say(*[(float(second), value) for second, value in rows])
    assert await world.occurrences() == [(0, 3)]


# ---------------------------------------------------------------- suppression


async def _fan(world: World, **guard: Any) -> int:
    fan = world.tenant.points[1]
    await world.say((0, 0.0), point=fan)
    suppress = {"point": fan, "compare": "equals", "value": False} | guard
    await world.above(8, suppress={k: v for k, v in suppress.items() if v is not None})
    await world.sweep()
    return fan


@ONE_ENGINE
async def test_a_fan_that_is_off_suppresses(world: World) -> None:
    """While the fan is off nobody is called; when it runs, and it is still too warm, somebody is."""
    fan = await _fan(world)
    assert await world.standing() == "suppressed"
    await world.say((10, 9.0))
    assert (await world.standing(), (await world.only()).active) == ("suppressed", True)
    await world.say((20, 1.0), point=fan)
    assert await world.standing() == "unacknowledged"
    await world.say((30, 0.0), point=fan)
    assert await world.standing() == "suppressed"
    calls = [called for called in await world.history("called") if called]
    assert len(calls) == 1


@ONE_ENGINE
async def test_a_fan_that_starts_is_given_time(world: World) -> None:
    """For the time to hold, an alarm stays suppressed after the start; stopped again, it starts anew."""
    fan = await _fan(world, hold_s=60)
    await world.say((10, 9.0))
    await world.say((20, 1.0), point=fan)
    await world.at(50)
    assert await world.standing() == "suppressed"
    await world.say((60, 0.0), point=fan)
    await world.at(100)
    await world.say((110, 1.0), point=fan)
    await world.at(169)
    assert await world.standing() == "suppressed"
    await world.at(171)
    assert await world.standing() == "unacknowledged"


@ONE_ENGINE
async def test_what_was_while_the_fan_was_off_calls_nobody_later(world: World) -> None:
    """Samples that come when the fan runs again, of a time when it was off, are history."""
    fan = await _fan(world)
    await world.say((100, 1.0), point=fan)
    await world.say((50, 9.0), (60, 7.0))
    assert await world.standing() == "normal"
    assert ("occurred", False) in await world.history("kind", "called")


@ONE_ENGINE
async def test_a_state_nobody_knows_suppresses_nothing(world: World) -> None:
    """A bad sample of the fan is no reason to keep an alarm back."""
    fan = await _fan(world)
    await world.say((5, 0.0), point=fan, quality=2)
    await world.say((10, 9.0))
    assert await world.standing() == "unacknowledged"


@ON_POSTGRES
async def test_the_state_may_be_that_of_the_same_equipment(world: World) -> None:
    """A class names the point on the same equipment; what is mapped later is found later."""
    fan = world.tenant.points[1]
    await world.say((0, 0.0), point=fan)
    await _fan(world, point=None, point_class="Fan_On_Off_Status")
    assert await world.standing() == "normal"
    async with world.owner.write() as session:
        values: dict[str, Any] = {
            "point_id": fan,
            "site_id": world.tenant.site,
            "company_id": world.tenant.company,
        }
        values |= {"equipment": "CH1", "point_class": "Fan_On_Off_Status", "template": ""}
        values |= {"source": "person", "state": "accepted", "mapped_us": START}
        await session.execute(insert(Mapping).values(**values))
    await world.sweep()
    assert await world.standing() == "suppressed"
    async with world.owner.write() as session:
        gone = update(Mapping).where(Mapping.point_id == fan).values(state="rejected")
        await session.execute(gone)
    await world.sweep()
    assert await world.standing() == "normal"
