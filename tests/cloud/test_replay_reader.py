"""Rows of a site come in one order, whatever the pages and slices: none twice, none left out."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plantroom_cloud.db import Database
from plantroom_cloud.kit.times import DAY
from plantroom_cloud.replay.reader import Reader
from plantroom_cloud.replay.rows import FINDING, SAMPLE, Item, Key
from plantroom_cloud.tables import Point
from support.api_sql import listening
from support.cloud_site import add_home
from support.replay_world import END, START, World, make_world, scattered
from support.servers import as_owner

names = itertools.count()


async def everything(world: World, page: int, start: int = START, end: int = END) -> list[Item]:
    """Read all pages."""
    reader, after, found = Reader(world.database, world.place, page), None, list[Item]()
    while items := await reader.page(start, after, end):
        assert len(items) <= page
        found += items
        after = items[-1].key
    return found


def samples_of(found: list[Item]) -> list[tuple[object, ...]]:
    """Return time, point and tie of the samples in `found`."""
    return [(ts, a, b) for ts, kind, a, b in (item.key for item in found) if kind == SAMPLE]


async def test_pages_hold_every_row_once_in_order(database: Database) -> None:
    """Bursts at one moment larger than a page, silences, equal times: page sizes do not matter."""
    world = await make_world(database)
    burst = [(START + 77, point, tie) for point in world.points for tie in range(40)]
    await world.put({*scattered(world, 700, 1), *burst})
    await world.find("b", START + 77)
    await world.find("a", START + 77)
    for page in (7, 64, 10_000):
        found = await everything(world, page)
        assert samples_of(found) == world.rows
        order = [item.key for item in found]
        assert order == sorted(order)
        assert [key for key in order if key[1] == FINDING] == [
            (START + 77, FINDING, "gw-north-0001", "a"),
            (START + 77, FINDING, "gw-north-0001", "b"),
        ]


async def test_span_is_half_open(database: Database) -> None:
    """From inclusive, to exclusive, for both kinds."""
    world = await make_world(database, points=1)
    await world.put((ts, world.points[0], 1) for ts in (START - 1, START, END - 1, END))
    for name, ts in (("w", START - 1), ("x", START), ("y", END - 1), ("z", END)):
        await world.find(name, ts)
    found = await everything(world, 3)
    assert [item.key[0] for item in found] == [START, START, END - 1, END - 1]
    assert await Reader(database, world.place).count(START, END) == 4


async def test_other_sites_stay_out(database: Database) -> None:
    """Neither another site's rows nor another company's are read or counted."""
    world = await make_world(database, points=1)
    await world.put([(START, world.points[0], 1)])
    other = await add_home(database, "rival", "tower", "gw-rival-001")
    async with as_owner(database).write() as session:
        point = await session.get(Point, world.points[0])
        assert point is not None
        point.site_id = other.site_id
    assert await everything(world, 10) == []
    assert await Reader(database, world.place).count(START, END) == 0


async def test_silent_years_are_passed_quickly(database: Database) -> None:
    """Slices grow to a day, then silence is skipped: fifty years of it are a few looks."""
    world = await make_world(database, points=3)
    far = START + 50 * 365 * DAY
    await world.put((far + n, world.points[0], n) for n in range(50))
    await world.find("f", far - 9 * DAY)
    reader = Reader(database, world.place, page=20)
    with listening(database) as heard:
        first = await reader.page(START, None, far + DAY)
    assert len(heard) < 60
    assert len(first) == 20
    assert first[0].key == (far - 9 * DAY, FINDING, "gw-north-0001", "f")
    assert reader._width < DAY
    rest = await reader.page(START, first[-1].key, far + DAY)
    assert samples_of(first + rest) == world.rows[:39]


async def test_slices_are_read_from_the_points_own_index(sqlite_database: Database) -> None:
    """Neither a page nor the skipping of silence walks through the table of samples."""
    world = await make_world(sqlite_database, points=3)
    reader = Reader(sqlite_database, world.place)
    with listening(sqlite_database) as heard:
        await reader.page(START, None, START + 9 * DAY)
    looked = 0
    async with as_owner(sqlite_database).read() as session:
        connection = await session.connection()
        for statement in heard:
            options = {"literal_binds": True}
            compiled = statement.compile(connection.sync_engine, compile_kwargs=options)
            text = f"EXPLAIN QUERY PLAN {compiled}"
            plan = await connection.exec_driver_sql(text)
            steps = [str(row.detail) for row in plan if "sample" in row.detail]
            assert all("point_id=?" in step and "ts_us>" in step for step in steps), steps
            looked += len(steps)
    assert looked > 5


rows = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.integers(0, 2), st.integers(0, 2**61)), max_size=60
)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stored=rows, found=st.lists(st.integers(0, 3_000_000), max_size=6), page=st.integers(1, 30))
async def test_any_rows_any_page(
    sqlite_database: Database,
    stored: list[tuple[int, int, int]],
    found: list[int],
    page: int,
) -> None:
    """What pages amount to is the sorted union of what is stored."""
    world = await _shared(sqlite_database)
    base = START + next(names) * 10_000_000
    mine = {(base + ts, world.points[point], tie) for ts, point, tie in stored}
    if mine:
        await world.put(mine)
    wanted: list[Key] = [(ts, SAMPLE, point, tie) for ts, point, tie in mine]
    for number, ts in enumerate(found):
        await world.find(f"{base}-{number}", base + ts)
        wanted.append((base + ts, FINDING, "gw-north-0001", f"{base}-{number}"))
    got = await everything(world, page, base, base + 5_000_000)
    assert [item.key for item in got] == sorted(wanted)


_worlds: dict[str, World] = {}


async def _shared(database: Database) -> World:
    """Return the one world of this database: every example has a span of its own."""
    name = str(database.url)
    if name not in _worlds:
        _worlds[name] = await make_world(database, points=3)
    return _worlds[name]
