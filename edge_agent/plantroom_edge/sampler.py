"""Polling: from a driver's point groups to accepted samples, on time and one device at a time.

Each group of points has a task of its own and a place in the second that is its own; a device that
hangs, fails or lies costs nobody but itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from plantroom_edge.breaker import STEP, Change, Pacer
from plantroom_edge.buffer import Buffer
from plantroom_edge.bus_news import BusNews
from plantroom_edge.detectors import Detector
from plantroom_edge.drivers import Driver, Inventory, Notifying, Poll, PollGroup
from plantroom_edge.reach import Reach, ways
from plantroom_edge.sampling.config import SamplingConfig
from plantroom_edge.sampling.device import DeviceState, Group
from plantroom_edge.sampling.engine import Sampling
from plantroom_edge.sampling.slots import next_slot, phase
from plantroom_edge.sampling.soundness import is_sound
from plantroom_edge.sinks import Sink
from plantroom_edge.supervise import Sleep, Supervisor
from plantroom_edge.turns import Turn
from plantroom_shared.cancelling import heed_cancellation
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch, Quality

log = logging.getLogger(__name__)

DISCOVER_AGAIN: Final = 30.0
"""Seconds between two searches for what is missing."""

POLL_LIMIT: Final = 60.0
"""Seconds after which a read that has not ended counts as unanswered."""

DISCOVER_LIMIT: Final = 900.0
"""Seconds after which a search that has not ended has failed; a slow bus of hundreds of units needs minutes."""

CLOSE_LIMIT: Final = 5.0
"""Seconds that a driver has to release what it holds; then the bus is opened anew without."""

FIRST_WITHIN: Final = 2.0
"""Seconds after discovery within which every group is polled once, off its slots."""

WATCH: Final = 1.0
"""Seconds between two looks at who has become stale."""

DURATIONS: Final = 512
"""Polls over which it is told how long they take."""

DOWN: Final = (int(Quality.BAD), "device-down")
"""What is said of the other groups of a device that does not answer."""


class Sampler:
    """Polls one bus.

    Args:
        name: of the bus.
        open_driver: returns a fresh driver; called again after a failure of the bus as a whole.
        buffer: takes the samples.
        detectors: are shown every poll.
        sinks: are shown what the buffer has accepted.
        supervisor: restarts the groups' tasks.
        sampling: what of the polls becomes samples; the same for all buses of the gateway.
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
        sampling: Sampling | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.name = name
        self._open_driver, self._buffer, self._detectors = open_driver, buffer, detectors
        self._sinks = sinks
        self._supervisor, self._clock, self._sleep = supervisor, clock, sleep
        self.sampling = sampling or Sampling(SamplingConfig(), clock)
        self._pacer = Pacer()
        self.devices: dict[str, DeviceState] = {}
        self.missing: tuple[str, ...] = ()
        self._again = 0.0
        self.counters: Counter[str] = Counter()
        self._news = BusNews(name)
        self._anew = True
        """The bus was opened and has not been discovered since."""
        self.driver: Driver | None = None
        """While the bus is open."""
        self.opened = 0.0
        """When it was opened, monotonic seconds."""
        self.durations: deque[float] = deque(maxlen=DURATIONS)
        """Seconds that the last polls took."""
        self._reach: dict[str, Reach] = {}

    def reach(self, point: str) -> Reach | None:
        """Return the way to `point` for one who writes it; None while this bus does not have it."""
        return self._reach.get(point)

    async def run(self) -> None:
        """Discover the bus and poll it for ever.

        Raises:
            Unavailable: the bus as a whole cannot be used now; run again.
        """
        driver = self.driver = self._open_driver()
        self.opened = self._clock.monotonic()
        self._anew = True
        self._tell_stale()  # a bus that fails again and again gets no further
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch(), name=f"{self.name}/stale")
                await self._discover(driver, tasks)
                if isinstance(driver, Notifying):
                    hear, task = partial(self._hear, driver), f"{self.name}/notices"
                    tasks.create_task(self._supervisor.keep_running(task, hear), name=task)
                waited = 0.0
                while True:
                    await self._sleep(DISCOVER_AGAIN)
                    waited += DISCOVER_AGAIN
                    if self.missing or 0 < self._again <= waited:
                        waited = 0.0
                        await self._discover(driver, tasks)
        finally:
            self.driver = None
            self._reach.clear()
            async with asyncio.timeout(CLOSE_LIMIT):
                await driver.close()

    # ------------------------------------------------------------ discovery

    async def _discover(self, driver: Driver, tasks: asyncio.TaskGroup) -> None:
        found = await self._search(driver)
        inventory = self.sampling.admit(found)
        self._again = inventory.again
        if inventory.missing != self.missing:
            self.missing = inventory.missing
            self._news.missing(self.missing)
        aliases = await self._buffer.add_points(inventory.points, inventory.devices)
        for sink in self._sinks:
            sink.describe(inventory.points, aliases, inventory.devices)
        known = dict(zip((point.key for point in inventory.points), aliases, strict=True))
        if self._anew:
            for device in self.devices.values():
                device.groups.clear()
        self._anew = False
        for entry in self._groups():
            self.sampling.follow(entry.lane, known)
        for index, group in enumerate(self._new_groups(inventory, known)):
            device = self.devices.setdefault(group.device, DeviceState())
            place = phase(index, len(inventory.groups), group.interval)
            entry = Group(self.sampling.lane(group, known), place)
            device.groups.append(entry)
            task = f"{self.name}/{group.device}"
            run = partial(self._poll_for_ever, driver, device, entry)
            tasks.create_task(self._supervisor.keep_running(task, run), name=task)
        units = {point.key: point.unit for point in inventory.points}
        self._reach |= ways(driver, found, units, self._turn)

    async def _search(self, driver: Driver) -> Inventory:
        try:
            async with asyncio.timeout(DISCOVER_LIMIT):
                return await driver.discover()
        except TimeoutError as error:
            msg = f"bus {self.name}: the search for devices has not ended within {DISCOVER_LIMIT:.0f} s"
            raise Unavailable(msg) from error

    def _turn(self, device: str) -> Turn:
        return self.devices.setdefault(device, DeviceState()).lock

    def _new_groups(self, inventory: Inventory, known: dict[str, int]) -> list[PollGroup]:
        """Return the groups to begin with: those none of whose points is polled already."""
        polled = {key for entry in self._groups() for key in entry.group.points}
        new = []
        for group in inventory.groups:
            if not group.points or polled.intersection(group.points):
                continue
            if all(key in known for key in group.points):
                new.append(group)
            else:
                self.counters["groups_without_points"] += 1
        return new

    def _groups(self) -> Iterator[Group]:
        for device in self.devices.values():
            yield from device.groups

    # ------------------------------------------------------------ polling

    async def _poll_for_ever(self, driver: Driver, device: DeviceState, entry: Group) -> None:
        slot = -1
        if entry.group.interval > FIRST_WITHIN:  # nobody wants to wait minutes for a first value
            await self._sleep(FIRST_WITHIN * entry.phase / entry.group.interval)
            await self._take_turn(driver, device, entry)
        while True:
            slot = await self._next_slot(device, entry, slot)
            if not await self._take_turn(driver, device, entry):
                slot = -1  # who is left alone misses nothing

    async def _take_turn(self, driver: Driver, device: DeviceState, entry: Group) -> bool:
        """Poll the group, if its device is not left alone; return whether that was on time."""
        async with device.lock:
            breaker = device.breaker
            if not breaker.is_open:
                await self._poll(driver, device, entry)
                return True
            if breaker.may_poll(self._clock.monotonic()):
                await self._probe(driver, device, entry)
            else:
                self.counters["skipped_dead"] += 1
            return False

    async def _probe(self, driver: Driver, device: DeviceState, entry: Group) -> None:
        """Poll a device that was given up, when it is its turn among the others."""
        async with self._pacer.turn:
            await self._sleep(max(0.0, self._pacer.free_at - self._clock.monotonic()))
            breakers = [other.breaker for other in self.devices.values()]
            alone = all(breaker.is_open for breaker in breakers)
            began = self._clock.monotonic()
            change = await self._poll(driver, device, entry)
            now = self._clock.monotonic()
            self._pacer.probed(change, breakers, now, now - began)
            if alone and change is Change.RECOVERED:  # what kept all of them away is over
                for breaker in breakers:
                    breaker.hasten(now, STEP)

    async def _next_slot(self, device: DeviceState, entry: Group, last: int) -> int:
        """Sleep until the group's next place on the clock; return its number."""
        now = self._clock.now_us() / 1e6
        slot, wait, missed = next_slot(now, entry.phase, entry.group.interval, last)
        self.counters["overruns"] += missed
        device.overruns += missed
        await self._sleep(wait)
        return slot

    async def _poll(self, driver: Driver, device: DeviceState, entry: Group) -> Change:
        began = self._clock.monotonic()
        poll = await self._read(driver, entry.group)
        heed_cancellation()
        if device.breaker.is_open and not poll.asked:  # its probe is still to come
            self.counters["skipped_dead"] += 1
            return Change.NONE
        device.polls += 1
        self.counters["polls"] += 1
        now = self._clock.monotonic()
        self.durations.append(now - began)
        breaker, took = device.breaker, now - began
        change = breaker.note(alive=poll.alive, now=now, took=took, asked=poll.asked)
        ts = device.stamp(poll.ts, self.counters)
        if poll.alive:
            device.last_good_us = ts
        self._store(entry, entry.lane.take(poll, ts, now))
        self.counters["suppressed"] += entry.lane.silent
        if change in {Change.FAILED, Change.PROBED}:
            for other in device.groups:  # they are not polled meanwhile, and their values are stale
                if other is not entry:
                    self._store(other, other.lane.mark(DOWN, ts))
        self._news.changed(entry.group.device, change, poll)
        self._show(entry.group, poll)
        return change

    async def _watch(self) -> None:
        """Say of points that are not read any more, for whatever reason, that they are stale."""
        while True:
            await self._sleep(WATCH)
            self._tell_stale()

    def _tell_stale(self) -> None:
        now = self._clock.monotonic()
        for device in self.devices.values():
            for entry in device.groups:
                if entry.lane.overdue(now):
                    ts = device.stamp(entry.lane.stale_ts, self.counters)
                    batch = entry.lane.stale(ts)
                    self.counters["stale"] += len(batch)
                    self._store(entry, batch)

    async def _read(self, driver: Driver, group: PollGroup) -> Poll:
        rows = len(group.points)
        try:
            async with asyncio.timeout(POLL_LIMIT):
                poll = await driver.read(group)
        except TimeoutError:
            self.counters["reads_hung"] += 1
            return Poll.dead(self._clock.now_us(), rows, "timeout")
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 -- a defect costs this poll only
            heed_cancellation()
            self.counters["reads_failed"] += 1
            self._news.defect(group.device, error)
            return Poll.dead(self._clock.now_us(), rows, "driver-error")
        if not is_sound(poll, rows):
            self.counters["reads_misshapen"] += 1
            return Poll.dead(self._clock.now_us(), rows, "short-reply")
        return poll

    async def _hear(self, driver: Notifying) -> None:
        """Take what devices tell by themselves as rows of the group that it belongs to."""
        while True:
            group, poll = await driver.notice()
            heed_cancellation()
            device = self.devices.get(group.device)
            known = device.groups if device else []
            entry = next((it for it in known if it.group.points == group.points), None)
            if device is None or entry is None or not poll.rows:
                continue
            if not is_sound(poll, len(entry.aliases)):
                self.counters["reads_misshapen"] += 1
                continue
            self.counters["notices"] += len(poll.rows)
            self._store(entry, entry.lane.hear(poll, device.stamp(poll.ts, self.counters)))

    # ------------------------------------------------------------ what becomes of it

    def _store(self, entry: Group, batch: Batch) -> None:
        """Hand in what a poll has brought, and what follows from it."""
        self._accept(batch, entry)
        derived = self.sampling.derive(entry.lane)
        if len(derived):
            self.counters["derived"] += len(derived)
            self._accept(derived, entry)

    def _accept(self, batch: Batch, entry: Group) -> None:
        if not len(batch):
            return
        self.counters["samples"] += len(batch)
        self.counters["bad"] += len(batch.quality)
        self._buffer.offer(batch).add_done_callback(
            lambda promise: self._settle(promise, batch, entry)
        )

    def _settle(self, promise: asyncio.Future[None], batch: Batch, entry: Group) -> None:
        if promise.cancelled():
            return
        if promise.exception() is not None:
            self.counters["refused"] += len(batch)
            entry.lane.forget()
            return
        for sink in self._sinks:
            sink.feed(batch)

    def _show(self, group: PollGroup, poll: Poll) -> None:
        for detector in self._detectors:
            try:
                detector.feed(group.device, group.points, poll)
            except Exception:  # a detector is a plug-in: its defect must not cost a sample
                if not self.counters["detector_errors"]:
                    log.exception("a detector failed on a poll", extra={"device": group.device})
                self.counters["detector_errors"] += 1
