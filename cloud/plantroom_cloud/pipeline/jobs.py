"""Jobs in the worker's process: done here, or handed to Celery workers, by the setting ``jobs``."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database
from plantroom_cloud.mapping.llm import Asker
from plantroom_cloud.pipeline import upkeep
from plantroom_cloud.pipeline.searching import targets_of
from plantroom_cloud.pipeline.steps import Means
from plantroom_cloud.pipeline.work import Worker
from plantroom_cloud.supervise import side_by_side
from plantroom_shared.clock import Clock

POLL: Final = 0.5
"""Seconds between two looks for chunks, where there were none."""
WORKERS: Final = 2
"""Chunks under way at once in this process: while one waits for the LLM, another calculates."""
SEARCHES: Final = 4
"""Searches of Edges beside them: they wait for minutes, and calculate nothing."""


async def run(db: Database, settings: CloudSettings, clock: Clock) -> None:
    """Do chunks for ever, or have them done by others."""
    parts = {"job upkeep": partial(upkeep.run, db, settings.job_keep, clock)}
    if settings.jobs == "celery":
        from plantroom_cloud.pipeline.dispatch import dispatch  # noqa: PLC0415 - only where it is used

        await side_by_side({**parts, "job dispatch": partial(dispatch, db, settings, clock)})
    asker = Asker(db, settings.llm, clock) if settings.llm else None
    means = Means(db, clock, asker, targets_of(settings))
    worker = Worker(means, settings.job_lease, lane="other")
    searcher = Worker(means, settings.job_lease, lane="search")
    try:
        loops = {f"jobs {number}": partial(_loop, worker) for number in range(WORKERS)}
        loops |= {f"searches {number}": partial(_loop, searcher) for number in range(SEARCHES)}
        await side_by_side({**parts, **loops})
    finally:
        if asker is not None:
            await asker.close()


async def _loop(worker: Worker) -> None:
    while True:
        if not await worker.step():
            await asyncio.sleep(POLL)
