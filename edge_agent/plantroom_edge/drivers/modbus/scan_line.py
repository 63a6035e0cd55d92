"""How a scan asks: a request at a time to one host, never faster than it may, reads only.

The scan has a connection of its own kind: it also asks for the identification (function 43/14), is
opened once and never again, and waits for its turn before every request and every connect.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from plantroom_edge.drivers.modbus.pdu import Fault
from plantroom_shared.registers import BIT_SPACES, Space

FUNCTIONS: Final[Mapping[Space, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
IDENTIFY: Final = 0x2B
"""Read device identification is 43 with the type 14."""
STALE: Final = 3
"""Replies to earlier requests that may come before the right one; more is a flood."""
NAMES: Final = {0: "vendor", 1: "product", 2: "revision", 4: "name", 5: "model"}
"""Objects of the identification."""

GONE: Final = Fault("disconnected")


class TimeIsUp(Exception):
    """The scan's time is over: nothing more is asked."""


class Pace:
    """When the next request of a scan may go, over all hosts.

    Args:
        rate: requests a second.
        seconds: for which requests may be made.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, rate: float, seconds: float, now: Callable[[], float]) -> None:
        self.until = now() + seconds
        self.requests = 0
        self._gap, self._now, self._next = 1 / rate, now, now()

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.until - self._now())

    async def turn(self) -> None:
        """Wait until a request may be made; `TimeIsUp` if that is too late."""
        at = max(self._next, self._now())
        if at >= self.until:
            raise TimeIsUp
        self._next = at + self._gap
        self.requests += 1
        await asyncio.sleep(max(0.0, at - self._now()))


class Asker(Protocol):
    """What a scan asks the units behind one address with."""

    async def ask(self, unit: int, space: Space, start: int, count: int) -> bytes | Fault:
        """Return the data of one read, or why there is none."""
        ...

    async def identify(self, unit: int) -> dict[str, str]:
        """Return what the unit calls itself, by `NAMES`; empty where it does not say."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Line:
    """A TCP connection for a scan.

    Args:
        host: address.
        port: TCP port.
        pace: shared by all lines of the scan.
        timeout: seconds to wait for the connection, and for a reply.
    """

    def __init__(self, host: str, port: int, pace: Pace, timeout: float) -> None:
        self._where, self._pace, self._timeout = (host, port), pace, timeout
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._tid = 0
        self._identifies = True
        self._halfway = False
        """A reply has begun and not ended."""
        self.broken = ""
        """Why nothing more can be asked."""

    async def open(self) -> bool:
        """Connect, once; return whether somebody accepts."""
        await self._pace.turn()
        try:
            async with asyncio.timeout(min(self._timeout, self._pace.left)):
                # A flood waits in the system's buffer, not in ours.
                self._reader, self._writer = await asyncio.open_connection(*self._where, limit=512)
        except (OSError, UnicodeError):
            return False
        return True

    async def ask(self, unit: int, space: Space, start: int, count: int) -> bytes | Fault:
        """Return the data of one read, without its byte count."""
        function = FUNCTIONS[space]
        reply = await self._round(unit, struct.pack(">BHH", function, start, count))
        if isinstance(reply, Fault):
            return reply
        size = (count + 7) // 8 if space in BIT_SPACES else 2 * count
        if reply[0] == function and len(reply) == 2 + size and reply[1] == size:
            return reply[2:]
        return self._break("bad-reply")

    async def identify(self, unit: int) -> dict[str, str]:
        """Return vendor, product and revision, and the model where there is one."""
        if not self._identifies:
            return {}
        found, level = await self._identify(unit, 1, 0)
        if level & 0x7F >= 2:
            regular, _ = await self._identify(unit, 2, 4)
            found |= regular
        if self.broken:
            # Some devices hang up on a function that they do not know: never again, then.
            self._identifies, self.broken, self._halfway = False, "", False
            self.broken = "" if await self.open() else "disconnected"
        return found

    def close(self) -> None:
        """Close the socket; what the far end still sends is not waited for."""
        if self._writer is not None:
            self._writer.close()

    async def _identify(self, unit: int, code: int, first: int) -> tuple[dict[str, str], int]:
        reply = await self._round(unit, bytes([IDENTIFY, 0x0E, code, first]))
        if isinstance(reply, Fault) or reply[:2] != bytes([IDENTIFY, 0x0E]) or len(reply) < 7:
            return {}, 0
        return _objects(reply[7:], reply[6]), reply[3]

    async def _round(self, unit: int, pdu: bytes) -> bytes | Fault:
        if self._reader is None or self._writer is None or self.broken:
            return GONE
        await self._pace.turn()
        self._tid = self._tid % 0xFFFF + 1
        try:
            async with asyncio.timeout(min(self._timeout, self._pace.left)):
                self._writer.write(struct.pack(">HHHB", self._tid, 0, len(pdu) + 1, unit) + pdu)
                await self._writer.drain()
                return await self._reply(self._reader, unit, pdu[0])
        except TimeoutError:
            # Half a reply would be taken for the start of the next one.
            return self._break("timeout") if self._halfway else Fault("timeout")
        except (OSError, asyncio.IncompleteReadError):
            return self._break("disconnected")

    async def _reply(self, reader: asyncio.StreamReader, unit: int, function: int) -> bytes | Fault:
        for _ in range(STALE + 1):
            head = await reader.readexactly(7)
            self._halfway = True
            tid, protocol, length, who = struct.unpack(">HHHB", head)
            if protocol or not 3 <= length <= 254:
                return self._break("bad-reply")
            pdu = await reader.readexactly(length - 1)
            self._halfway = False
            if tid != self._tid:
                continue  # an answer that was given up on
            if who != unit or pdu[0] & 0x7F != function:
                return self._break("bad-reply")
            return Fault(f"exception-{pdu[1]}", pdu[1]) if pdu[0] & 0x80 else pdu
        return self._break("bad-reply")

    def _break(self, reason: str) -> Fault:
        self.broken = reason
        if self._writer is not None:
            self._writer.transport.abort()
        return Fault(reason)


def _objects(data: bytes, count: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for _ in range(count):
        if len(data) < 2 or len(data) < 2 + data[1]:
            break
        text = data[2 : 2 + data[1]].decode("utf-8", "replace")
        text = "".join(char for char in text if char.isprintable()).strip()
        if data[0] in NAMES and text:
            found[NAMES[data[0]]] = text[:200]
        data = data[2 + data[1] :]
    return found


class Reading(Protocol):
    """The part of a connection that a scan of a serial port needs."""

    async def ask(self, unit: int, space: Space, start: int, count: int) -> bytes | Fault:
        """Return the data of one read, or why there is none."""
        ...

    def close(self) -> None:
        """Close the port."""
        ...


class Paced:
    """A connection of a bus, for a scan: a serial port has no other way in."""

    def __init__(self, connection: Reading, pace: Pace) -> None:
        self._connection, self._pace = connection, pace

    async def ask(self, unit: int, space: Space, start: int, count: int) -> bytes | Fault:
        """Return the data of one read, or why there is none."""
        await self._pace.turn()
        return await self._connection.ask(unit, space, start, count)

    async def identify(self, _unit: int) -> dict[str, str]:
        """Return nothing: a connection reads registers only."""
        return {}

    def close(self) -> None:
        """Close the port."""
        self._connection.close()
