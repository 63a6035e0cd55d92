"""Polling: from a driver's point groups to accepted samples, on time and one device at a time.

Each group of points has a task of its own and a place in the second that is its own; a device that
hangs, fails or lies costs nobody but itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from plantroom_edge.breaker import Breaker, Change
from plantroom_edge.buffer import Buffer
from plantroom_edge.buffer_rows import unfit
from plantroom_edge.detectors import Detector
from plantroom_edge.drivers import Driver, Inventory, Poll, PollGroup
from plantroom_edge.reach import Reach
from plantroom_edge.sinks import Sink
from plantroom_edge.supervise import Sleep, Supervisor
from plantroom_edge.turns import Turn
from plantroom_shared.cancelling import heed_cancellation
from plantroom_shared.clock import Clock
from plantroom_shared.model import Batch, Quality

log = logging.getLogger(__name__)

DISCOVER_AGAIN: Final = 30.0
"""Seconds between two searches for what is missing."""

POLL_LIMIT: Final = 60.0
"""Seconds after which a read that has not ended counts as unanswered."""

FIRST_WITHIN: Final = 2.0
"""Seconds after discovery within which every group is polled once, off its slots."""

BACKWARD: Final = 60_000_000
"""Microseconds by which the clock may step back and timestamps still only grow.

Beyond that somebody has set the clock: going on from the old time would squeeze all samples until
it is reached again into one moment.
"""


@dataclass(slots=True)
class DeviceState:
    """One device as the sampler sees it."""

    breaker: Breaker = field(default_factory=Breaker)
    lock: Turn = field(default_factory=Turn)
    """Never two polls of one device in flight; a write comes before those that wait."""
    groups: list[_Group] = field(default_factory=list)
    last_ts: int = 0
    last_good_us: int = 0
    polls: int = 0


@dataclass(slots=True)
class _Group:
    group: PollGroup
    aliases: list[int]
    phase: float
    """Seconds after a multiple of the interval."""


class Sampler:
    """Polls one bus.

    Args:
        name: of the bus.
        open_driver: returns a fresh driver; called again after a failure of the bus as a whole.
        buffer: takes the samples.
        detectors: are shown every poll.
        sinks: are shown what the buffer has accepted.
        supervisor: restarts the groups' tasks.
        clock: wall time for slots and stamps, monotonic time for pauses.
        sleep: waits; a test hands in its own.
    """

    def __init__(
        self,
        name: str,
        open_driver: Callable[[], Driver],
        buffer: Buffer,
        *,
        detectors: Sequence[Detector] = (),
        sinks: Sequence[Sink] = (),
        supervisor: Supervisor,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.name = name
        self._open_driver, self._buffer, self._detectors = open_driver, buffer, detectors
        self._sinks = sinks
        self._supervisor, self._clock, self._sleep = supervisor, clock, sleep
        self.devices: dict[str, DeviceState] = {}
        self.missing: tuple[str, ...] = ()
        self.counters: Counter[str] = Counter()
        self._polled: set[str] = set()
        self._reach: dict[str, Reach] = {}

    def reach(self, point: str) -> Reach | None:
        """Return the way to `point` for one who writes it; None while this bus does not have it."""
        return self._reach.get(point)

    async def run(self) -> None:
        """Discover the bus and poll it for ever.

        Raises:
            Unavailable: the bus as a whole cannot be used now; run again.
        """
        driver = self._open_driver()
        self._polled.clear()
        for device in self.devices.values():
            device.groups.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._discover(driver, tasks)
                while True:
                    await self._sleep(DISCOVER_AGAIN)
                    if self.missing:
                        await self._discover(driver, tasks)
        finally:
            self._reach.clear()
            await driver.close()

    # ------------------------------------------------------------ discovery

    async def _discover(self, driver: Driver, tasks: asyncio.TaskGroup) -> None:
        inventory = await driver.discover()
        if inventory.missing != self.missing:
            self._tell_missing(inventory.missing)
        aliases = await self._buffer.add_points(inventory.points, inventory.devices)
        for sink in self._sinks:
            sink.describe(inventory.points, aliases, inventory.devices)
        known = dict(zip((point.key for point in inventory.points), aliases, strict=True))
        for index, group in enumerate(self._new_groups(inventory, known)):
            device = self.devices.setdefault(group.device, DeviceState())
            phase = _phase(index, len(inventory.groups), group.interval)
            entry = _Group(group, [known[key] for key in group.points], phase)
            device.groups.append(entry)
            self._polled.update(group.points)
            task = f"{self.name}/{group.device}"
            run = _bound(self._poll_for_ever, driver, device, entry)
            tasks.create_task(self._supervisor.keep_running(task, run), name=task)
        self._note_reach(driver, inventory)

    def _note_reach(self, driver: Driver, inventory: Inventory) -> None:
        protocols = {device.key: device.protocol for device in inventory.devices}
        groups = {key: group for group in inventory.groups for key in group.points}
        for point in inventory.points:
            turn = self.devices.setdefault(point.device, DeviceState()).lock
            protocol, group = protocols.get(point.device, ""), groups.get(point.key)
            self._reach[point.key] = Reach(point, protocol, driver, turn, group)

    def _new_groups(self, inventory: Inventory, known: dict[str, int]) -> list[PollGroup]:
        """Return the groups to begin with: those none of whose points is polled already."""
        new = []
        for group in inventory.groups:
            if not group.points or self._polled.intersection(group.points):
                continue
            if all(key in known for key in group.points):
                new.append(group)
            else:
                self.counters["groups_without_points"] += 1
        return new

    def _tell_missing(self, missing: tuple[str, ...]) -> None:
        self.missing = missing
        if missing:
            shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            what = "some of the bus does not answer; it is looked for again every 30 s"
            extra = {"bus": self.name, "missing": shown, "count": len(missing)}
            log.warning(what, extra=extra)
        else:
            log.info("all of the bus answers", extra={"bus": self.name})

    # ------------------------------------------------------------ polling

    async def _poll_for_ever(self, driver: Driver, device: DeviceState, entry: _Group) -> None:
        slot = -1
        if entry.group.interval > FIRST_WITHIN:  # nobody wants to wait minutes for a first value
            await self._sleep(FIRST_WITHIN * entry.phase / entry.group.interval)
            await self._take_turn(driver, device, entry)
        while True:
            slot = await self._next_slot(entry, slot)
            await self._take_turn(driver, device, entry)

    async def _take_turn(self, driver: Driver, device: DeviceState, entry: _Group) -> None:
        async with device.lock:
            if device.breaker.may_poll(self._clock.monotonic()):
                await self._poll(driver, device, entry)
            else:
                self.counters["skipped_dead"] += 1

    async def _next_slot(self, entry: _Group, last: int) -> int:
        """Sleep until the group's next place on the clock; return its number."""
        interval = entry.group.interval
        now = self._clock.now_us() / 1e6
        slot = math.floor((now - entry.phase) / interval) + 1
        if last >= 0 and abs(slot - last) <= 1:
            slot = last + 1  # woken a little early or right on time
        elif last >= 0 and slot > last + 1:
            self.counters["overruns"] += slot - last - 1 if slot - last < 1000 else 1
        await self._sleep(max(0.0, slot * interval + entry.phase - now))
        return slot

    async def _poll(self, driver: Driver, device: DeviceState, entry: _Group) -> None:
        group = entry.group
        poll = await self._read(driver, group)
        heed_cancellation()
        device.polls += 1
        self.counters["polls"] += 1
        change = device.breaker.note(alive=poll.alive, now=self._clock.monotonic())
        ts = self._stamp(device, poll.ts)
        if poll.alive:
            device.last_good_us = ts
        self._accept(_rows(entry, poll, ts))
        if change in {Change.FAILED, Change.PROBED}:
            for other in device.groups:  # they are not polled meanwhile, and their values are stale
                if other is not entry:
                    dead = Poll.dead(ts, len(other.aliases), "device-down")
                    self._accept(_rows(other, dead, ts))
        self._tell(group.device, change, poll)
        self._show(group, poll)

    async def _read(self, driver: Driver, group: PollGroup) -> Poll:
        rows = len(group.points)
        try:
            async with asyncio.timeout(POLL_LIMIT):
                poll = await driver.read(group)
        except TimeoutError:
            self.counters["reads_hung"] += 1
            return Poll.dead(self._clock.now_us(), rows, "timeout")
        if len(poll.values) != rows:
            self.counters["reads_misshapen"] += 1
            return Poll.dead(self._clock.now_us(), rows, "short-reply")
        return poll

    def _stamp(self, device: DeviceState, ts: int) -> int:
        """Return the time of a poll: never twice the same for one device."""
        if ts <= device.last_ts:
            if device.last_ts - ts > BACKWARD:
                self.counters["clock_set_back"] += 1
            else:
                ts = device.last_ts + 1
        device.last_ts = ts
        return ts

    # ------------------------------------------------------------ what becomes of it

    def _accept(self, batch: Batch) -> None:
        self.counters["samples"] += len(batch)
        self.counters["bad"] += len(batch.quality)
        self._buffer.offer(batch).add_done_callback(lambda promise: self._settle(promise, batch))

    def _settle(self, promise: asyncio.Future[None], batch: Batch) -> None:
        if promise.cancelled():
            return
        if promise.exception() is not None:
            self.counters["refused"] += len(batch)
            return
        for sink in self._sinks:
            sink.feed(batch)

    def _tell(self, device: str, change: Change, poll: Poll) -> None:
        extra = {"bus": self.name, "device": device}
        if change is Change.FAILED:
            reason = next(iter(poll.quality.values()), (0, ""))[1]
            what = "device does not answer; it is asked again with growing pauses"
            log.warning(what, extra={**extra, "reason": reason})
        elif change is Change.RECOVERED:
            log.info("device answers again", extra=extra)

    def _show(self, group: PollGroup, poll: Poll) -> None:
        for detector in self._detectors:
            try:
                detector.feed(group.device, group.points, poll)
            except Exception:  # a detector is a plug-in: its defect must not cost a sample
                if not self.counters["detector_errors"]:
                    log.exception("a detector failed on a poll", extra={"device": group.device})
                self.counters["detector_errors"] += 1


def _bound(
    poll: Callable[[Driver, DeviceState, _Group], Awaitable[None]],
    driver: Driver,
    device: DeviceState,
    entry: _Group,
) -> Callable[[], Awaitable[None]]:
    return lambda: poll(driver, device, entry)


def _phase(index: int, count: int, interval: float) -> float:
    """Return a group's place in its interval: the groups of a bus spread over it evenly."""
    return interval * index / max(count, 1)


def _rows(entry: _Group, poll: Poll, ts: int) -> Batch:
    """Return the poll as rows; a value that cannot travel becomes a bad row."""
    n = len(entry.aliases)
    values = list(poll.values)
    quality = {row: pair for row, pair in poll.quality.items() if 0 <= row < n}
    for row, value in enumerate(values):
        if type(value) is float and math.isfinite(value):
            continue
        if why := unfit(value):
            values[row] = None
            quality[row] = (int(Quality.BAD), why)
    return Batch(list(entry.aliases), [ts] * n, values, quality)
