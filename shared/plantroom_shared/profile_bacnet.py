"""Profiles of BACnet device models: objects that become points with a meaning."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from plantroom_shared.profile_parts import (
    Entry,
    Frozen,
    Head,
    Id,
    Pattern,
    Seconds,
    Write,
    fits,
    write_fault,
)
from plantroom_shared.units import convert, parse_unit

ObjectType = Literal[
    "analog-input", "analog-output", "analog-value",
    "binary-input", "binary-output", "binary-value",
    "multi-state-input", "multi-state-output", "multi-state-value",
    "accumulator", "pulse-converter",
    "integer-value", "large-analog-value", "positive-integer-value",
]  # fmt: skip
"""The object types that can be points."""

_INPUTS = frozenset({"analog-input", "binary-input", "multi-state-input", "accumulator"})


class BacnetObject(Entry):
    """One object of a device: how it is found and what it means."""

    type: ObjectType
    instance: int | None = Field(default=None, ge=0, le=4_194_302)
    """Its number, where that is the same in every device of this model."""
    object_name: Pattern | None = None
    """Its object-name with ``*`` and ``?``; with an instance, both must be right."""
    write: Write | None = None
    """What may be written; absent where nothing may."""

    @property
    def binary(self) -> bool:
        """Whether its values are false and true."""
        return self.type.startswith("binary-")

    @property
    def multi_state(self) -> bool:
        """Whether its values are the numbers of states, from 1."""
        return self.type.startswith("multi-state-")

    def is_object(self, kind: str, instance: int, name: str) -> bool:
        """Say whether this is the object of a device with that type, instance and object-name."""
        return (
            kind == self.type
            and self.instance in {None, instance}
            and (self.object_name is None or fits(self.object_name, name))
        )

    def in_unit(self, unit: str) -> BacnetObject:
        """Return the same for a device that says another unit: limits are in that one then.

        Where the device measures something else, nothing is known of its limits and nothing may be
        written.
        """
        mine, told = parse_unit(self.unit), parse_unit(unit)
        if mine is None or told is None or mine == told:
            return self
        known = mine.dimension == told.dimension
        span, write, band = self.range, self.write, self.deadband
        new: dict[str, Any] = {"unit": unit, "range": None, "write": None, "rollover": None}
        if known:
            new["range"] = span and (convert(span[0], mine, told), convert(span[1], mine, told))
            new["rollover"] = self.rollover and convert(self.rollover, mine, told)
            new["write"] = write and write.converted(mine, told)
        if isinstance(band, float | int):
            new["deadband"] = convert(band, mine, told) - convert(0, mine, told) if known else None
        return self.model_copy(update=new)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for wrong, what in self._faults():
            if wrong:
                raise ValueError(what)
        return self

    def _faults(self) -> list[tuple[bool, str]]:
        number = not self.binary and not self.multi_state
        wrong = write_fault(self.write, self, is_number=number)
        lowest, highest = (0, 1) if self.binary else (1, 65535)
        return [
            (
                self.instance is None and self.object_name is None,
                "say which object: write `instance`, `object_name` or both",
            ),
            (
                not number and any(not lowest <= state <= highest for state in self.states),
                f"the states of a {self.type} are "
                + ("0 and 1" if self.binary else "counted from 1"),
            ),
            (
                not number and bool(self.range or self.counter or self.deadband or self.unit),
                f"a {self.type} is no quantity: it has `states`",
            ),
            (self.multi_state and self.write is not None and not self.states, "name its `states`"),
            (bool(wrong), wrong),
            (
                self.write is not None and self.type in _INPUTS,
                "it is never written: remove `write`",
            ),
        ]


class Match(Frozen):
    """Which devices are of this model; all that is said must be right."""

    vendor_id: int | None = Field(default=None, ge=0, le=65535)
    """The vendor identifier that ASHRAE gave the maker."""
    model: tuple[Pattern, ...] = ()
    """The model-name of the device object, with ``*`` and ``?``; one of them fits."""
    objects: tuple[Id, ...] = Field(default=(), max_length=16)
    """Ids of objects of this profile that the device must have, each with its object-name."""
    firmware: Pattern | None = None
    """Its firmware-revision, where another firmware has other objects."""
    application: Pattern | None = None
    """Its application-software-version, where that tells what was loaded into it."""


class BacnetDefaults(Frozen):
    """What holds for every object that does not say otherwise."""

    interval: Seconds | None = None
    """Seconds between two reads, where the configuration names none."""


class BacnetProfile(Head):
    """A BACnet device model: which devices are of it, and what their objects mean."""

    protocol: Literal["bacnet"]
    match: Match
    defaults: BacnetDefaults = BacnetDefaults()
    objects: tuple[BacnetObject, ...] = Field(min_length=1, max_length=4000)

    @cached_property
    def by_id(self) -> dict[str, BacnetObject]:
        """The objects by their id."""
        return {one.id: one for one in self.objects}

    @property
    def points(self) -> tuple[BacnetObject, ...]:
        """The objects that become points: all of them."""
        return self.objects

    def matches(
        self,
        vendor_id: int | None,
        model: str,
        firmware: str = "",
        application: str = "",
        objects: Collection[tuple[str, int, str]] = (),
    ) -> bool:
        """Say whether a device is of this model.

        Args:
            vendor_id: vendor-identifier of its device object.
            model: its model-name.
            firmware: its firmware-revision.
            application: its application-software-version.
            objects: type, instance and object-name of what it has.
        """
        match = self.match
        return (
            match.vendor_id in {None, vendor_id}
            and (not match.model or any(fits(pattern, model) for pattern in match.model))
            and (match.firmware is None or fits(match.firmware, firmware))
            and (match.application is None or fits(match.application, application))
            and all(
                any(self.by_id[one].is_object(*found) for found in objects) for one in match.objects
            )
        )

    def find(self, kind: str, instance: int, name: str, unit: str = "") -> BacnetObject | None:
        """Return what is known of an object of such a device.

        Args:
            kind: its type, as ``analog-input``.
            instance: its number.
            name: its object-name.
            unit: what it says of its unit; limits come in that one.
        """
        entries = [*self._by_instance.get((kind, instance), ()), *self._by_name]
        found = next((one for one in entries if one.is_object(kind, instance, name)), None)
        return found and found.in_unit(unit)

    @cached_property
    def _by_instance(self) -> dict[tuple[str, int], list[BacnetObject]]:
        found: dict[tuple[str, int], list[BacnetObject]] = {}
        for one in self.objects:
            if one.instance is not None:
                found.setdefault((one.type, one.instance), []).append(one)
        return found

    @cached_property
    def _by_name(self) -> list[BacnetObject]:
        return [one for one in self.objects if one.instance is None]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if len(self.by_id) != len(self.objects):
            ids = [one.id for one in self.objects]
            twice = sorted({one for one in ids if ids.count(one) > 1})
            msg = f"objects: the ids {', '.join(twice)} are used twice: rename one of each"
            raise ValueError(msg)
        self._check_match()
        for (kind, instance), entries in self._by_instance.items():
            if len({one.object_name for one in entries}) < len(entries):
                msg = f"objects: {kind}:{instance} stands twice: remove one"
                raise ValueError(msg)
        return self

    def _check_match(self) -> None:
        if not self.match.model and not self.match.objects:
            msg = "match: say by what: `model`, `objects` or both"
            raise ValueError(msg)
        for one in self.match.objects:
            if one not in self.by_id or self.by_id[one].object_name is None:
                msg = f"match.objects: {one} must be an object of this file with an `object_name`"
                raise ValueError(msg)
