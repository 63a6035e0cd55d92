"""The one place that retries: a named task that fails is started again, for ever."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from plantroom_shared.backoff import doubling
from plantroom_shared.cancelling import heed_cancellation
from plantroom_shared.errors import Unavailable

log = logging.getLogger(__name__)

SETTLED: Final = 5.0
"""Seconds a restarted task must live before it counts as recovered."""

Sleep = Callable[[float], Awaitable[None]]
Jitter = Callable[[float, float], float]


def full_jitter(tries: int, *, base: float, cap: float, jitter: Jitter = random.uniform) -> float:
    """Return seconds to wait after the failure number `tries` (from 1): 0 to ``base * 2**tries``.

    The whole interval is drawn from, so that a fleet which failed together does not return
    together.
    """
    return jitter(0.0, doubling(tries + 1, first=base, most=cap))


def _single(error: BaseException) -> BaseException:
    """Return what a task group has wrapped, where it is one thing: that has the words."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@dataclass(slots=True)
class TaskReport:
    """How one supervised task is doing."""

    failing: bool = False
    restarts: int = 0
    error: str = ""
    """The last failure, for a person."""


@dataclass(slots=True)
class Supervisor:
    """Runs named tasks and keeps a report on each.

    Args:
        base: seconds, the first back-off interval.
        cap: seconds, the longest one.
        settled: seconds a task must live after a restart to count as recovered.
        sleep: waits; a test hands in its own.
    """

    base: float = 0.25
    cap: float = 30.0
    settled: float = SETTLED
    sleep: Sleep = asyncio.sleep
    tasks: dict[str, TaskReport] = field(default_factory=dict)

    async def keep_running(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run `run` until it returns; after a failure run it again, with a growing pause.

        Where the failure is Unavailable and says when to try again, that is when.

        Says so once on failure and once on recovery. Cancellation of this task goes through untouched;
        one that comes from inside (a library that cancels its own futures) is a failure like others.
        """
        report = self.tasks.setdefault(name, TaskReport())
        tries = 0
        while True:
            recovery = asyncio.get_running_loop().call_later(
                self.settled, self._recovered, name, report
            )
            try:
                await run()
            # Whatever went wrong inside is that task's own trouble: it must neither end the
            # process (as a library that calls `sys.exit` would) nor stay down.
            except (Exception, asyncio.CancelledError, SystemExit) as raised:  # noqa: BLE001 -- the one place that retries
                heed_cancellation()
                error = _single(raised)
                tries = tries + 1 if report.failing else 1
                wait = full_jitter(tries, base=self.base, cap=self.cap)
                if isinstance(error, Unavailable) and error.retry_after is not None:
                    wait = error.retry_after
                self._failed(name, report, error)
            else:
                self._recovered(name, report)
                return
            finally:
                recovery.cancel()
            await self.sleep(wait)

    def _failed(self, name: str, report: TaskReport, error: BaseException) -> None:
        if not report.failing:
            log.error(
                "task failed; it will be restarted until it recovers",
                extra={"task": name, "error": f"{type(error).__name__}: {error}"},
                exc_info=log.isEnabledFor(logging.DEBUG),
            )
        report.failing = True
        report.restarts += 1
        report.error = f"{type(error).__name__}: {error}"[:300]

    def _recovered(self, name: str, report: TaskReport) -> None:
        if report.failing:
            log.info("task recovered", extra={"task": name, "restarts": report.restarts})
        report.failing = False
