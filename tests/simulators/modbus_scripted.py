"""A Modbus TCP server without a library, whose every reply a test decides: right, wrong or none."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from support.modbus_image import Image, data_of, words_of

SPACES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


class Reset(Exception):
    """Raised by a script: reset the connection instead of an answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came."""

    tid: int
    unit: int
    function: int
    address: int
    count: int
    """Of a write to one place: what is written."""
    data: bytes = b""
    """What stands behind, in a write."""

    @property
    def space(self) -> str:
        """Which table it reads."""
        return SPACES[self.function]

    @property
    def addresses(self) -> range:
        """What it reads."""
        return range(self.address, self.address + self.count)

    def frame(self, pdu: bytes, *, tid: int | None = None, unit: int | None = None) -> bytes:
        """Return a reply with a right header, but for what is given."""
        tid, unit = self.tid if tid is None else tid, self.unit if unit is None else unit
        return struct.pack(">HHHB", tid, 0, len(pdu) + 1, unit) + pdu

    def refuse(self, code: int) -> bytes:
        """Return an exception reply."""
        return self.frame(bytes([self.function | 0x80, code]))

    def answer(self, image: Image) -> bytes:
        """Return the right reply of a device: exception 2 for an address that it has not."""
        words = words_of(image, self.space, self.address, self.count)
        if words is None:
            return self.refuse(2)
        return self.frame(bytes([self.function]) + data_of(self.space, words))


Script = Callable[[Request], bytes]
"""What to send for a request: nothing where it is empty."""


@dataclass(slots=True)
class Scripted:
    """The running server."""

    script: Script
    port: int = 0
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    serving: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    def asked(self) -> list[tuple[int, int]]:
        """Return address and count of every request since the last call."""
        asked = [(request.address, request.count) for request in self.requests]
        self.requests.clear()
        return asked

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving[task] = writer
        try:
            while True:
                head = await reader.readexactly(12)
                tid, length, unit, function, address, count = struct.unpack(">H2xHBBHH", head)
                data = await reader.readexactly(length - 6)
                request = Request(tid, unit, function, address, count, data)
                self.requests.append(request)
                writer.write(self.script(request))
                await writer.drain()
        except Reset:
            writer.transport.abort()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del self.serving[task]
            writer.close()


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Scripted]:
    """Serve on a free port of 127.0.0.1."""
    running = Scripted(script)
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        for writer in running.serving.values():
            writer.transport.abort()
        await asyncio.gather(*running.serving)
