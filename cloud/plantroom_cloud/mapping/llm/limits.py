"""How long a call may take, when calling is pointless, and how long to wait in between."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from plantroom_shared.clock import Clock

MOST_ATTEMPTS: Final = 4
_OPEN_AFTER: Final = 5
_OPEN_SHARE: Final = 0.9
_WINDOW: Final = 30.0
_OPEN_FOR: Final = 30.0
_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 16.0


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment that is handed down: nobody below takes longer than what is left."""

    clock: Clock
    at: float
    """On the monotonic clock."""

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Deadline:
        """Return the deadline in so many seconds."""
        return cls(clock, clock.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds that are left, never less than 0."""
        return max(0.0, self.at - self.clock.monotonic())


class Breaker:
    """Stops calling an endpoint that keeps failing.

    It opens for 30 seconds after 5 failures within 30 seconds beside which fewer than one attempt
    in ten worked: an endpoint that fails one call in three stays in use. Then a single attempt
    finds out whether it works again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, bool]] = deque()
        self._open_until = float("-inf")
        self._trying = False

    @property
    def open(self) -> bool:
        """Tell whether calling is pointless for now."""
        return self._clock.monotonic() < self._open_until

    def allow(self) -> bool:
        """Tell whether to call; after it was open, only one caller at a time is let through."""
        if self.open:
            return False
        if self._open_until == float("-inf"):
            return True
        if self._trying:
            return False
        self._trying = True
        return True

    def failed(self) -> None:
        """Note that an attempt failed."""
        now = self._clock.monotonic()
        self._note(now, worked=False)
        failures = sum(not worked for _, worked in self._seen)
        often = failures >= _OPEN_AFTER and failures > _OPEN_SHARE * len(self._seen)
        if often or self._trying:
            self._open_until = now + _OPEN_FOR
            self._trying = False
            self._seen.clear()

    def worked(self) -> None:
        """Note that an attempt worked."""
        self._note(self._clock.monotonic(), worked=True)
        self._open_until = float("-inf")
        self._trying = False

    def undecided(self) -> None:
        """Note that an attempt ended without telling anything: it was cancelled, or told to wait."""
        self._trying = False

    def _note(self, now: float, *, worked: bool) -> None:
        self._seen.append((now, worked))
        while self._seen and self._seen[0][0] < now - _WINDOW:
            self._seen.popleft()


def wait_before(
    attempt: int, retry_after: float | None, chance: Callable[[], float] = random.random
) -> float:
    """Return the seconds to wait before the next attempt: full jitter, or what the server asks.

    Args:
        attempt: how many have failed, from 1.
        retry_after: seconds that the server wants, with up to a second more so that not all
            who were told the same come back at once.
        chance: returns a number in [0, 1).
    """
    if retry_after is not None:
        return max(0.0, retry_after) + chance() * min(1.0, max(0.0, retry_after))
    return chance() * float(min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (attempt - 1)))


def retry_after_of(headers: dict[str, str]) -> float | None:
    """Return the seconds that a server's ``Retry-After`` asks for; None where it says nothing.

    Args:
        headers: with names in lower case; seconds, milliseconds (``retry-after-ms``) or a date.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        return seconds if 0.0 <= seconds < float("inf") else None
    try:
        moment = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
