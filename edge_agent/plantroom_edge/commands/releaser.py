"""Taking values back when their lease ends, until the device has taken it; and looking after a crash.

Each device has an attempt of its own under way, so that one that is silent delays no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from plantroom_edge.commands import bus
from plantroom_edge.commands.book import Book, Place
from plantroom_edge.commands.config import same
from plantroom_edge.commands.entries import Event, Hold
from plantroom_edge.commands.executor import DOUBT
from plantroom_edge.commands.moments import Lease, Now
from plantroom_edge.commands.plan import Find
from plantroom_edge.drivers import Writing
from plantroom_edge.reach import Reach
from plantroom_shared.backoff import doubling

log = logging.getLogger(__name__)

SOONEST: Final = 0.5
"""Seconds to the second attempt with a device that could not be asked ..."""

LATEST: Final = 5.0
"""... and the most that this grows to."""

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at what is due."""

UNKNOWN_AFTER: Final = 60.0
"""Seconds after which a command that a crash has left open is told as unknown."""


@dataclass(slots=True)
class Open:
    """A command whose outcome a crash has left open."""

    id: str
    actor: str
    source: str
    since: float
    seen: dict[Place, bool] = field(default_factory=dict)
    """Place → whether its value was found there."""


@dataclass(slots=True)
class _Silence:
    tries: int = 0
    until: float = 0.0


@dataclass(slots=True)
class Releaser:
    """Takes values back.

    Args:
        book: the journal and the holds.
        find: the way to a point.
        monotonic: seconds that only grow.
    """

    book: Book
    find: Find
    monotonic: Callable[[], float]
    open: dict[str, Open] = field(default_factory=dict)
    """Commands that are to be looked at, by id."""
    _silent: dict[str, _Silence] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _told: dict[Place, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Take back what is due, for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                for device, holds in self.due().items():
                    self._busy.add(device)
                    tasks.create_task(self._attend(device, holds), name=f"release {device}")
                for each in list(self.open.values()):
                    await self._settle(each)
                self.book.wake.clear()
                try:
                    async with asyncio.timeout(LOOK_EVERY):
                        await self.book.wake.wait()
                except TimeoutError:
                    continue

    def due(self) -> dict[str, list[Hold]]:
        """Return by device what is to be taken back, or looked at, now."""
        out: dict[str, list[Hold]] = {}
        now, moment = self.book.now(), self.monotonic()
        for hold in self.book.holds.values():
            if hold.lease.left_us(now) > 0 and not self._unseen(hold):
                continue
            reach = self.find(hold.point)
            if reach is None:
                self._tell(hold, "unknown-point")
                continue
            device = reach.device
            silence = self._silent.get(device)
            if device not in self._busy and (silence is None or moment >= silence.until):
                out.setdefault(device, []).append(hold)
        return out

    def _unseen(self, hold: Hold) -> bool:
        opened = self.open.get(hold.command)
        return opened is not None and hold.place not in opened.seen

    async def _attend(self, device: str, holds: list[Hold]) -> None:
        try:
            for hold in holds:
                reach = self.find(hold.point)
                if reach is None or not await self._one(reach, hold.place):
                    silence = self._silent.setdefault(device, _Silence())
                    silence.tries += 1
                    pause = doubling(silence.tries, first=SOONEST, most=LATEST)
                    silence.until = self.monotonic() + pause
                    return
            self._silent.pop(device, None)
        finally:
            self._busy.discard(device)

    async def _one(self, reach: Reach, place: Place) -> bool:
        """Look at one place, and take back what is due there; say whether the device took part."""
        driver = reach.driver
        if not isinstance(driver, Writing):
            return False
        async with reach.turn.urgently():
            hold = self.book.holds.get(place)
            if hold is None:
                return True
            value, why = await bus.held(driver, *place)
            if why:
                self._tell(hold, why)
                return False
            if opened := self.open.get(hold.command):
                opened.seen[place] = same(value, hold.written[-1])
            hold = self.book.holds.get(place)
            if hold is None or hold.lease.left_us(self.book.now()) > 0:
                return True
            return await self._take_back(driver, hold, value)

    async def _take_back(self, driver: Writing, hold: Hold, value: object) -> bool:
        outcome, after = "released", hold.restore
        if not hold.ours(value):  # type: ignore[arg-type] # a Value
            # Somebody has set it since: that is theirs, and ours is not in force any more.
            outcome, after = "not-ours", value  # type: ignore[assignment] # a Value
        elif not same(value, hold.restore):  # type: ignore[arg-type] # a Value
            written = await bus.write(driver, hold.point, hold.restore, hold.priority, back=True)
            if not written.ok:
                # Another slot may outrank ours: what counts is what stands in our place.
                there, why = await bus.held(driver, *hold.place)
                if why or not same(there, hold.restore):
                    self._tell(hold, written.reason or "failed")
                    return False
            after = written.shows if written.shows is not None else hold.restore
        if self.book.holds.get(hold.place) is not hold:
            return True  # changed while the device answered: it is looked at again
        doc = {
            "id": hold.command,
            "point": hold.point,
            "priority": hold.priority,
            "outcome": outcome,
            "before": value,
            "after": after,
        }
        event = Event("command.released", doc, self.book.now().wall_us)
        self._told.pop(hold.place, None)
        self.book.counters["released"] += 1
        self.book.take((), [hold])
        await self.book.surely(lambda: self.book.journal.released(hold, event))
        return True

    def _tell(self, hold: Hold, why: str) -> None:
        """Say once why a value cannot be taken back; it is tried again."""
        if self._told.get(hold.place) == why:
            return
        self._told[hold.place] = why
        extra = {"point": hold.point, "command": hold.command, "reason": why}
        log.error("a value cannot be taken back; it is tried until it can", extra=extra)
        doc = {"id": hold.command, "point": hold.point, "reason": why}
        event = Event("command.release_failed", doc, self.book.now().wall_us)
        self.book.owed.append(lambda: self.book.journal.tell(event))
        self.book.telling.set()

    # ------------------------------------------------------------ after a crash

    async def _settle(self, opened: Open) -> None:
        """Enter what became of a command once all its places were looked at, or nobody will."""
        mine = [hold for hold in self.book.holds.values() if hold.command == opened.id]
        waiting = any(hold.place not in opened.seen for hold in mine)
        late = self.monotonic() - opened.since >= UNKNOWN_AFTER
        if waiting and not late:
            return
        del self.open[opened.id]
        done = bool(opened.seen) and all(opened.seen.values()) and not waiting
        why = "" if done else "unknown" if waiting else "interrupted"
        now = self.book.now()
        kept = [_settled(hold, opened, now, done=done) for hold in mine]
        seen = [
            {"point": point, "priority": slot, "ok": ok}
            for (point, slot), ok in opened.seen.items()
        ]
        doc = {"id": opened.id, "actor": opened.actor, "source": opened.source, "results": seen}
        state = "executed" if done else "failed"
        more = {"settled": True} | ({} if done else {"reason": why})
        event = Event(f"command.{state}", doc | more, now.wall_us)
        self.book.take(kept)
        self.book.counters[f"settled_{state}"] += 1
        await self.book.surely(
            lambda: self.book.journal.finish(opened.id, state, why, event, holds=kept)  # type: ignore[arg-type] # a State
        )


def _settled(hold: Hold, opened: Open, now: Now, *, done: bool) -> Hold:
    """Return a hold of a command that a crash had left open, now that it was looked at."""
    if done:
        return replace(hold, previous="")
    if opened.seen.get(hold.place):  # a part of a whole that did not come about
        return replace(hold, lease=Lease.begin(0, now), previous="")
    if hold.previous:  # the earlier value stands on, with its own lease
        return replace(hold, command=hold.previous, previous="")
    # The request may still be on its way: look again when that can not be any more.
    return replace(hold, lease=hold.lease.sooner(Lease.begin(DOUBT, now), now))
