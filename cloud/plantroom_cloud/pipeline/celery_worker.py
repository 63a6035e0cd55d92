"""``plantroom-cloud job worker``: a Celery worker that does chunks of jobs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from plantroom_cloud import ready
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import open_database
from plantroom_cloud.isolation.check import check_wall
from plantroom_cloud.pipeline.queue import QUEUE, TASK, Inside, Sender, celery_app
from plantroom_shared.errors import ConfigError


def work(settings: CloudSettings, processes: int, ready_file: Path | None = None) -> None:
    """Do chunks until told to stop; a signal lets the chunk under way end.

    Args:
        settings: of the service; `jobs` must be ``celery``.
        processes: chunks at once; with 1 all happens in this process.
        ready_file: written when it takes messages.

    Raises:
        ConfigError: the settings name no Redis, Celery is not installed, or the database would not
            hold companies apart.
    """
    if settings.jobs != "celery":
        what = "the service does its jobs by itself"
        raise ConfigError(what, key="jobs", fix="say jobs: celery, with a redis")
    ready.forget(ready_file)
    app = celery_app(settings)
    asyncio.run(_check(settings))
    _install(app, settings)
    _announce(ready_file)
    app.Worker(
        queues=[QUEUE],
        concurrency=processes,
        pool="solo" if processes == 1 else "prefork",
        loglevel="WARNING",
        hostname=f"jobs-{os.getpid()}@%h",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        optimization="fair",
    ).start()


async def _check(settings: CloudSettings) -> None:
    database = open_database(settings)
    try:
        await check_wall(database, settings)
    finally:
        await database.close()


def _install(app: Any, settings: CloudSettings) -> None:
    sender = Sender(app)
    opened: dict[int, Inside] = {}

    @app.task(name=TASK)  # type: ignore[untyped-decorator]  # Celery has no types
    def chunk() -> bool:
        # By process: what is open does not survive a fork.
        inside = opened.get(os.getpid())
        if inside is None:
            inside = opened[os.getpid()] = Inside(settings, sender)
        return inside.chunk()

    from celery.signals import worker_process_shutdown, worker_shutdown  # noqa: PLC0415 - an extra

    def close(**_: Any) -> None:
        inside = opened.pop(os.getpid(), None)
        if inside is not None:
            inside.close()

    worker_process_shutdown.connect(close, weak=False)
    worker_shutdown.connect(close, weak=False)


def _announce(ready_file: Path | None) -> None:
    from celery.signals import worker_ready  # noqa: PLC0415 - an extra

    def announce(**_: Any) -> None:
        ready.announce("job worker", ready_file)

    worker_ready.connect(announce, weak=False)
