"""The store's job of the worker: roll-ups every half minute, partitions and retention every hour."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy.exc import DBAPIError

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.isolation.lookups import companies
from plantroom_cloud.publishing.lease import lease
from plantroom_cloud.store import partitions
from plantroom_cloud.store.retention import drop_months, retain
from plantroom_cloud.store.rollups import roll_up
from plantroom_cloud.supervise import Backoff
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

IDLE: Final = 30.0
"""Seconds between two rounds: a live minute is summed up two or three times before it is over."""
HOUSEKEEPING: Final = 3600.0
"""Seconds between two looks at what need not be kept."""
_MONTH = 31 * 86_400_000_000


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Look after the store for ever; a database that is away is waited for."""
    del settings
    backoff, kept = Backoff("store"), float("-inf")
    while True:
        try:
            await round_of_all(database)
            if clock.monotonic() - kept >= HOUSEKEEPING:
                await keep_house(database, clock)
                kept = clock.monotonic()
        except DBAPIError as error:
            await backoff.wait(error)
            continue
        backoff.recovered()
        await asyncio.sleep(IDLE)


async def round_of_all(database: Database) -> int:
    """Roll up what is due of every company; return how many notes were dealt with."""
    async with database.read(None) as session:
        scopes = await companies(session)
    return sum([await _round_of(database, scope) for scope in scopes])


async def _round_of(database: Database, scope: Scope) -> int:
    """Roll up what is due of one company; one worker at a time, so that none waits for another.

    That the roll-ups are right does not rest on it: two that did the same would get in each
    other's way, and the database would undo one of them.
    """
    done = 0
    async with lease(database, f"rollup-{scope.company_id}") as held:
        while held and (dealt := await roll_up(database, scope)):
            done += dealt
    return done


async def keep_house(database: Database, clock: Clock) -> None:
    """Make the partitions of the next months; delete and drop what nobody keeps any more."""
    async with lease(database, "store-housekeeping") as held:
        if not held:
            return
        if not database.is_sqlite:
            now = clock.now_us()
            async with database.write(None) as session:
                ahead = partitions.months(now, now + partitions.AHEAD * _MONTH)
                await partitions.ensure(session, ahead)
        await _retain_all(database, clock)


async def _retain_all(database: Database, clock: Clock) -> None:
    now = clock.now_us()
    # Whole months first: what goes with them need not be deleted row by row.
    dropped = await drop_months(database, now)
    async with database.read(None) as session:
        scopes = await companies(session)
    gone = sum([await retain(database, scope, now) for scope in scopes])
    if dropped or gone:
        log.info("retention", extra={"months": [m.table for m in dropped], "rows": gone})
