"""A Modbus TCP device that tells the time: every four registers are the seconds since 1970, as float64.

What is read from it says when it was read, whoever hands it on. ``python clock_modbus.py NAME.ready``
writes its port there and serves until standard input closes.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from pathlib import Path

_HEADER = struct.Struct(">HHHBBHH")
WORDS = 4


class _Server(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            tid, _, _, unit, function, address, count = _HEADER.unpack_from(self._buffer)
            self._buffer = self._buffer[_HEADER.size :]
            first = 2 * (address % WORDS)
            clocks = struct.pack(">d", time.time()) * (count // WORDS + 2)
            body = struct.pack(">BBB", unit, function, 2 * count) + clocks[first:][: 2 * count]
            self._transport.write(struct.pack(">HHH", tid, 0, len(body)) + body)


async def main(ready: Path) -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Server, "127.0.0.1", 0)
    part = ready.with_suffix(".part")
    part.write_text(str(server.sockets[0].getsockname()[1]))
    part.replace(ready)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
