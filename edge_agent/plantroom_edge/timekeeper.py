"""Tells the buffer what the clock is worth, and has rows put right once the time is known."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from plantroom_edge.buffer import Buffer
from plantroom_edge.clock import EdgeClock
from plantroom_edge.supervise import Sleep
from plantroom_shared.errors import Unavailable

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the clock."""


class Timekeeper:
    """Watches the clock for the buffer.

    Args:
        clock: the gateway's.
        buffer: what it stamps.
        sleep: waits; a test hands in its own.
    """

    def __init__(self, clock: EdgeClock, buffer: Buffer, *, sleep: Sleep = asyncio.sleep) -> None:
        self.clock, self._buffer, self._sleep = clock, buffer, sleep
        # An earlier process of this start of the machine may have left rows that wait for the time.
        known = clock.state != "unset"
        self._owed = clock.since_start_us if known else None
        """Microseconds by which what was stamped while the clock was unset still has to be moved."""
        self._paying = asyncio.Lock()
        buffer.clock_state = clock.state

    async def run(self) -> None:
        """Look at the clock for ever."""
        while True:
            await self.look()
            await self._sleep(LOOK_EVERY)

    async def look(self) -> None:
        """See whether the clock was set or stepped."""
        await self._set_by(self.clock.look(), "system")

    async def hear(self, cloud_us: int, waited: float) -> None:
        """The cloud said what time it is, `waited` seconds after it was asked."""
        await self._set_by(self.clock.hear(cloud_us, waited), "cloud")

    async def _set_by(self, shift: int | None, who: str) -> None:
        if shift is not None:
            self._owed = shift
            log.info("the clock is set", extra={"by": who, "shift_s": round(shift / 1e6, 3)})
        async with self._paying:
            if self._owed is not None:
                try:
                    await self._buffer.restamp(self._owed)
                except Unavailable:  # the buffer says so itself; a second later it is tried again
                    return
                self._owed = None
                self._buffer.changed.set()
        self._buffer.clock_state = self.clock.state

    def figures(self) -> dict[str, float]:
        """Return what the state message tells of the clock."""
        out: dict[str, float] = dict(self.clock.counters)
        if self.clock.skew_us is not None:
            out["clock_skew_us"] = self.clock.skew_us
            out["clock_skew_s"] = round(self.clock.skew_us / 1e6, 3)
        return out
