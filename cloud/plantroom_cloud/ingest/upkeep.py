"""Upkeep of the account of delivery: what is only needed for a while is deleted after it."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import CursorResult, delete

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database
from plantroom_cloud.isolation.lookups import companies_to_prune
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.tables import GatewayEpoch, StreamMessage
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

_DAY_US = 86_400_000_000
DIGESTS_US = 7 * _DAY_US
"""How long a message is remembered, to tell a fork from a repetition."""
EPOCHS_US = 400 * _DAY_US
"""How long a start of an agent is remembered after another one has taken its place."""
EVERY = 600.0
"""Seconds between two rounds."""


async def prune(database: Database, now_us: int) -> int:
    """Delete what is older than it needs to be, of all companies; return how many rows that were."""
    stored_us, superseded_us = now_us - DIGESTS_US, now_us - EPOCHS_US
    async with database.read(None) as session:
        scopes = await companies_to_prune(session, stored_us, superseded_us)
    rows = 0
    for scope in scopes:
        async with database.write(scope) as session:
            rows += await _Pruning(session, scope).prune(stored_us, superseded_us)
    return rows


class _Pruning(Repository):
    async def prune(self, stored_us: int, superseded_us: int) -> int:
        rows = 0
        for statement in (
            delete(StreamMessage).where(
                self._own(StreamMessage), StreamMessage.stored_us < stored_us
            ),
            delete(GatewayEpoch).where(
                self._own(GatewayEpoch), GatewayEpoch.superseded_us < superseded_us
            ),
        ):
            result = await self._session.execute(statement)
            assert isinstance(result, CursorResult)  # noqa: S101 - tells mypy what it is
            rows += result.rowcount
        return rows


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Prune every ten minutes until cancelled: a job of the worker."""
    del settings  # every installation keeps the same
    while True:
        rows = await prune(database, clock.now_us())
        if rows:
            log.info("delivery pruned", extra={"rows": rows})
        await asyncio.sleep(EVERY)
