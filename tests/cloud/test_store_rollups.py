"""Roll-ups against a model: any order of storing, rolling up and deleting; kills; races."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, text
from sqlalchemy.exc import DataError, DBAPIError, OperationalError

from plantroom_cloud.db import Database
from plantroom_cloud.store import jobs
from plantroom_cloud.store.retention import RetentionRepository, retain
from plantroom_cloud.store.rollups import roll_up
from plantroom_cloud.tables import Rollup
from support.cloud_site import NOW, TestClock
from support.servers import as_owner
from support.store_site import DAY, MINUTE, Plant, Said, model, plant

HOUR = 60 * MINUTE
CHILD = Path(__file__).parents[1] / "support" / "store_worker_child.py"
T0 = NOW - 3 * DAY
numbers = itertools.count()

samples = st.builds(
    Said,
    st.integers(0, 1),
    st.one_of(st.integers(0, 3 * DAY - 1), st.integers(0, 20).map(lambda n: n * 30_000_000)),
    st.integers(0, 2),
    st.one_of(st.none(), st.integers(-800, 800).map(lambda n: n / 8)),
    st.sampled_from([None, None, None, "auto"]),
    st.sampled_from([0, 0, 0, 1, 2, 7]),
)
steps = st.one_of(
    st.lists(samples, min_size=1, max_size=12),
    st.just("roll up"),
    st.integers(1, 3).map(lambda days: NOW + days * DAY),
)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(steps, min_size=1, max_size=12),
    st.integers(0, 3 * DAY),
    st.integers(1, 3 * DAY),
    st.sampled_from([MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY]),
)
async def test_any_order_of_anything(
    sqlite_database: Database,
    done: list[list[Said] | str | int],
    start: int,
    length: int,
    interval: int,
) -> None:
    """At any moment history is that of the rows accepted, whatever was rolled up or deleted.

    Where samples may be gone the window has whole minutes: finer nobody knows it any more.
    """
    name = f"c{next(numbers)}"
    here = await plant(sqlite_database, name, points=2, gateway=f"gw-{name:0>8}")
    async with as_owner(sqlite_database).write() as session:
        await RetentionRepository(session, here.scope).set(0, 3, None)
    known: list[Said] = []
    gone = False
    for step in done:
        if isinstance(step, list):
            said = _placed(here, step, known, again=not gone)
            assert await here.add(said) == len(
                {(s.point, s.ts, s.tie) for s in said} - _keys(known)
            )
            known += said
        elif isinstance(step, int):
            await retain(sqlite_database, here.scope, step)
            gone = True
        else:
            await roll_up(sqlite_database, here.scope)
        lo, hi = T0 + start, T0 + start + length
        if gone:
            lo, hi = lo - lo % MINUTE, -(-hi // MINUTE) * MINUTE
        for point in here.points:
            found = await here.history(point, lo, hi, interval)
            assert found == model(known, point, lo, hi, interval)


def _keys(said: list[Said]) -> set[tuple[int, int, int]]:
    return {(one.point, one.ts, one.tie) for one in said}


def _placed(here: Plant, said: list[Said], known: list[Said], *, again: bool) -> list[Said]:
    """Return samples of the plant; ones that are known only where their samples are there still.

    Once they are deleted the watermark alone keeps repetitions out.
    """
    seen, out = _keys(known), []
    for one in said:
        placed = Said(
            here.points[one.point], T0 + one.ts, one.tie, one.value, one.text, one.quality
        )
        key = (placed.point, placed.ts, placed.tie)
        if again or key not in seen:
            out.append(placed)
            seen.add(key)
    return out


def _hours(here: Plant) -> list[Said]:
    return [
        Said(here.points[n % 3], T0 + n * 5 * MINUTE, n, float(n), None, int(n % 7 == 0))
        for n in range(800)
    ]


async def test_killed_anywhere_it_is_as_if_it_had_not_begun(
    database: Database, database_url: str
) -> None:
    """SIGKILL at one write after another, until a worker gets through: sums right all the time."""
    here = await plant(database)
    said = _hours(here)
    await here.add(said)
    async with as_owner(database).write() as session:
        await RetentionRepository(session, here.scope).set(0, 1, None)
    killed = 0
    for left in (5, 6, 3, 10**6):
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), database_url, str(here.home.company_id), str(NOW), str(left)
        )
        killed += await child.wait() == -signal.SIGKILL
        for interval in (HOUR, DAY):
            expected = model(said, here.points[0], T0, NOW, interval)
            assert await here.history(here.points[0], T0, NOW, interval) == expected
    assert killed == 3
    assert child.returncode == 0
    assert len(await here.stored()) == len([one for one in said if one.ts >= NOW - DAY])


async def test_each_write_that_fails_undoes_the_round(sqlite_database: Database) -> None:
    """Whichever statement fails, notes, samples and sums are as before."""
    here = await plant(sqlite_database)
    said = _hours(here)[:50]
    await here.add(said)
    engine, writes = sqlite_database.engine.sync_engine, 0

    def fail(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal writes
        writes += statement.startswith(("INSERT", "DELETE"))
        if writes == fatal:
            raise RuntimeError(statement)

    rounds = 0
    for fatal in range(1, 20):  # noqa: B007 - `fail` looks at it
        writes = 0
        event.listen(engine, "after_cursor_execute", fail)
        try:
            await roll_up(sqlite_database, here.scope)
            break
        except RuntimeError:
            rounds += 1
        finally:
            event.remove(engine, "after_cursor_execute", fail)
        async with as_owner(sqlite_database).read() as session:
            assert (await session.execute(select(Rollup.start_us))).all() == []
    assert rounds == 5  # four levels and the notes
    assert await here.history(here.points[0], T0, NOW, DAY) == model(
        said, here.points[0], T0, NOW, DAY
    )


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_rows_committed_during_a_round_are_not_forgotten(database: Database) -> None:
    """What an ingest stores while a worker sums up is due afterwards, though the minute is done."""
    here = await plant(database)
    point = here.points[0]
    await here.add([Said(point, T0, 1, 1.0)])
    mine, ours = "WHERE company_id = :company_id", {"company_id": here.scope.company_id}
    async with database.snapshot(here.scope) as session:
        await session.execute(
            text(f"SELECT 1 FROM rollup_due {mine}"), ours
        )  # the worker has begun
        await here.add([Said(point, T0 + 1, 2, 2.0)])
        seen = await session.execute(text(f"SELECT count(*) FROM sample {mine}"), ours)
        assert seen.scalar_one() == 1
    for expected in (1, 0):
        assert bool(await roll_up(database, here.scope)) == bool(expected)
        (sums,) = await here.history(point, T0, T0 + MINUTE, MINUTE)
        assert (sums.count, sums.total) == (2, 3.0)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_two_workers_at_once_count_nothing_twice(database: Database) -> None:
    """Without the lease one of two that fold the same late rows is undone by the database."""
    here = await plant(database)
    said = [Said(here.points[0], T0 + n, n, 1.0) for n in range(30)]
    async with as_owner(database).write() as session:
        await RetentionRepository(session, here.scope).note(here.home.site_id, raw_from_us=NOW)
    await here.add(said)
    outcomes = await asyncio.gather(
        *(roll_up(database, here.scope) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(one, int | DBAPIError) for one in outcomes)
    (sums,) = await here.history(here.points[0], T0, NOW, DAY)
    assert (sums.count, sums.total) == (30, 30.0)


async def test_a_round_takes_a_bounded_part(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long backlog is rolled up in several transactions, the oldest notes first."""
    monkeypatch.setattr("plantroom_cloud.store.rollups.MOST_SAMPLES", 20)
    here = await plant(sqlite_database)
    said = _hours(here)[:60]
    for start in range(0, 60, 10):
        await here.add(said[start : start + 10])
    assert [await roll_up(sqlite_database, here.scope) for _ in range(4)] == [2, 2, 2, 0]
    assert await here.history(here.points[1], T0, NOW, HOUR) == model(
        said, here.points[1], T0, NOW, HOUR
    )


async def test_gateways_and_companies_keep_apart(database: Database) -> None:
    """A round of one company leaves the other's notes; sums hold nobody else's rows."""
    here = await plant(database)
    other = await plant(database, "rival", gateway="gw-rival-0001")
    await here.add(_hours(here)[:30], gateway="")
    await other.add(_hours(other)[:30])
    assert await roll_up(database, here.scope) == 1
    assert await roll_up(database, here.scope) == 0
    assert await other.history(here.points[0], T0, NOW, DAY) == []
    assert await jobs.round_of_all(database) == 1
    expected = model(_hours(other)[:30], other.points[0], T0, NOW, DAY)
    assert await other.history(other.points[0], T0, NOW, DAY) == expected


async def test_the_job_runs_until_stopped_and_waits_for_the_database(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rolls up by itself, keeps house, and goes on after the database was away."""
    here = await plant(sqlite_database)
    await here.add(_hours(here)[:30])
    kept, tries = asyncio.Event(), itertools.count()
    whole = jobs.round_of_all

    async def troubled(database: Database) -> int:
        if next(tries) == 0:
            raise DBAPIError("SELECT", None, OSError("gone"))  # noqa: EM101 - of a test
        return await whole(database)

    async def note(database: Database, clock: TestClock) -> None:
        await house(database, clock)
        kept.set()

    house = jobs.keep_house
    monkeypatch.setattr(jobs, "round_of_all", troubled)
    monkeypatch.setattr(jobs, "keep_house", note)
    job = asyncio.create_task(jobs.run(sqlite_database, None, TestClock()))  # type: ignore[arg-type]  # unused
    try:
        async with asyncio.timeout(60):
            await kept.wait()
    finally:
        job.cancel()
    async with as_owner(sqlite_database).read() as session:
        assert (await session.execute(select(Rollup.start_us))).all() != []


async def test_one_worker_holds_the_lease(sqlite_database: Database) -> None:
    """While another worker is at a company, or keeps house, this one leaves both alone."""
    from plantroom_cloud.publishing.lease import lease

    here = await plant(sqlite_database)
    await here.add(_hours(here)[:30])
    async with lease(sqlite_database, f"rollup-{here.home.company_id}") as held:
        assert held
        assert await jobs.round_of_all(sqlite_database) == 0
    async with lease(sqlite_database, "store-housekeeping") as held:
        assert held
        await jobs.keep_house(sqlite_database, TestClock())
    assert await jobs.round_of_all(sqlite_database) == 1


async def test_late_rows_that_another_round_has_taken_count_once(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two notes of one minute whose samples are not kept: the second finds nothing left to add."""
    monkeypatch.setattr("plantroom_cloud.store.rollups.MOST_SAMPLES", 1)
    here = await plant(sqlite_database)
    async with as_owner(sqlite_database).write() as session:
        await RetentionRepository(session, here.scope).note(here.home.site_id, raw_from_us=NOW)
    said = [Said(here.points[0], T0 + n, n, 1.0) for n in range(2)]
    for one in said:
        await here.add([one])
    for _ in range(3):
        await roll_up(sqlite_database, here.scope)
        (sums,) = await here.history(here.points[0], T0, NOW, DAY)
        assert (sums.count, sums.total) == (2, 2.0)


async def test_the_job_deletes_what_is_kept_no_longer(sqlite_database: Database) -> None:
    """By default samples of more than 400 days ago go, their roll-ups stay."""
    here = await plant(sqlite_database)
    said = [Said(here.points[0], NOW - days * DAY, 1, 1.0) for days in (402, 399)]
    await here.add(said)
    await jobs.round_of_all(sqlite_database)
    await jobs.keep_house(sqlite_database, TestClock())
    assert await here.stored() == said[1:]
    assert len(await here.history(here.points[0], NOW - 500 * DAY, NOW, DAY)) == 2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_errors_of_an_insert_are_told_apart(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that no column holds is poison; anything else is an outage; nothing is stored."""
    here = await plant(database)
    said = [Said(here.points[0], T0 + n, n, 1.0) for n in range(100)]
    with pytest.raises(DataError):
        await here.add([*said, Said(here.points[0], T0, 100, 1.0, None, 2, "x" * 65)])
    monkeypatch.setattr(
        "plantroom_cloud.store.arrays.PLAIN", "INSERT INTO nowhere VALUES (%s, %b, %b, %b, %b)"
    )
    with pytest.raises(OperationalError):
        await here.add(said)
    assert await here.stored() == []
