"""Partitions by month on PostgreSQL: made when needed, by anybody, and dropped whole."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Database
from plantroom_cloud.migrations import history, migrate
from plantroom_cloud.store import jobs, partitions
from plantroom_cloud.store.partitions import Month
from plantroom_cloud.store.retention import RetentionRepository, drop_months, retain
from plantroom_cloud.store.rollups import roll_up
from plantroom_cloud.tables import Retention
from support.cloud_site import NOW, TestClock
from support.servers import as_owner, opened
from support.store_site import DAY, Said, model, plant

ON_POSTGRES = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def _tables(session: AsyncSession) -> dict[str, int]:
    """Return how many rows lie in which partition."""
    query = text("SELECT tableoid::regclass::text, count(*) FROM sample GROUP BY 1")
    return {str(name): int(rows) for name, rows in await session.execute(query)}


@ON_POSTGRES
async def test_rows_lie_in_their_month(database: Database) -> None:
    """Whatever months a batch spans have a partition when it is stored; the default stays empty."""
    here = await plant(database)
    point, edge = here.points[0], Month(2024, 3).start_us
    said = [Said(point, edge - 1, 1, 1.0), Said(point, edge, 1, 2.0), Said(point, NOW, 1, 3.0)]
    assert await here.add(said) == 3
    async with as_owner(database).read() as session:
        found = await _tables(session)
    assert found == {"sample_2024_02": 1, "sample_2024_03": 1, "sample_2026_01": 1}


@ON_POSTGRES
async def test_rows_of_the_default_move_when_their_month_is_made(database: Database) -> None:
    """A partition that was dropped under an ingest costs nothing: its rows find their way back."""
    here = await plant(database)
    point, month = here.points[0], Month(2024, 2)
    for tie in (1, 2):  # by the second batch this process knows the month
        await here.add([Said(point, month.start_us, tie, 1.0)])
    async with database.write(None) as session:
        await partitions.drop(session, month)
    await here.add([Said(point, month.start_us, 2, 2.0), Said(point, month.end_us - 1, 3, 3.0)])
    async with as_owner(database).read() as session:
        assert await _tables(session) == {"sample_default": 2}
    async with database.write(None) as session:
        await partitions.ensure(session, [month])
    async with as_owner(database).read() as session:
        assert await _tables(session) == {"sample_2024_02": 2}
    assert [one.value for one in await here.stored()] == [2.0, 3.0]


@ON_POSTGRES
async def test_two_that_need_a_month_at_once_both_store(database: Database) -> None:
    """Batches of several companies that open the same months meet without a deadlock."""
    plants = [await plant(database, f"c{n}", gateway=f"gw-many-000{n}") for n in range(4)]
    edges = [Month(2023, month).start_us for month in range(1, 7)]
    added = await asyncio.gather(
        *(one.add([Said(one.points[0], at, 1, 1.0) for at in edges]) for one in plants)
    )
    assert added == [6, 6, 6, 6]
    async with as_owner(database).read() as session:
        assert await _tables(session) == {f"sample_2023_0{n}": 4 for n in range(1, 7)}


@ON_POSTGRES
async def test_months_are_made_ahead(database: Database) -> None:
    """The worker makes this month's partition and the next ones'."""
    await jobs.keep_house(database, TestClock())
    async with as_owner(database).read() as session:
        assert {Month(2026, 1), Month(2026, 2), Month(2026, 3)} <= await partitions.existing(
            session
        )


@ON_POSTGRES
async def test_months_that_nobody_keeps_are_dropped_whole(database: Database) -> None:
    """Not while a site keeps them, not while anything waits; then at once, and sums stay."""
    here = await plant(database)
    other = await plant(database, "rival", gateway="gw-rival-0001")
    old, point = Month(2025, 1), here.points[0]
    said = [Said(point, old.start_us + n * DAY, n, float(n)) for n in range(40)]
    await here.add(said)
    await other.add([Said(other.points[0], old.start_us, 1, 1.0)])
    async with as_owner(database).write() as session:
        await RetentionRepository(session, here.scope).set(0, 30, None)
    await roll_up(database, here.scope)
    await roll_up(database, other.scope)
    assert await drop_months(database, NOW) == []  # the other site keeps its 400 days
    async with as_owner(database).write() as session:
        await RetentionRepository(session, other.scope).set(0, 30, None)
    late = [Said(point, old.start_us + 5, 99, 5.0)]
    await here.add(late)
    assert await drop_months(database, NOW) == []  # the late row waits to be rolled up
    await roll_up(database, here.scope)
    assert await drop_months(database, NOW) == [old, old.next]
    async with as_owner(database).read() as session:
        assert await _tables(session) == {}
        reached = (await session.execute(select(Retention.raw_from_us))).scalars().all()
    assert old.next.end_us in reached
    found = await here.history(point, old.start_us, NOW, DAY)
    assert found == model(said + late, point, old.start_us, NOW, DAY)
    assert await retain(database, here.scope, NOW) == 0


@ON_POSTGRES
async def test_a_month_in_use_is_left_for_later(database: Database) -> None:
    """Somebody who holds the table is not waited for long."""
    here = await plant(database)
    await here.add([Said(here.points[0], Month(2024, 1).start_us, 1, 1.0)])
    await roll_up(database, here.scope)
    async with as_owner(database).write() as session:
        await session.execute(text("LOCK TABLE ONLY sample IN ROW EXCLUSIVE MODE"))
        assert await drop_months(database, NOW) == []
    assert await drop_months(database, NOW) == [Month(2024, 1)]


async def test_sqlite_has_no_months_to_drop(sqlite_database: Database) -> None:
    """There is one table, and rows leave it day by day."""
    assert await drop_months(sqlite_database, NOW) == []


def _until(revision: str) -> Any:
    def upgrade(connection: Any) -> None:
        from alembic.config import Config
        from alembic.runtime.environment import EnvironmentContext

        def missing(present: Any, _: Any) -> Any:
            return history()._upgrade_revs(revision, present)

        with EnvironmentContext(Config(), history(), fn=missing) as environment:
            environment.configure(connection=connection, render_as_batch=True)
            environment.run_migrations()

    return upgrade


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_samples_of_before_are_moved_and_rolled_up(
    engine: str, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    """A database of the first schema keeps every sample, and its intervals are summed up."""
    if engine == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'old.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    months = [Month(2025, 11).start_us + 5, Month(2026, 1).start_us]
    async with opened(url) as database:
        async with as_owner(database).engine.begin() as connection:
            await connection.run_sync(_until("0001"))
            for statement in _OLD:
                await connection.execute(text(statement))
            for at in months:
                values = f"VALUES (1, {at}, 1, 1, 2.5, NULL, 0, '')"
                names = "(point_id, ts_us, tie, company_id, value, text, quality, reason)"
                await connection.execute(text(f"INSERT INTO sample {names} {values}"))
        await migrate(database)
        async with as_owner(database).read() as session:
            rows = await session.execute(text("SELECT ts_us, value FROM sample ORDER BY ts_us"))
            assert [tuple(row) for row in rows] == [(at, 2.5) for at in months]
            if engine == "postgresql":
                assert await _tables(session) == {"sample_2025_11": 1, "sample_2026_01": 1}
        assert await jobs.round_of_all(database) == 3  # months, the one between as well
        async with as_owner(database).read() as session:
            query = text("SELECT count(*) FROM rollup WHERE length_s = 86400 AND total = 2.5")
            assert (await session.execute(query)).scalar_one() == 2


_OLD = (
    "INSERT INTO company VALUES (1, 'acme', 'acme', 0)",
    "INSERT INTO site VALUES (1, 'tower', 'tower', 'UTC', 0, 1)",
    """INSERT INTO gateway (id, site_id, name, created_us, certificate_serial, online,
    agent_version, report, company_id) VALUES ('gw-old-0001', 1, '', 0, '', false, '', '{}', 1)""",
    "INSERT INTO device VALUES (1, 1, 'gw-old-0001', 'd', 'd', 'bacnet', '', '', '', '', 1)",
    """INSERT INTO point (id, site_id, gateway_id, device_id, key, name, description, unit,
    object_type, states, hints, changed_us, company_id)
    VALUES (1, 1, 'gw-old-0001', 1, 'p', 'p', '', '', '', '[]', '{}', 0, 1)""",
)
