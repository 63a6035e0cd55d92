"""Field-bus drivers: what a driver is, and the registry of them.

A driver is one module or package in this folder that registers a `DriverSpec` under the name that
stands behind ``driver:`` in the configuration. It reads; the sampler schedules, counts failures
and backs off; a driver never loops on retries, never sleeps and never logs a failed read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from plantroom_shared.clock import Clock
from plantroom_shared.model import Device, Point, Quality, Value
from plantroom_shared.registry import Registry


class BusConfig(BaseModel):
    """What every bus has in the configuration; a driver adds its own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    """Names the bus in messages and metrics."""
    driver: str


@dataclass(frozen=True, slots=True)
class PollGroup:
    """Points of one device that are read together, at one interval."""

    device: str
    """Device key."""
    interval: float
    """Seconds."""
    points: tuple[str, ...]
    """Point keys; `Poll.values` come in this order."""
    plan: Any = None
    """The driver's own compiled requests."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a bus has: devices, their points, what to poll, and what could not be reached."""

    devices: tuple[Device, ...] = ()
    points: tuple[Point, ...] = ()
    groups: tuple[PollGroup, ...] = ()
    missing: tuple[str, ...] = ()
    """Configured targets that did not answer, for a person; the sampler asks again later."""


@dataclass(slots=True)
class Poll:
    """One read of a group: a row for every point of it, in its order, good or bad."""

    ts: int
    """Microseconds since 1970-01-01 UTC, the middle of the read."""
    values: list[Value]
    quality: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Row → (`Quality`, reason); a row that is not here is good."""
    alive: bool = True
    """False if the device gave no answer at all: the sampler then backs off."""

    @classmethod
    def dead(cls, ts: int, rows: int, reason: str) -> Poll:
        """Return a poll in which every row is bad for `reason`."""
        quality = {row: (int(Quality.BAD), reason) for row in range(rows)}
        return cls(ts, [None] * rows, quality, alive=False)


class Driver(Protocol):
    """One bus, opened."""

    async def discover(self) -> Inventory:
        """Return all that the bus has now; called at start, and again while something is missing.

        Keys are the same on every call. A device that does not answer is in `missing`.
        """
        ...

    async def read(self, group: PollGroup) -> Poll:
        """Read every point of `group` once; device trouble is bad rows, never an exception.

        Calls for different groups may overlap; the driver keeps one request in flight per device.
        """
        ...

    async def close(self) -> None:
        """Release sockets; no method is called after it."""
        ...


@dataclass(frozen=True, slots=True)
class DriverSpec:
    """How to configure and open a driver."""

    config: type[BusConfig]
    open: Callable[[Any, Clock], Driver]
    """Takes the bus's own `config` object; must not block: connections open on first use."""


drivers: Registry[DriverSpec] = Registry("driver", "plantroom_edge.drivers")
