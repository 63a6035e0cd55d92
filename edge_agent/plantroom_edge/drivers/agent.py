"""The gateway itself as a device: how the agent is, as points like any other.

It reads the status file that a running agent writes every second, and so needs nothing of the agent's
parts: what a person sees with ``plantroom-edge status`` is what becomes samples.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from plantroom_edge import status
from plantroom_edge.drivers import BusConfig, DriverSpec, Inventory, Poll, PollGroup, drivers
from plantroom_shared.clock import Clock
from plantroom_shared.model import Device, Point, Quality, Value

KEY: Final = "agent:self"
"""The gateway's key as a device; there is one in each gateway."""

_OLD: Final = 30.0
"""Seconds after which what the agent last said of itself says nothing of now."""
_UNKNOWN: Final = (int(Quality.BAD), "unknown")

Document = dict[str, Any]


class AgentBus(BusConfig):
    """The agent's own figures, read from its status file."""

    driver: Literal["agent"] = "agent"
    file: Path = Field(default=Path("data/status.json"), validate_default=True)
    """The status file: ``status.json`` in the folder `data`; relative to the configuration."""
    interval: float = Field(default=60.0, ge=1, le=86_400)
    """Seconds between two samples."""

    @field_validator("file")
    @classmethod
    def _from_folder(cls, value: Path, info: ValidationInfo) -> Path:
        return Path((info.context or {}).get("folder", ".")) / value


class _Figure(NamedTuple):
    """One point: what it is called and where its value stands in the status."""

    id: str
    name: str
    unit: str
    of: Callable[[Document], Any]
    always: bool = True
    """Whether every gateway has it; else only one that shows it."""


def _at(*path: str, scale: float = 1) -> Callable[[Document], Any]:
    """Return what reads the number at `path`; None where there is none."""

    def read(document: Document) -> Any:
        here: Any = document
        for key in path:
            here = here.get(key) if isinstance(here, dict) else None
        if isinstance(here, bool) or not isinstance(here, int | float):
            return here if isinstance(here, bool) else None
        return here if scale == 1 else here * scale

    return read


def _count(*path: str) -> Callable[[Document], Any]:
    """Return what reads the count at `path`; 0 where nothing was counted yet."""
    read = _at(*path)
    return lambda document: read(document) or 0


def _held(document: Document) -> int | None:
    held = document.get("buffer", {}).get("held")
    return sum(held.values()) if isinstance(held, dict) else None


def _oldest(document: Document) -> float | None:
    """Return the age of the oldest row that the cloud has not confirmed, seconds; 0 if all are."""
    buffer = document.get("buffer", {})
    if "oldest_us" not in buffer:
        return None
    oldest = buffer["oldest_us"]
    return 0.0 if oldest is None else round(max(0, document["at_us"] - oldest) / 1e6, 1)


def _failing(document: Document) -> int:
    return sum(bool(task.get("failing")) for task in document.get("tasks", {}).values())


_GATEWAY: Final = (
    _Figure("cpu", "Agent: processor", "%", _at("machine", "cpu_percent")),
    _Figure("memory", "Agent: memory", "MB", _at("machine", "resident_bytes", scale=1e-6)),
    _Figure("disk-writes", "Agent: written to disk", "MB", _at("machine", "written_bytes", scale=1e-6)),
    _Figure("temperature", "Gateway: temperature", "°C", _at("machine", "temperature_c"), always=False),
    _Figure("samples-per-second", "Agent: samples a second", "", _at("samples_per_second")),
    _Figure("restarts", "Agent: restarts of tasks", "", _count("counters", "restarts")),
    _Figure("tasks-failing", "Agent: tasks that fail", "", _failing),
    _Figure("safe-mode", "Agent: safe mode", "", _at("safe_mode")),
    _Figure("buffer-size", "Buffer: size on disk", "MB", _at("buffer", "disk_bytes", scale=1e-6)),
    _Figure("buffer-rows", "Buffer: rows not confirmed", "", _held),
    _Figure("buffer-autonomy", "Buffer: autonomy", "h", _at("autonomy_hours")),
    _Figure("sync-connected", "Sync: connected", "", _at("connected")),
    _Figure("sync-oldest", "Sync: age of the oldest row not confirmed", "s", _oldest),
    _Figure("clock-offset", "Clock: gateway minus cloud", "ms", _at("sync", "clock_skew_us", scale=1e-3)),
)  # fmt: skip

_BUS: Final = (
    _Figure("polls", "polls", "", _count("counters", "polls")),
    _Figure("overruns", "slots missed", "", _count("counters", "overruns")),
    _Figure("bad", "bad samples", "", _count("counters", "bad")),
    _Figure("suppressed", "values not worth a sample", "%", _at("suppressed_percent")),
    _Figure("latency-p50", "duration of a poll, median", "ms", _at("poll_ms", "p50")),
    _Figure("latency-p95", "duration of a poll, 95th percentile", "ms", _at("poll_ms", "p95")),
    _Figure("devices", "devices", "", lambda bus: len(bus.get("devices", {}))),
    _Figure(
        "devices-dead",
        "devices that do not answer",
        "",
        lambda bus: sum(not device.get("alive") for device in bus.get("devices", {}).values()),
    ),
)


class _Read(NamedTuple):
    """What a group reads: figures of the agent, or of one of its buses."""

    bus: str
    figures: Sequence[_Figure]

    def values(self, document: Document) -> list[Value]:
        part = document["buses"].get(self.bus, {}) if self.bus else document
        return [figure.of(part) for figure in self.figures]


class AgentDriver:
    """Reads the status file."""

    def __init__(self, config: AgentBus, clock: Clock) -> None:
        self._config, self._clock = config, clock

    async def discover(self) -> Inventory:
        """Return the agent's figures and those of each of its buses."""
        document = await self._document()
        if document is None:
            return Inventory(missing=(f"{self._config.file}: no running agent writes it",))
        points: list[Point] = []
        groups: list[PollGroup] = []
        for read in self._reads(document):
            here = [_point(read.bus, figure) for figure in read.figures]
            points += here
            keys = tuple(point.key for point in here)
            groups.append(PollGroup(KEY, self._config.interval, keys, read))
        device = Device(
            key=KEY,
            name=str(document.get("gateway", "")) or "gateway",
            protocol="agent",
            vendor="Plantroom",
            model="edge agent",
        )
        again = self._config.interval  # a bus may be added while the agent runs
        return Inventory((device,), tuple(points), tuple(groups), again=again)

    def _reads(self, document: Document) -> Iterator[_Read]:
        yield _Read("", [one for one in _GATEWAY if one.always or one.of(document) is not None])
        for bus in document["buses"]:
            if bus != self._config.name:
                yield _Read(bus, _BUS)

    async def read(self, group: PollGroup) -> Poll:
        """Read the figures as the agent last wrote them."""
        document, read = await self._document(), group.plan
        now = self._clock.now_us()
        if document is None:
            return Poll.dead(now, len(group.points), "stale")
        values = read.values(document)
        return Poll(now, values, {row: _UNKNOWN for row, one in enumerate(values) if one is None})

    async def _document(self) -> Document | None:
        """Return what a running agent says of itself; None where none has, in the last seconds."""
        document = await asyncio.to_thread(status.read, self._config.file)
        at, buses = document.get("at_us"), document.get("buses")
        if not isinstance(at, int) or not isinstance(buses, dict):
            return None
        age = abs(self._clock.now_us() - at) / 1e6
        return document if age < _OLD and status.is_running(document) else None

    async def close(self) -> None:
        """Nothing is held open."""


def _point(bus: str, figure: _Figure) -> Point:
    scope, name = f"{KEY}:{bus}" if bus else KEY, figure.name
    return Point(
        key=f"{scope}:{figure.id}",
        device=KEY,
        name=f"Bus {bus}: {name}" if bus else name,
        unit=figure.unit,
        object_type="figure",
        writable=False,
    )


drivers.register("agent")(DriverSpec(AgentBus, AgentDriver))
