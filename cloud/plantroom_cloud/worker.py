"""The worker: everything that happens to stored samples afterwards, part by part supervised."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database
from plantroom_cloud.supervise import side_by_side
from plantroom_shared.clock import Clock

Job = Callable[[Database, CloudSettings, Clock], Awaitable[None]]
"""Runs until it is cancelled."""

JOBS = {
    "alarm-notices": "plantroom_cloud.alarms.notify.jobs",
    "alarms": "plantroom_cloud.alarms.jobs",
    "audit": "plantroom_cloud.audit.jobs",
    "conventions": "plantroom_cloud.conventions.upkeep",
    "broker": "plantroom_cloud.broker.keeper",
    "delivery": "plantroom_cloud.ingest.upkeep",
    "governance": "plantroom_cloud.governance.jobs",
    "licensing": "plantroom_cloud.licensing.upkeep",
    "mapping": "plantroom_cloud.mapping.jobs",
    "operations": "plantroom_cloud.operations.jobs",
    "pipeline": "plantroom_cloud.pipeline.jobs",
    "publishing": "plantroom_cloud.publishing.jobs",
    "store": "plantroom_cloud.store.jobs",
    "webhooks": "plantroom_cloud.webhooks.jobs",
}
"""Name → module with ``run``; each is imported where it starts."""


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Run every job until cancelled; one that fails starts again and never stops another."""
    jobs = {name: cast("Job", importlib.import_module(module).run) for name, module in JOBS.items()}
    await side_by_side(
        {name: partial(job, database, settings, clock) for name, job in jobs.items()}
    )
