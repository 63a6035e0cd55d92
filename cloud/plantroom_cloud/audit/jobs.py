"""The audit's job of the worker: the ends of the chains are signed every hour."""

from __future__ import annotations

import asyncio

from sqlalchemy.exc import DBAPIError

from plantroom_cloud.audit.heads import heads_file, make_head_key
from plantroom_cloud.audit.service import sign_heads
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database
from plantroom_cloud.supervise import Backoff
from plantroom_shared.clock import Clock


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Sign at the start and then every hour, until cancelled; trouble is waited for.

    The key is made at the first start.
    """
    key = await asyncio.to_thread(make_head_key, settings.data)
    backoff = Backoff("audit")
    while True:
        try:
            await sign_heads(database, clock, key, heads_file(settings))
        except (DBAPIError, OSError) as error:
            await backoff.wait(error)
            continue
        backoff.recovered()
        await asyncio.sleep(settings.audit.sign_every)
