"""Field-bus drivers: what a driver is, and the registry of them.

A driver is one module or package in this folder that registers a `DriverSpec` under the name that
stands behind ``driver:`` in the configuration. It reads; the sampler schedules, counts failures
and backs off; a driver never loops on retries, never sleeps and never logs a failed read.

What not every bus can do is a protocol of its own: `Writing`, `Judging`, `Telling`, `Notifying`; a
driver that has the methods has the capability.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from plantroom_edge.hints import Hint
from plantroom_shared.clock import Clock
from plantroom_shared.model import Device, Point, Quality, Value
from plantroom_shared.registry import Registry

ON_SITE: Final[dict[str, Any]] = {"on_site": True}
"""``json_schema_extra`` of a key that only the file on site may set, whatever the cloud wants: a port
of the machine, what acts on devices. What is a path is so without saying."""


class BusConfig(BaseModel):
    """What every bus has in the configuration; a driver adds its own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    """Names the bus in messages and metrics."""
    driver: str


class Gate(Protocol):
    """Says which rows of a poll are worth a sample; the sampler keeps one for each group."""

    needed: Sequence[int]
    """Rows whose values are used in every poll, reported or not: a detector's, a derived point's."""

    def changed(self, raws: Sequence[Value], bad: Mapping[int, tuple[int, str]]) -> Sequence[int]:
        """Return the rows to report, in order; what is returned counts as reported.

        Args:
            raws: one per row, as the device has it: before scaling, which then need not be done.
            bad: row → (`Quality`, reason), as far as it is known from the raw values.
        """
        ...


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
    steps: tuple[float, ...] = ()
    """What one raw unit of each point is worth in the point's unit; empty: raw values are values.

    A driver that tells them heeds `gate` in every poll of a device that answers. Where the worth of a
    raw value varies, or 0 of it is not 0 of the unit, it shows the gate the value, and its step is 1.
    """
    gate: Gate | None = None
    """Set by the sampler. A driver that heeds it fills `Poll.rows`; else the sampler asks it."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a bus has: devices, their points, what to poll, and what could not be reached."""

    devices: tuple[Device, ...] = ()
    points: tuple[Point, ...] = ()
    groups: tuple[PollGroup, ...] = ()
    missing: tuple[str, ...] = ()
    """Configured targets that did not answer, for a person; the sampler asks again later."""
    again: float = 0.0
    """Seconds after which to discover once more though nothing is missing; 0: no need."""
    hints: Mapping[str, Hint] = field(default_factory=dict)
    """By point key, what is known of how it moves; only points of which there is something to say."""


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
    rows: Sequence[int] | None = None
    """The rows worth a sample, where the driver has asked the gate.

    `values` of others are None, but for those that the gate needs; `quality` tells of all.
    """
    asked: bool = True
    """False if it is not `alive` only because the driver kept the line free for other devices."""

    @classmethod
    def dead(cls, ts: int, rows: int, reason: str, *, asked: bool = True) -> Poll:
        """Return a poll in which every row is bad for `reason`."""
        quality = {row: (int(Quality.BAD), reason) for row in range(rows)}
        return cls(ts, [None] * rows, quality, alive=False, asked=asked)


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


# ---------------------------------------------------------------- what not every driver can do


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write."""

    ok: bool
    """The device has confirmed it, and shows it."""
    reason: str = ""
    """Why not: ``exception-3``, ``timeout``, ``write-access-denied``, ``read-back`` ..."""
    reached: bool = True
    """False only if the device can not have seen the request; a time-out leaves it open."""
    shows: Value = None
    """The point's value, read back after the write."""


@runtime_checkable
class Writing(Protocol):
    """A driver that can write points."""

    async def held(self, point: str, priority: int | None) -> tuple[Value, str]:
        """Return what a release has to give back, and a reason where that cannot be read.

        On BACnet the content of the slot `priority` of the priority array (None: it is free), on
        Modbus the point's value.
        """
        ...

    async def write(
        self, point: str, value: Value, priority: int | None, *, back: bool = False
    ) -> Written:
        """Write `value`, in the point's unit, and read it back; never raises for the device.

        Args:
            point: key of a writable point that `discover` has returned.
            value: None relinquishes the slot `priority`, where the bus has that.
            priority: slot of the priority array, 1 to 16; None where the bus has none.
            back: it gives back what was there before: no limit counts then, whatever has changed
                since, only what the type can hold.
        """
        ...


@runtime_checkable
class Judging(Protocol):
    """A driver that knows what a point takes, without asking the device."""

    def unwritable(self, point: str, value: Value) -> str:
        """Return why `point` does not take `value`, in its unit; empty if it does, or nobody knows.

        By type, limits, step and states of the profile, and by what the device has said of itself.
        A driver that judges writes nothing that it calls unwritable, but what it gives back. What
        is there now is judged too, before another value replaces it: a value that could not be
        written anew must not be replaced. To relinquish a slot (None) is never refused.
        """
        ...


@runtime_checkable
class Notifying(Protocol):
    """A driver of which devices tell changes by themselves, between two reads."""

    async def notice(self) -> tuple[PollGroup, Poll]:
        """Wait for the next news; one caller at a time, who may cancel and call again.

        The poll has the shape of one of the group's reads; only its `rows` are worth a sample. The
        driver has asked the group's gate, where there is one. `read` returns the same values
        until there is other news, so that a caller who never listens only learns of it later.
        """
        ...


@dataclass(slots=True)
class DeviceFigures:
    """What the traffic with one device was like, since the bus was opened."""

    device: str
    requests: int = 0
    failures: int = 0
    """Requests without a usable answer."""
    latency_ms: float = 0.0
    """Moving average of the time from request to answer."""
    latency_max_ms: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    plan: tuple[str, ...] = ()
    """The requests of one round of polls, a line each, for a person."""
    advice: tuple[str, ...] = ()
    """What was learned of the device and what could be better, for a person."""


@runtime_checkable
class Telling(Protocol):
    """A driver that says how its devices fare."""

    def figures(self) -> Sequence[DeviceFigures]:
        """Return the figures of every device; cheap, asks nobody."""
        ...


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What to look for, and how gently."""

    targets: tuple[str, ...] = ()
    """Hosts, networks (``192.168.1.0/24``), serial ports; empty: whatever can be found by asking."""
    seconds: float = 60.0
    """When to end at the latest."""
    rate: float = 20.0
    """Requests a second at most, over all: a live bus must not be disturbed."""
    units: tuple[int, ...] = ()
    """Modbus unit ids to try; empty: the usual ones."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is."""

    done: int
    of: int
    now: str
    """What is being asked, for a person."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that a scan has found, ready to be added to the configuration."""

    bus: Mapping[str, Any]
    """Keys of the bus that reaches it, without ``name``; devices behind equal buses share one."""
    entry: Any
    """What the bus's ``devices`` must have for it."""
    device: Device
    points: tuple[Point, ...] = ()
    profile: str = ""
    """The profile that fits best, where the bus needs one."""
    confidence: float = 1.0
    """0 to 1: how sure that profile is."""
    evidence: tuple[str, ...] = ()
    """What speaks for it, a line each: ``model 103 at 40070``, ``holding 50 reads 'PM5560'``."""


Scan = Callable[[ScanRequest, Clock], AsyncIterator[Candidate | Progress]]


@dataclass(frozen=True, slots=True)
class DriverSpec:
    """How to configure and open a driver."""

    config: type[BusConfig]
    open: Callable[[Any, Clock], Driver]
    """Takes the bus's own `config` object; must not block: connections open on first use."""
    scan: Scan | None = None
    """Looks for devices that nobody has configured; absent where a bus cannot be asked."""


drivers: Registry[DriverSpec] = Registry("driver", "plantroom_edge.drivers")
