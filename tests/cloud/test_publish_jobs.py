"""The outbox worker and the job around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select

from demo.enos_sim.faults import Fault
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database
from plantroom_cloud.publishing import jobs
from plantroom_cloud.publishing.lease import lease
from plantroom_cloud.publishing.plan import Mapped, Plan
from plantroom_cloud.publishing.publishers import MappedValue, Receipt
from plantroom_cloud.publishing.repository import PublishingRepository
from plantroom_cloud.publishing.steps import Step
from plantroom_cloud.publishing.worker import MAX_VALUES, OutboxWorker, TakenElsewhere
from plantroom_cloud.tables import Target
from plantroom_shared.cancelling import ended
from plantroom_shared.errors import ConfigError, Unavailable
from support import enos_site
from support.enos_site import CLOCK, PublishSite
from support.servers import as_owner
from support.waiting import eventually


class EndOfScript(Exception):
    """Ends a scripted worker."""


class Taker:
    """A publisher that takes everything."""

    def __init__(self) -> None:
        self.batches: list[list[MappedValue]] = []
        self.plans: list[Plan] = []

    async def prepare(self, plan: Plan) -> None:
        self.plans.append(plan)

    async def publish(self, values: Any) -> Receipt:
        self.batches.append(list(values))
        return Receipt(len(values))

    def accepts(self, mapped: Mapped) -> bool:
        return True

    async def survey(self, plan: Plan, site_id: int) -> list[Step]:
        return []

    async def carry_out(self, step: Step) -> None:
        """Nothing is ever to do."""

    async def close(self) -> None:
        """Nothing to close."""


def worker_of(site: PublishSite, taker: Taker, *, mapping_wait: float = 600.0) -> OutboxWorker:
    return OutboxWorker(site.database, site.scope, "enos", taker, CLOCK, mapping_wait=mapping_wait)


class NoPlans:
    """A company of which nobody wants a plan."""

    async def serve(self) -> bool:
        return False


def loop_of(site: PublishSite, worker: OutboxWorker) -> Coroutine[Any, Any, None]:
    plans: Any = NoPlans()
    return jobs._loop(
        worker,
        plans,
        database=site.database,
        scope=site.scope,
        kind="enos",
        slug="acme",
        clock=CLOCK,
    )


# ------------------------------------------------------------ worker


async def test_rows_go_out_in_order_and_in_portions(sqlite_database: Database) -> None:
    """The oldest rows come first; a portion holds a bounded number of values."""
    site, taker = await enos_site.add_site(sqlite_database), Taker()
    await site.add_mapped("a")
    when = enos_site.now_us()
    for number in range(3):
        size = MAX_VALUES // 2
        await site.put([("a", when + number * size + at, 1.0) for at in range(size)])
    worker = worker_of(site, taker)
    while await worker.round():
        pass
    assert [len(batch) for batch in taker.batches] == [MAX_VALUES, MAX_VALUES // 2]
    times = [value.ts_us for batch in taker.batches for value in batch]
    assert times == sorted(times)
    assert await site.counters() == {"published": 3 * (MAX_VALUES // 2)}


@pytest.mark.parametrize(
    "samples",
    [
        b"no JSON",
        b"[]",
        b'{"p": [1], "t": [1], "v": [1]}',
        b'{"p": [1], "t": [1], "v": [1], "q": 0}',
        b'{"p": [1, 2], "t": [1], "v": [1], "q": [0]}',
        b'{"p": ["x"], "t": [1], "v": [1], "q": [0]}',
    ],
)
async def test_an_unreadable_row_costs_no_other(sqlite_database: Database, samples: bytes) -> None:
    """A row that cannot be read is counted and dropped; the next one is published."""
    site, taker = await enos_site.add_site(sqlite_database), Taker()
    await site.add_mapped("a")
    await site.put_raw(samples, 3)
    await site.put([("a", enos_site.now_us(), 1.0)])
    worker = worker_of(site, taker)
    while await worker.round():
        pass
    assert await site.counters() == {"malformed": 3, "published": 1}
    assert await site.waiting() == 0


async def test_the_wait_for_the_mapper_ends(sqlite_database: Database) -> None:
    """A point the mapper never looks at holds the outbox for the setting's time, no longer."""
    site, taker = await enos_site.add_site(sqlite_database), Taker()
    await site.add_point("never")
    await site.put([("never", 1, 1.0)], created_us=enos_site.now_us() - 5_000_000)
    assert not await worker_of(site, taker, mapping_wait=600).round()
    assert await worker_of(site, taker, mapping_wait=2).round()
    assert taker.plans == []
    assert await site.waiting() == 0


async def test_a_gateway_that_waits_holds_no_other(sqlite_database: Database) -> None:
    """Rows of a site that is mapped go out although another gateway's mapping is not finished."""
    site, taker = await enos_site.add_site(sqlite_database), Taker()
    await site.add_point("new")
    await site.put([("new", 1, 1.0)])
    from plantroom_cloud.tables import Gateway

    async with as_owner(sqlite_database).write() as session:
        session.add(
            Gateway(
                id="gw-acme-0002",
                company_id=site.company_id,
                site_id=site.site_id,
                name="second",
                created_us=1,
                report={},
            )
        )
    site.gateway_id = "gw-acme-0002"
    await site.add_mapped("a")
    await site.put([("a", 1, 1.0)])
    assert await worker_of(site, taker).round()
    assert [value.mapped.point_id for batch in taker.batches for value in batch] == [site.ids["a"]]
    assert await site.waiting() == 1


async def test_rows_that_are_gone_are_counted_by_whoever_took_them(
    sqlite_database: Database,
) -> None:
    """A worker whose rows were published elsewhere counts nothing."""
    site = await enos_site.add_site(sqlite_database)
    await site.add_mapped("a")
    row = await site.put([("a", 1, 1.0)])

    class Late(Taker):
        async def publish(self, values: Any) -> Receipt:
            async with as_owner(sqlite_database).write() as session:
                await PublishingRepository(session, site.scope).take("enos", [row])
            return Receipt(len(values), on_commit=self.never)

        def never(self) -> None:
            pytest.fail("nothing was committed")

    with pytest.raises(TakenElsewhere):
        await worker_of(site, Late()).round()
    assert await site.counters() == {}


async def test_only_one_holds_the_lease(database: Database) -> None:
    """Whoever comes second gets nothing until the first has ended; other names are free."""
    async with (
        lease(database, "publish-enos-1") as first,
        lease(database, "publish-enos-2") as other,
        lease(database, "publish-enos-1") as second,
    ):
        assert (first, second, other) == (True, False, True)
    async with lease(database, "publish-enos-1") as third:
        assert third


async def test_a_database_in_memory_has_one_worker() -> None:
    """There is nobody to share a database in memory with."""
    database = Database("sqlite+aiosqlite:///:memory:")
    async with lease(database, "x") as held:
        assert held
    await database.close()


async def test_a_worker_without_the_lease_does_nothing(sqlite_database: Database) -> None:
    """A second worker of the same company waits for its turn."""
    site, taker = await enos_site.add_site(sqlite_database), Taker()
    await site.add_mapped("a")
    await site.put([("a", 1, 1.0)])
    async with lease(sqlite_database, f"publish-enos-{site.company_id}"):
        assert not await worker_of(site, taker).round()
    assert await worker_of(site, taker).round()


async def test_the_backlog_says_what_waits(database: Database) -> None:
    """How many samples wait, and since when."""
    site = await enos_site.add_site(database)
    await site.add_mapped("a")
    async with as_owner(database).read() as session:
        assert await PublishingRepository(session, site.scope).backlog("enos") == (0, None)
    await site.put([("a", 1, 1.0), ("a", 2, 1.0)], created_us=77)
    async with as_owner(database).read() as session:
        assert await PublishingRepository(session, site.scope).backlog("enos") == (2, 77)


# ------------------------------------------------------------ the job


def settings_of(*targets: Any) -> CloudSettings:
    return CloudSettings(enos=targets)


def simple(company: str = "acme", org_id: str = "o1") -> dict[str, Any]:
    return {
        "company": company,
        "apigw": "http://127.0.0.1:1",
        "integration": "http://127.0.0.1:1",
        "org_id": org_id,
        "app_key": "k",
        "app_secret": "s",
    }


async def enabled(database: Database) -> dict[int, bool]:
    async with as_owner(database).read() as session:
        rows = await session.scalars(select(Target))
        return {row.company_id: row.enabled for row in rows}


async def test_targets_follow_the_settings(sqlite_database: Database) -> None:
    """A company in the settings has its outbox filled, one that left them has not."""
    acme = await enos_site.add_site(sqlite_database)
    rival = await enos_site.add_site(sqlite_database, "rival")
    both = settings_of(simple(), simple("rival", "o2"))
    assert await jobs.ensure_targets(sqlite_database, both) == set()
    only = settings_of(simple("rival", "o2"), simple("absent", "o3"))
    assert await jobs.ensure_targets(sqlite_database, only) == {"absent"}
    assert await enabled(sqlite_database) == {acme.company_id: False, rival.company_id: True}
    await jobs.ensure_targets(sqlite_database, both)
    assert await enabled(sqlite_database) == {acme.company_id: True, rival.company_id: True}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_processes_that_start_together_make_a_target_once(database: Database) -> None:
    """An ingest and a worker begin at the same moment: neither dies of the other."""
    acme = await enos_site.add_site(database)
    starting = [jobs.ensure_targets(database, settings_of(simple())) for _ in range(8)]
    assert await asyncio.gather(*starting) == [set()] * 8
    assert await enabled(database) == {acme.company_id: True}


@pytest.mark.parametrize("targets", [(simple(), simple(org_id="o2")), (simple(), simple("rival"))])
async def test_targets_that_would_mix_are_refused(
    sqlite_database: Database, targets: tuple[dict[str, Any], ...]
) -> None:
    """A company has one EnOS, and an organisation one company."""
    with pytest.raises(ConfigError, match="enos"):
        await jobs.run(sqlite_database, settings_of(*targets), CLOCK)


@asynccontextmanager
async def running(database: Database, settings: CloudSettings) -> AsyncIterator[None]:
    """Run the job; end it afterwards."""
    task = asyncio.create_task(jobs.run(database, settings, CLOCK))
    try:
        yield
    finally:
        await ended(task)
        assert task.cancelled()


async def test_the_job_publishes_and_survives_faults(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through faults and for a company that comes later, everything is published exactly once."""
    monkeypatch.setattr(jobs, "IDLE", 0.02)
    monkeypatch.setattr(jobs, "_FIRST_WAIT", 0.02)
    async with enos_site.running() as (simulator, addresses):
        target = enos_site.target_of(simulator.world, addresses)
        settings = CloudSettings(enos=(target,))
        fault = Fault(mode="500", count=3, path="/integration")
        simulator.faults.waiting.append(fault)
        async with running(database, settings):
            site = await enos_site.add_site(database)
            await site.add_mapped("t")
            when = enos_site.now_us()
            await site.put([("t", when + at * 1000, float(at)) for at in range(50)])

            async def published() -> bool:
                return (await site.counters()).get("published") == 50

            await eventually(published)
        assert len(simulator.world.values) == 50
        assert (await site.counters())["retries"] == 3
        assert (await enabled(database)) == {site.company_id: True}


async def test_one_company_s_trouble_is_no_other_s(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one company's EnOS cannot be reached, another's values go on."""
    monkeypatch.setattr(jobs, "IDLE", 0.02)
    acme = await enos_site.add_site(sqlite_database)
    rival = await enos_site.add_site(sqlite_database, "rival")
    for site in (acme, rival):
        await site.add_mapped("t")
        await site.put([("t", enos_site.now_us(), 1.0)])
    async with enos_site.running() as (simulator, addresses):
        target = enos_site.target_of(simulator.world, addresses)
        async with running(sqlite_database, settings_of(target, simple("rival", "o2"))):

            async def published() -> bool:
                tried = (await rival.counters()).get("retries", 0)
                return (await acme.counters()).get("published") == 1 and tried > 0

            await eventually(published)
    assert await rival.waiting() == 1


async def test_the_loop_outlives_a_database_that_is_away(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database error is waited out like an EnOS that is away, and rows taken elsewhere are no error."""
    from sqlalchemy.exc import OperationalError

    site = await enos_site.add_site(sqlite_database)
    monkeypatch.setattr(jobs, "IDLE", 0.0)
    monkeypatch.setattr(jobs, "_FIRST_WAIT", 0.01)
    away = OperationalError("select", {}, OSError("gone"))
    steps: list[Any] = [away, True, TakenElsewhere("x"), Unavailable("y"), False, EndOfScript]

    class Script:
        async def round(self) -> bool:
            step = steps.pop(0)
            if isinstance(step, bool):
                return step
            raise step

    def broken(*_arguments: Any) -> Any:
        raise away

    monkeypatch.setattr(sqlite_database, "write", broken)
    worker: Any = Script()
    with pytest.raises(EndOfScript):
        await loop_of(site, worker)
    assert steps == []


async def test_a_round_under_way_ends_when_the_job_is_stopped(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the platform has taken when the process is told to stop is deleted and counted."""
    site = await enos_site.add_site(sqlite_database)
    await site.add_mapped("a")
    await site.put([("a", 1, 1.0)])
    sent, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Taker):
        async def publish(self, values: Any) -> Receipt:
            sent.set()
            await go_on.wait()
            return await super().publish(values)

    loop = loop_of(site, worker_of(site, Slow()))
    task = asyncio.create_task(loop)
    await sent.wait()
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await site.counters() == {"published": 1}

    monkeypatch.setattr(jobs, "GRACE", 0.01)
    go_on.clear()
    sent.clear()
    await site.put([("a", 2, 1.0)])
    loop = loop_of(site, worker_of(site, Slow()))
    task = asyncio.create_task(loop)
    await sent.wait()
    await ended(task)
    assert task.cancelled()
    assert await site.waiting() == 1


async def test_a_job_without_targets_waits(sqlite_database: Database) -> None:
    """Where nobody publishes, the job runs on until it is cancelled."""
    task = asyncio.create_task(jobs.run(sqlite_database, settings_of(), CLOCK))
    done, _ = await asyncio.wait({task}, timeout=0.2)
    assert not done
    await ended(task)
    assert task.cancelled()


def test_waiting_grows_to_a_minute_and_honours_the_platform() -> None:
    """Full jitter under a doubling ceiling; never less than Retry-After."""
    for failures in (1, 3, 40):
        ceiling = min(2 ** (failures - 1), 60)
        waits = [jobs.wait_after(failures, Unavailable("x")) for _ in range(200)]
        assert 0 <= min(waits) <= max(waits) <= ceiling
    assert jobs.wait_after(1, Unavailable("x", retry_after=90)) == 90
