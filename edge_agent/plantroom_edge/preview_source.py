"""Where a preview's values come from: the running agent, or the buses themselves where none runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Protocol, cast

from plantroom_edge import control_client
from plantroom_edge.buffer import Buffer
from plantroom_edge.config import AgentConfig
from plantroom_edge.control_client import Line, NotRunning
from plantroom_edge.crew import Register
from plantroom_edge.drivers import drivers
from plantroom_edge.sampler import Sampler
from plantroom_edge.sampling.engine import Sampling
from plantroom_edge.supervise import Supervisor
from plantroom_edge.values import Row, rows
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import SystemClock
from plantroom_shared.mapping import map_points
from plantroom_shared.model import Batch, Device, Point


class Source(Protocol):
    """Gives the newest values."""

    name: str
    """For a person."""

    def trouble(self) -> str:
        """Return what does not answer, for a person; empty if all does."""
        ...

    async def look(self) -> tuple[list[Row], int]:
        """Return the rows, and the microseconds since 1970 to which their age is reckoned.

        Raises:
            Unavailable: they cannot be had now.
        """
        ...

    def ready(self, found: list[Row]) -> bool:
        """Say whether all that there is has been asked once."""
        ...


class _Agent:
    """The running agent: no bus is asked anything more."""

    name = "from the running agent"

    def __init__(self, line: Line) -> None:
        self._line = line

    def trouble(self) -> str:
        return ""

    async def look(self) -> tuple[list[Row], int]:
        answer = await self._line.ask("values")
        return list(answer["rows"]), int(answer["now_us"])

    def ready(self, found: list[Row]) -> bool:
        return bool(found) and all(row["ts"] is not None for row in found)


class _Memory:
    """What a `Sampler` needs of a buffer, kept in memory: nothing is stored or sent."""

    def __init__(self) -> None:
        self._aliases: dict[str, int] = {}
        self._latest: dict[int, tuple[int, Any, tuple[int, str] | None]] = {}

    async def add_points(self, points: Sequence[Point], _devices: Sequence[Device]) -> list[int]:
        return [self._aliases.setdefault(point.key, len(self._aliases)) for point in points]

    def offer(self, batch: Batch) -> asyncio.Future[None]:
        for row, alias in enumerate(batch.points):
            self._latest[alias] = (batch.times[row], batch.values[row], batch.quality.get(row))
        promise: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        promise.set_result(None)
        return promise

    def latest(self) -> Batch:
        batch = Batch()
        for row, (alias, (ts, value, quality)) in enumerate(self._latest.items()):
            batch.points.append(alias)
            batch.times.append(ts)
            batch.values.append(value)
            if quality:
                batch.quality[row] = quality
        return batch


class _Buses:
    """The buses themselves: polled as the agent would, by the agent's own sampler."""

    name = "straight from the buses"

    def __init__(self, config: AgentConfig) -> None:
        self._clock, self._memory, self._register = SystemClock(), _Memory(), Register()
        self._supervisor = Supervisor()
        sampling = Sampling(config.sampling, self._clock)
        self._samplers = [
            Sampler(
                bus.name,
                partial(drivers.get(bus.driver).open, bus, self._clock),
                cast("Buffer", self._memory),  # it has the three methods that a sampler calls
                sinks=[self._register],
                supervisor=self._supervisor,
                clock=self._clock,
                sampling=sampling,
            )
            for bus in config.buses
        ]

    def trouble(self) -> str:
        missing = [f"no answer: {one}" for sampler in self._samplers for one in sampler.missing]
        tasks = self._supervisor.tasks.items()
        return "; ".join(
            [*missing, *(f"{name}: {task.error}" for name, task in tasks if task.failing)]
        )

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Poll while the context lasts."""
        tasks = [
            asyncio.create_task(self._supervisor.keep_running(f"bus {one.name}", one.run))
            for one in self._samplers
        ]
        try:
            yield
        finally:
            await ended(*tasks)

    async def look(self) -> tuple[list[Row], int]:
        return rows(self._samplers, self._register, self._memory.latest()), self._clock.now_us()

    def ready(self, found: list[Row]) -> bool:
        seen = {row["bus"] for row in found}
        failing = {name for name, task in self._supervisor.tasks.items() if task.failing}
        return all(
            one.name in seen or one.missing or f"bus {one.name}" in failing
            for one in self._samplers
        ) and all(row["ts"] is not None for row in found)


@contextlib.asynccontextmanager
async def source(config: AgentConfig) -> AsyncIterator[Source]:
    """Yield the running agent where there is one, else the opened buses."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            line = await stack.enter_async_context(control_client.connect(config))
        except NotRunning:
            buses = _Buses(config)
            await stack.enter_async_context(buses.opened())
            yield buses
        else:
            yield _Agent(line)


class Meanings:
    """Says which equipment each point belongs to, as far as the offline mapper knows."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._points: frozenset[str] = frozenset()

    def put(self, found: list[Row]) -> None:
        """Enter the equipment into rows; the mapper is asked when there are other points."""
        points = frozenset(row["point"] for row in found)
        if points != self._points:
            self._points = points
            self._known = _equipment(found)
        for row in found:
            row["equipment"] = self._known.get(row["point"], "")


def _equipment(found: list[Row]) -> dict[str, str]:
    names = {row["device"]: row["device_name"] for row in found}
    devices = [Device(key=key, name=name, protocol="") for key, name in names.items()]
    points = [
        Point(
            key=row["point"],
            device=row["device"],
            name=row["name"],
            unit=row["unit"],
            states=tuple(row["states"]),
            point_class=row["class"],
        )
        for row in found
    ]
    return {entry.point: entry.equipment for entry in map_points(points, devices)}
