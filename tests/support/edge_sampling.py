"""A sampler with its sampling on a table of values, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from plantroom_edge.drivers import Inventory, Poll, PollGroup
from plantroom_edge.hints import Hint
from plantroom_edge.sampler import Sampler
from plantroom_edge.sampling.config import SamplingConfig
from plantroom_edge.sampling.engine import Sampling, wanted_by
from plantroom_edge.supervise import Supervisor
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch, Device, Point, Value
from support.edge_time import VirtualTime

GONE = "the bus is gone"


class Table:
    """A driver that reads what the test has put there; one group per device."""

    def __init__(self, time: VirtualTime, points: list[Point], interval: float) -> None:
        self.time, self.points, self.interval = time, points, interval
        self.values: dict[str, Value] = {}
        self.flaws: dict[str, tuple[int, str]] = {}
        self.dead: set[str] = set()
        self.hung: set[str] = set()
        self.broken = False
        """No discovery works: the bus as a whole is gone, as soon as it is opened anew."""
        self.take = 0.0
        """Seconds that a time-out takes."""
        self.line = asyncio.Lock()
        """All devices share it: one request at a time."""
        self.reads: list[tuple[float, str]] = []
        self.missing: tuple[str, ...] = ()
        self.hints: dict[str, Hint] = {}

    async def discover(self) -> Inventory:
        if self.broken:
            raise Unavailable(GONE)
        keys = sorted({point.device for point in self.points})
        groups = []
        for key in keys:
            mine = tuple(point.key for point in self.points if point.device == key)
            groups.append(PollGroup(key, self.interval, mine))
        devices = tuple(Device(key=key, name=key, protocol="table") for key in keys)
        return Inventory(devices, tuple(self.points), tuple(groups), self.missing, hints=self.hints)

    async def read(self, group: PollGroup) -> Poll:
        async with self.line:
            self.reads.append((self.time.monotonic(), group.device))
            if group.device in self.hung:
                await asyncio.Event().wait()
            if group.device in self.dead:
                await self.time.sleep(self.take)
                return Poll.dead(self.time.now_us(), len(group.points), "timeout")
        quality = {
            row: self.flaws[key] for row, key in enumerate(group.points) if key in self.flaws
        }
        return Poll(self.time.now_us(), [self.values.get(key) for key in group.points], quality)

    async def close(self) -> None:
        pass


class Shelf:
    """Stands in for the buffer."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.keys: list[str] = []
        self.batches: list[Batch] = []
        self.full = False

    async def add_points(self, points: list[Point], _devices: object) -> list[int]:
        for point in points:
            if point not in self.points or self._alias(point.key) != self.points.index(point):
                self.keys.append(point.key)
                self.points.append(point)
        return [self._alias(point.key) for point in points]

    def _alias(self, key: str) -> int:
        """Return the alias that a point has now: one that has changed has a further one."""
        return len(self.keys) - 1 - self.keys[::-1].index(key)

    def offer(self, batch: Batch) -> asyncio.Future[None]:
        promise: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.full:
            promise.set_exception(Unavailable("the disk is full"))
        else:
            self.batches.append(batch)
            promise.set_result(None)
        return promise

    def rows(self, key: str) -> list[tuple[int, Value, str]]:
        """Return time, value and reason of the samples of a point."""
        return [
            (batch.times[i], batch.values[i], batch.quality.get(i, (0, ""))[1])
            for batch in self.batches
            for i, one in enumerate(batch.points)
            if self.keys[one] == key
        ]

    def units(self, key: str) -> list[str]:
        """Return the unit in which each sample of a point is to be understood."""
        aliases = (alias for batch in self.batches for alias in batch.points)
        return [self.points[alias].unit for alias in aliases if self.keys[alias] == key]


class Plant:
    """One bus with its sampler; `more` shares time, buffer and sampling with another."""

    def __init__(
        self,
        points: list[Point],
        config: dict[str, Any],
        *,
        interval: float = 1.0,
        detectors: list[Any] | None = None,
        counters: Path | None = None,
        more: Plant | None = None,
    ) -> None:
        self.time: VirtualTime = more.time if more else VirtualTime()
        self.shelf: Shelf = more.shelf if more else Shelf()
        self.table = Table(self.time, points, interval)
        self.sampling: Sampling = (
            more.sampling
            if more
            else Sampling(
                SamplingConfig.model_validate(config),
                self.time,
                wanted=wanted_by(detectors or []),
                counters_file=counters,
                sleep=self.time.sleep,
            )
        )
        self.supervisor = Supervisor(sleep=self.time.sleep)
        self.sampler = Sampler(
            "bus",
            lambda: self.table,
            self.shelf,  # type: ignore[arg-type] # stands in
            detectors=detectors or [],
            supervisor=self.supervisor,
            clock=self.time,
            sampling=self.sampling,
            sleep=self.time.sleep,
        )

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.supervisor.keep_running("bus", self.sampler.run))
        await self.time.advance(0.0)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
