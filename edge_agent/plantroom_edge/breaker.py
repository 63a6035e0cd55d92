"""The circuit breaker of a device: one that does not answer is asked rarely, and slows nobody."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

OPEN_AFTER: Final = 3
"""Polls without any answer, in a row, from which on the device is left alone."""

STEP: Final = 2.0
"""Seconds that each further failed probe adds to the pause."""

LONGEST: Final = 300.0
"""Seconds of the longest pause."""


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

    @property
    def is_open(self) -> bool:
        """Whether the device has been given up for now."""
        return self.failures >= OPEN_AFTER

    def may_poll(self, now: float) -> bool:
        """Say whether the device may be asked now: always, or as a probe when the pause is over."""
        return not self.is_open or now >= self.retry_at

    def note(self, *, alive: bool, now: float) -> Change:
        """Take note of a poll."""
        was_open = self.is_open
        if alive:
            self.failures = 0
            return Change.RECOVERED if was_open else Change.NONE
        self.failures += 1
        if not self.is_open:
            return Change.NONE
        pause = min(STEP * (self.failures - OPEN_AFTER + 1), LONGEST)
        self.retry_at = now + pause * self.jitter(0.75, 1.25)
        return Change.PROBED if was_open else Change.FAILED
