"""The buses and detectors at work, and how they change while everything else goes on.

Only what differs is stopped and started. The buffer, its epoch and the way to the cloud know
nothing of it: a bus that comes back finds its points under the aliases that they had.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from plantroom_edge.config import AgentConfig, load
from plantroom_edge.detectors import Detector, DetectorConfig, Emit, detectors
from plantroom_edge.drivers import BusConfig, Driver, drivers
from plantroom_edge.reconfigure import ASK_FROM, Plan, compare, removed_devices
from plantroom_edge.sampler import Sampler
from plantroom_edge.starts import Starts
from plantroom_edge.vitals import Vitals
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import Clock
from plantroom_shared.errors import PlantroomError, Rejected, Unavailable
from plantroom_shared.model import Batch, Device, Point

log = logging.getLogger(__name__)

Opener = Callable[[], Driver]


class Shown(NamedTuple):
    """What a person is shown of a point, beside its key."""

    name: str
    unit: str
    states: tuple[str, ...]
    point_class: str
    object_type: str


class Register:
    """A sink that only takes note of what there is: points by alias, devices by key.

    Of a point it keeps its key and what it shows, which points of one model share: ten thousand
    `Point` objects would be twelve megabytes.
    """

    def __init__(self) -> None:
        self._keys: list[str] = []  # by alias, as is what each shows
        self._shown: list[Shown | None] = []
        self._alike: dict[Shown, Shown] = {}
        self.devices: dict[str, Device] = {}

    def describe(
        self, points: Sequence[Point], aliases: Sequence[int], devices: Sequence[Device]
    ) -> None:
        """Take note of points and devices."""
        for alias, it in zip(aliases, points, strict=True):
            shown = Shown(it.name, it.unit, it.states, it.point_class, it.object_type)
            lack = alias + 1 - len(self._keys)
            self._keys.extend("" for _ in range(lack))
            self._shown.extend(None for _ in range(lack))
            self._keys[alias], self._shown[alias] = it.key, self._alike.setdefault(shown, shown)
        self.devices.update((device.key, device) for device in devices)

    def point(self, alias: int) -> tuple[str, Shown] | None:
        """Return key of a point and what it shows; None where nobody has told."""
        shown = self._shown[alias] if alias < len(self._shown) else None
        return None if shown is None else (self._keys[alias], shown)

    def feed(self, batch: Batch) -> None:
        """Leave samples alone: the buffer knows the newest ones."""

    async def run(self) -> None:
        """Have nothing to deliver."""

    def status(self) -> dict[str, Any]:
        """Return how many points are known."""
        return {"connected": True, "points": len(self._shown) - self._shown.count(None)}


class Crew:
    """Runs a sampler for each bus and a task for each detector.

    Args:
        vitals: the agent's parts; its lists are kept up to date.
        record: of the starts, to which a new configuration is told.
        sampler: makes one from a bus's name and what opens its driver.
        emit: takes what detectors find.
    """

    def __init__(
        self,
        vitals: Vitals,
        record: Starts,
        *,
        sampler: Callable[[str, Opener], Sampler],
        emit: Emit,
    ) -> None:
        self._vitals, self._record = vitals, record
        self._make, self._emit = sampler, emit
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changing = asyncio.Lock()

    @property
    def config(self) -> AgentConfig:
        """The configuration that runs."""
        return self._vitals.config

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start what is configured; the tasks belong to `group`."""
        self._group = group
        for bus in self.config.buses:
            self._start_bus(group, bus)
        for name, detector in self._vitals.detectors.items():
            self._keep(group, f"detector {name}", partial(detector.run, self._emit))
        self._vitals.watching[:] = self._vitals.detectors.values()

    async def stop(self) -> None:
        """Stop everything; returns when it has ended, and nothing can be applied any more."""
        async with self._changing:
            self._group = None
            await ended(*self._tasks.values())

    # ------------------------------------------------------------ another configuration

    def plan(self, new: AgentConfig) -> tuple[Plan, int, int]:
        """Return what `new` would change, how many points that loses, and how many there are."""
        plan = compare(self.config, new)
        lost = removed_devices(plan)
        there = {
            (sampler.name, key): sum(len(group.aliases) for group in device.groups)
            for sampler in self._vitals.samplers
            for key, device in sampler.devices.items()
        }
        dropped = sum(
            points
            for (bus, key), points in there.items()
            if bus in lost and (not lost[bus] or key.partition(":")[2] in lost[bus])
        )
        return plan, dropped, sum(there.values())

    async def apply(self, new: AgentConfig, *, force: bool = False) -> Plan:
        """Go over to `new`: all of it, or nothing.

        Args:
            new: what is to run.
            force: also if a fifth of the points goes away.

        Raises:
            ConfigError: something in it cannot be used.
            Rejected: it needs a new start (``restart``), or a word from a person (``confirm``).
        """
        async with self._changing:
            if self._group is None:
                msg = "the agent is stopping"
                raise Unavailable(msg)
            plan, dropped, of = self.plan(new)
            _refuse(plan, dropped, of, force=force)
            if plan.unchanged:
                self._vitals.buffer.audit("config.unchanged", config=plan.after)
                return plan
            watching = await self._prepare(new, plan)
            await self._stop_parts(plan)
            self._vitals.config = new
            self._start_parts(self._group, plan, watching)
            self._record.adopt(plan.after)
            words = [str(change) for change in plan.changes]
            self._vitals.buffer.audit(
                "config.applied",
                before=plan.before,
                now=plan.after,
                changes=[word[:200] for word in words[:20]],
                count=len(words),
            )
            log.info("a new configuration is applied", extra={"changes": "; ".join(words[:10])})
            return plan

    async def reload(self, file: Path) -> None:
        """Apply the file as it is now (SIGHUP); whatever is wrong with it changes nothing."""
        try:
            new = await asyncio.to_thread(load, file)
            plan = await self.apply(new)
        except PlantroomError as error:
            log.error("the configuration is not applied", extra={"error": str(error)})  # noqa: TRY400 -- said, not traced
        else:
            if plan.unchanged:
                log.info("the configuration is the one that runs")

    async def _prepare(self, new: AgentConfig, plan: Plan) -> dict[str, Detector]:
        """Open what is new as far as that disturbs nobody: what cannot be used is told before.

        Drivers connect on first use: opening one and closing it touches no bus.
        """
        for bus in new.buses:
            if bus.name in plan.start:
                await drivers.get(bus.driver).open(bus, self._vitals.clock).close()
        if self._vitals.safe_mode:
            return {}
        wanted = [one for one in new.detectors if one.name in plan.watch]
        return open_detectors(wanted, new, self._vitals.clock)

    async def _stop_parts(self, plan: Plan) -> None:
        names = [f"bus {name}" for name in plan.stop]
        names += [f"detector {name}" for name in plan.unwatch]
        await ended(*(task for name in names if (task := self._tasks.pop(name, None))))
        vitals = self._vitals
        for sampler in vitals.samplers:
            if sampler.name in plan.stop:
                vitals.gone.update(sampler.counters)
                names += [f"{sampler.name}/{device}" for device in sampler.devices]
        vitals.samplers = [one for one in vitals.samplers if one.name not in plan.stop]
        for name in names:
            vitals.supervisor.tasks.pop(name, None)

    def _start_parts(
        self, group: asyncio.TaskGroup, plan: Plan, watching: dict[str, Detector]
    ) -> None:
        vitals = self._vitals
        left = {key: one for key, one in vitals.detectors.items() if key not in plan.unwatch}
        vitals.detectors = left | watching
        vitals.watching[:] = vitals.detectors.values()
        for bus in self.config.buses:
            if bus.name in plan.start:
                self._start_bus(group, bus)
        for name, detector in watching.items():
            self._keep(group, f"detector {name}", partial(detector.run, self._emit))

    # ------------------------------------------------------------ starting

    def _start_bus(self, group: asyncio.TaskGroup, bus: BusConfig) -> None:
        opener = partial(drivers.get(bus.driver).open, bus, self._vitals.clock)
        sampler = self._make(bus.name, opener)
        self._vitals.samplers = [*self._vitals.samplers, sampler]
        self._keep(group, f"bus {bus.name}", sampler.run)

    def _keep(
        self, group: asyncio.TaskGroup, name: str, run: Callable[[], Awaitable[None]]
    ) -> None:
        keep = self._vitals.supervisor.keep_running(name, run)
        self._tasks[name] = group.create_task(keep, name=name)


def _refuse(plan: Plan, dropped: int, of: int, *, force: bool) -> None:
    if plan.refused:
        words = "; ".join(f"`{key}`: {instead}" for key, instead in plan.refused)
        msg = f"this cannot change while the agent runs: {words}"
        raise Rejected(msg, reason="restart")
    if dropped and dropped >= ASK_FROM * of and not force:
        msg = f"{dropped} of {of} points would go away; confirm it with --yes"
        raise Rejected(msg, reason="confirm")


def open_detectors(
    wanted: Sequence[DetectorConfig], config: AgentConfig, clock: Clock
) -> dict[str, Detector]:
    """Return opened detectors by name; ConfigError where one cannot be used."""
    folder = config.data / "detectors"
    if wanted:
        folder.mkdir(parents=True, exist_ok=True)
    return {
        entry.name: detectors.get(entry.detector).open(entry, clock, folder) for entry in wanted
    }
