"""The circuit breaker of a device: one that does not answer is asked rarely, and slows nobody."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

OPEN_AFTER: Final = 3
"""Polls without any answer, in a row, from which on the device is left alone."""

STEP: Final = 2.0
"""Seconds that each further failed probe adds to the pause."""

LONGEST: Final = 300.0
"""Seconds of the longest pause."""

DEAR: Final = 50.0
"""A pause is at least this many times what its probe took: a bus that waits serves nobody."""

PROVEN: Final = 10
"""Answers in a row after which a device that came back is trusted as before."""


class Change(Enum):
    """What a poll did to the device's state."""

    NONE = auto()
    FAILED = auto()
    """It has just been given up."""
    PROBED = auto()
    """It was asked again, in vain."""
    RECOVERED = auto()


@dataclass(slots=True)
class Breaker:
    """Counts a device's failures and says when it may be asked."""

    jitter: Callable[[float, float], float] = random.uniform
    failures: int = 0
    """Polls without answer in a row."""
    retry_at: float = 0.0
    """By the monotonic clock; only means something while it is open."""
    pauses: int = 0
    """How often it was left alone in this trouble: a device that flaps is not asked as a new one."""
    unproven: int = 0
    """Answers in a row that are still missing until the trouble is over."""

    @property
    def is_open(self) -> bool:
        """Whether the device has been given up for now."""
        return self.failures >= OPEN_AFTER

    def may_poll(self, now: float) -> bool:
        """Say whether the device may be asked now: always, or as a probe when the pause is over."""
        return not self.is_open or now >= self.retry_at

    def note(self, *, alive: bool, now: float, took: float = 0.0, asked: bool = True) -> Change:
        """Take note of a poll.

        Args:
            alive: whether there was any answer.
            now: monotonic seconds.
            took: seconds that the poll took.
            asked: whether the device was asked at all. Where not, for the sake of others, that says
                nothing of it: it is given up for that only after all other chances.
        """
        was_open = self.is_open
        if not alive and not asked and self.failures != OPEN_AFTER - 1:
            return Change.NONE
        if alive:
            self._answered(was_open=was_open)
            return Change.RECOVERED if was_open else Change.NONE
        # Who came back a moment ago and is gone again flaps: no further time-outs are spent on it.
        self.failures = (
            self.failures + 1 if not self.unproven else max(self.failures + 1, OPEN_AFTER)
        )
        if not self.is_open:
            return Change.NONE
        self.pauses += 1
        self.unproven = 0
        pause = min(max(STEP * self.pauses, DEAR * took), LONGEST)
        self.retry_at = now + pause * self.jitter(0.75, 1.25)
        return Change.PROBED if was_open else Change.FAILED

    def _answered(self, *, was_open: bool) -> None:
        self.failures = 0
        if was_open:
            self.unproven = PROVEN
        elif self.unproven:
            self.unproven -= 1
        if not self.unproven:
            self.pauses = 0

    def hasten(self, now: float, within: float) -> None:
        """Let the next probe come within so many seconds: what kept it away seems to be over."""
        self.retry_at = min(self.retry_at, now + self.jitter(0.0, within))


@dataclass(slots=True)
class Pacer:
    """Spaces the probes of a bus: one at a time, and the more rarely the more of its time they take."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a probe waits for its time and is made; first come, first served."""
    free_at: float = 0.0
    """Monotonic seconds from which on the next probe may begin."""

    def probed(self, change: Change, breakers: Iterable[Breaker], now: float, took: float) -> None:
        """Take note of the end of a probe.

        Args:
            change: what it did.
            breakers: of all devices of the bus.
            now: monotonic seconds.
            took: seconds that it took.
        """
        states = [breaker.is_open for breaker in breakers]
        dead = sum(states)
        self.free_at = now
        if change is Change.PROBED and dead < len(states):
            # Healthy devices may share the line: little of its time, yet each is probed in LONGEST.
            self.free_at = now + min(2 * DEAR * took, LONGEST / dead)
