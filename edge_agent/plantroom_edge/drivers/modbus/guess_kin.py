"""Which profiles are of one family: they read whatever they share in the same way; pure.

Makers sell meters that differ by what they leave out. Their profiles contradict each other nowhere,
so whichever of them is taken, what it reads is right. Two that give one register two meanings are
no family, and neither are two that hardly share any.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Final

from plantroom_shared.profiles import Profile, Register
from plantroom_shared.registers import Space

SHARED: Final = 0.5
"""The part of the smaller profile's points that the other one must have too."""

_Place = tuple[Space, int]
_Reading = tuple[Register, tuple[object, ...]]
"""A register and all that decides which number comes out of it."""


def quarrel(profiles: Iterable[tuple[str, Profile]]) -> str:
    """Return why profiles, with their names, are no family; empty if they are one."""
    for (one_name, one), (other_name, other) in combinations(profiles, 2):
        differ = contradiction(one, other)
        if differ is not None:
            mine, theirs = differ
            return (
                f"{mine.space} {mine.address} is {_what(mine)} by {one_name},"
                f" and {_what(theirs)} by {other_name}"
            )
        if not related(one, other):
            return f"{one_name} and {other_name} share too few registers"
    return ""


def contradiction(one: Profile, other: Profile) -> tuple[Register, Register] | None:
    """Return two registers at one place of which two profiles make different things.

    Where a profile says more about a place than the other, such as single bits of a word, that is
    no contradiction.
    """
    mine, theirs = _places(one), _places(other)
    for place in sorted(mine.keys() & theirs.keys()):
        here, there = mine[place], theirs[place]
        lost = [reading for reading in here if not _has(there, reading)]
        found = [reading for reading in there if not _has(here, reading)]
        if lost and found:
            return lost[0][0], found[0][0]
    return None


def related(one: Profile, other: Profile) -> bool:
    """Return whether one profile has most of the points that the other one has."""
    small, large = sorted((one, other), key=lambda profile: len(profile.points))
    places = _places(large)
    shared = sum(
        _has(places.get((point.space, point.address), ()), (point, _form(small, point)))
        for point in small.points
    )
    return shared >= SHARED * max(1, len(small.points))


def _has(readings: Iterable[_Reading], wanted: _Reading) -> bool:
    """Return whether one of these is read as `wanted` is, and means the same."""
    register, form = wanted
    return any(form == other and _means(one, register) for one, other in readings)


def _means(one: Register, other: Register) -> bool:
    if one.point_class and other.point_class and one.point_class != other.point_class:
        return False
    if one.states and other.states and one.states != other.states:
        return False
    same = one.id == other.id or one.name.casefold() == other.name.casefold()
    return same and one.unit == other.unit


def _form(profile: Profile, register: Register) -> tuple[object, ...]:
    factor = None if register.sf is None else profile.by_id[register.sf]
    return (
        register.address, register.type, register.order, register.length, register.bit,
        register.bits, register.encoding, register.scale, register.offset,
        factor and (factor.space, factor.address, factor.type),
    )  # fmt: skip


def _places(profile: Profile) -> dict[_Place, list[_Reading]]:
    places: dict[_Place, list[_Reading]] = {}
    for register in profile.registers:
        reading = register, _form(profile, register)
        for at in range(register.address, register.address + register.words):
            places.setdefault((register.space, at), []).append(reading)
    return places


def _what(register: Register) -> str:
    shown = f"{register.name} [{register.type}"
    shown += f" {register.order}" if register.words > 1 else ""
    shown += f" x {register.scale:g}" if register.scale != 1 else ""
    return f"{shown}{' ' if register.unit else ''}{register.unit}]"
