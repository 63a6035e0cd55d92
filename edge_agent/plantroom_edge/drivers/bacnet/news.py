"""What devices have told by themselves, until somebody takes it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

_GATHER: Final = 0.05
"""Seconds from the first piece of news until it is handed on: what changes together comes together."""
_MOST: Final = 256
"""Bundles that may wait; beyond that the newest value of a row replaces the one before."""


@dataclass(slots=True)
class Bundle:
    """News of one poll group, at most one of each row."""

    about: Any
    """Whatever the news was added for."""
    ts: int
    """Microseconds, of the newest."""
    rows: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    """Row → value and flags."""


class News:
    """A queue of bundles: a row that changes twice in a moment is told twice, in order."""

    def __init__(self) -> None:
        self._waiting: deque[Bundle] = deque()
        self._any = asyncio.Event()
        self.replaced = 0
        """News that nobody took in time."""

    def add(self, about: Any, row: int, told: tuple[Any, Any], ts: int) -> None:
        """Add what was told of a row."""
        last = next((it for it in reversed(self._waiting) if it.about is about), None)
        if last is None or last.rows.get(row, told) != told:
            if len(self._waiting) < _MOST or last is None:
                last = Bundle(about, ts)
                self._waiting.append(last)
            else:
                self.replaced += 1
        last.rows[row], last.ts = told, ts
        self._any.set()

    async def take(self) -> Bundle:
        """Wait for the oldest bundle."""
        if not self._waiting:
            self._any.clear()
            await self._any.wait()
            await asyncio.sleep(_GATHER)
        return self._waiting.popleft()
