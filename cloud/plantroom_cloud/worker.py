"""The worker: everything that happens to stored samples afterwards, part by part supervised."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from typing import cast

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database
from plantroom_cloud.supervise import keep_running
from plantroom_shared.clock import Clock

Job = Callable[[Database, CloudSettings, Clock], Awaitable[None]]
"""Runs until it is cancelled."""

JOBS = {
    "delivery": "plantroom_cloud.ingest.upkeep",
    "mapping": "plantroom_cloud.mapping.jobs",
    "publishing": "plantroom_cloud.publishing.jobs",
    "store": "plantroom_cloud.store.jobs",
}
"""Name → module with ``run``; each is imported where it starts."""


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Run every job until cancelled; one that fails starts again and never stops another."""
    async with asyncio.TaskGroup() as group:
        for name, module in JOBS.items():
            job = cast("Job", importlib.import_module(module).run)
            group.create_task(_keep(name, job, database, settings, clock), name=name)


async def _keep(
    name: str, job: Job, database: Database, settings: CloudSettings, clock: Clock
) -> None:
    await keep_running(name, lambda: job(database, settings, clock))
