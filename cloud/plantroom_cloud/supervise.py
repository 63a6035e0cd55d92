"""The one place that retries: full-jitter back-off, one log line on failure, one on recovery."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from plantroom_cloud.kit import figures
from plantroom_shared.backoff import doubling, full
from plantroom_shared.cancelling import ended, heed_cancellation
from plantroom_shared.errors import PlantroomError, Unavailable

log = logging.getLogger(__name__)

_BASE = 0.2  # seconds; the first delay is anything up to it
AWAY = 2.0
"""Seconds at most between two tries of what is only away: work goes on soon after it is back."""
_THINGS_AWAY = (Unavailable, DBAPIError, PoolTimeoutError, OSError)


class Backoff:
    """How long to wait before the next try, and who has been told.

    Args:
        name: what is being tried, for the log.
        most: the longest delay in seconds; `AWAY` for what is only away.
    """

    def __init__(self, name: str, *, most: float = 30.0) -> None:
        self._name, self._most = name, most
        self.failures = 0
        """Tries in a row that failed."""

    async def wait(self, error: BaseException, stop: asyncio.Event | None = None) -> None:
        """Note that a try failed with `error`, then wait, but no longer than until `stop`."""
        if self.failures == 0:
            extra = {"part": self._name, "cause": f"{type(error).__name__}: {error}"[:300]}
            log.warning("trouble, trying again", extra=extra)
        most = min(self._most, AWAY) if isinstance(error, _THINGS_AWAY) else self._most
        self.failures += 1
        delay = doubling(self.failures, first=_BASE, most=most, jitter=full)
        if stop is None:
            await asyncio.sleep(delay)
            return
        try:
            async with asyncio.timeout(delay):
                await stop.wait()
        except TimeoutError:
            pass

    def recovered(self) -> None:
        """Note that a try has worked."""
        if self.failures:
            extra = {"part": self._name, "failures": self.failures}
            log.info("recovered", extra=extra)
        self.failures = 0


async def keep_running(
    name: str, run: Callable[[], Awaitable[None]], *, most: float = 30.0, steady: float = 60.0
) -> None:
    """Run `run` for ever: when it fails or ends, start it again after a back-off.

    Args:
        name: for the log.
        run: makes the awaitable anew at each start.
        most: the longest delay in seconds.
        steady: a run of so many seconds counts as recovery.
    """
    backoff, loop = Backoff(name, most=most), asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await run()
            error: BaseException = RuntimeError("it ended by itself")
        except (Exception, asyncio.CancelledError) as failure:  # one part never ends another
            heed_cancellation()
            error = failure
            if backoff.failures == 0 and not isinstance(failure, PlantroomError):
                log.exception("part failed", extra={"part": name})
        if loop.time() - started >= steady:
            backoff.recovered()
        figures.PART_RESTARTS.labels(
            name.split(maxsplit=1)[0]
        ).inc()  # what follows may name a company
        await backoff.wait(error)


async def side_by_side(parts: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
    """Keep every part running, each under its name, until cancelled; then all have ended."""
    tasks = [asyncio.create_task(keep_running(name, run), name=name) for name, run in parts.items()]
    try:
        await asyncio.Event().wait()
    finally:
        await ended(*tasks)
