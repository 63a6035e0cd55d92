"""Whose turn it is with a device: one at a time, who is in a hurry first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType


class Turn:
    """A lock in the order of arrival, but for those who ask for it with `urgently`."""

    def __init__(self) -> None:
        self._taken = False
        self._hurried: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()

    def locked(self) -> bool:
        """Say whether somebody has the turn."""
        return self._taken

    async def __aenter__(self) -> None:
        await self._enter(self._waiting)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    @asynccontextmanager
    async def urgently(self) -> AsyncIterator[None]:
        """Take the turn before all that wait without hurry."""
        await self._enter(self._hurried)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, queue: deque[asyncio.Future[None]]) -> None:
        if not self._taken:
            self._taken = True
            return
        mine = asyncio.get_running_loop().create_future()
        queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._leave()  # it was given to us: give it on
            raise

    def _leave(self) -> None:
        for queue in (self._hurried, self._waiting):
            while queue:
                following = queue.popleft()
                if not following.done():
                    following.set_result(None)
                    return
        self._taken = False
