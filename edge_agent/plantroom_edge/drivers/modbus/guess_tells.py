"""What of a profile tells a device of its model from others: a few registers each; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from plantroom_shared.profile_identify import Mark
from plantroom_shared.profiles import Profile, Register

TEXTS: Final = 3
VOLTAGES: Final = 6
RANGED: Final = 4
_NAMEPLATE = re.compile(
    r"manufacturer|vendor|model|product|device.?name|type|\bmd\b|\bmn\b", re.IGNORECASE
)
_PHASE = re.compile(r"(?:(?<=^)|(?<=[-_.]))(?:l|phase-?|ph)?([123abc])(?=$|[-_.])", re.IGNORECASE)
_WATTS: Final = frozenset({"w", "kw", "mw"})


@dataclass(frozen=True, slots=True)
class Tells:
    """The registers of a profile that are worth a look."""

    name: str
    """Of the profile."""
    profile: Profile
    expected: tuple[Register, ...]
    texts: tuple[Register, ...]
    voltages: tuple[Register, ...]
    frequency: tuple[Register, ...]
    powers: tuple[Register, ...]
    """Three phases and their total; or nothing."""
    ranged: tuple[Register, ...]
    marked: tuple[tuple[Mark, Register], ...] = ()
    """Registers by which the profile itself says that its devices are recognised."""

    @property
    def named(self) -> tuple[Register, ...]:
        """What devices of the model say of themselves."""
        return tuple(register for _, register in self.marked) + self.expected + self.texts

    @property
    def first(self) -> tuple[Register, ...]:
        """What to read first: it says most."""
        return self.named or self.frequency + self.voltages or self.ranged

    @property
    def rest(self) -> tuple[Register, ...]:
        """What to read where the first look did not rule the profile out."""
        looked = set(map(id, self.first))
        rest = self.voltages + self.frequency + self.powers + self.ranged
        return tuple(register for register in rest if id(register) not in looked)

    def factors(self, registers: Iterable[Register]) -> list[Register]:
        """Return the scale factors that registers need."""
        names = {register.sf for register in registers if register.sf is not None}
        return [self.profile.by_id[name] for name in sorted(names)]


def tells(name: str, profile: Profile) -> Tells:
    """Return what tells a device of this profile."""
    points = profile.points
    plates = [one for one in points if one.type == "string" and _is_plate(one)]
    volts = [one for one in points if one.unit.lower() == "v" and "Battery" not in one.point_class]
    volts = [one for one in volts if one.point_class == "Voltage_Sensor"]
    hertz = [one for one in points if one.point_class == "Frequency_Sensor"]
    return Tells(
        name,
        profile,
        expected=tuple(one for one in profile.registers if one.expect is not None),
        texts=tuple(plates[:TEXTS]),
        voltages=tuple(volts[:VOLTAGES]),
        frequency=tuple(hertz[:1]),
        powers=_powers([one for one in points if one.unit.lower() in _WATTS]),
        ranged=tuple(one for one in points if one.range is not None)[:RANGED],
        marked=tuple((mark, profile.by_id[mark.id]) for mark in profile.identify.registers),
    )


def _is_plate(register: Register) -> bool:
    return _NAMEPLATE.search(f"{register.id} {register.name}".replace("-", " ")) is not None


def _powers(watts: Sequence[Register]) -> tuple[Register, ...]:
    """Return three registers that differ by the phase alone, and the one of their sum."""
    by_id = {register.id: register for register in watts}
    for first in watts:
        mark = _PHASE.search(first.id)
        if mark is None or mark[1].lower() not in {"1", "a"}:
            continue
        start, stem = mark.start(1), first.id
        others = [stem[:start] + char + stem[start + 1 :] for char in _next(mark[1])]
        bare = re.sub(r"^[-_.]|[-_.]$", "", stem[: mark.start()] + stem[mark.end() :])
        bare = re.sub(r"[-_.]{2,}", "-", bare)
        names = (bare, f"{bare}-total", f"total-{bare}", f"{bare}-sys")
        total = next((by_id[name] for name in names if name in by_id), None)
        if total is not None and all(name in by_id for name in others):
            return (first, *(by_id[name] for name in others), total)
    return ()


def _next(char: str) -> tuple[str, str]:
    return {"1": ("2", "3"), "a": ("b", "c"), "A": ("B", "C")}[char]
