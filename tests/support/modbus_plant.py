"""Modbus TCP hosts for a scan to find: right, dead, silent, flooding; they count what they are asked."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from support.modbus_image import Image, data_of, words_of

_SPACES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


@dataclass
class Plant:
    """One host: what stands behind its port, and what it has been asked."""

    units: Mapping[int, Image] = field(default_factory=dict)
    identity: Mapping[int, bytes] = field(default_factory=dict)
    """Objects of the device identification, of every unit; none: the function is unknown."""
    any_unit: bool = False
    """It answers every unit id alike: with the first unit."""
    gateway: bool = True
    """A missing unit is told with exception 11; else nothing is said."""
    hangs_up: bool = False
    """It closes the connection on a function that it does not know."""
    flood: bytes = b""
    """What it sends without end as soon as it is asked for anything."""
    mute_after: int = 1_000_000
    """After so many requests it says nothing more."""
    late: int = 0
    """The number of the request that is answered only with the next one."""
    port: int = 0
    connections: int = 0
    open: int = 0
    pdus: list[tuple[int, bytes]] = field(default_factory=list)
    """Unit and request, as they came."""

    def reply(self, unit: int, pdu: bytes) -> bytes:
        """Return the answer to a request; nothing where there is none."""
        if self.any_unit:
            unit = next(iter(self.units))
        if unit not in self.units:
            return bytes([pdu[0] | 0x80, 11]) if self.gateway else b""
        if pdu[0] == 0x2B and self.identity:
            return self._identity(pdu)
        if pdu[0] not in _SPACES:
            return bytes([pdu[0] | 0x80, 1])
        space, (start, count) = _SPACES[pdu[0]], struct.unpack(">HH", pdu[1:5])
        words = words_of(self.units[unit], space, start, count)
        return bytes([pdu[0] | 0x80, 2]) if words is None else pdu[:1] + data_of(space, words)

    def _identity(self, pdu: bytes) -> bytes:
        basic = pdu[2] == 1
        shown = {key: text for key, text in self.identity.items() if (key < 3) == basic}
        level = 2 if any(key > 2 for key in self.identity) else 1
        head = bytes([0x2B, 0x0E, pdu[2], level, 0, 0, len(shown)])
        return head + b"".join(bytes([key, len(text)]) + text for key, text in shown.items())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        self.connections, self.open = self.connections + 1, self.open + 1
        held = b""
        try:
            while True:
                head = await reader.readexactly(7)
                tid, _, length, unit = struct.unpack(">HHHB", head)
                pdu = await reader.readexactly(length - 1)
                self.pdus.append((unit, pdu))
                if self.hangs_up and pdu[0] not in _SPACES:
                    return
                while self.flood:
                    writer.write(self.flood)
                    await writer.drain()
                if len(self.pdus) > self.mute_after:
                    continue
                answer = self.reply(unit, pdu)
                frame = struct.pack(">HHHB", tid, 0, len(answer) + 1, unit) + answer
                if len(self.pdus) == self.late:
                    held = frame
                elif answer:
                    writer.write(held + frame)
                    held = b""
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def standing(*plants: Plant) -> AsyncIterator[None]:
    """Let hosts listen on free ports of 127.0.0.1."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(plant: Plant) -> object:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(plant.serve(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        return connected

    servers = []
    for plant in plants:
        server = await asyncio.start_server(accept(plant), "127.0.0.1", 0)  # type: ignore[arg-type] # either form
        plant.port = server.sockets[0].getsockname()[1]
        servers.append(server)
    try:
        yield
    finally:
        for server in servers:
            server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
