"""Time that only moves when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools

T0 = 1_763_680_000_000_000  # 2025-11-20


class VirtualTime:
    """A clock and a sleep that share one hand: `advance` moves it and wakes who is due."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.wall_offset_us = T0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_us(self) -> int:
        return self.wall_offset_us + round(self.seconds * 1e6)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.seconds + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        end = self.seconds + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end + 1e-9:
            at, _, future = heapq.heappop(self._sleepers)
            self.seconds = max(self.seconds, at)
            if not future.done():
                future.set_result(None)
                await settle()
        self.seconds = end
        await settle()


async def settle(rounds: int = 20) -> None:
    """Let every task that can go on go on."""
    for _ in range(rounds):
        await asyncio.sleep(0)
