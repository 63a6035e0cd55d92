"""A field bus that does what a test tells it: the driver ``scripted``."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydantic import Field

from plantroom_edge.drivers import (
    BusConfig,
    Candidate,
    DriverSpec,
    Inventory,
    Poll,
    PollGroup,
    Progress,
    ScanRequest,
    drivers,
)
from plantroom_shared.clock import Clock
from plantroom_shared.model import Device, Point


class ScriptedBus(BusConfig):
    devices: int = Field(default=2, ge=1)
    points: int = Field(default=5, ge=1)
    interval: float = Field(default=0.05, gt=0)


@dataclass
class Script:
    """What the bus does, and what was asked of it."""

    dead: set[str] = field(default_factory=set)
    hung: set[str] = field(default_factory=set)
    broken: dict[str, BaseException] = field(default_factory=dict)
    """What reads of a device raise."""
    deaf: set[str] = field(default_factory=set)
    """Reads go on when they are cancelled, as in a library that swallows it."""
    spared: set[str] = field(default_factory=set)
    """Not asked, because the line is kept free for others."""
    missing: set[str] = field(default_factory=set)
    again: float = 0.0
    """When the driver wants to be asked once more though nothing is missing."""
    reads: Counter[str] = field(default_factory=Counter)
    at: list[tuple[str, float]] = field(default_factory=list)
    flying: Counter[str] = field(default_factory=Counter)
    most_flying: int = 0
    discoveries: int = 0
    closed: int = 0
    fail_discovery: int = 0
    endless_discovery: int = 0
    values: dict[str, list[object]] = field(default_factory=dict)
    take: float = 0.0


class ScriptedDriver:
    """Devices ``scripted:0`` ... with their points in `groups` groups each."""

    def __init__(self, config: ScriptedBus, clock: Clock, script: Script | None = None) -> None:
        self.config, self.clock, self.script = config, clock, script or Script()
        self.groups = 1
        self.sleep = asyncio.sleep

    async def discover(self) -> Inventory:
        script = self.script
        script.discoveries += 1
        if script.fail_discovery:
            script.fail_discovery -= 1
            msg = "the bus is not there"
            raise OSError(msg)
        if script.endless_discovery:
            script.endless_discovery -= 1
            await asyncio.Event().wait()
        names = [f"scripted:{i}" for i in range(self.config.devices)]
        here = [name for name in names if name not in script.missing]
        points = [
            Point(key=f"{name}:p{j}", device=name, name=f"p{j}")
            for name in here
            for j in range(self.config.points)
        ]
        size = -(-self.config.points // self.groups)
        groups = [
            PollGroup(name, self.config.interval, tuple(f"{name}:p{j}" for j in part))
            for name in here
            for start in range(0, self.config.points, size)
            if (part := range(start, min(start + size, self.config.points)))
        ]
        devices = [Device(key=name, name=name, protocol="scripted") for name in here]
        return Inventory(
            tuple(devices),
            tuple(points),
            tuple(groups),
            tuple(sorted(script.missing)),
            script.again,
        )

    async def read(self, group: PollGroup) -> Poll:
        script, name = self.script, group.device
        script.reads[name] += 1
        script.at.append((name, self.clock.monotonic()))
        script.flying[name] += 1
        script.most_flying = max(script.most_flying, script.flying[name])
        try:
            if name in script.deaf:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            if name in script.hung:
                await asyncio.Event().wait()
            if script.take:
                await self.sleep(script.take)
            if name in script.broken:
                raise script.broken[name]
        finally:
            script.flying[name] -= 1
        now = self.clock.now_us()
        if name in script.dead:
            asked = name not in script.spared
            return Poll.dead(now, len(group.points), "timeout", asked=asked)
        values = script.values.get(name)
        if values is None:
            values = [float(script.reads[name]) for _ in group.points]
        return Poll(now, list(values))  # type: ignore[arg-type] # tests hand in rubbish too

    async def close(self) -> None:
        self.script.closed += 1


SURE = Candidate(
    bus={"driver": "scripted", "points": 3, "devices": 2},
    entry=None,
    device=Device(
        key="scripted:0",
        name="scripted:0",
        protocol="scripted",
        address="bench",
        vendor="Test [b]works[/b]",
        model="Bench",
    ),
    points=(Point(key="scripted:0:p0", device="scripted:0", name="AHU-1.SAT"),),
    evidence=("it says so",),
)
UNSURE = Candidate(
    bus={"driver": "modbus", "host": "192.0.2.7", "port": 502},
    entry={"name": "meter", "unit": 3, "profile": "meter/eastron-sdm630"},
    device=Device(key="modbus:meter", name="meter", protocol="modbus", address="192.0.2.7, unit 3"),
    profile="meter/eastron-sdm630",
    confidence=0.3,
    evidence=("it answers",),
)
FINDS: list[Candidate | Progress | Exception | None] = []
"""What a scan tells, in order; None: it waits for ever. Empty: a device of each kind."""


async def scan(request: ScanRequest, clock: Clock) -> AsyncIterator[Candidate | Progress]:
    for item in [*FINDS] or [Progress(1, 2, "the bench"), SURE, SURE, Progress(2, 2, ""), UNSURE]:
        if item is None:
            await asyncio.Event().wait()
        elif isinstance(item, Exception):
            raise item
        else:
            yield item


SPEC = DriverSpec(ScriptedBus, ScriptedDriver, scan)


@contextmanager
def registered() -> Iterator[None]:
    """Make the driver known under ``scripted`` for a while: the suites over all drivers never see it."""
    drivers.register("scripted")(SPEC)
    try:
        yield
    finally:
        del drivers._items["scripted"]
