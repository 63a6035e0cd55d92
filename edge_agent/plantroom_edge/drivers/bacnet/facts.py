"""What a device has told → devices and points of the model, and what it says of them.

Pure. Facts come from a device or from a file of the site: texts are cut to their limits, numbers
that make no sense count for nothing, and nothing here fails.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from plantroom_edge.drivers.bacnet.services import WHOLE, Ref
from plantroom_edge.drivers.bacnet.values import Choice, Failure, ObjectId
from plantroom_edge.drivers.bacnet.vocabulary import (
    ACCUMULATOR,
    ACTIVE_TEXT,
    APPLICATION_SOFTWARE,
    BINARY_TYPES,
    COV_INCREMENT,
    DESCRIPTION,
    DEVICE,
    FIRMWARE,
    INACTIVE_TEXT,
    INPUT_TYPES,
    LEFT_OUT,
    LIGHTING_OUTPUT,
    LOOP,
    MAX_PRESENT_VALUE,
    MIN_PRESENT_VALUE,
    MODEL_NAME,
    MULTI_STATE_TYPES,
    OBJECT_NAME,
    OUTPUT_TYPES,
    OUTPUT_UNITS,
    POINT_TYPES,
    PRIORITY_ARRAY,
    RANGED_TYPES,
    SCALE,
    STATE_TEXT,
    UNIT_TYPES,
    UNITS,
    VALUE_TYPES,
    VENDOR_IDENTIFIER,
    VENDOR_NAME,
    split,
    unit_name,
)
from plantroom_shared.model import Device, Point
from plantroom_shared.profiles import BacnetObject

Facts = Mapping[Ref, Any]
"""What is known: a value, or the `Failure` that stands for it."""

MOST_STATES: Final = 256
_TEXT: Final = 512  # characters, as `plantroom_shared.model.Text` takes
_MOST_EXPONENT: Final = 15
_SENSELESS: Final = 1e30  # devices without a limit often name the largest float as one

DEVICE_PROPERTIES: Final = (
    OBJECT_NAME, VENDOR_NAME, VENDOR_IDENTIFIER, MODEL_NAME, FIRMWARE, APPLICATION_SOFTWARE,
    DESCRIPTION,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """What an object says of its own value, for deadbands and for limits of writes."""

    cov_increment: float = 0.0
    """The change that the device itself holds worth telling, in the point's unit; 0: unknown."""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Which product a device is: what a profile is matched with."""

    vendor_id: int | None = None
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    application: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A device with its points, as far as it is known."""

    device: Device
    points: tuple[Point, ...]
    objects: tuple[int, ...]
    """The object identifier of each point."""
    identity: Identity = Identity()
    said: Mapping[str, Said] = field(default_factory=dict)
    """By point key; only objects that say something."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By point key, the lowest and highest plausible value."""
    intervals: Mapping[str, float] = field(default_factory=dict)
    """By point key, the seconds between two reads at the least."""
    scales: Mapping[str, float] = field(default_factory=dict)
    """By point key, what the present-value is to be multiplied with; only where that is not 1."""
    meanings: Mapping[str, BacnetObject] = field(default_factory=dict)
    """By point key, what a profile says of it, in the device's unit."""
    interval: float | None = None
    """Seconds between two reads, where the configuration names none."""
    left_out: tuple[str, ...] = ()
    """What became no point, and why: ``3 x trend-log: history, no value``."""


def text_of(facts: Facts, oid: int, prop: int, index: int = WHOLE) -> str:
    """Return a text among `facts`, cut to size; empty where there is none."""
    value = facts.get((oid, prop, index))
    return value.strip()[:_TEXT] if isinstance(value, str) else ""


def identity_of(facts: Facts, me: int) -> Identity:
    """Return which product the device object `me` says to be."""
    vendor_id = facts.get((me, VENDOR_IDENTIFIER, WHOLE))
    return Identity(
        vendor_id if type(vendor_id) is int else None,
        text_of(facts, me, VENDOR_NAME),
        text_of(facts, me, MODEL_NAME),
        text_of(facts, me, FIRMWARE),
        text_of(facts, me, APPLICATION_SOFTWARE),
    )


def device_of(facts: Facts, me: int, key: str, address: str) -> Device:
    """Return the device `me`, reached at `address`."""
    identity = identity_of(facts, me)
    return Device(
        key=key,
        name=text_of(facts, me, OBJECT_NAME) or f"device {split(me)[1]}",
        protocol="bacnet",
        address=address,
        vendor=identity.vendor,
        model=identity.model,
        description=text_of(facts, me, DESCRIPTION),
    )


def point_of(facts: Facts, oid: int, device: str) -> Point:
    """Return the point that the object `oid` of the device with key `device` is."""
    kind, instance = split(oid)
    object_type = POINT_TYPES[kind]
    return Point(
        key=f"{device}:{object_type}:{instance}",
        device=device,
        name=text_of(facts, oid, OBJECT_NAME) or f"{object_type} {instance}",
        description=text_of(facts, oid, DESCRIPTION),
        unit=_unit(facts, oid, kind),
        object_type=object_type,
        states=_states(facts, oid, kind),
        writable=_writable(facts, oid, kind),
    )


def _unit(facts: Facts, oid: int, kind: int) -> str:
    if kind == LIGHTING_OUTPUT:
        return "percent"
    prop = OUTPUT_UNITS if kind == LOOP else UNITS
    unit = facts.get((oid, prop, WHOLE))
    # A text comes from a file of the site, which may have names for a vendor's own units.
    return unit_name(unit) if type(unit) is int else text_of(facts, oid, prop)


def _writable(facts: Facts, oid: int, kind: int) -> bool | None:
    if kind in OUTPUT_TYPES:
        return True
    if kind in INPUT_TYPES:
        return False
    # The length of the priority array: an object that has one can be commanded.
    return True if type(facts.get((oid, PRIORITY_ARRAY, 0))) is int else None


def states_of(facts: Facts, oid: int) -> int:
    """Return how many state texts there are to read one by one."""
    count = facts.get((oid, STATE_TEXT, 0))
    return min(count, MOST_STATES) if type(count) is int else 0


def _states(facts: Facts, oid: int, kind: int) -> tuple[str, ...]:
    if kind in BINARY_TYPES:
        texts = text_of(facts, oid, INACTIVE_TEXT), text_of(facts, oid, ACTIVE_TEXT)
        return texts if any(texts) else ()
    if kind not in MULTI_STATE_TYPES:
        return ()
    whole = facts.get((oid, STATE_TEXT, WHOLE))
    if isinstance(whole, str):
        whole = [whole]
    if isinstance(whole, list):
        return tuple(
            text.strip()[:_TEXT] if isinstance(text, str) else "" for text in whole[:MOST_STATES]
        )
    count = states_of(facts, oid)
    return tuple(text_of(facts, oid, STATE_TEXT, index) for index in range(1, count + 1))


def said_of(facts: Facts, oid: int) -> Said | None:
    """Return what the object says of its value, or None if that is nothing of use."""
    step, low, high = (
        _number(facts.get((oid, prop, WHOLE)))
        for prop in (COV_INCREMENT, MIN_PRESENT_VALUE, MAX_PRESENT_VALUE)
    )
    if low is not None and high is not None and low >= high:
        low = high = None
    step = step if step is not None and step > 0 else 0.0
    return Said(step, low, high) if step or low is not None or high is not None else None


def scale_of(facts: Facts, oid: int) -> float:
    """Return what one count of an accumulator is worth in its unit; 1 where it does not say."""
    scale = facts.get((oid, SCALE, WHOLE))
    if not isinstance(scale, Choice) or scale.tag > 1:
        return 1.0
    if scale.tag == 1:
        exponent = int.from_bytes(scale.body, "big", signed=True)
        return 10.0**exponent if abs(exponent) <= _MOST_EXPONENT else 1.0
    factor = _number(struct.unpack(">f", scale.body)[0]) if len(scale.body) == 4 else None
    return factor or 1.0


def _number(value: Any) -> float | None:
    if type(value) not in {int, float} or not math.isfinite(value) or abs(value) >= _SENSELESS:
        return None
    return float(value)


def left_out(listed: Iterable[Any]) -> tuple[str, ...]:
    """Return what of an object list becomes no point, by type, with the reason."""
    kinds = Counter(split(oid)[0] for oid in listed if isinstance(oid, ObjectId))
    return tuple(
        f"{count} x {LEFT_OUT.get(kind, f'object type {kind}: not known')}"
        for kind, count in sorted(kinds.items())
        if kind not in POINT_TYPES and kind != DEVICE
    )


def without(found: Found, patterns: Sequence[str]) -> Found:
    """Return `found` without the points whose type and instance one of `patterns` matches."""
    if not patterns:
        return found
    kept = [
        (point, oid)
        for point, oid in zip(found.points, found.objects, strict=True)
        if not any(fnmatchcase(point.key.split(":", 2)[2], one) for one in patterns)
    ]
    return replace(
        found,
        points=tuple(point for point, _ in kept),
        objects=tuple(oid for _, oid in kept),
    )


# ---------------------------------------------------------------- what to ask for


def base_of(kind: int) -> tuple[int, ...]:
    """Return the properties that say what an object of type `kind` means."""
    names: tuple[int, ...] = (OBJECT_NAME, DESCRIPTION)
    if kind in BINARY_TYPES:
        names += (INACTIVE_TEXT, ACTIVE_TEXT)
    elif kind in MULTI_STATE_TYPES:
        names += (STATE_TEXT,)
    elif kind in UNIT_TYPES:
        names += (UNITS,)
    elif kind == LOOP:
        names += (OUTPUT_UNITS,)
    return names


def details_of(kind: int) -> tuple[tuple[int, int], ...]:
    """Return what else is nice to know, as property and index; many devices have none of it."""
    ranged = (COV_INCREMENT, MIN_PRESENT_VALUE, MAX_PRESENT_VALUE) if kind in RANGED_TYPES else ()
    array = ((PRIORITY_ARRAY, 0),) if kind in VALUE_TYPES else ()
    if kind == ACCUMULATOR:
        return ((SCALE, WHOLE),)
    return (*array, *((prop, WHOLE) for prop in ranged))


def wanting(facts: Facts, oid: int) -> bool:
    """Return whether the state texts of `oid` were too long to come at once."""
    texts = facts.get((oid, STATE_TEXT, WHOLE))
    return isinstance(texts, Failure) and texts.reason.startswith("abort")
