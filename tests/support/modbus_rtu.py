"""Serial lines for tests: pseudo-terminals with a device at the far end that does what it is told."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tty
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plantroom_edge.drivers.modbus import ModbusBus
from plantroom_edge.drivers.modbus.driver import ModbusDriver
from plantroom_shared.clock import SystemClock
from support.modbus_image import Image, data_of, words_of

_SIMULATORS = Path(__file__).parents[1] / "simulators"
_SPACES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


def checksum(data: bytes) -> bytes:
    """Return the CRC-16 of Modbus, bit by bit as the specification has it, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value, low = value >> 1, value & 1
            value ^= 0xA001 * low
    return bytes([value & 0xFF, value >> 8])


@dataclass(frozen=True, slots=True)
class Heard:
    """A request as it came."""

    unit: int
    pdu: bytes

    @property
    def start(self) -> int:
        """The first address."""
        return int.from_bytes(self.pdu[1:3], "big")

    @property
    def count(self) -> int:
        """How many registers or bits; of a write to one place, what is written."""
        return int.from_bytes(self.pdu[3:5], "big")

    def frame(self, pdu: bytes, unit: int | None = None) -> bytes:
        """Return a reply."""
        data = bytes([self.unit if unit is None else unit]) + pdu
        return data + checksum(data)

    def refuse(self, code: int) -> bytes:
        """Return an exception reply."""
        return self.frame(bytes([self.pdu[0] | 0x80, code]))

    def answer(self, image: Image) -> bytes:
        """Return the right reply to a read: exception 2 for an address that is not there."""
        space = _SPACES[self.pdu[0]]
        words = words_of(image, space, self.start, self.count)
        if words is None:
            return self.refuse(2)
        return self.frame(self.pdu[:1] + data_of(space, words))


Script = Callable[[Heard], bytes]


@dataclass(slots=True)
class Line:
    """A serial line; requests come whole, as one read."""

    script: Script
    path: str = ""
    echoes: bool = False
    heard: list[Heard] = field(default_factory=list)
    master: int = -1
    end: int = -1

    def serve(self) -> None:
        """Take one request and answer it."""
        data = os.read(self.master, 4096)
        if self.echoes:
            os.write(self.master, data)
        assert checksum(data[:-2]) == data[-2:]
        request = Heard(data[0], data[1:-2])
        self.heard.append(request)
        self.send(self.script(request))

    def send(self, data: bytes) -> None:
        """Say something, asked or not."""
        if data:
            os.write(self.master, data)

    def hang_up(self) -> None:
        """Take the adapter out."""
        asyncio.get_running_loop().remove_reader(self.master)
        os.close(self.master)
        self.master = -1


@asynccontextmanager
async def line(script: Script, *, echoes: bool = False) -> AsyncIterator[Line]:
    """Open a line with a scripted device."""
    loop = asyncio.get_running_loop()
    master, end = os.openpty()
    tty.setraw(end)
    os.set_blocking(master, False)
    running = Line(script, os.ttyname(end), echoes, master=master, end=end)
    loop.add_reader(master, running.serve)
    try:
        yield running
    finally:
        if running.master >= 0:
            running.hang_up()
        os.close(end)


@asynccontextmanager
async def serial_bus(
    path: str, *devices: dict[str, Any], **settings: Any
) -> AsyncIterator[ModbusDriver]:
    """Open a bus on a serial port and close it again."""
    keys = {"timeout": 2.0, "baud": 115200} | settings
    config = ModbusBus.model_validate(
        {"name": "field", "transport": "rtu", "serial": path, "devices": devices} | keys
    )
    driver = ModbusDriver(config, SystemClock())
    try:
        yield driver
    finally:
        await driver.close()


@asynccontextmanager
async def independent_line(units: Mapping[int, Image]) -> AsyncIterator[str]:
    """Serve units with modbus-tk, in a process of its own; yields the serial port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_SIMULATORS / "modbus_rtu_tk.py"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(units).encode() + b"\n")
    try:
        async with asyncio.timeout(20):
            path = await process.stdout.readline()
        yield path.decode().strip()
    finally:
        process.stdin.close()
        async with asyncio.timeout(20):
            await process.wait()
