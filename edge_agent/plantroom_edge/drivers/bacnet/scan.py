"""What a device is and has: its own facts, its object list, and what each object means.

A scan keeps what it has learned. If the device falls silent or time runs out, the next scan goes on
from there; if the device's database has changed since, it starts afresh, and the last complete
result stands until the new one is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from plantroom_edge.drivers.bacnet.facts import (
    DEVICE_PROPERTIES,
    Found,
    base_of,
    details_of,
    device_of,
    identity_of,
    left_out,
    point_of,
    said_of,
    scale_of,
    states_of,
    wanting,
)
from plantroom_edge.drivers.bacnet.services import WHOLE, Ref
from plantroom_edge.drivers.bacnet.session import MALFORMED, MOST_SILENCES, NO_VALUE, Session
from plantroom_edge.drivers.bacnet.values import Failure, ObjectId
from plantroom_edge.drivers.bacnet.vocabulary import (
    DATABASE_REVISION,
    DEVICE,
    MULTI_STATE_TYPES,
    OBJECT_LIST,
    OBJECT_NAME,
    POINT_TYPES,
    STATE_TEXT,
    object_id,
    split,
)

MOST_OBJECTS: Final = 20_000  # of one device that are looked at
_TRY: Final = 4
"""Objects of a type that are asked for details; if none has them, no other is asked."""
_PASSING = frozenset({
    MALFORMED.reason, NO_VALUE.reason, "error-busy", "error-device-busy", "error-internal-error",
    "error-configuration-in-progress", "error-operational-problem", "abort-out-of-resources",
    "abort-preempted-by-higher-priority-task", "abort-tsm-timeout",
    "abort-application-exceeded-reply-time",
})  # fmt: skip
"""Failures that may be gone the next time."""
_DROPPED = Failure("timeout")
"""For a property whose request was dropped though it was all alone in it."""


@dataclass(slots=True)
class Scan:
    """The scan of one device; `run` may be called again and again."""

    session: Session
    given: Mapping[Ref, Any] = field(default_factory=dict)
    """What is known without asking, from a file of the site; its objects are all that is read."""
    facts: dict[Ref, Any] = field(default_factory=dict)
    found: Found | None = None
    """The last complete result."""
    trouble: str = ""
    """Why the last run brought none, for a person."""
    _version: tuple[int, Any] = (-1, None)
    """How many objects, and the database revision."""
    _fresh: bool = False
    """Whether `found` is of this version."""
    _alone: bool = False
    """Whether the last run learned nothing: then each property gets a request of its own."""
    _tried_whole: bool = False
    _silences: int = 0
    _late: bool = False

    async def run(self, deadline: float) -> None:
        """Learn what is still unknown, until `deadline` on the loop's clock."""
        me = object_id(DEVICE, self.session.instance)
        count, revision = (me, OBJECT_LIST, 0), (me, DATABASE_REVISION, WHOLE)
        # Asked on every run: it shows that the device lives and whether its database is the same.
        first = await self.session.read(self.session.plan([count, revision]), deadline=deadline)
        objects = first.values.get(count)
        if first.alive and self.given:
            objects = 0  # the file says which objects there are
        if not first.alive or type(objects) is not int:
            why = objects.reason if isinstance(objects, Failure) else "no answer"
            self.trouble = f"does not tell its object list: {why}"
            if first.late:
                self.trouble = "was not reached in time; the next discovery asks again"
            return
        version = (objects, first.values.get(revision, self._version[1]))
        if version != self._version:
            self._version = version
            self.facts = dict(self.given)
            self._fresh = self._tried_whole = False
        if self._fresh:
            self.trouble = ""
        else:
            await self._learn(me, min(objects, MOST_OBJECTS), deadline)
        if self.found is not None and self.found.device.address != str(self.session.peer):
            address = {"address": str(self.session.peer)}
            self.found = replace(self.found, device=self.found.device.model_copy(update=address))

    async def _learn(self, me: int, count: int, deadline: float) -> None:
        known, self._silences, self._late = len(self.facts), 0, False
        complete = await self._fetch([(me, it, WHOLE) for it in DEVICE_PROPERTIES], deadline)
        listing = self._given_objects() or await self._list(me, count, deadline)
        complete &= listing is not None
        listed = listing or self._listed_so_far(me, count)
        objects = tuple(dict.fromkeys(int(oid) for oid in listed if split(oid)[0] in POINT_TYPES))
        complete &= await self._describe(objects, deadline)
        stuck = len(self.facts) == known and not self._late
        # A device that answers, but never to some requests, is taken as far as it goes.
        if complete or (stuck and self._alone and objects):
            self.trouble = ""
            self.found = self._result(me, objects, listed)
            self._fresh = True
        else:
            self.trouble = (
                f"is not wholly scanned yet, {len(self.facts)} answers so far about "
                f"{len(objects)} points of {count} objects; the next discovery goes on from there"
            )
        self._alone = stuck

    def so_far(self) -> Found:
        """Return what is known now, complete or not; of objects only those with a name."""
        me = object_id(DEVICE, self.session.instance)
        if self.found is not None:
            return self.found
        listed = self._given_objects() or self._listed_so_far(me, self.counted)
        named = [oid for oid in listed if self._has((oid, OBJECT_NAME, WHOLE))]
        objects = tuple(dict.fromkeys(int(oid) for oid in named if split(oid)[0] in POINT_TYPES))
        return self._result(me, objects, listed)

    @property
    def counted(self) -> int:
        """How many objects the device says to have, as far as that is believed."""
        return min(max(self._version[0], 0), MOST_OBJECTS)

    # ------------------------------------------------------------ the object list

    def _given_objects(self) -> list[ObjectId] | None:
        given = dict.fromkeys(oid for oid, _, _ in self.given if split(oid)[0] != DEVICE)
        return [ObjectId(oid) for oid in given] or None

    async def _list(self, me: int, count: int, deadline: float) -> list[ObjectId] | None:
        """Return the object list, in one request if the device can, else by index."""
        whole = (me, OBJECT_LIST, WHOLE)
        if not self._tried_whole:
            self._tried_whole = True
            await self._fetch([whole], deadline)
        listed = self.facts.get(whole)
        if isinstance(listed, list) and len(listed) >= count:  # some cut it off where it is long
            return self._listed_so_far(me, count)
        by_index = [(me, OBJECT_LIST, index) for index in range(1, count + 1)]
        complete = await self._fetch(by_index, deadline)
        return self._listed_so_far(me, count) if complete else None

    def _listed_so_far(self, me: int, count: int) -> list[ObjectId]:
        whole = self.facts.get((me, OBJECT_LIST, WHOLE))
        if isinstance(whole, list) and len(whole) >= count:
            return _object_ids(whole[:MOST_OBJECTS])
        refs = ((me, OBJECT_LIST, index) for index in range(1, count + 1))
        return _object_ids(self.facts.get(ref) for ref in refs)

    # ------------------------------------------------------------ what the objects mean

    async def _describe(self, objects: tuple[int, ...], deadline: float) -> bool:
        tried: dict[int, list[int]] = {}
        refs: list[Ref] = []
        for oid in objects:
            kind = split(oid)[0]
            refs += [(oid, prop, WHOLE) for prop in base_of(kind)]
            sample = tried.setdefault(kind, [])
            if len(sample) < _TRY:
                sample.append(oid)
                refs += [(oid, *detail) for detail in details_of(kind)]
        complete = await self._fetch(refs, deadline)
        complete &= await self._fetch(self._details(objects, tried), deadline)
        long = [oid for oid in objects if split(oid)[0] in MULTI_STATE_TYPES]
        long = [oid for oid in long if wanting(self.facts, oid)]
        complete &= await self._fetch([(oid, STATE_TEXT, 0) for oid in long], deadline)
        states = [
            (oid, STATE_TEXT, index)
            for oid in long
            for index in range(1, 1 + states_of(self.facts, oid))
        ]
        return complete & await self._fetch(states, deadline)

    def _details(self, objects: tuple[int, ...], tried: Mapping[int, list[int]]) -> list[Ref]:
        """Return what else to ask, of the types of which a tried object had it."""
        had = {
            kind: [
                detail
                for detail in details_of(kind)
                if any(self._has((oid, *detail)) for oid in sample)
            ]
            for kind, sample in tried.items()
        }
        return [(oid, *detail) for oid in objects for detail in had[split(oid)[0]]]

    def _has(self, ref: Ref) -> bool:
        return ref in self.facts and not isinstance(self.facts[ref], Failure)

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

    def _result(self, me: int, objects: tuple[int, ...], listed: list[ObjectId]) -> Found:
        key, facts = self.session.key, self.facts
        points = tuple(point_of(facts, oid, key) for oid in objects)
        said = {
            point.key: words
            for point, oid in zip(points, objects, strict=True)
            if (words := said_of(facts, oid)) is not None
        }
        scales = {
            point.key: scale
            for point, oid in zip(points, objects, strict=True)
            if (scale := scale_of(facts, oid)) != 1
        }
        return Found(
            device_of(facts, me, key, str(self.session.peer)),
            points,
            objects,
            identity_of(facts, me),
            said,
            scales=scales,
            left_out=left_out(listed),
        )


def _object_ids(values: Iterable[Any]) -> list[ObjectId]:
    return [value for value in values if isinstance(value, ObjectId)]
