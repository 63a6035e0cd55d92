"""Being a foreign device: registered with a BBMD in another network, and staying so.

Timers, no task: a lost datagram, a refusal or a BBMD that has restarted ends in another try.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from plantroom_edge.drivers.bacnet import bvlc
from plantroom_edge.drivers.bacnet.bvlc import Address, Result
from plantroom_shared.backoff import doubling

_LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries to register: a BBMD that was away is used again soon."""
_REFUSED_PAUSE: Final = 60.0
"""Seconds after a refusal: somebody has to change the BBMD's settings first."""


class Registration:
    """Our entry in the foreign device table of one BBMD.

    Args:
        bbmd: where it is.
        ttl: seconds for which the entry is asked for; it is renewed after half of them.
        timeout: seconds the BBMD has for an answer.
        send: sends a datagram.
    """

    def __init__(
        self, bbmd: Address, ttl: int, timeout: float, send: Callable[[bytes, Address], None]
    ) -> None:
        self.bbmd = bbmd
        self.trouble = "has not answered yet"
        """Why there is no entry now, for a person; empty while there is one."""
        self.registrations = 0
        """How often the BBMD has said yes."""
        self._ttl, self._timeout, self._send = ttl, timeout, send
        self._renew_after = ttl / 2
        self._unanswered = 0
        self._timer: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()

    def begin(self) -> None:
        """Ask for the entry, and again until there is one."""
        self._unanswered += 1
        if self._unanswered > 1:
            self.trouble = "does not answer; check `bbmd` and the way to it"
        pause = doubling(self._unanswered, first=self._timeout, most=_LONGEST_PAUSE)
        self._next(pause)
        self._send(bvlc.register(self._ttl), self.bbmd)

    def hear(self, result: Result) -> None:
        """The BBMD has answered a registration or a broadcast of ours."""
        if result.about_broadcast:
            if not self.trouble:  # it has restarted, and forgotten us
                self.trouble = "has lost the registration; it is asked again"
                self._settled.clear()
                self._unanswered = 0
                self.begin()
            return
        if self._unanswered == 0:
            return  # nothing was asked: a second answer, or an acknowledged broadcast
        self._unanswered = 0
        self.trouble = result.refusal
        self.registrations += not self.trouble
        self._settled.set()
        self._next(_REFUSED_PAUSE if self.trouble else self._renew_after)

    async def settled(self, seconds: float) -> None:
        """Wait until the BBMD has said yes or no, but no longer than `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """Try no more; the entry ends by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def _next(self, pause: float) -> None:
        self.close()
        self._timer = asyncio.get_running_loop().call_later(pause, self.begin)
