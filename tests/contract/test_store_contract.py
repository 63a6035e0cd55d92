"""What the sample store promises, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import func, select

from plantroom_cloud.db import Database
from plantroom_cloud.ingest.samples import SampleRepository as Sink
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.samples.repository import SampleRepository as Source
from plantroom_cloud.samples.window import Window
from plantroom_cloud.store.port import SampleSink, SampleSource, StoreUpkeep
from plantroom_cloud.store.retention import RetentionRepository
from plantroom_cloud.store.upkeep import Upkeep
from plantroom_cloud.tables import Counter, Rollup, RollupDue
from support.cloud_site import NOW
from support.servers import as_owner
from support.store_site import DAY, MINUTE, Plant, Said, column_of, model, plant

HOUR = 60 * MINUTE
T0 = NOW - 3 * DAY


def _sink(session: Any, here: Plant) -> SampleSink:
    return Sink(session, here.scope, here.gateway)


def _source(session: Any, here: Plant) -> SampleSource:
    return Source(session, here.scope)


def _upkeep(here: Plant) -> StoreUpkeep:
    return Upkeep(here.database, here.scope)


def _some(here: Plant, rows: int, *, step: int = 7_000_000, seed: int = 1) -> list[Said]:
    """Return samples of every kind over some hours."""
    chance = random.Random(seed)
    said = []
    for row in range(rows):
        point = here.points[row % len(here.points)]
        kind = chance.random()
        more: dict[str, Any] = {"value": chance.randrange(-800, 800) / 8}
        if kind < 0.05:
            more = {"value": None, "text": f"état {row}\t\\N"}
        elif kind < 0.08:
            more = {"value": 4096.0, "text": "4096 and more than a double holds"}
        elif kind < 0.16:
            more |= {"quality": 1 + row % 2, "reason": "stale"}
        elif kind < 0.2:
            more = {"value": None, "quality": 2, "reason": "timeout"}
        said.append(Said(point, T0 + row * step, row + 1, **more))
    return said


async def test_rows_go_in_as_they_are(database: Database) -> None:
    """Every kind of value, text, quality and reason comes out as it went in, many at once or few."""
    here = await plant(database)
    said = _some(here, 700)
    assert await here.add(said[:3]) == 3
    assert await here.add(said[3:]) == 697
    assert await here.stored() == sorted(said, key=lambda one: (one.point, one.ts, one.tie))


@pytest.mark.parametrize("rows", [10, 400])
async def test_again_late_and_shuffled_is_stored_once(database: Database, rows: int) -> None:
    """A row is new once: repeated alone, among others, twice in one batch, in any order."""
    here = await plant(database)
    said = _some(here, rows)
    shuffled = random.Random(2).sample(said, len(said))
    half = len(said) // 2
    assert await here.add(shuffled[half:]) == len(said) - half
    assert await here.add(shuffled[half:]) == 0
    assert await here.add(shuffled + shuffled[:5]) == half
    assert await here.stored() == sorted(said, key=lambda one: (one.point, one.ts, one.tie))


async def test_a_row_there_already_keeps_its_value(database: Database) -> None:
    """Of two rows with one key the first stays."""
    here = await plant(database)
    first = [Said(here.points[0], T0 + n, 1, 1.0) for n in range(100)]
    await here.add(first)
    assert await here.add([Said(one.point, one.ts, 1, 2.0) for one in first]) == 0
    assert await here.stored() == first


async def test_nothing_is_nothing(database: Database) -> None:
    """An empty batch stores nothing and leaves nothing to be done."""
    here = await plant(database)
    assert await here.add([]) == 0
    assert await _upkeep(here).roll_up() == 0


async def test_what_is_undone_is_not_there(database: Database) -> None:
    """Rows, latest values and notes of a transaction that fails are gone together."""
    here = await plant(database)
    with suppress(ConnectionError):
        async with database.write(here.scope) as session:
            sink = _sink(session, here)
            column = column_of(_some(here, 200))
            await sink.add(column)
            await sink.advance_latest(column)
            raise ConnectionError
    assert await here.stored() == []
    async with as_owner(database).read() as session:
        assert await _source(session, here).latest_of(here.points[0]) is None
        assert (await session.execute(select(func.count(RollupDue.id)))).scalar_one() == 0


async def test_latest_never_goes_back(database: Database) -> None:
    """By time, then by tie; older rows, rows again and rows of a snapshot change nothing newer."""
    here = await plant(database)
    point = here.points[0]
    steps = [
        (Said(point, T0 + 10, 5, 1.0), 1.0),
        (Said(point, T0 + 9, 99, 2.0), 1.0),
        (Said(point, T0 + 10, 4, 3.0), 1.0),
        (Said(point, T0 + 10, 5, 4.0), 1.0),
        (Said(point, T0 + 10, 6, 5.0), 5.0),
        (Said(point, T0 + 11, 1, 6.0, None, 2, "stale"), 6.0),
    ]
    for said, expected in steps:
        async with as_owner(database).write() as session:
            await _sink(session, here).advance_latest(column_of([said]))
        async with as_owner(database).read() as session:
            row = await _source(session, here).latest_of(point)
            assert row is not None
            assert row.value == expected
    assert row is not None
    assert (row.ts_us, row.quality, row.reason) == (T0 + 11, 2, "stale")
    assert await here.stored() == []  # a snapshot's rows come by their own way


async def test_latest_of_one_batch_in_any_order(database: Database) -> None:
    """Of all rows of a batch the newest of each point counts, wherever it stands."""
    here = await plant(database)
    said = [one for one in _some(here, 300) if one.value is not None]
    newest = {one.point: one for one in said}
    async with as_owner(database).write() as session:
        column = column_of(random.Random(3).sample(said, len(said)))
        await _sink(session, here).advance_latest(column)
    async with as_owner(database).read() as session:
        for point in here.points:
            row = await _source(session, here).latest_of(point)
            assert row is not None
            assert (row.ts_us, row.value) == (newest[point].ts, newest[point].value)


async def test_raw_history_by_pages(database: Database) -> None:
    """Pages of (time, tie) hold every row of the window once."""
    here = await plant(database)
    said = _some(here, 300)
    await here.add(said)
    window, seen = Window(T0 + 70_000_000, T0 + 1_400_000_000), list[tuple[int, int]]()
    page = Page(7, None)
    while True:
        async with as_owner(database).read() as session:
            rows = await _source(session, here).raw(here.points[1], window, page)
        seen += [(row.ts_us, row.tie) for row in rows[:7]]
        if len(rows) <= 7:
            break
        page = Page(7, seen[-1])
    mine = [one for one in said if one.point == here.points[1]]
    assert seen == [(one.ts, one.tie) for one in mine if window.start <= one.ts < window.end]


async def test_history_is_that_of_the_samples(database: Database) -> None:
    """Before and after rolling up, and with late and repeated rows since, to the last field."""
    here = await plant(database)
    said, known = _some(here, 600), list[Said]()
    start, end = T0 + 100_000_000, T0 + 600 * 7_000_000 - 50_000_000
    for batch in (said[::2], said[1:300:2], said[:20], said[301::2]):
        await here.add(batch)
        known += batch
        for rolled in (False, True):
            if rolled:
                await _upkeep(here).roll_up()
            for interval in (MINUTE, 15 * MINUTE, DAY, 90_000_000, 7 * HOUR, 1000):
                expected = model(known, here.points[0], start, end, interval)
                assert await here.history(here.points[0], start, end, interval) == expected


async def test_roll_ups_are_what_is_read(database: Database) -> None:
    """Once rolled up, the table holds every level, and history comes from there."""
    here = await plant(database)
    await here.add(_some(here, 900))
    assert await _upkeep(here).roll_up() == 1
    assert await _upkeep(here).roll_up() == 0
    async with as_owner(database).write() as session:
        query = select(Rollup.length_s, func.sum(Rollup.count + Rollup.uncertain + Rollup.bad))
        found = {length: int(n) for length, n in await session.execute(query.group_by("length_s"))}
        assert found == dict.fromkeys((60, 900, 3600, 86_400), 900)
        await session.execute(Rollup.__table__.update().values(count=7_000))  # type: ignore[attr-defined]
    sums = await here.history(here.points[0], T0 - DAY, T0 + 2 * DAY, DAY)
    assert {one.count for one in sums} == {7_000}


async def test_retention_keeps_the_sums(database: Database) -> None:
    """Samples that are kept no longer go, a day's at a time; what was said by intervals stays."""
    here = await plant(database)
    said = [Said(here.points[n % 3], T0 + n * HOUR, n, float(n)) for n in range(72)]
    await here.add(said)
    async with as_owner(database).write() as session:
        await RetentionRepository(session, here.scope).set(here.home.site_id, 1, None)
    assert await _upkeep(here).retain(NOW + HOUR) == 0  # nothing is rolled up yet
    await _upkeep(here).roll_up()
    assert await _upkeep(here).retain(NOW + HOUR) == 48
    assert [one.ts for one in await here.stored()] == sorted(
        (one.ts for one in said[48:]), key=lambda ts: ((ts - T0) // HOUR % 3, ts)
    )
    for interval in (MINUTE, HOUR, DAY):
        expected = model(said, here.points[1], T0, NOW, interval)
        assert await here.history(here.points[1], T0, NOW, interval) == expected


async def test_rows_later_than_retention_are_in_the_sums_alone(database: Database) -> None:
    """They are stored, counted, rolled up and gone; however often the work is done."""
    here = await plant(database)
    said = [Said(here.points[0], T0 + n * MINUTE, n, float(n)) for n in range(200)]
    await here.add(said[::2])
    async with as_owner(database).write() as session:
        await RetentionRepository(session, here.scope).set(0, 1, None)
    await _upkeep(here).roll_up()
    assert await _upkeep(here).retain(NOW) == 100
    late = [*said[1::2], Said(here.points[0], T0 + 30, 7, -5.5), Said(here.points[0], T0, -1, 9.5)]
    assert await here.add(late) == 102
    everything = said + late
    for _ in range(3):
        for interval in (MINUTE, 15 * MINUTE, DAY):
            expected = model(everything, here.points[0], T0, NOW, interval)
            assert await here.history(here.points[0], T0, NOW, interval) == expected
        await _upkeep(here).roll_up()
        assert await here.stored() == []
        assert await _upkeep(here).retain(NOW) == 0
    async with as_owner(database).read() as session:
        query = select(Counter.value).where(Counter.name == "store.rolled_up_only")
        assert (await session.execute(query)).scalar_one() == 102


async def test_roll_ups_have_a_retention_of_their_own(database: Database) -> None:
    """Roll-ups go after their days, also those of samples that come later still."""
    here = await plant(database)
    said = [Said(here.points[0], T0 + n * HOUR, n, 1.0) for n in range(72)]
    await here.add(said)
    await _upkeep(here).roll_up()
    async with as_owner(database).write() as session:
        await RetentionRepository(session, here.scope).set(0, 1, 2)
    await _upkeep(here).retain(NOW)
    await here.add(said[:1])
    await _upkeep(here).roll_up()
    await _upkeep(here).retain(NOW)
    sums = await here.history(here.points[0], T0, NOW, DAY)
    assert [one.start_us for one in sums] == [NOW - 2 * DAY, NOW - DAY]


async def test_export_has_every_sample_in_order(database: Database) -> None:
    """One snapshot of the site's samples within the window, by point and time."""
    here, other = await plant(database), await plant(database, "rival", gateway="gw-rival-0001")
    said = _some(here, 500)
    await here.add(said)
    await other.add(_some(other, 50))
    window = Window(T0 + 7_000_000, T0 + 490 * 7_000_000)
    found = [
        (chunk.point.key, row.ts_us, row.tie, row.value, row.text, row.quality, row.reason)
        async for chunk in _upkeep(here).export(here.home.site_id, window)
        for row in chunk.rows
    ]
    keys = {point: f"ai:{n}" for n, point in enumerate(here.points)}
    assert found == sorted(
        (keys[one.point], one.ts, one.tie, one.value, one.text, one.quality, one.reason)
        for one in said
        if window.start <= one.ts < window.end
    )
    assert [chunk async for chunk in _upkeep(other).export(here.home.site_id, window)] == []


async def test_latest_of_every_kind_is_exact(database: Database) -> None:
    """Numbers to the last bit, texts, great integers and nothing at all."""
    here = await plant(database, points=6)
    kinds: list[tuple[float | None, str | None]] = [
        (0.1 + 0.2, None),
        (1.7e308, None),
        (5e-324, None),
        (None, 'état "quoted"\\ \n'),
        (2.0**60, str(2**60 + 1)),
        (None, None),
    ]
    said = [
        Said(point, T0, -(2**62), value, words, 1, "stale")
        for point, (value, words) in zip(here.points, kinds, strict=True)
    ]
    await here.add(said)
    async with as_owner(database).read() as session:
        rows = [await _source(session, here).latest_of(point) for point in here.points]
    assert [(row.value, row.text) for row in rows if row is not None] == kinds
