"""Back-pressure: how far storing is behind, what is decoded but not stored, who is to go slower.

The broker holds back what is not acknowledged, so memory is bounded without any of this. What is
here keeps the wait short: a gateway that is told to pause keeps its rows where they are safe,
instead of sending them into a queue, and again when no ack comes.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict, deque

from plantroom_shared import wire

SLOW = 2.0
"""Seconds: a group that takes longer, or waits longer, makes gateways go slower ..."""
EASY = 1.0
"""... until it is less than that again."""
AGAIN = 1.0
"""Seconds between two messages about it to one gateway, at least."""
_PAUSES = (0.5, 10.0)
_LIFTS = 50  # gateways told at a time that they may go on, so that they do not come all at once
_MOST = 10_000
_NEVER = float("-inf")
_OBJECTS = 20  # bytes that a byte of JSON can become as Python's objects


def weight(payload: bytes) -> int:
    """Return what `payload` may take when it is decoded, in bytes; bounded like decoding itself."""
    try:
        plain = len(zlib.decompressobj(31).decompress(payload, wire.MAX_PLAIN))
    except zlib.error:
        plain = 0
    return len(payload) + _OBJECTS * plain


class Room:
    """Bounds what is decoded and not stored yet to `most` bytes; one message always has room."""

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0
        self._freed = asyncio.Event()

    async def enter(self, size: int) -> None:
        """Wait until there is room for `size` bytes, and take it."""
        while self.used and self.used + size > self.most:
            self._freed.clear()
            await self._freed.wait()
        self.used += size

    def leave(self, size: int) -> None:
        """Give `size` bytes back."""
        self.used -= size
        self._freed.set()


class Pressure:
    """Measures how far storing is behind; all times are seconds of one monotonic clock.

    Args:
        group: messages in one transaction, at most; fewer while the database is slow, so that acks
            do not wait for a long transaction.
    """

    def __init__(self, group: int) -> None:
        self._most, self.group = group, group
        self._waiting: deque[tuple[float, str]] = deque()
        self._took, self._ended = 0.0, _NEVER
        self._last: set[str] = set()
        self._told: OrderedDict[str, float] = OrderedDict()

    def arrived(self, gateway: str, now: float) -> None:
        """A message of `gateway` waits to be stored."""
        self._waiting.append((now, gateway))

    def stored(self, messages: int, took: float, now: float) -> None:
        """The oldest `messages` are dealt with; that took so long."""
        self._last = {self._waiting.popleft()[1] for _ in range(messages)}
        self._took, self._ended = took, now
        if took > SLOW:
            self.group = max(1, self.group // 2)
        elif took < SLOW / 4:
            self.group = min(self._most, self.group * 2)

    def behind(self, now: float) -> float:
        """Return how long the oldest message waits, or the last group took if that was more."""
        age = now - self._waiting[0][0] if self._waiting else 0.0
        return max(age, self._took if now - self._ended < SLOW else 0.0)

    def flows(self, now: float) -> list[tuple[str, wire.Flow]]:
        """Return what gateways are to be told now."""
        behind = self.behind(now)
        if behind > SLOW:
            return self._slow_down(behind, now)
        return self._lift(now) if behind < EASY else []

    def _slow_down(self, behind: float, now: float) -> list[tuple[str, wire.Flow]]:
        shortest, longest = _PAUSES
        pause = min(max(behind / 2, shortest), longest)
        senders = sorted({name for _, name in self._waiting} | self._last)
        due = [name for name in senders if name and now - self._told.get(name, _NEVER) >= AGAIN]
        for name in due:
            self._told[name] = now
            self._told.move_to_end(name)
        while len(self._told) > _MOST:
            self._told.popitem(last=False)
        flow = wire.Flow(pause_ms=int(pause * 1000), window=1)
        return [(name, flow) for name in due]

    def _lift(self, now: float) -> list[tuple[str, wire.Flow]]:
        due = [name for name, told in self._told.items() if now - told >= AGAIN][:_LIFTS]
        for name in due:
            del self._told[name]
        return [(name, wire.Flow()) for name in due]
