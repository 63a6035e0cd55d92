"""What holds for every registered publisher, against a platform of its own kind, on both databases."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from plantroom_cloud.db import Database
from plantroom_cloud.publishing.publishers import Publisher, publishers
from plantroom_cloud.publishing.worker import OutboxWorker, TakenElsewhere
from plantroom_shared.errors import Unavailable
from support import enos_site
from support.enos_site import CLOCK, PublishSite
from support.publisher_simulators import Platform, simulators

NAMES = [name for name, _ in publishers]
FAULTS = ["401", "403", "429", "500", "503", "garbage", "unclear", "silent", "lost"]
ROWS, EACH = 4, 25
"""Outbox rows in a test, and moments in each."""


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """The kind of a publisher."""
    return str(request.param)


@pytest.fixture
async def platform(name: str) -> AsyncIterator[Platform]:
    """The simulated platform of the publisher."""
    async with simulators[name]() as running:
        yield running


@pytest.fixture
async def site(database: Database, name: str, platform: Platform) -> PublishSite:
    """A site with two mapped points."""
    home = await enos_site.add_site(database)
    home.kind = name
    for number, target in enumerate(platform.targets[:2]):
        await home.add_mapped(f"p{number}", target=target)
    return home


@asynccontextmanager
async def worker_of(site: PublishSite, platform: Platform) -> AsyncIterator[OutboxWorker]:
    """Yield a worker with a publisher of its own, as another process would have it."""
    spec = publishers.get(site.kind)
    publisher: Publisher = spec.open(site.database, site.scope, platform.params, CLOCK)
    platform.hurry(publisher)
    try:
        yield OutboxWorker(
            site.database, site.scope, site.kind, publisher, CLOCK, mapping_wait=600.0
        )
    finally:
        await publisher.close()


async def fill(site: PublishSite, platform: Platform) -> dict[tuple[str, int], float]:
    """Fill the outbox; return what the platform must hold in the end."""
    expected: dict[tuple[str, int], float] = {}
    start = enos_site.now_us() - 60_000_000
    for row in range(ROWS):
        rows = []
        for moment in range(row * EACH, (row + 1) * EACH):
            for number in (0, 1):
                ts, value = start + moment * 1000, float(moment * 2 + number)
                rows.append((f"p{number}", ts, value))
                expected[platform.targets[number][1], ts // 1000] = value
        await site.put(rows)
    return expected


async def drain(worker: OutboxWorker, *, tries: int = 12) -> int:
    """Publish until nothing is left; return how often the platform was away."""
    failures = 0
    while True:
        try:
            if not await worker.round():
                return failures
        except Unavailable:
            failures += 1
            assert failures < tries, "the publisher does not recover"


async def check(
    site: PublishSite, platform: Platform, expected: dict[tuple[str, int], float]
) -> None:
    """Everything is there, once, and counted once."""
    assert platform.stored() == expected
    assert (await site.counters())["published"] == len(expected)
    assert await site.waiting() == 0


def test_every_publisher_has_a_simulator() -> None:
    """A publisher that nobody can try is not finished."""
    assert sorted(simulators) == NAMES


async def test_values_arrive_and_are_counted(site: PublishSite, platform: Platform) -> None:
    """Everything in the outbox is published, deleted and counted."""
    expected = await fill(site, platform)
    async with worker_of(site, platform) as worker:
        assert await drain(worker) == 0
    await check(site, platform, expected)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_loses_and_doubles_nothing(
    site: PublishSite, platform: Platform, fault: str
) -> None:
    """Whatever the platform answers for a while, every value is there exactly once afterwards."""
    if fault not in platform.faults:
        return
    expected = await fill(site, platform)
    platform.fail(fault, 2)
    async with worker_of(site, platform) as worker:
        await drain(worker)
    await check(site, platform, expected)


async def test_nothing_is_deleted_before_the_platform_has_confirmed(
    site: PublishSite, platform: Platform
) -> None:
    """While the platform is away the outbox keeps every row and nothing is counted."""
    await fill(site, platform)
    platform.fail("500", 1)
    async with worker_of(site, platform) as worker:
        with pytest.raises(Unavailable):
            await worker.round()
    assert await site.waiting() == ROWS
    assert "published" not in await site.counters()


async def test_a_killed_publisher_is_continued_by_the_next(
    site: PublishSite, platform: Platform
) -> None:
    """A worker that dies after the platform has taken the values leaves no gap and no double."""
    expected = await fill(site, platform)
    platform.fail("lost", 1)
    async with worker_of(site, platform) as worker:
        publishing = asyncio.create_task(worker.round())
        async with asyncio.timeout(60):
            while not platform.stored():
                await asyncio.sleep(0.01)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
    assert await site.waiting() == ROWS
    async with worker_of(site, platform) as successor:
        await drain(successor)
    await check(site, platform, expected)


async def test_two_workers_count_each_value_once(site: PublishSite, platform: Platform) -> None:
    """Workers of one company at the same time do not count the same rows twice."""
    expected = await fill(site, platform)

    async def work() -> None:
        async with worker_of(site, platform) as worker:
            for _ in range(12):
                # A busy machine may let an answer come too late: what was sent is sent again.
                with contextlib.suppress(TakenElsewhere, Unavailable):
                    await worker.round()

    await asyncio.gather(work(), work(), work())
    await check(site, platform, expected)


async def test_a_point_the_platform_does_not_know_costs_no_other(
    site: PublishSite, platform: Platform
) -> None:
    """Values of an undefined point are counted and dropped; the others arrive."""
    await site.add_mapped("p2", target=platform.targets[2])
    expected = await fill(site, platform)
    await site.put([("p2", enos_site.now_us(), 1.0)])
    async with worker_of(site, platform) as worker:
        await drain(worker)
    await check(site, platform, expected)
    counted = await site.counters()
    assert sum(n for reason, n in counted.items() if reason != "published") == 1


async def test_unmapped_samples_are_skipped_silently(site: PublishSite, platform: Platform) -> None:
    """A point that the mapper found no counterpart for is no error."""
    await site.add_mapped("door", target=("", ""), confidence=None)
    expected = await fill(site, platform)
    await site.put([("door", enos_site.now_us(), 1.0)])
    async with worker_of(site, platform) as worker:
        await drain(worker)
    await check(site, platform, expected)
    assert set(await site.counters()) == {"published"}


async def test_the_outbox_waits_for_the_mapper(site: PublishSite, platform: Platform) -> None:
    """Rows with a point the mapper has not looked at stay, and so do the gateway's later rows."""
    await site.add_point("new")
    when = enos_site.now_us()
    await site.put([("p0", when, 1.0)])
    await site.put([("new", when, 3.0)])
    await site.put([("p1", when, 2.0)])
    first = {(platform.targets[0][1], when // 1000): 1.0}
    async with worker_of(site, platform) as worker:
        await drain(worker)
        assert platform.stored() == first
        assert await site.waiting() == 2
        await site.map_point("new", "AHU-2", platform.targets[0])
        await drain(worker)
    assert await site.waiting() == 0
    assert (await site.counters())["published"] == 3


async def test_another_company_is_not_touched(
    site: PublishSite, platform: Platform, database: Database
) -> None:
    """A worker publishes its own company's outbox and no other."""
    other = await enos_site.add_site(database, "rival")
    other.kind = site.kind
    await other.add_mapped("p0", target=platform.targets[0])
    await other.put([("p0", enos_site.now_us(), 5.0)])
    expected = await fill(site, platform)
    async with worker_of(site, platform) as worker:
        await drain(worker)
    await check(site, platform, expected)
    assert await other.waiting() == 1
    assert await other.counters() == {}
