"""A Modbus TCP device as a process of its own that notes every write it sees: the independent ledger.

``python command_device.py PORT LEDGER REGISTERS``: holding registers from 0, all 1000 at first. The
ledger has a line for each write: time (the machine's monotonic clock, microseconds), address, word.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from pathlib import Path

FIRST = 1000


class Device:
    """The registers, and what was written to them."""

    def __init__(self, ledger: Path, registers: int) -> None:
        self._ledger = ledger.open("a", buffering=1)
        self.words = [FIRST] * registers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(7)
                transaction, _, length, unit = struct.unpack(">HHHB", head)
                pdu = await reader.readexactly(length - 1)
                reply = self._answer(pdu)
                writer.write(struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, pdu: bytes) -> bytes:
        code = pdu[0]
        if code == 3:
            first, count = struct.unpack(">HH", pdu[1:5])
            words = self.words[first : first + count]
            if len(words) != count:
                return bytes([code | 0x80, 2])
            return struct.pack(f">BB{count}H", code, 2 * count, *words)
        if code == 6:
            address, word = struct.unpack(">HH", pdu[1:5])
            return self._write(address, [word]) or pdu
        if code == 16:
            address, count = struct.unpack(">HH", pdu[1:5])
            words = list(struct.unpack(f">{count}H", pdu[6:]))
            return self._write(address, words) or struct.pack(">BHH", code, address, count)
        return bytes([code | 0x80, 1])

    def _write(self, address: int, words: list[int]) -> bytes:
        if address + len(words) > len(self.words):
            return bytes([0x86, 2])
        for at, word in enumerate(words, address):
            self.words[at] = word
            self._ledger.write(json.dumps([time.monotonic_ns() // 1000, at, word]) + "\n")
        return b""


async def main(port: int, ledger: Path, registers: int) -> None:
    device = Device(ledger, registers)
    server = await asyncio.start_server(device.serve, "127.0.0.1", port)
    ledger.with_suffix(".ready").write_text("ready")
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
