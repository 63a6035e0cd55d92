"""A sample's value as the thing model wants it: unit, type, range. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from plantroom_shared.errors import Rejected
from plantroom_shared.model import Value
from plantroom_shared.units import convert

EnosValue = int | float | bool | str

_ON: Final = frozenset({"active", "on", "true", "1", "open", "run", "running", "yes", "alarm"})
_OFF: Final = frozenset(
    {"inactive", "off", "false", "0", "closed", "stop", "stopped", "no", "normal"}
)
_NO_UNIT: Final = frozenset({"", "no-units", "noUnits", "no_units"})
_HUGE: Final = 2.0**1023
"""A larger integer is no double."""
_INT_LIMIT: Final = 2**31
_TEXT_LIMIT: Final = 1024
_ENUM_LIMIT: Final = 32
_COMPUTED: Final = frozenset({"cal", "opt", "ai", "stat", "est", "ech", "write"})
"""Second word of points that EnOS computes itself or sends to the site."""


@dataclass(frozen=True, slots=True)
class ModelPoint:
    """A measurement point of a thing model."""

    identifier: str
    data_type: str
    """``DOUBLE``, ``FLOAT``, ``INT``, ``BOOL``, ``ENUM``, ``STRING``."""
    unit: str = ""
    """As `units.parse_unit` reads it; empty where the model names none."""
    signal_type: str = ""
    """``AI``, ``DI``, ``PI``, ``Generic`` or empty."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a value is converted from."""

    unit: str = ""
    states: Sequence[str] = ()
    object_type: str = ""


def is_raw(identifier: str) -> bool:
    """Say whether a site publishes the point; the others are EnOS's own."""
    words = identifier.split("_")
    return len(words) < 3 or words[1] not in _COMPUTED


def to_model(value: Value, source: Source, target: ModelPoint) -> EnosValue:
    """Return `value` as `target` takes it.

    Raises:
        Rejected: ``unit``: the units do not convert; ``value``: no such value can be sent.
    """
    kind = target.data_type.upper()
    if kind in ("DOUBLE", "FLOAT"):
        return _converted(_number(value, source), source, target)
    if kind == "INT":
        return _integer(value, source, target)
    if kind == "BOOL":
        return bool(_state(value, source))
    if kind == "ENUM" and isinstance(value, str):
        return _text(value, _ENUM_LIMIT)
    if kind == "ENUM":
        return _integer(value, source, target)
    if kind == "STRING" and value is not None:
        return _text(str(value), _TEXT_LIMIT)
    raise _unfit(value, target)


def _integer(value: Value, source: Source, target: ModelPoint) -> int:
    if target.signal_type.upper() == "DI" or isinstance(value, str | bool):
        number = float(_state(value, source))
    else:
        number = _converted(_number(value, source), source, target)
    whole = round(number)
    # A state between two states is a fault; a measurement that the model keeps whole is not.
    if target.signal_type.upper() == "DI" and not math.isclose(whole, number, abs_tol=1e-9):
        raise _unfit(value, target)
    if not -_INT_LIMIT <= whole < _INT_LIMIT:
        raise _unfit(value, target)
    return whole


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


def _converted(number: float, source: Source, target: ModelPoint) -> float:
    # Many a site names no unit: what it says is then taken to be what the model wants.
    if source.unit in _NO_UNIT or not target.unit:
        return number
    return convert(number, source.unit, target.unit)


def _state(value: Value, source: Source) -> float:
    """Return the number of a state: 0 and 1 of a binary, also where the bus says it in words."""
    if not isinstance(value, str):
        return _number(value, source)
    word = value.strip().casefold()
    states = [state.strip().casefold() for state in source.states]
    if word in states:
        first = 1 if source.object_type.startswith("multi-state") else 0
        return states.index(word) + first
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
        msg = f"a text of {len(value)} characters is over EnOS's limit of {limit}"
        raise Rejected(msg, reason="value")
    return value


def _unfit(value: Value, target: ModelPoint) -> Rejected:
    shown = str(value)[:40]
    msg = f"{shown!r} cannot be sent as {target.data_type} {target.identifier}"
    return Rejected(msg, reason="value")
