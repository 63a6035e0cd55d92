"""The worker's look at what waits, for `/metrics`: sums over all companies, a few times a minute."""

from __future__ import annotations

import asyncio
from typing import Final

from sqlalchemy.exc import DBAPIError

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database
from plantroom_cloud.isolation import lookups
from plantroom_cloud.kit import figures
from plantroom_cloud.supervise import Backoff
from plantroom_shared.clock import Clock

EVERY: Final = 15.0
"""Seconds between two looks."""


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Look until cancelled; where nobody scrapes this process there is nothing to do."""
    if not settings.watching.listen:
        await asyncio.Event().wait()
    backoff = Backoff("operations")
    while True:
        try:
            await look(database, clock)
        except DBAPIError as error:
            await backoff.wait(error)
            continue
        backoff.recovered()
        await asyncio.sleep(EVERY)


async def look(database: Database, clock: Clock) -> None:
    """Set the gauges of what waits."""
    async with database.read(None) as session:
        outbox, chunks = await lookups.outbox(session), await lookups.open_chunks(session)
    now, waits = clock.now_us(), 0.0
    figures.OUTBOX_ROWS.clear()
    figures.OUTBOX_AGE.clear()
    for row in outbox:
        figures.OUTBOX_ROWS.labels(row.kind).set(row.values)
        figures.OUTBOX_AGE.labels(row.kind).set(_age(now, row.since_us))
    for state in lookups.OPEN_CHUNKS:
        found = [row for row in chunks if row.state == state]
        figures.JOB_CHUNKS.labels(state).set(sum(row.chunks for row in found))
        if state == "waiting":
            waits = max((_age(now, row.due_us) for row in found), default=0.0)
    figures.JOB_WAIT.set(waits)


def _age(now_us: int, since_us: int) -> float:
    return max(0.0, (now_us - since_us) / 1e6)
