"""Requests whose answers need not be kept any more are forgotten."""

from __future__ import annotations

import asyncio
from typing import Final

from sqlalchemy.exc import DBAPIError

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.conventions.store import OnceRepository
from plantroom_cloud.db import Database
from plantroom_cloud.isolation import lookups
from plantroom_cloud.kit.times import HOUR
from plantroom_cloud.supervise import Backoff
from plantroom_shared.clock import Clock

EVERY: Final = 600.0
"""Seconds between two rounds."""


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Forget what is too old, every ten minutes until cancelled: a job of the worker."""
    keep_us, backoff = round(settings.api.idempotency_hours * HOUR), Backoff("conventions")
    while True:
        try:
            await forget(database, clock.now_us(), keep_us)
        except DBAPIError as error:
            await backoff.wait(error)
            continue
        backoff.recovered()
        await asyncio.sleep(EVERY)


async def forget(database: Database, now_us: int, keep_us: int) -> int:
    """Forget what is too old of every company; return how many requests that were."""
    async with database.read(None) as session:
        found = await lookups.companies_with_old_requests(session, now_us)
    gone = 0
    for scope in found:
        async with database.write(scope) as session:
            gone += await OnceRepository(session, scope).forget(now_us, keep_us)
    return gone
