"""What a process says of itself every few seconds, for whoever asks any API process how things are."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from plantroom_cloud.db import Database
from plantroom_cloud.kit.dependencies import Dependency, standings
from plantroom_cloud.operations import repository
from plantroom_cloud.supervise import Backoff
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable

EVERY: Final = 5.0
"""Seconds between two reports."""
HEARD: Final = 20.0
"""Seconds after which a process that says nothing counts as gone."""
_KEEP_US: Final = 86_400_000_000
AWAY: Final = (DBAPIError, PoolTimeoutError, OSError)
"""What a database that does not answer raises."""
Ping = Callable[[], Awaitable[None]]
"""Finds out whether something answers; Unavailable if not."""


class Reporter:
    """Looks at the database, asks what else there is to ask, and writes down how all of it is.

    Args:
        database: looked at, and where reports go.
        parts: of this process.
        clock: for the time.
        pings: what is asked beside the database, each at every report.
    """

    def __init__(
        self, database: Database, parts: Sequence[str], clock: Clock, pings: Sequence[Ping] = ()
    ) -> None:
        self._database, self._clock, self._pings = database, clock, tuple(pings)
        self._dependency = Dependency("database", clock)
        started = clock.now_us()
        process = f"{socket.gethostname()[:60]}:{os.getpid()}:{started % 10**9}"
        self._row = {"process": process, "parts": "+".join(parts), "started_us": started}

    async def run(self) -> None:
        """Report until cancelled; a database that is away is waited for."""
        backoff = Backoff("report")
        while True:
            try:
                await self.report()
            except AWAY as error:
                await backoff.wait(error)
                continue
            backoff.recovered()
            await asyncio.sleep(EVERY)

    async def report(self) -> None:
        """Look and write it down, once."""
        for ping in self._pings:
            try:
                await ping()
            except Unavailable:
                continue  # its `Dependency` knows
        with self._dependency.used(*AWAY):
            await look(self._database)
        found = [asdict(one) for one in standings()]
        row = self._row | {"at_us": self._clock.now_us(), "dependencies": found}
        async with self._database.write(None) as session:
            await repository.report(session, row, _KEEP_US)


async def look(database: Database) -> None:
    """Ask the database the least that there is to ask."""
    async with database.read(None) as session:
        await session.execute(text("SELECT 1"))
