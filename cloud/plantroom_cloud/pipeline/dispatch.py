"""In the worker's process, where Celery workers do the chunks: wakes them for what is due."""

from __future__ import annotations

import asyncio
from typing import Final

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database
from plantroom_cloud.pipeline.queue import Sender, celery_app, wake
from plantroom_shared.clock import Clock

POLL: Final = 0.5
"""Seconds between two looks for chunks that nobody was woken for."""


async def dispatch(db: Database, settings: CloudSettings, clock: Clock) -> None:
    """Wake workers for ever: for new jobs, for leases that ran out, for messages that got lost.

    Raises:
        Unavailable: Redis does not answer; who was to be woken is woken again later.
    """
    sender = Sender(celery_app(settings))
    while True:
        await wake(db, clock.now_us(), sender)
        await asyncio.sleep(POLL)
