"""The same job by the embedded worker and by Celery with Redis, workers killed in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from plantroom_cloud.db import Database
from plantroom_cloud.pipeline.steps import Means
from plantroom_cloud.pipeline.work import Worker
from plantroom_cloud.tables import JobChunk, Point
from plantroom_cloud.tables import Mapping as MappingRow
from plantroom_shared.clock import SystemClock
from support.api_world import NOW, Tenant
from support.pipeline_processes import done_by, fleet, kill_with_a_chunk
from support.pipeline_world import add_site, drain, job_of, point_list, rows_of, said
from support.redis_server import Redis, running_redis
from support.servers import as_owner

BUILDINGS, UNITS = 8, 50
SITES = 2
LEASE = 1.0


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """A Redis of our own."""
    with running_redis() as running:
        yield running


async def begin(client: httpx.AsyncClient, sites: list[int]) -> list[str]:
    """Start a job over a list and one over sites."""
    data = point_list(BUILDINGS, UNITS)
    sent = await client.post("/v1/jobs", content=data, headers={"Content-Type": "text/csv"})
    asked = await client.post("/v1/jobs", json={"sites": sites})
    assert (sent.status_code, asked.status_code) == (202, 202)
    return [sent.json()["id"], asked.json()["id"]]


async def ended(client: httpx.AsyncClient, jobs: list[str]) -> None:
    """Wait until all jobs are done."""
    async with asyncio.timeout(180):
        for job in jobs:
            while (shown := await job_of(client, job))["ended"] is None:
                await asyncio.sleep(0.1)
            assert (shown["state"], shown["progress"]) == ("done", 1.0), shown


async def outcome(
    db: Database, client: httpx.AsyncClient, jobs: list[str], sites: list[int]
) -> Any:
    """Return all that came of the jobs, without ids and times."""
    shown = [await job_of(client, job) for job in jobs]
    figures = [(one["figures"], one["stages"], one["points"]) for one in shown]
    rows = [said(await rows_of(client, job)) for job in jobs]
    row = MappingRow
    said_of = (row.template, row.equipment, row.equip_class, row.point_class, row.model_id)
    more = (row.model_point, row.confidence, row.source, row.state, row.evidence)
    published = []
    async with as_owner(db).read() as session:
        for site in sites:
            found = await session.execute(
                select(Point.key, *said_of, *more)
                .join(Point, Point.id == row.point_id)
                .where(row.site_id == site)
                .order_by(Point.key)
            )
            published.append([tuple(one) for one in found])
    return figures, rows, published


async def embedded(db: Database, client: httpx.AsyncClient, acme: Tenant) -> Any:
    """Return the outcome by one worker that nothing happens to."""
    sites = [await add_site(db, acme.company, f"a{n}", UNITS, NOW) for n in range(SITES)]
    jobs = await begin(client, sites)
    await drain(Worker(Means(db, SystemClock()), 30.0))
    return await outcome(db, client, jobs, sites)


async def test_celery_with_a_worker_killed_does_what_the_embedded_one_does(
    *,
    database: Database,
    database_url: str,
    client: httpx.AsyncClient,
    acme: Tenant,
    redis: Redis,
    tmp_path: Path,
) -> None:
    """Two workers share both jobs; one dies with a chunk in its hands; the results are equal."""
    expected = await embedded(database, client, acme)
    sites = [await add_site(database, acme.company, f"b{n}", UNITS, NOW) for n in range(SITES)]
    told = {"jobs": "celery", "redis": redis.url, "job_lease": LEASE}
    with fleet(tmp_path / "celery", database_url, **told) as processes:
        await asyncio.to_thread(processes.start, "worker")
        first, second = [
            await asyncio.to_thread(processes.start, "job", "worker") for _ in range(2)
        ]
        jobs = await begin(client, sites)
        held = await kill_with_a_chunk(database, first)
        assert held["job_id"] in jobs
        await ended(client, jobs)
        counts = await done_by(database)
        assert counts[str(second.pid)] > 0
        async with as_owner(database).read() as session:
            taken_over = await session.execute(
                select(JobChunk.state, JobChunk.tries, JobChunk.worker).where(
                    *(getattr(JobChunk, name) == held[name] for name in held if name != "token")
                )
            )
            state, tries, worker = taken_over.one()
        assert (state, tries > 1, worker.endswith(f":{second.pid}")) == ("done", True, True)
    assert await outcome(database, client, jobs, sites) == expected


async def test_the_embedded_worker_killed_goes_on_where_it_was(
    database: Database,
    database_url: str,
    client: httpx.AsyncClient,
    acme: Tenant,
    tmp_path: Path,
) -> None:
    """Kill -9 in the middle of a chunk, and a new start: nothing done is done again, results are equal."""
    expected = await embedded(database, client, acme)
    sites = [await add_site(database, acme.company, f"b{n}", UNITS, NOW) for n in range(SITES)]
    with fleet(tmp_path / "one", database_url, job_lease=LEASE) as processes:
        jobs = await begin(client, sites)
        worker = await asyncio.to_thread(processes.start, "worker")
        await kill_with_a_chunk(database, worker)
        before = await finished(database)
        await asyncio.to_thread(processes.start, "worker")
        await ended(client, jobs)
        after = await finished(database)
    assert before.items() <= after.items()
    assert await outcome(database, client, jobs, sites) == expected


async def finished(db: Database) -> dict[tuple[Any, ...], int | None]:
    """Return chunks that are done, and when that was."""
    key = (JobChunk.job_id, JobChunk.building, JobChunk.stage, JobChunk.piece)
    async with as_owner(db).read() as session:
        rows = await session.execute(
            select(*key, JobChunk.ended_us).where(JobChunk.ended_us.is_not(None))
        )
        return {tuple(row[:4]): row[4] for row in rows}
