"""Device profiles → what the points of a found device mean.

Pure. A profile knows what the objects of a device model are; the device knows what it is set to.
So names, units and texts of the device stand, and the profile fills what is empty and adds
classes, ranges and what may be written.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from plantroom_edge.drivers.bacnet.facts import Found
from plantroom_edge.drivers.bacnet.vocabulary import MULTI_STATE_TYPES, POINT_TYPES, split
from plantroom_edge.hints import Hint, hint_of
from plantroom_shared.model import Point
from plantroom_shared.profiles import (
    BacnetObject,
    BacnetProfile,
    bacnet_profiles,
    list_profiles,
    load_bacnet_profile,
)

_MOST_STATES = 256
_COUNTED_FROM_1 = frozenset(POINT_TYPES[kind] for kind in MULTI_STATE_TYPES)


Catalogue = Sequence[tuple[str, BacnetProfile]]
"""Profiles by name; a device is of the first that matches."""
NO_PROFILE = "none"
"""In the configuration of a device: its objects mean what it says itself."""


def catalogue(folder: Path | None = None) -> Catalogue:
    """Return the profiles of BACnet devices, those in `folder` first; ConfigError if one is wrong."""
    product = _product()
    if folder is None:
        return product
    names = [
        name for name in list_profiles(folder, "bacnet") if (folder / f"{name}.yaml").is_file()
    ]
    own = [(name, load_bacnet_profile(name, folder)) for name in names]
    return *own, *((name, profile) for name, profile in product if name not in names)


@functools.cache  # a second of reading, and nobody changes them while the agent runs
def _product() -> Catalogue:
    return tuple(bacnet_profiles())


def choose(profiles: Catalogue, found: Found, name: str | None = None) -> BacnetProfile | None:
    """Return the profile of a device: the one called `name`, else the first that matches.

    ``none`` chooses none.
    """
    if name is not None:
        return dict(profiles).get(name)
    who = found.identity
    pairs = zip(found.points, found.objects, strict=True)
    objects = [(point.object_type, split(oid)[1], point.name) for point, oid in pairs]
    said = (who.vendor_id, who.model, who.firmware, who.application, objects)
    return next((profile for _, profile in profiles if profile.matches(*said)), None)


def apply(profile: BacnetProfile, found: Found) -> Found:
    """Return `found` with the meaning that `profile` gives to its points."""
    points: list[Point] = []
    ranges, intervals = dict(found.ranges), dict(found.intervals)
    meanings: dict[str, BacnetObject] = {}
    for point, oid in zip(found.points, found.objects, strict=True):
        meaning = profile.find(point.object_type, split(oid)[1], point.name, point.unit)
        points.append(_point(point, meaning, profile.equip_class))
        if meaning is None:
            continue
        meanings[point.key] = meaning
        if meaning.range is not None:
            ranges[point.key] = meaning.range
        if meaning.interval is not None:
            intervals[point.key] = meaning.interval
    return replace(
        found,
        points=tuple(points),
        ranges=ranges,
        intervals=intervals,
        meanings=meanings,
        interval=profile.defaults.interval,
    )


def _point(point: Point, meaning: BacnetObject | None, equip_class: str) -> Point:
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


def _states(meaning: BacnetObject, kind: str) -> tuple[str, ...]:
    """Return the texts, lowest state first, with empty ones where a number has none."""
    if not meaning.states:
        return ()
    first, last = int(kind in _COUNTED_FROM_1), min(max(meaning.states), _MOST_STATES)
    return tuple(meaning.states.get(state, "") for state in range(first, last + 1))


def hints_of(found: Found) -> dict[str, Hint]:
    """Return, by point key, what is known of how the points of a device move."""
    hints: dict[str, Hint] = {}
    for point in found.points:
        said = found.said.get(point.key)
        increment = said.cov_increment if said else 0.0
        if hint := hint_of(found.meanings.get(point.key), increment):
            hints[point.key] = hint
    return hints
