"""How often somebody may ask: a window that slides, in the memory of this process."""

from __future__ import annotations

from collections import deque
from typing import Final

_MOST_KEYS: Final = 20_000


class Window:
    """At most `limit` requests of one key in `seconds`.

    Args:
        limit: requests.
        seconds: of the window.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._seen: dict[str, deque[float]] = {}

    def wait(self, key: str, now: float) -> float:
        """Note a request of `key` and return 0, or return the seconds after which it may ask again.

        Args:
            key: who asks.
            now: seconds of a clock that only grows.
        """
        seen = self._seen.setdefault(key, deque())
        while seen and seen[0] <= now - self._seconds:
            seen.popleft()
        if len(seen) >= self._limit:
            return seen[0] + self._seconds - now
        seen.append(now)
        if len(self._seen) > _MOST_KEYS:
            self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        """Drop whoever was silent for a window, and the one that was longest silent in any case."""
        silent = [key for key, seen in self._seen.items() if seen[-1] <= now - self._seconds]
        for key in silent or [min(self._seen, key=lambda one: self._seen[one][-1])]:
            del self._seen[key]
