"""A point's value → the value of its model point: the one place for unit, sign, multiplier and type.

::

    raw ── states ──▶ number in the point's unit ── sign · multiplier ──▶ model's unit ──▶ its type

`conversion_of` says once what is to be done and whether it can be done at all; the schema check asks
the same question as publishing, so what it finds nothing wrong with is published.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from plantroom_shared.errors import Rejected
from plantroom_shared.mapping.things import NUMBERS, SCALARS, ModelPoint
from plantroom_shared.model import Value
from plantroom_shared.units import Unit, convert, parse_unit

ModelValue = int | float | bool | str

NO_UNIT: Final = frozenset({"", "no-units", "noUnits", "no_units"})
"""What buses say where a point has no unit."""
_ON: Final = frozenset({"active", "on", "true", "1", "open", "run", "running", "yes", "alarm"})
_OFF: Final = frozenset(
    {"inactive", "off", "false", "0", "closed", "stop", "stopped", "no", "normal"}
)
_HUGE: Final = 2.0**1023
"""A larger integer is no double."""
_INT_LIMIT: Final = 2**31
_TEXT_LIMIT: Final = 1024
_ENUM_LIMIT: Final = 32


@dataclass(frozen=True, slots=True)
class Source:
    """What a value is converted from: a point as the bus describes it."""

    unit: str = ""
    states: Sequence[str] = ()
    object_type: str = ""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What a person says about a point or a model point, beyond what the bus does."""

    unit: str = ""
    """The unit that the values are really in, after the multiplier; empty: the bus is right."""
    sign: int = 1
    """-1 where the two count in opposite directions."""
    multiplier: float = 1.0
    """One raw step in `unit`: 0.1 where a register counts tenths. Finite, not 0."""
    states: tuple[tuple[str, str], ...] = ()
    """State of the point (number or text) → value of the model point."""

    @property
    def factor(self) -> float:
        """What raw numbers are multiplied with."""
        return self.sign * self.multiplier


NOTHING: Final = Adjustment()


@dataclass(frozen=True, slots=True)
class Conversion:
    """How values of one point become values of one model point; `conversion_of` makes it."""

    source: Source
    target: ModelPoint
    adjustment: Adjustment = NOTHING
    from_unit: Unit | None = None
    """None where numbers keep their unit."""
    to_unit: Unit | None = None

    def __call__(self, value: Value) -> ModelValue:
        """Return `value` as the model point takes it.

        Raises:
            Rejected: (``value``) no such value can be sent.
        """
        kind, told = self.target.data_type, self._translated(value)
        if kind == "ENUM":
            return self._choice(value, told)
        translated = value if told is None else told
        if kind in NUMBERS:
            return self._within(self._converted(_number(translated, self.source)))
        if kind == "INT":
            return self._integer(translated)
        if kind == "BOOL":
            return bool(_state(translated, self.source))
        if kind == "STRING" and translated is not None:
            return _text(str(translated), _TEXT_LIMIT)
        raise self._unfit(value)

    def _translated(self, value: Value) -> str | None:
        """Return what a person says that a state is in the model; None where nobody says."""
        if not self.adjustment.states or value is None:
            return None
        table = {state.strip().casefold(): to for state, to in self.adjustment.states}
        found = (table.get(spelling) for spelling in _spellings(value, self.source))
        return next((to for to in found if to is not None), None)

    def _integer(self, value: Value) -> int:
        states = self.target.signal_type.upper() == "DI"
        if states or isinstance(value, str | bool):
            number = float(_state(value, self.source))
        else:
            number = self._converted(_number(value, self.source))
        whole = round(number)
        # A state between two states is a fault; a measurement that the model keeps whole is not.
        if states and not math.isclose(whole, number, abs_tol=1e-9):
            raise self._unfit(value)
        if not -_INT_LIMIT <= whole < _INT_LIMIT:
            raise self._unfit(value)
        return int(self._within(whole))

    def _choice(self, value: Value, told: str | None) -> ModelValue:
        """Return which choice a state is: as a person says, else by its text, else by its number.

        The number alone counts only where no text contradicts it: "1 Off" of a bus is not "1 Cool".
        """
        choices = {key.strip().casefold(): key for key, _ in self.target.choices}
        if not choices:
            value = told if told is not None else value
            return _text(value, _ENUM_LIMIT) if isinstance(value, str) else self._integer(value)
        if told is not None:
            key = choices.get(told.strip().casefold(), "")
        else:
            key = self._by_text(_state_text(value, self.source))
            key = key or self._by_number(value, choices)
        if not key:
            raise self._unfit(value)
        return _enum_value(key)

    def _by_text(self, text: str) -> str:
        """Return the one choice that is called `text`; empty where none or several are."""
        found = [key for key, called in self.target.choices if text and _alike(text, called)]
        return found[0] if len(found) == 1 else ""

    def _by_number(self, value: Value, choices: Mapping[str, str]) -> str:
        text, called = _state_text(value, self.source), dict(self.target.choices)
        for spelling in _spellings(value, self.source):
            key = choices.get(spelling)
            if key and not (text and called[key].strip()):
                return key
        return ""

    def _converted(self, number: float) -> float:
        adjusted = number * self.adjustment.factor
        if self.from_unit is None or self.to_unit is None:
            return adjusted
        return convert(adjusted, self.from_unit, self.to_unit) / self.target.scale

    def _within(self, number: float) -> float:
        low, high = self.target.minimum, self.target.maximum
        if (low is not None and number < low) or (high is not None and number > high):
            msg = f"{number:g} is outside of {low} to {high}, which {self.target.identifier} takes"
            raise Rejected(msg, reason="value")
        if not math.isfinite(number):
            raise self._unfit(number)
        return number

    def _unfit(self, value: Value) -> Rejected:
        shown = str(value)[:40]
        msg = f"{shown!r} cannot be sent as {self.target.data_type} {self.target.identifier}"
        return Rejected(msg, reason="value")


def conversion_of(
    source: Source, target: ModelPoint, adjustment: Adjustment = NOTHING
) -> Conversion:
    """Return how a point's values become those of a model point.

    Raises:
        Rejected: ``unit``: the units do not convert; ``type``: the model point takes nothing that
            a bus can say.
    """
    return _conversion(
        Source(source.unit, tuple(source.states), source.object_type), target, adjustment
    )


@functools.lru_cache(maxsize=65_536)
def _conversion(source: Source, target: ModelPoint, adjustment: Adjustment) -> Conversion:
    if target.data_type not in SCALARS:
        msg = (
            f"{target.identifier} is {target.data_type or 'of no type'}: no point says such a value"
        )
        raise Rejected(msg, reason="type")
    unit = adjustment.unit or source.unit
    # Many a site names no unit: what it says is then taken to be what the model wants.
    if target.is_state or target.data_type == "STRING" or unit in NO_UNIT or not target.unit:
        return Conversion(source, target, adjustment)
    to_unit = parse_unit(target.unit)
    if to_unit is None and unit.strip().casefold() == target.unit.strip().casefold():
        return Conversion(source, target, adjustment)
    convert(0.0, unit, target.unit)  # raises what does not convert
    return Conversion(source, target, adjustment, parse_unit(unit), to_unit)


def assumes_unit(source: Source, target: ModelPoint, adjustment: Adjustment = NOTHING) -> bool:
    """Say whether values are taken to be in the model's unit because nobody names one."""
    wants = bool(target.unit) and not target.is_state and target.data_type != "STRING"
    return wants and (adjustment.unit or source.unit) in NO_UNIT


def _spellings(value: Value, source: Source) -> list[str]:
    """Return how a table may name a state, folded: as it is, by its number, by its text."""
    if isinstance(value, str):
        found = [value.strip().casefold()]
        try:
            found.append(f"{_state(value, source):g}")
        except Rejected:
            return found
    else:
        number = _number(value, source)
        found = [f"{number:g}"]
        at = number - _first(source)
        if at.is_integer() and 0 <= at < len(source.states):
            found.append(source.states[int(at)].strip().casefold())
        found += [str(value).casefold()] if isinstance(value, bool) else []
    return found


def _state_text(value: Value, source: Source) -> str:
    """Return what a state is called, folded; empty where nobody says, or it is a number."""
    found = [spelling for spelling in _spellings(value, source) if not _is_number(spelling)]
    return found[0] if found and (isinstance(value, str) or source.states) else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _alike(text: str, called: str) -> bool:
    """Say whether two texts name the same state: ``inactive`` is ``Off``."""
    other = called.strip().casefold()
    return text == other or any(text in words and other in words for words in (_ON, _OFF))


def _enum_value(key: str) -> ModelValue:
    """Return a choice as it is sent: integers as such."""
    try:
        return int(key)
    except ValueError:
        return _text(key, _ENUM_LIMIT)


def _number(value: Value, source: Source) -> float:
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = float(_state(value, source))
    elif value is None:
        number = math.nan
    else:
        number = float(value) if abs(value) < _HUGE else math.inf
    if not math.isfinite(number):
        msg = f"{value!r} is no finite number"
        raise Rejected(msg, reason="value")
    return number


def _first(source: Source) -> int:
    """Return the number of the first state: a BACnet multi-state counts from 1."""
    return 1 if source.object_type.startswith("multi-state") else 0


def _state(value: Value, source: Source) -> float:
    """Return the number of a state: 0 and 1 of a binary, also where the bus says it in words."""
    if not isinstance(value, str):
        return _number(value, source)
    word = value.strip().casefold()
    states = [state.strip().casefold() for state in source.states]
    if word in states:
        return states.index(word) + _first(source)
    if word in _ON or word in _OFF:
        return int(word in _ON)
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number
    msg = f"{value[:40]!r} is no state of the point"
    raise Rejected(msg, reason="value")


def _text(value: str, limit: int) -> str:
    if len(value) > limit:
        msg = f"a text of {len(value)} characters is over the limit of {limit}"
        raise Rejected(msg, reason="value")
    return value
