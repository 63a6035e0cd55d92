"""One open connection: a request at a time, bytes out and a reply or a reason back."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from plantroom_edge.drivers.modbus.frames import Frames, Unfit, Wrong
from plantroom_edge.drivers.modbus.pdu import Ask, Fault


class Carrier(Protocol):
    """What takes bytes to the far end: asyncio's transports, `serial_port.SerialPort`."""

    def write(self, data: bytes) -> None:
        """Send, without waiting."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Link(asyncio.Protocol):
    """The near end of a connection.

    Args:
        frames: of nobody else at this time.
    """

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.heard_at = float("-inf")
        """Seconds by the loop's clock when something was last sent or received."""
        self.received = 0
        """Bytes since the connection was opened."""
        self._carrier: Carrier | None = None
        self._reply: asyncio.Future[bytes | Fault] | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def open(self) -> bool:
        """Whether requests can be sent."""
        return self._carrier is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the way out; asyncio calls it."""
        self.attach(cast("asyncio.Transport", transport))

    def attach(self, carrier: Carrier) -> None:
        """Take note of the way out."""
        self._carrier = carrier

    def connection_lost(self, _error: Exception | None) -> None:
        """Take note of the end; asyncio calls it."""
        self._end("disconnected")

    def data_received(self, data: bytes) -> None:
        """Take bytes; asyncio calls it."""
        if self._carrier is None:
            return
        self.heard_at = self._loop.time()
        self.received += len(data)
        try:
            reply = self.frames.take(data)
        except Unfit:
            self._end("bad-reply")
            return
        except Wrong:
            self._settle(Fault("bad-reply"))
            return
        if reply is not None:
            self._settle(reply)

    async def round(self, unit: int, ask: Ask, limit: float) -> bytes | Fault:
        """Send a request and return its reply, from the function code on.

        Args:
            unit: whom to ask.
            ask: what.
            limit: seconds to wait for the reply.
        """
        if self._carrier is None:
            return Fault("disconnected", sent=False)
        reply: asyncio.Future[bytes | Fault] = self._loop.create_future()
        self._reply = reply
        self._carrier.write(self.frames.ask(unit, ask))
        self.heard_at = self._loop.time()
        timer = self._loop.call_later(limit, self._late)
        try:
            return await reply
        except asyncio.CancelledError:
            self._late()
            raise
        finally:
            timer.cancel()
            self._reply = None

    def close(self) -> None:
        """Close the connection at once."""
        self._end("disconnected")

    def _late(self) -> None:
        reason, anew = self.frames.give_up()
        if anew:
            self._end(reason)
        else:
            self._settle(Fault(reason))

    def _end(self, reason: str) -> None:
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            carrier.abort()
        self._settle(Fault(reason))

    def _settle(self, reply: bytes | Fault) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)
