"""A replay from its first page to its last: read, write down, deliver, confirm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from plantroom_cloud.replay.positions import Book, Position
from plantroom_cloud.replay.reader import Reader
from plantroom_cloud.replay.rows import line
from plantroom_cloud.replay.sinks import Sink
from plantroom_shared.clock import Clock

TICK: Final = 0.25
"""Seconds between looks at what is due, where a speed is given."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay has come to."""

    replay: str
    delivered: int
    """Objects that the sink has confirmed since the consumer began."""
    now: int
    """Objects of these, confirmed in this run."""
    late: int
    """Rows of the span that came in behind the position: not replayed in this pass."""


class Pace:
    """How far a replay may be: recorded time runs `speed` times as fast as the clock.

    Args:
        speed: None means as fast as possible.
        start: recorded time at the start, microseconds since 1970.
        clock: whose monotonic time counts.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        speed: float | None,
        start: int,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._speed, self._start, self._clock, self._sleep = speed, start, clock, sleep
        self._began = clock.monotonic()

    def due(self, end: int) -> int:
        """Return up to where rows are due now, at most `end`."""
        if self._speed is None:
            return end
        passed = (self._clock.monotonic() - self._began) * self._speed
        # A row at the very start is due at once; beyond a float's microseconds all is.
        return int(min(end, self._start + 1 + passed * 1e6))

    async def wait(self) -> None:
        """Wait for the next look."""
        await self._sleep(TICK)


class Replay:
    """Delivers a site's rows to a sink, from where its position stands."""

    def __init__(self, reader: Reader, sink: Sink, book: Book, clock: Clock) -> None:
        self._reader, self._sink, self._book, self._clock = reader, sink, book, clock

    async def run(self, position: Position, pace: Pace) -> Outcome:
        """Deliver everything that is left of the span; return what that comes to."""
        before = position.count
        try:
            position.file_size = await self._sink.open(position)
            await self._save(position)
            if position.pending:
                await self._deliver(position)
            while await self._go_on(position, pace):
                pass
            await self._finish(position)
        finally:
            await self._sink.close()
        return Outcome(position.replay, position.count, position.count - before, position.late)

    async def _go_on(self, position: Position, pace: Pace) -> bool:
        """Deliver the next page, or wait for one to be due; say whether there is more to do."""
        due = pace.due(position.to_us)
        items = await self._reader.page(position.from_us, position.after, due)
        if items:
            numbers = range(position.count + 1, position.count + len(items) + 1)
            lines = [line(position.replay, n, item) for n, item in zip(numbers, items, strict=True)]
            position.plan(lines, items[-1].key)
            await self._save(position)
            await self._deliver(position)
            return True
        await self._save(position)
        if due < position.to_us:
            await pace.wait()
        return due < position.to_us

    async def _deliver(self, position: Position) -> None:
        position.confirm(await self._sink.deliver(position.pending))

    async def _save(self, position: Position) -> None:
        await self._book.save(position, self._clock.now_us())

    async def _finish(self, position: Position) -> None:
        there = await self._reader.count(position.from_us, position.to_us)
        # Retention may have taken rows that were delivered long ago.
        position.late, position.done = max(0, there - position.count), True
        await self._save(position)
