"""Devices and points as the contract has them, from a profile."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from plantroom_edge.drivers.modbus.unit import Unit
from plantroom_edge.hints import Hint, hint_of
from plantroom_shared.model import Device, Point
from plantroom_shared.profiles import Profile, Register


def describe_device(key: str, name: str, address: str, profile: Profile) -> Device:
    """Return the device `key` of a profile."""
    return Device(
        key=key,
        name=name,
        protocol="modbus",
        address=address,
        vendor=profile.vendor,
        model=profile.model,
        description=profile.description[:512],
    )


def describe_point(device: str, profile: Profile, register: Register) -> Point:
    """Return the point of a register; `device` is the key of its device."""
    return Point(
        key=sys.intern(f"{device}:{register.id}"),
        device=device,
        name=register.name,
        description=register.description,
        unit=register.unit,
        object_type=register.space,
        states=tuple(text for _, text in sorted(register.states.items())),
        writable=True if register.write is not None else None,
        equip_class=profile.equip_class,
        point_class=register.point_class,
        enos=register.enos,
    )


def describe_hints(units: Iterable[Unit]) -> dict[str, Hint]:
    """Return, by point key, what the profiles of some units say of how their points move."""
    return {
        unit.point(register): hint
        for unit in units
        for register in unit.profile.points
        if (hint := hint_of(register)) is not None
    }
