"""An opened Modbus driver, and what its polls say by point."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plantroom_edge.drivers import Poll, PollGroup
from plantroom_edge.drivers.modbus import ModbusBus
from plantroom_edge.drivers.modbus.driver import ModbusDriver
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.model import Value
from support.modbus_image import Image

_SIMULATORS = Path(__file__).parents[1] / "simulators"


class SteppedClock(SystemClock):
    """Monotonic time moves only when a test says so."""

    seconds = 1000.0

    def monotonic(self) -> float:
        """Return the seconds that were set."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class Shown:
    """What reading groups gave, by the id behind the device's name."""

    values: dict[str, Value]
    reasons: dict[str, str]
    """Of the values that are not good."""
    alive: bool

    @property
    def good(self) -> dict[str, Value]:
        """The values that are good."""
        return {one: value for one, value in self.values.items() if one not in self.reasons}


@asynccontextmanager
async def bus(
    port: int, *devices: dict[str, Any], clock: Clock | None = None, **settings: Any
) -> AsyncIterator[ModbusDriver]:
    """Open a bus on 127.0.0.1 and close it again."""
    settings = {"timeout": 2.0} | settings
    config = ModbusBus(
        name="field", driver="modbus", host="127.0.0.1", port=port, devices=devices, **settings
    )
    driver = ModbusDriver(config, clock or SystemClock())
    try:
        yield driver
    finally:
        await driver.close()


async def read(driver: ModbusDriver, groups: Iterable[PollGroup]) -> Shown:
    """Read groups, one after the other."""
    values: dict[str, Value] = {}
    reasons: dict[str, str] = {}
    alive = True
    for group in groups:
        poll: Poll = await driver.read(group)
        ids = [key.split(":", 2)[2] for key in group.points]
        assert len(poll.values) == len(ids)
        values |= dict(zip(ids, poll.values, strict=True))
        reasons |= {ids[row]: reason for row, (_, reason) in poll.quality.items()}
        alive = alive and poll.alive
    return Shown(values, reasons, alive)


async def groups_of(driver: ModbusDriver, name: str) -> list[PollGroup]:
    """Return the poll groups of one device."""
    inventory = await driver.discover()
    return [group for group in inventory.groups if group.device == f"modbus:{name}"]


def write_profile(folder: Path, registers: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Write a profile of a test's own; return the keys of a device that has it."""
    profile = {"profile": 1, "vendor": "Test", "model": "Bench", "source": "this test"} | more
    path = folder / "test" / "bench.yaml"
    path.parent.mkdir(exist_ok=True)
    named = [{"name": register["id"]} | register for register in registers]
    path.write_text(json.dumps(profile | {"registers": named}))
    return {"name": "bench", "unit": 1, "profile": "test/bench", "profile_dir": folder}


@asynccontextmanager
async def independent(image: Image) -> AsyncIterator[int]:
    """Serve a device with pyModbusTCP, in a process of its own; yields the port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_SIMULATORS / "modbus_pymodbustcp.py"),
        json.dumps(image),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()
