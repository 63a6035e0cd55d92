"""Messages only wake workers: those that come twice do nothing, those that are lost are sent again."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import httpx
import pytest

from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.pipeline.claims import Claims
from plantroom_cloud.pipeline.queue import Inside, Sender, celery_app, unsent, wake
from plantroom_cloud.serve import Plan, serve
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, Unavailable
from support.api_world import ONE_ENGINE, Stopped, Tenant
from support.pipeline_processes import fleet
from support.pipeline_world import has_work, job_of, point_list
from support.redis_server import Redis, running_redis
from support.servers import as_owner

CSV = {"Content-Type": "text/csv"}
AGAIN = 30_000_000


async def upload(client: httpx.AsyncClient, buildings: int) -> str:
    answer = await client.post("/v1/jobs", content=point_list(buildings, 1), headers=CSV)
    job: str = answer.json()["id"]
    return job


class Ear:
    """Hears how many workers are woken; as if Redis were away where it is told so."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.away = False

    def wake(self, count: int) -> None:
        """Note it."""
        if self.away:
            msg = "away"
            raise Unavailable(msg)
        self.heard.append(count)


async def test_each_chunk_wakes_one_worker(
    database: Database, client: httpx.AsyncClient, acme: Tenant, clock: Stopped
) -> None:
    """Once, again when nobody came, and at once when the worker that came died."""
    await upload(client, 3)
    assert await unsent(database, clock.now) == 3
    assert await unsent(database, clock.now + AGAIN - 1) == 0
    clock.now += AGAIN
    assert await unsent(database, clock.now) == 3
    async with as_owner(database).write() as session:
        claims = Claims(session, Scope(acme.company))
        assert await claims.take("dies", clock.now, 1000) is not None
    assert await unsent(database, clock.now) == 0
    assert await unsent(database, clock.now + 1000) == 1


@ONE_ENGINE
async def test_a_redis_that_is_away_is_asked_again(
    database: Database, client: httpx.AsyncClient, clock: Stopped
) -> None:
    """Who could not be woken is woken as soon as it is back."""
    await upload(client, 2)
    ear = Ear()
    ear.away = True
    with pytest.raises(Unavailable):
        await wake(database, clock.now, ear)
    ear.away = False
    assert await wake(database, clock.now + 1, ear) == 2
    assert await wake(database, clock.now + 2, ear) == 0
    assert ear.heard == [2]


async def test_nobody_listens_at_the_port(tmp_path: Path) -> None:
    """It is told as something that may pass, and without the password."""
    settings = CloudSettings(data=tmp_path, jobs="celery", redis="redis://:geheim@127.0.0.1:1/0")
    with pytest.raises(Unavailable) as caught:
        await asyncio.to_thread(Sender(celery_app(settings)).wake, 1)
    assert "geheim" not in str(caught.value) + repr(settings)


@ONE_ENGINE
async def test_a_message_does_one_chunk_and_wakes_for_the_next(
    database: Database, database_url: str, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """A message too many does nothing."""
    job, ear = await upload(client, 1), Ear()

    def messages() -> list[bool]:
        settings = CloudSettings(data=tmp_path, database=database_url, llm=None)
        inside = Inside(settings, ear, SystemClock())
        try:
            return [inside.chunk() for _ in range(5)]
        finally:
            inside.close()

    async with asyncio.timeout(60):
        assert await asyncio.to_thread(messages) == [True] * 4 + [False]
    assert ear.heard == [1, 1, 1]
    assert (await job_of(client, job))["state"] == "done"


@ONE_ENGINE
async def test_redis_comes_back_empty(
    database: Database, database_url: str, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Killed while a job waits, and started anew: the job is done all the same."""
    with running_redis() as redis:
        told = {"jobs": "celery", "redis": redis.url, "job_lease": 1.0}
        with fleet(tmp_path / "celery", database_url, **told) as processes:
            await asyncio.to_thread(processes.start, "worker")
            await asyncio.to_thread(_restarted_around, redis, processes)
            job = await upload(client, 2)
            await asyncio.to_thread(redis.start)
            async with asyncio.timeout(120):
                while (await job_of(client, job))["state"] != "done":
                    await asyncio.sleep(0.1)
        assert not await has_work(database, SystemClock())


def _restarted_around(redis: Redis, processes: Any) -> None:
    processes.start("job", "worker", "--processes", "2")
    redis.kill()


async def test_without_celery_there_is_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that needs what is not installed ends the process before it begins."""
    settings = load_settings(data=tmp_path, jobs="celery", redis="redis://127.0.0.1:1/0")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"plantroom\[cloud,celery\]"):
        await serve(settings, Plan(("worker",)), stop=asyncio.Event())


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"jobs": "celery"}, "redis: is missing where jobs is celery"),
        ({"jobs": "celery", "redis": "amqp://host"}, "no URL of a Redis"),
        ({"jobs": "threads"}, "jobs"),
        ({"job_lease": 0}, "job_lease"),
    ],
)
def test_settings_that_do_not_go_together(given: dict[str, Any], part: str) -> None:
    """Each names its key and the fix."""
    with pytest.raises(ConfigError) as caught:
        load_settings(**given)
    assert part in str(caught.value)
