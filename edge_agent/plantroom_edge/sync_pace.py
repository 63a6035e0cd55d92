"""How soon to connect again: at once after a hiccup, slowly while the link flaps, never in step."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Final

QUICK: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds within which the first attempts of a minute are made."""

AWAY: Final = (0.5, 1.0, 2.5)
"""Seconds within which it is tried again whether anybody listens by now: once, twice, and then on."""

_MINUTE: Final = 60.0

_NEAR: Final = 5 * _MINUTE
"""Seconds for which a broker that is away is expected back: on a metered line each try costs."""


class Pacer:
    """Keeps connects below a number per minute.

    Args:
        per_minute: connects in any 60 seconds, at most.
        jitter: draws a number between two.
    """

    def __init__(
        self, per_minute: int, *, jitter: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._per_minute, self._jitter = per_minute, jitter
        self._attempts: deque[float] = deque(maxlen=per_minute)
        self._away = 0
        self._away_since = 0.0

    def note(self, now: float) -> None:
        """An attempt is made at `now`."""
        self._attempts.append(now)

    def pause(self, now: float, *, heard: bool = True) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            now: when the last one, or the connection it made, ended.
            heard: whether anybody listened; where nobody did it was no connect, and burdened none.
        """
        if heard:
            self._away = 0
            return self._paced(now)
        self._away_since = self._away_since if self._away else now
        self._away += 1
        if now - self._away_since >= _NEAR:
            return self._paced(now)
        self._attempts.pop()
        most = AWAY[min(self._away, len(AWAY)) - 1]
        return self._jitter(0.4 * most, most)

    def _paced(self, now: float) -> float:
        recent = sum(at > now - _MINUTE for at in self._attempts)
        quick = min(len(QUICK), self._per_minute // 3)
        even = _MINUTE / max(1, self._per_minute - quick)
        if recent <= quick:
            return self._jitter(0.0, min(QUICK[max(0, recent - 1)], even))
        # From the start of one attempt to the start of the next: what it took to fail counts.
        wait = max(0.0, self._attempts[-1] + self._jitter(even * 0.94, even * 1.06) - now)
        if len(self._attempts) == self._per_minute:  # whatever was drawn, the limit is kept
            wait = max(wait, self._attempts[0] + _MINUTE - now)
        return wait
