"""Device profiles → what the points of a found device mean.

Pure. A profile knows what the objects of a device model are; the device knows what it is set to.
So names, units and texts of the device stand, and the profile fills what is empty and adds
classes, ranges and what may be written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from plantroom_edge.drivers.bacnet.facts import Found, Hint, Identity
from plantroom_edge.drivers.bacnet.vocabulary import MULTI_STATE_TYPES, POINT_TYPES, split
from plantroom_shared.model import Point

_MOST_STATES = 256
_COUNTED_FROM_1 = frozenset(POINT_TYPES[kind] for kind in MULTI_STATE_TYPES)


class Meaning(Protocol):
    """What a profile says of one object."""

    @property
    def name(self) -> str:
        """What it is, in words."""
        ...

    @property
    def description(self) -> str:
        """More words."""
        ...

    @property
    def unit(self) -> str:
        """Its unit; empty where it has none."""
        ...

    @property
    def states(self) -> Mapping[int, str]:
        """Value → text."""
        ...

    @property
    def range(self) -> tuple[float, float] | None:
        """Lowest and highest plausible value."""
        ...

    @property
    def interval(self) -> float | None:
        """Seconds between two reads, at the least."""
        ...

    @property
    def deadband(self) -> float | str | None:
        """The least change worth a sample: in the unit, or as a percentage."""
        ...

    @property
    def point_class(self) -> str:
        """Brick point class."""
        ...

    @property
    def enos(self) -> str:
        """``model/point`` of the EnOS thing model."""
        ...

    @property
    def write(self) -> Any:
        """What may be written, with ``min`` and ``max``; None where nothing may."""
        ...


class DeviceModel(Protocol):
    """A profile of a BACnet device."""

    @property
    def equip_class(self) -> str:
        """Brick equipment class."""
        ...

    def matches(
        self, vendor_id: int, model: str, firmware: str = "", application: str = ""
    ) -> bool:
        """Say whether a device is of this model, by what its device object says."""
        ...

    def find(self, kind: str, instance: int, name: str) -> Meaning | None:
        """Return what is known of an object of such a device."""
        ...


Catalogue = Sequence[tuple[str, DeviceModel]]
"""Profiles by name; a device is of the first that matches."""


def choose(catalogue: Catalogue, who: Identity) -> tuple[str, DeviceModel] | None:
    """Return the profile of the device `who`, or None where there is none."""
    if who.vendor_id is None:
        return None
    for name, model in catalogue:
        if model.matches(who.vendor_id, who.model, who.firmware, who.application):
            return name, model
    return None


def apply(model: DeviceModel, found: Found) -> Found:
    """Return `found` with the meaning that `model` gives to its points."""
    points: list[Point] = []
    hints, ranges, intervals = dict(found.hints), dict(found.ranges), dict(found.intervals)
    for point, oid in zip(found.points, found.objects, strict=True):
        meaning = model.find(point.object_type, split(oid)[1], point.name)
        points.append(_point(point, meaning, model.equip_class))
        if meaning is None:
            continue
        if meaning.range is not None:
            ranges[point.key] = meaning.range
        if meaning.interval is not None:
            intervals[point.key] = meaning.interval
        if (hint := _hint(meaning, hints.get(point.key, Hint()))) != Hint():
            hints[point.key] = hint
    return replace(found, points=tuple(points), hints=hints, ranges=ranges, intervals=intervals)


def _point(point: Point, meaning: Meaning | None, equip_class: str) -> Point:
    if meaning is None:
        return point.model_copy(update={"equip_class": equip_class})
    return point.model_copy(
        update={
            "description": point.description or meaning.description or meaning.name,
            "unit": point.unit or meaning.unit,
            "states": point.states or _states(meaning, point.object_type),
            "writable": meaning.write is not None,
            "equip_class": equip_class,
            "point_class": meaning.point_class,
            "enos": meaning.enos,
        }
    )


def _states(meaning: Meaning, kind: str) -> tuple[str, ...]:
    """Return the texts, lowest state first, with empty ones where a number has none."""
    if not meaning.states:
        return ()
    first, last = int(kind in _COUNTED_FROM_1), min(max(meaning.states), _MOST_STATES)
    return tuple(meaning.states.get(state, "") for state in range(first, last + 1))


def _hint(meaning: Meaning, told: Hint) -> Hint:
    """Return what is known of a value; limits of the profile go before those of the device."""
    deadband = meaning.deadband if isinstance(meaning.deadband, float | int) else 0.0
    low, high = told.low, told.high
    if meaning.write is not None and meaning.write.min is not None:
        low = meaning.write.min
    if meaning.write is not None and meaning.write.max is not None:
        high = meaning.write.max
    return Hint(float(deadband) or told.cov_increment, low, high)
