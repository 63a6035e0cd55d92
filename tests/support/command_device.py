"""A Modbus TCP device as a process of its own that notes every write it sees: the independent ledger.

``python command_device.py PORT LEDGER REGISTERS UNITS``: so many holding registers from 0 in each of the
units from 1, all 1000 at first. The ledger has a line for each register of a write: time (the machine's
monotonic clock, microseconds), number, word; number is address + (unit - 1) * REGISTERS.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from pathlib import Path
from typing import Any

import yaml

FIRST = 1000
PROFILE = "test/ledger"


def write_profile(folder: Path, registers: int) -> Path:
    """Write the profile of a unit into `folder` and return the folder; points are ``r0``, ``r1`` ..."""
    file = folder / f"{PROFILE}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump({
        "profile": 1,
        "vendor": "Test",
        "model": "Ledger",
        "source": "command_device.py",
        "equip_class": "HVAC_Equipment",
        "registers": [
            {"id": f"r{at}", "name": f"R {at}", "address": at, "write": {"min": 0, "max": 65535}}
            for at in range(registers)
        ],
    }))  # fmt: skip
    return folder


def bus(
    name: str, port: int, profiles: Path, units: dict[str, int], interval: float
) -> dict[str, Any]:
    """Return the bus of the units of a device: name → unit id."""
    return {
        "name": name,
        "driver": "modbus",
        "host": "127.0.0.1",
        "port": port,
        "timeout": 5,
        "devices": [
            {"name": device, "unit": unit, "profile": PROFILE, "profile_dir": str(profiles),
             "interval": interval}
            for device, unit in units.items()
        ],
    }  # fmt: skip


class Device:
    """The registers, and what was written to them."""

    def __init__(self, ledger: Path, registers: int, units: int) -> None:
        self._ledger = ledger.open("a", buffering=1)
        self.registers = registers
        self.units = {unit: [FIRST] * registers for unit in range(1, units + 1)}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(7)
                transaction, _, length, unit = struct.unpack(">HHHB", head)
                pdu = await reader.readexactly(length - 1)
                reply = self._answer(unit, pdu)
                writer.write(struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, unit: int, pdu: bytes) -> bytes:
        code = pdu[0]
        held = self.units.get(unit)
        if held is None or code not in {3, 6, 16}:
            return bytes([code | 0x80, 11 if held is None else 1])
        first, count = struct.unpack(">HH", pdu[1:5])
        if code == 3:
            words = held[first : first + count]
            if len(words) != count:
                return bytes([code | 0x80, 2])
            return struct.pack(f">BB{count}H", code, 2 * count, *words)
        if code == 6:
            return pdu if self._write(unit, first, [count]) else bytes([code | 0x80, 2])
        written = self._write(unit, first, list(struct.unpack(f">{count}H", pdu[6:])))
        return pdu[:5] if written else bytes([code | 0x80, 2])

    def _write(self, unit: int, address: int, words: list[int]) -> bool:
        if address + len(words) > self.registers:
            return False
        for at, word in enumerate(words, address):
            self.units[unit][at] = word
            number = at + (unit - 1) * self.registers
            self._ledger.write(json.dumps([time.monotonic_ns() // 1000, number, word]) + "\n")
        return True


async def main(port: int, ledger: Path, registers: int, units: int) -> None:
    device = Device(ledger, registers, units)
    server = await asyncio.start_server(device.serve, "127.0.0.1", port)
    ledger.with_suffix(".ready").write_text("ready")
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
