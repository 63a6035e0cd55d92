"""Jobs that ended long ago are deleted, with their rows; what they published stays."""

from __future__ import annotations

import asyncio
from typing import Final

from plantroom_cloud.db import Database
from plantroom_cloud.isolation.lookups import outdated_jobs
from plantroom_cloud.pipeline.repository import JobRepository
from plantroom_shared.clock import Clock

HOUR: Final = 3600.0
_DAY_US: Final = 86_400_000_000
_AT_ONCE: Final = 100


async def run(db: Database, keep: float, clock: Clock) -> None:
    """Delete for ever what ended more than `keep` days ago, once an hour."""
    while True:
        await prune(db, keep, clock)
        await asyncio.sleep(HOUR)


async def prune(db: Database, keep: float, clock: Clock) -> int:
    """Delete what ended more than `keep` days ago; return how many jobs that were."""
    before_us, count = clock.now_us() - round(keep * _DAY_US), 0
    while True:
        async with db.read(None) as session:
            old = await outdated_jobs(session, before_us, _AT_ONCE)
        for scope, job in old:
            # A transaction for each: nobody waits for a hundred.
            async with db.write(scope) as session:
                await JobRepository(session, scope).delete(job)
        count += len(old)
        if len(old) < _AT_ONCE:
            return count
