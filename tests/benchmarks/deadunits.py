"""``bench deadunits``: what dead units behind one socket cost the units that are well.

Ten units of 100 registers, polled each second by the sampler, through a gateway that serves one
request at a time, as the serial line behind it does. Some units are dead from the start or die
under way; the gateway keeps the line waiting for them, or says after a while that they do not
answer. The figure is the share of the slots of the units that are well in which they were polled;
the baseline is the same of a site all of whose units are well.
"""

from __future__ import annotations

import asyncio
import struct
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from benchmarks.figures import Figure
from plantroom_edge.buffer import Buffer
from plantroom_edge.drivers.modbus import ModbusBus
from plantroom_edge.drivers.modbus.driver import ModbusDriver
from plantroom_edge.sampler import Sampler
from plantroom_edge.supervise import Supervisor
from plantroom_shared.clock import SystemClock
from plantroom_shared.model import Batch, Device, Point

UNITS = 10
REGISTERS = 100
TIMEOUT = 1.0
SERVE = 0.01
"""Seconds that the gateway takes for a request."""
GATEWAY_WAITS = 0.5
"""Seconds after which it says that a unit does not answer."""


@dataclass(slots=True)
class Gateway:
    """What the far end does."""

    dead: set[int] = field(default_factory=set)
    says_so: bool = False
    """It answers for a dead unit with exception 11 instead of not at all."""
    asked: Counter[int] = field(default_factory=Counter)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, a request at a time, until it ends."""
        try:
            while True:
                head = await reader.readexactly(12)
                tid, unit, function, _, count = struct.unpack(">H4xBBHH", head)
                self.asked[unit] += 1
                body = struct.pack(f">BBB{count}H", unit, function, 2 * count, *range(count))
                if unit in self.dead:
                    await asyncio.sleep(GATEWAY_WAITS)
                    body = bytes([unit, function | 0x80, 11]) if self.says_so else b""
                else:
                    await asyncio.sleep(SERVE)
                if body:
                    writer.write(struct.pack(">HHH", tid, 0, len(body)) + body)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()


class Counting:
    """Stands in for the buffer: counts the polls of each device that brought values."""

    def __init__(self) -> None:
        self.good: Counter[str] = Counter()
        self._points: list[Point] = []

    async def add_points(self, points: Sequence[Point], _: Sequence[Device]) -> list[int]:
        """Number the points."""
        self._points = list(points)
        return list(range(len(points)))

    def offer(self, batch: Batch) -> asyncio.Future[None]:
        """Count a poll."""
        if batch.points and not batch.quality:
            self.good[self._points[batch.points[0]].device] += 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def measure(seconds: float) -> dict[str, Figure]:
    """Return the figures of every case."""
    cases = {
        "1 of 10 dead": ({7}, False, 0.0),
        "1 of 10 dead, gateway says so": ({7}, True, 0.0),
        "1 of 10 dies": ({7}, False, 0.3),
        "5 of 10 dead": ({2, 4, 6, 8, 10}, False, 0.0),
        "5 of 10 dead, gateway says so": ({2, 4, 6, 8, 10}, True, 0.0),
        "5 of 10 die at once": ({2, 4, 6, 8, 10}, False, 0.3),
    }
    return asyncio.run(_measure(cases, seconds))


async def _measure(
    cases: dict[str, tuple[set[int], bool, float]], seconds: float
) -> dict[str, Figure]:
    with tempfile.TemporaryDirectory(prefix="plantroom-bench-") as folder:
        profile = Path(folder) / "bench" / "registers.yaml"
        profile.parent.mkdir()
        profile.write_text(yaml.safe_dump(_profile()))
        runs = [_run(Path(folder), seconds, set(), says_so=False, after=0.0)]
        runs += [
            _run(Path(folder), seconds, dead, says_so=says_so, after=after * seconds)
            for dead, says_so, after in cases.values()
        ]
        whole, *shares = await asyncio.gather(*runs)  # mostly they wait
    return {
        f"{name}: polls of the others": Figure(100 * share, "% of slots", 100 * whole)
        for name, share in zip(cases, shares, strict=True)
    }


def _profile() -> dict[str, Any]:
    registers = [
        {"id": f"r{at}", "name": f"Register {at}", "address": at} for at in range(REGISTERS)
    ]
    return {
        "profile": 1,
        "vendor": "Bench",
        "model": "Registers",
        "source": "tests/benchmarks/deadunits.py",
        "registers": registers,
    }


async def _run(
    folder: Path, seconds: float, dead: set[int], *, says_so: bool, after: float
) -> float:
    """Return the share of their slots in which the units that are well were polled."""
    gateway, counting = Gateway(says_so=says_so), Counting()
    if not after:
        gateway.dead = dead
    async with _serving(gateway) as port, _polling(port, folder, counting):
        await _until_first(counting)
        counting.good.clear()
        await asyncio.sleep(after)
        gateway.dead = dead
        await asyncio.sleep(seconds - after)
        well = [unit for unit in range(1, UNITS + 1) if unit not in dead]
        polls = sum(min(counting.good[f"modbus:unit-{unit}"], int(seconds)) for unit in well)
    return polls / (len(well) * int(seconds))


async def _until_first(counting: Counting) -> None:
    while not counting.good:
        await asyncio.sleep(0.01)


@asynccontextmanager
async def _serving(gateway: Gateway) -> AsyncIterator[int]:
    async with await asyncio.start_server(gateway.serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def _polling(port: int, folder: Path, counting: Counting) -> AsyncIterator[None]:
    devices = [
        {
            "name": f"unit-{unit}",
            "unit": unit,
            "profile": "bench/registers",
            "profile_dir": folder,
            "interval": 1.0,
        }
        for unit in range(1, UNITS + 1)
    ]
    bus = ModbusBus.model_validate(
        {"name": "m", "host": "127.0.0.1", "port": port, "timeout": TIMEOUT, "devices": devices}
    )
    sampler = Sampler(
        "m",
        lambda: ModbusDriver(bus, SystemClock()),
        cast("Buffer", counting),
        supervisor=Supervisor(),
        clock=SystemClock(),
    )
    task = asyncio.create_task(sampler.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
