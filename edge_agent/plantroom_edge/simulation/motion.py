"""Values that move plausibly: what a simulated device shows at a moment; pure and repeatable."""

from __future__ import annotations

import math
import random
import re
import struct
from dataclasses import dataclass
from typing import Final

from plantroom_shared import registers as codec
from plantroom_shared.model import Value
from plantroom_shared.profiles import AnyProfile, BacnetObject, Profile, Register
from plantroom_shared.units import parse_unit

_TYPICAL: Final[dict[str, tuple[float, float]]] = {
    "°C": (18, 26), "°F": (65, 79), "K": (291, 299), "%": (20, 80), "%RH": (35, 55), "V": (226, 234),
    "kV": (9.9, 10.1), "A": (5, 40), "W": (500, 9000), "kW": (5, 90), "var": (50, 900),
    "kvar": (1, 9), "VA": (600, 9500), "kVA": (6, 95), "Hz": (49.95, 50.05), "pf": (0.9, 0.99),
    "Pa": (80, 250), "kPa": (90, 350), "bar": (1.5, 3), "rpm": (700, 1400), "ppm": (420, 900),
    "L/s": (20, 200), "m³/h": (5, 90), "cfm": (200, 900), "gpm": (20, 90), "min": (1, 50),
}  # fmt: skip
"""By unit, between which values one mostly finds a point that has no narrower range."""
_WHOLE: Final = frozenset({"accumulator", "integer-value", "positive-integer-value"})
_ORDINARY: Final = (10.0, 90.0)
_DWELL: Final = 60.0
"""Seconds that a state lasts at least."""
_PER_HOUR: Final = 40.0
"""How fast a counter counts, in its unit."""


@dataclass(frozen=True, slots=True)
class _Course:
    """How one point moves: two slow waves of its own around its middle."""

    middle: float
    swing: float
    phase: float
    period: float

    def at(self, seconds: float) -> float:
        turn = 2 * math.pi * seconds / self.period + self.phase
        return self.middle + self.swing * (0.8 * math.sin(turn) + 0.2 * math.sin(7.3 * turn))


class Motion:
    """The course of every point of a device model.

    Args:
        profile: the model.
        seed: devices with another one show other values.
    """

    def __init__(self, profile: AnyProfile, seed: int = 0) -> None:
        self._profile, self._seed = profile, seed
        self.exponents = _exponents(profile)
        """What the scale-factor registers of the device hold."""
        self._fixed = _marks(profile)

    def values(self, seconds: float) -> dict[str, Value]:
        """Return what each point shows `seconds` after the start, by id, in its unit."""
        return {one.id: self._value(one, seconds) for one in self._entries()}

    def _entries(self) -> list[Register] | list[BacnetObject]:
        profile = self._profile
        if isinstance(profile, Profile):
            return [one for one in profile.registers if one.id not in self.exponents]
        return list(profile.objects)

    def _value(self, one: Register | BacnetObject, seconds: float) -> Value:
        rng = random.Random(f"{self._seed}/{one.id}")
        if one.id in self._fixed:
            return self._fixed[one.id]
        kind = one.type
        if kind == "string":
            return f"SIM-{rng.randrange(1000):03d}"[: _letters(one)]
        steps = int((seconds + rng.uniform(0, _DWELL)) / (_DWELL * rng.uniform(2, 10)))
        if kind in codec.BITFIELDS:
            return 0
        if kind == "bool" or kind.startswith("binary-"):
            return random.Random(f"{self._seed}/{one.id}/{steps}").random() < 0.5
        if one.states or kind.startswith("multi-state-"):
            states = sorted(one.states) or [1]
            return random.Random(f"{self._seed}/{one.id}/{steps}").choice(states)
        return self._number(one, rng, seconds)

    def _number(self, one: Register | BacnetObject, rng: random.Random, seconds: float) -> float:
        low, high = _span(one, self.exponents)
        if one.counter:
            top = one.turns_at or high
            begin = rng.uniform(0, 1000) * min(1.0, high / 1e4)
            return _stepped(one, (begin + _PER_HOUR * seconds / 3600) % top, self.exponents)
        course = _Course(
            low + (high - low) * rng.uniform(0.35, 0.65),
            (high - low) * 0.25,
            rng.uniform(0, 2 * math.pi),
            rng.uniform(300, 1800),
        )
        return _stepped(one, course.at(seconds), self.exponents)


def _letters(one: Register | BacnetObject) -> int:
    if not isinstance(one, Register):
        return 20
    return one.length * (1 if one.encoding == "utf-16" else 2)


def _span(one: Register | BacnetObject, exponents: dict[str, int]) -> tuple[float, float]:
    """Return between which values a point moves: typical, plausible, and possible."""
    unit = parse_unit(one.unit) if one.unit else None
    low, high = _TYPICAL.get(unit.symbol if unit else "", _ORDINARY)
    ends = one.range
    if isinstance(one, Register):
        ends = _meet(one.range, _possible(one, exponents))
    if ends is None:
        return low, high
    inside = max(low, ends[0]), min(high, ends[1])
    if inside[0] < inside[1]:
        return inside
    span = ends[1] - ends[0]
    return ends[0] + 0.1 * span, ends[1] - 0.1 * span


def _meet(
    one: tuple[float, float] | None, other: tuple[float, float] | None
) -> tuple[float, float] | None:
    if one is None or other is None:
        return one or other
    return max(one[0], other[0]), min(one[1], other[1])


def _possible(one: Register, exponents: dict[str, int]) -> tuple[float, float] | None:
    """Return what the register can hold, in the unit of the point; None if that is no matter."""
    if one.type in codec.FLOATS:
        return None
    size = 16 * one.words if one.bits is None else one.bits[1] - one.bits[0] + 1
    low, high = 0, (1 << size) - 1
    if one.type.startswith("int"):
        low, high = -(1 << size - 1), (1 << size - 1) - 1
    elif one.type in codec.BCD:
        high = 10 ** (4 * one.words) - 1
    factor = one.scale * 10.0 ** exponents.get(one.sf or "", 0)
    # Neither end: that is where devices have their "not available".
    ends = sorted(((low + 1) * factor + one.offset, (high - 1) * factor + one.offset))
    return ends[0], ends[1]


def _stepped(one: Register | BacnetObject, value: float, exponents: dict[str, int]) -> float:
    """Return the nearest value that the device can show: what is read back is the same."""
    value = round(value, 3)
    if not isinstance(one, Register):
        if one.type in _WHOLE:
            return round(value)
        return value if one.type == "large-analog-value" else _single(value)
    words = one.encode(value, exponents.get(one.sf or "", 0))
    shown, _ = one.decode(words, exponents.get(one.sf) if one.sf else None)
    return shown if isinstance(shown, (int, float)) else value


def _single(value: float) -> float:
    """Return what of a number 32 bits can hold: a BACnet real."""
    (held,) = struct.unpack("<f", struct.pack("<f", value))
    return float(held)


def _exponents(profile: AnyProfile) -> dict[str, int]:
    """Return a power of ten for each scale-factor register: small where the range is."""
    if not isinstance(profile, Profile):
        return {}
    found: dict[str, int] = {}
    for one in profile.registers:
        if one.sf is not None:
            high = max(map(abs, one.range or _TYPICAL.get(one.unit, _ORDINARY)))
            room = math.floor(math.log10(30_000 / high)) if high else 0
            least = -min(max(room, 0), 2)
            found[one.sf] = max(found.get(one.sf, -2), least)
    return found


def _marks(profile: AnyProfile) -> dict[str, Value]:
    """Return what a device of this model holds in the registers by which it is recognised."""
    if not isinstance(profile, Profile):
        return {}
    found: dict[str, Value] = {}
    for mark in profile.identify.registers:
        register = profile.by_id[mark.id]
        if mark.text is not None:
            found[mark.id] = example(mark.text)[: 2 * register.length]
        elif mark.values:
            found[mark.id], _ = register.decode(register.pack(mark.values[0]))
    return found


def example(pattern: str) -> str:
    """Return a text that fits a pattern with ``*`` and ``?``."""
    text = re.sub(r"\[(.).*?\]", r"\1", pattern).replace("?", "1").replace("*", "")
    return text or "SIM"
