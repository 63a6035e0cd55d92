"""What is doubtful in a profile, and what reading it costs; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from plantroom_edge.drivers.modbus.planner import Cell, plan
from plantroom_shared import registers as codec
from plantroom_shared.mapping import is_equip_class, is_point_class, model_point
from plantroom_shared.profiles import AnyProfile, BacnetObject, Profile, Register
from plantroom_shared.units import parse_unit

_TCP_REQUEST: Final = 12
"""Bytes of a read over TCP: header, function, address, count."""
_TCP_REPLY: Final = 9
"""Bytes around the data of a reply."""
_REFERENCES: Final = {"holding": range(40001, 50000), "input": range(30001, 40000)}
"""The numbers by which documents call registers that protocols count from 0."""
_OBJECTS_A_REQUEST: Final = 50
"""Present-values with status flags that fit an answer of 1476 octets, about."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that is allowed, and mostly a mistake."""

    place: tuple[str | int, ...]
    """Where in the file: keys and indices from the top."""
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of polls at one interval costs."""

    interval: float
    """Seconds."""
    points: int
    requests: int
    registers: int
    """Registers and bits that are read, gaps included."""
    size: int
    """Bytes on the wire over TCP, both ways, without TCP's own."""


def doubts(profile: AnyProfile) -> list[Doubt]:
    """Return what in `profile` is mostly a mistake, in the order of the file."""
    found: list[Doubt] = []
    if not profile.equip_class:
        found.append(Doubt(("equip_class",), "there is none", "name the Brick class of the device"))
    elif not is_equip_class(profile.equip_class):
        what = f"Brick has no equipment class {profile.equip_class!r}"
        found.append(Doubt(("equip_class",), what, "see brickschema.org for the classes"))
    key = "registers" if isinstance(profile, Profile) else "objects"
    entries: Sequence[Register | BacnetObject] = (
        profile.registers if isinstance(profile, Profile) else profile.objects
    )
    for index, one in enumerate(entries):
        found += [Doubt((key, index, *d.place), d.what, d.fix) for d in _of_entry(one)]
    if isinstance(profile, Profile):
        found += [*_overlaps(profile), *_references(profile)]
    return found


def _of_entry(one: Register | BacnetObject) -> Iterator[Doubt]:
    if one.unit and parse_unit(one.unit) is None:
        what = f"the unit {one.unit!r} is unknown"
        yield Doubt(("unit",), what, "write it as degC, kW, m3/h, % ...")
    if not one.unit and _is_quantity(one):
        fix = "add it, or `states` if it is an enumeration"
        yield Doubt((), "it is a quantity without a unit", fix)
    if one.point_class and not is_point_class(one.point_class):
        what = f"Brick has no point class {one.point_class!r}"
        yield Doubt(("point_class",), what, "see brickschema.org for the classes")
    if one.enos and model_point(*one.enos.split("/")) is None:
        what = f"no thing model is known to have {one.enos!r}"
        yield Doubt(("enos",), what, "correct or remove it")
    write = one.write
    number = one.type != "bool" and not one.type.startswith(("binary", "multi"))
    if write is not None and number and not one.states and None in {write.min, write.max}:
        what = "it may be written without a limit"
        yield Doubt(("write",), what, "say `min` and `max`, or remove `write`")


def _is_quantity(one: Register | BacnetObject) -> bool:
    # A BACnet object tells its unit itself.
    if not isinstance(one, Register) or one.states or one.hidden or "Factor" in one.point_class:
        return False
    return one.type in codec.FLOATS or one.scale != 1 or one.sf is not None


def _overlaps(profile: Profile) -> Iterator[Doubt]:
    places = {one.id: index for index, one in enumerate(profile.registers)}
    for space in ("holding", "input", "coil", "discrete"):
        members = sorted(
            (one for one in profile.registers if one.space == space and not _is_part(one)),
            key=lambda one: (one.address, one.words),
        )
        for one, other in pairwise(members):
            if one.address + one.words > other.address:
                where = ("registers", places[other.id], "address")
                what = f"{other.id} at {other.address} overlaps {one.id} at {one.address}"
                yield Doubt(where, what, "correct the address, or the type of one of both")


def _is_part(one: Register) -> bool:
    """Say whether it is only some bits of its register, which others may share."""
    return one.bit is not None or one.bits is not None


def _references(profile: Profile) -> Iterator[Doubt]:
    for space, numbers in _REFERENCES.items():
        members = [one for one in profile.registers if one.space == space]
        # SunSpec devices do begin at 40000, and have a register there.
        if members and all(one.address in numbers for one in members):
            index = profile.registers.index(members[0])
            what = f"all {space} registers are at {numbers[0]} and above"
            fix = f"if the document counts from {numbers[0]}, subtract {numbers[0]} from each"
            yield Doubt(("registers", index, "address"), what, fix)


def rounds(profile: AnyProfile) -> list[Round]:
    """Return what reading a device of this model costs, by interval, the shortest first."""
    if not isinstance(profile, Profile):
        count = len(profile.objects)
        requests = -(-count // _OBJECTS_A_REQUEST)
        return [Round(profile.defaults.interval or 0.0, count, requests, 0, 0)]
    rates: dict[float, list[Register]] = {}
    for one in profile.points:
        interval = max(profile.defaults.interval, one.interval or 0)
        rates.setdefault(interval, []).append(one)
    return [_round(profile, interval, rates[interval]) for interval in sorted(rates)]


def _round(profile: Profile, interval: float, points: list[Register]) -> Round:
    needed = {one.id: one for one in points}
    needed |= {one.sf: profile.by_id[one.sf] for one in points if one.sf is not None}
    blocks = plan([Cell(one, slot) for slot, one in enumerate(needed.values())], profile.limits)
    size = sum(_TCP_REQUEST + _TCP_REPLY + block.size for block in blocks)
    return Round(interval, len(points), len(blocks), sum(block.count for block in blocks), size)
