"""A Modbus TCP server that costs next to nothing: what is measured is the client.

Every holding register answers its address plus the number of the current second, so all values
move once a second. ``python raw_modbus.py NAME.ready`` writes its port there and serves until
standard input closes. Told to end, it writes to ``NAME.served`` how often each block of each unit was
answered: what was really offered, whatever anybody says of himself.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import sys
import time
from collections import Counter
from pathlib import Path

_HEADER = struct.Struct(">HHHBBHH")
_TOP = 0x7F00
"""Below what is no number as a float, or none at all by a sentinel."""
_served: Counter[tuple[int, int, int]] = Counter()
"""(unit, address, count of registers) → answers."""


class _Server(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            tid, _, _, unit, function, address, count = _HEADER.unpack_from(self._buffer)
            self._buffer = self._buffer[_HEADER.size :]
            _served[unit, address, count] += 1
            second = int(time.time())
            words = [(address + i + second) % _TOP for i in range(count)]
            body = struct.pack(f">BBB{count}H", unit, function, 2 * count, *words)
            self._transport.write(struct.pack(">HHH", tid, 0, len(body)) + body)


async def main(ready: Path) -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Server, "127.0.0.1", 0)
    part = ready.with_suffix(".part")
    part.write_text(str(server.sockets[0].getsockname()[1]))
    part.replace(ready)
    served = ready.with_suffix(".served")
    loop.add_signal_handler(signal.SIGTERM, _end, served)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


def _end(served: Path) -> None:
    served.write_text(json.dumps([[*key, count] for key, count in _served.items()]))
    os._exit(0)  # a thread still reads standard input


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
