"""Why a value is not to be trusted: what devices say beyond their status flags.

Asked only where a flag or a setting makes it worth a request, remembered for a while, and never
more than a few objects with one poll: the price of polling stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from plantroom_edge.drivers import Poll
from plantroom_edge.drivers.bacnet.services import WHOLE, Ref
from plantroom_edge.drivers.bacnet.session import Session
from plantroom_edge.drivers.bacnet.vocabulary import (
    OUTPUT_TYPES,
    PRIORITY_ARRAY,
    RELIABILITY,
    reliability_reason,
    split,
)
from plantroom_shared.clock import Clock
from plantroom_shared.model import Point, Quality

FAULT: Final = (int(Quality.BAD), "fault")
KEPT: Final = 60.0
"""Seconds for which an answer holds."""
_FAULTS_AT_ONCE: Final = 100
_ARRAYS_AT_ONCE: Final = 20
_SLOTS: Final = 16
_BY_HAND: Final = frozenset(range(1, 9)) - {6}
"""Slots from which a person or a safety function commands; 6 is the device's own minimum time."""


def commandable(points: Iterable[Point], objects: Iterable[int]) -> frozenset[int]:
    """Return which of `objects` have a priority array."""
    pairs = zip(points, objects, strict=True)
    return frozenset(oid for point, oid in pairs if point.writable or split(oid)[0] in OUTPUT_TYPES)


def commanding_slot(array: Any) -> int:
    """Return the slot that commands an object, 1 to 16; 0 if none does or `array` is none."""
    if not isinstance(array, list) or len(array) != _SLOTS:
        return 0
    return next((slot for slot, value in enumerate(array, start=1) if value is not None), 0)


class Doubts:
    """What is known of one device's doubtful values.

    Args:
        session: reads it.
        clock: tells how old an answer is.
        reliability: whether to ask why a point is in fault.
        arrays: the objects whose priority array is watched.
    """

    def __init__(
        self, session: Session, clock: Clock, *, reliability: bool, arrays: frozenset[int]
    ) -> None:
        self._session, self._clock = session, clock
        self._reliability, self.arrays = reliability, arrays
        self._whys: dict[int, tuple[float, str]] = {}
        self._slots: dict[int, tuple[float, int]] = {}

    async def settle(self, poll: Poll, objects: Sequence[int], deadline: float) -> None:
        """Give the rows of `poll` better reasons, asking the device where none is known.

        Args:
            poll: of a device that answers; its quality is changed.
            objects: the object of each row.
            deadline: on the loop's clock; no request starts after it.
        """
        faulty = {row: objects[row] for row, said in poll.quality.items() if said == FAULT}
        if not (faulty or self._whys or self.arrays):
            return
        now = self._clock.monotonic()
        refs: list[Ref] = []
        if self._reliability:
            for oid in self._whys.keys() & set(objects) - set(faulty.values()):
                del self._whys[oid]  # the next fault may have another reason
            refs = _stale(faulty.values(), self._whys, RELIABILITY, now)[:_FAULTS_AT_ONCE]
        if self.arrays:
            watched = [oid for oid in objects if oid in self.arrays]
            refs += _stale(watched, self._slots, PRIORITY_ARRAY, now)[:_ARRAYS_AT_ONCE]
        if refs:
            await self._ask(refs, now, deadline)
        for row, oid in faulty.items():
            if why := self._whys.get(oid, (0.0, ""))[1]:
                poll.quality[row] = (FAULT[0], f"fault-{why}")
        if self.arrays:
            self._mark(poll, objects)

    async def _ask(self, refs: list[Ref], now: float, deadline: float) -> None:
        reading = await self._session.read(self._session.plan(refs), deadline=deadline, alive=True)
        for ref in refs:
            oid, prop, _ = ref
            value = reading.values.get(ref)
            if prop == PRIORITY_ARRAY:
                self._slots[oid] = now, commanding_slot(value)
            else:
                self._whys[oid] = now, reliability_reason(value) if type(value) is int else ""

    def _mark(self, poll: Poll, objects: Sequence[int]) -> None:
        for row, oid in enumerate(objects):
            slot = self._slots.get(oid, (0.0, 0))[1]
            if slot in _BY_HAND and row not in poll.quality:
                poll.quality[row] = (int(Quality.UNCERTAIN), f"commanded-{slot}")


def _stale(
    objects: Iterable[int], known: dict[int, tuple[float, Any]], prop: int, now: float
) -> list[Ref]:
    """Return what to ask, the longest unknown first."""
    old = [oid for oid in objects if oid not in known or now - known[oid][0] >= KEPT]
    old.sort(key=lambda oid: known[oid][0] if oid in known else 0.0)
    return [(oid, prop, WHOLE) for oid in old]
