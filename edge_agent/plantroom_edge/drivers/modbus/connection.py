"""The way to the units of a bus: a request at a time, and nothing believed that does not fit it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from plantroom_edge.drivers.modbus import pdu
from plantroom_edge.drivers.modbus.link import Link
from plantroom_edge.drivers.modbus.patience import Patience
from plantroom_edge.drivers.modbus.pdu import Ask, Fault
from plantroom_edge.drivers.modbus.wires import Wire
from plantroom_edge.turns import Turn
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.registers import Space

BABBLE: Final = 0.2
"""Seconds to wait for a line to fall silent; who babbles on is talked over."""
MUTE: Final = 3
"""Requests in a row, to whomever, without a byte in return, after which to connect anew.

A firewall that has forgotten a connection, or an adapter that hangs, says nothing of it.
"""
STALE: Final = 2.0
"""Seconds without a byte after which a connection may be gone without a word.

What is then lost with it is asked once more, over a new one.
"""
_FRAME: Final = 4
"""Bytes around a request or reply on a serial line: unit, checksum, and one for good measure."""

Asking = Callable[[int, Ask], Awaitable[bytes | Fault]]
"""Unit and request → the reply from the function code on, or why there is none."""


class Connection:
    """A connection that opens on the first request, and again on the next one after it was lost.

    Args:
        wire: what it runs over.
        timeout: seconds to wait for the connection, and for a reply.
        pause: seconds between an answer and the next request.
        clock: by whose monotonic time the share of dead units is counted.
    """

    def __init__(
        self, wire: Wire, timeout: float, *, pause: float = 0.0, clock: Clock | None = None
    ) -> None:
        self.wire = wire
        self.patience = Patience(timeout)
        self.trouble = ""
        """Why the last attempt to connect failed, in the system's words."""
        self._timeout, self._pause = timeout, max(pause, wire.silence)
        self._clock = clock or SystemClock()
        self._frames = wire.frames()
        self._link: Link | None = None
        self._turn = Turn()
        self._refused_at = float("-inf")
        self._mute = 0
        self._last: int | None = None
        """Who was asked last: to whom it is put down when the connection is of no use any more."""
        self._users: set[int] = set()
        """Who was asked over this connection."""
        self._closed = False

    async def ask(self, unit: int, space: Space, start: int, count: int) -> bytes | Fault:
        """Return the data of one read, without its byte count; never raises for the far end.

        Args:
            unit: unit id, 0-255.
            space: which of the four tables.
            start: protocol address of the first register or coil.
            count: how many of them; the caller compares the length of the data.
        """
        asked_at = asyncio.get_running_loop().time()
        async with self._turn:
            limit = self.patience.limit(unit, self._clock.monotonic())
            if limit is None:
                return Fault(self.patience.record(unit).reason, sent=False, asked=False)
            reply = await self._exchange(unit, pdu.read(space, start, count), limit, asked_at)
        return reply if isinstance(reply, Fault) else reply[2:]

    @asynccontextmanager
    async def urgent(self) -> AsyncIterator[Asking]:
        """Have the line before all polls, for several requests in a row."""
        asked_at = asyncio.get_running_loop().time()

        async def ask(unit: int, request: Ask) -> bytes | Fault:
            limit = self._timeout + self.patience.backlog(self._clock.monotonic())
            return await self._exchange(unit, request, limit, asked_at)

        async with self._turn.urgently():
            yield ask

    def close(self) -> None:
        """Close the socket or the port for good."""
        self._closed = True
        if self._link is not None:
            self._link.close()

    async def _exchange(self, unit: int, ask: Ask, limit: float, asked_at: float) -> bytes | Fault:
        """Return the reply to a request; the line must be the caller's."""
        link = await self._open(asked_at)
        if link is None:
            self.patience.record(unit).lost += 1
            return Fault("unreachable", sent=False)
        while (marker := link.frames.marker(unit, ask)) is not None:
            reply = self._note(link, unit, *await self._round(link, unit, marker, limit))
            if isinstance(reply, Fault) and reply.silent:
                return Fault(reply.reason, reply.code, sent=False)
        doubtful = self._doubtful(link, unit, ask)
        reply, took = await self._round(link, unit, ask, limit)
        if doubtful and _spoilt(link, reply, in_time=took < limit):
            self.patience.record(unit).lost += 1
            self._blame(took)
            again = await self._open(asked_at)
            if again is not None:
                link = again
                reply, took = await self._round(link, unit, ask, limit)
        return self._note(link, unit, reply, took)

    def _doubtful(self, link: Link, unit: int, ask: Ask) -> bool:
        """Return whether rubbish, or the end of the connection, may be nobody's or another's doing.

        Then the request is made once more, and only that counts. Who has just failed is asked once.
        """
        idle = asyncio.get_running_loop().time() - link.heard_at
        shared = bool(self._users - {unit}) and not self.patience.record(unit).failures
        return ask.reads and (shared or STALE < idle < math.inf)

    def _blame(self, took: float) -> None:
        """Put seconds down to who was asked last: before that, all was well."""
        if self._last is not None:
            self.patience.charge(self._last, took, self._clock.monotonic())

    async def _round(
        self, link: Link, unit: int, ask: Ask, limit: float
    ) -> tuple[bytes | Fault, float]:
        """Return the reply to a request, and the seconds that it took."""
        await self._hush(link)
        limit += self.wire.seconds(len(ask.pdu) + ask.size + 2 * _FRAME)
        record, before, started = self.patience.record(unit), link.received, self._clock.monotonic()
        self._users.add(unit)
        reply = await link.round(unit, ask, limit)
        record.requests += 1
        record.sent += len(ask.pdu) + _FRAME
        record.received += link.received - before
        self._mute = self._mute + 1 if link.received == before else 0
        if isinstance(reply, bytes):
            reply = pdu.refusal(reply) or reply
        timed_out = isinstance(reply, Fault) and reply.reason == "timeout"
        return reply, limit if timed_out else self._clock.monotonic() - started

    def _note(self, link: Link, unit: int, reply: bytes | Fault, took: float) -> bytes | Fault:
        """Keep in mind what the reply says of its unit; return it."""
        if self._mute >= MUTE:
            self._mute = 0
            link.close()
        self._last, now = unit, self._clock.monotonic()
        if isinstance(reply, Fault) and reply.silent:
            self.patience.failure(unit, took, reply.reason, now)
        else:
            self.patience.answer(unit, took, now)
        return reply

    async def _hush(self, link: Link) -> None:
        """Wait until the line has been silent for long enough."""
        if not self._pause:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + BABBLE + self._pause
        while (rest := min(link.heard_at + self._pause, until) - loop.time()) > 0:  # noqa: ASYNC110 -- silence is no event
            await asyncio.sleep(rest)

    async def _open(self, asked_at: float) -> Link | None:
        if self._link is not None and self._link.open:
            if self._link.frames.in_step():
                return self._link
            self._link.close()
        # Who waited while a connect failed shares its outcome instead of waiting once more.
        if self._closed or self._refused_at >= asked_at:
            return None
        self._frames.restart()
        link, began = Link(self._frames), self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                await self.wire.open(link)
        except OSError as error:
            link.close()
            self.trouble = _words(error)
            self._refused_at = asyncio.get_running_loop().time()
            return None
        self._link = link
        self._users.clear()
        self._blame(self._clock.monotonic() - began)
        return link


def _spoilt(link: Link, reply: bytes | Fault, *, in_time: bool) -> bool:
    """Return whether there is no reply because of what else was in the stream, or its end."""
    if not isinstance(reply, Fault) or not reply.silent:
        return False
    return not link.open or (in_time and reply.reason == "bad-reply")


def _words(error: OSError) -> str:
    """Return why a connection cannot be had, without what changes from try to try."""
    if isinstance(error, TimeoutError):
        return "no connection within the time-out"
    return error.strerror or str(error)
