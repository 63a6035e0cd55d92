"""What a device is and has: its own facts, its object list, and each object's name and unit.

A scan keeps what it has learned. If the device falls silent or time runs out, the next scan goes on
from there; if the device's database has changed since, it starts afresh.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from plantroom_edge.drivers.bacnet.services import WHOLE, Ref
from plantroom_edge.drivers.bacnet.session import MALFORMED, MOST_SILENCES, NO_VALUE, Session
from plantroom_edge.drivers.bacnet.values import Failure, ObjectId
from plantroom_edge.drivers.bacnet.vocabulary import (
    ACTIVE_TEXT,
    BINARY_TYPES,
    DATABASE_REVISION,
    DESCRIPTION,
    DEVICE,
    INACTIVE_TEXT,
    INPUT_TYPES,
    MODEL_NAME,
    MULTI_STATE_TYPES,
    OBJECT_LIST,
    OBJECT_NAME,
    OUTPUT_TYPES,
    POINT_TYPES,
    STATE_TEXT,
    UNITS,
    VENDOR_NAME,
    object_id,
    split,
    unit_name,
)
from plantroom_shared.model import Device, Point

MOST_OBJECTS = 20_000  # of one device that are looked at
MOST_STATES = 256
_PASSING = frozenset({
    MALFORMED.reason, NO_VALUE.reason, "error-busy", "error-device-busy", "error-internal-error",
    "error-configuration-in-progress", "error-operational-problem", "abort-out-of-resources",
    "abort-preempted-by-higher-priority-task", "abort-tsm-timeout",
    "abort-application-exceeded-reply-time",
})  # fmt: skip
"""Failures that may be gone the next time."""
_DROPPED = Failure("timeout")
"""For a property whose request was dropped though it was all alone in it."""
_TEXT = 512  # characters, as `plantroom_shared.model.Text` takes


@dataclass(slots=True)
class Found:
    """A device with its points, as far as it is known."""

    device: Device
    points: tuple[Point, ...]
    objects: tuple[int, ...]
    """The object identifier of each point."""


@dataclass(slots=True)
class Scan:
    """The scan of one device; `run` may be called again and again."""

    session: Session
    facts: dict[Ref, Any] = field(default_factory=dict)
    found: Found | None = None
    """The last complete result."""
    trouble: str = ""
    """Why the last run brought none, for a person."""
    _version: tuple[int, Any] = (-1, None)
    """How many objects, and the database revision."""
    _alone: bool = False
    """Whether the last run learned nothing: then each property gets a request of its own."""
    _silences: int = 0
    _late: bool = False

    async def run(self, deadline: float) -> None:
        """Learn what is still unknown, until `deadline` on the loop's clock."""
        me = object_id(DEVICE, self.session.instance)
        count, revision = (me, OBJECT_LIST, 0), (me, DATABASE_REVISION, WHOLE)
        # Asked on every run: it shows that the device lives and whether its database is the same.
        first = await self.session.read(self.session.plan([count, revision]), deadline=deadline)
        objects = first.values.get(count)
        if not first.alive or type(objects) is not int:
            why = objects.reason if isinstance(objects, Failure) else "no answer"
            self.trouble = f"does not tell its object list: {why}"
            if first.late:
                self.trouble = "was not reached in time; the next discovery asks again"
            return
        version = (objects, first.values.get(revision, self._version[1]))
        if version != self._version:
            self._version = version
            self.facts.clear()
            self.found = None
        if self.found is None:
            await self._learn(me, min(objects, MOST_OBJECTS), deadline)
        elif self.found.device.address != (address := str(self.session.peer)):
            moved = self.found.device.model_copy(update={"address": address})
            self.found = replace(self.found, device=moved)

    async def _learn(self, me: int, count: int, deadline: float) -> None:
        known, self._silences, self._late = len(self.facts), 0, False
        complete = await self._fetch(_device_refs(me), deadline)
        listing = [(me, OBJECT_LIST, index) for index in range(1, count + 1)]
        complete &= await self._fetch(listing, deadline)
        objects = self._objects(listing)
        complete &= await self._fetch(_object_refs(objects), deadline)
        complete &= await self._fetch(self._state_counts(objects), deadline)
        complete &= await self._fetch(self._state_refs(objects), deadline)
        stuck = len(self.facts) == known and not self._late
        # A device that answers, but never to some requests, is taken as far as it goes.
        if complete or (stuck and self._alone and objects):
            self.trouble = ""
            self.found = self._result(me, objects)
        else:
            self.trouble = (
                f"is not wholly scanned yet, {len(self.facts)} answers so far; "
                "the next discovery goes on from there"
            )
        self._alone = stuck

    async def _fetch(self, refs: Iterable[Ref], deadline: float) -> bool:
        """Read what of `refs` is unknown; True if nothing is left open."""
        unknown = [ref for ref in refs if ref not in self.facts]
        if not unknown:
            return True
        if self._silences >= MOST_SILENCES:
            return False
        plan = self.session.plan(unknown, alone=self._alone)
        reading = await self.session.read(plan, deadline=deadline, alive=True)
        for ref, value in reading.values.items():
            if not (isinstance(value, Failure) and value.reason in _PASSING):
                self.facts[ref] = value
        if self._alone:
            self.facts.update(dict.fromkeys(reading.dropped, _DROPPED))
        self._silences += reading.silences
        self._late |= reading.late
        return all(ref in self.facts for ref in unknown)

    def _objects(self, listing: list[Ref]) -> tuple[int, ...]:
        listed = (self.facts.get(ref) for ref in listing)
        return tuple(
            dict.fromkeys(
                int(oid)
                for oid in listed
                if isinstance(oid, ObjectId) and split(oid)[0] in POINT_TYPES
            )
        )

    def _state_counts(self, objects: tuple[int, ...]) -> list[Ref]:
        """Return the counts of state texts that were too long to be read at once."""
        return [
            (oid, STATE_TEXT, 0)
            for oid in objects
            if split(oid)[0] in MULTI_STATE_TYPES
            and isinstance(texts := self.facts.get((oid, STATE_TEXT, WHOLE)), Failure)
            and texts.reason.startswith("abort")
        ]

    def _state_refs(self, objects: tuple[int, ...]) -> list[Ref]:
        return [
            (oid, STATE_TEXT, index)
            for oid, _, _ in self._state_counts(objects)
            for index in range(1, 1 + self._states_of(oid))
        ]

    def _states_of(self, oid: int) -> int:
        count = self.facts.get((oid, STATE_TEXT, 0))
        return min(count, MOST_STATES) if type(count) is int else 0

    # ------------------------------------------------------------ facts → model

    def _text(self, oid: int, prop: int, index: int = WHOLE) -> str:
        value = self.facts.get((oid, prop, index))
        return value.strip()[:_TEXT] if isinstance(value, str) else ""

    def _result(self, me: int, objects: tuple[int, ...]) -> Found:
        session = self.session
        device = Device(
            key=session.key,
            name=self._text(me, OBJECT_NAME) or f"device {session.instance}",
            protocol="bacnet",
            address=str(session.peer),
            vendor=self._text(me, VENDOR_NAME),
            model=self._text(me, MODEL_NAME),
            description=self._text(me, DESCRIPTION),
        )
        return Found(device, tuple(map(self._point, objects)), objects)

    def _point(self, oid: int) -> Point:
        kind, instance = split(oid)
        object_type = POINT_TYPES[kind]
        unit = self.facts.get((oid, UNITS, WHOLE))
        return Point(
            key=f"{self.session.key}:{object_type}:{instance}",
            device=self.session.key,
            name=self._text(oid, OBJECT_NAME) or f"{object_type} {instance}",
            description=self._text(oid, DESCRIPTION),
            unit=unit_name(unit) if type(unit) is int else "",
            object_type=object_type,
            states=self._states(oid, kind),
            writable=True if kind in OUTPUT_TYPES else False if kind in INPUT_TYPES else None,
        )

    def _states(self, oid: int, kind: int) -> tuple[str, ...]:
        if kind in BINARY_TYPES:
            texts = self._text(oid, INACTIVE_TEXT), self._text(oid, ACTIVE_TEXT)
            return texts if any(texts) else ()
        if kind not in MULTI_STATE_TYPES:
            return ()
        whole = self.facts.get((oid, STATE_TEXT, WHOLE))
        if isinstance(whole, str):
            whole = [whole]
        if isinstance(whole, list):
            return tuple(
                text.strip()[:_TEXT] if isinstance(text, str) else ""
                for text in whole[:MOST_STATES]
            )
        count = self._states_of(oid)
        return tuple(self._text(oid, STATE_TEXT, index) for index in range(1, count + 1))


def _device_refs(me: int) -> list[Ref]:
    names = (OBJECT_NAME, VENDOR_NAME, MODEL_NAME, DESCRIPTION)
    return [(me, prop, WHOLE) for prop in names]


def _object_refs(objects: tuple[int, ...]) -> list[Ref]:
    return [(oid, prop, WHOLE) for oid in objects for prop in _properties(split(oid)[0])]


def _properties(kind: int) -> tuple[int, ...]:
    if kind in BINARY_TYPES:
        return (OBJECT_NAME, DESCRIPTION, INACTIVE_TEXT, ACTIVE_TEXT)
    if kind in MULTI_STATE_TYPES:
        return (OBJECT_NAME, DESCRIPTION, STATE_TEXT)
    return (OBJECT_NAME, DESCRIPTION, UNITS)
