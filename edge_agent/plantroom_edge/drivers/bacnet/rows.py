"""Answers → rows: values and qualities in the order of a poll group. Pure."""

from __future__ import annotations

from typing import Any, Final

from plantroom_edge.drivers import Poll
from plantroom_edge.drivers.bacnet.services import Ref
from plantroom_edge.drivers.bacnet.session import Reading
from plantroom_edge.drivers.bacnet.values import Bits, Failure
from plantroom_shared.model import Quality, Value

_MAX_TEXT: Final = 512
_EXACT: Final = 2**53
"""Integers beyond it become floats: JSON readers would round them anyway."""
_NO_SAMPLE: Final = {type(None): "null", float: "nan"}

_FAULT, _OVERRIDDEN, _OUT_OF_SERVICE = 0x40, 0x20, 0x10
_NOT_NORMAL: Final = _FAULT | _OVERRIDDEN | _OUT_OF_SERVICE
_BAD, _UNCERTAIN = int(Quality.BAD), int(Quality.UNCERTAIN)


def rows_of(ts: int, rows: list[tuple[Ref, Ref]], reading: Reading) -> Poll:
    """Put what a device said in the order of the group; a row never moves for another's sake."""
    values: list[Value] = [None] * len(rows)
    quality: dict[int, tuple[int, str]] = {}
    if reading.put(values) == len(rows):
        return Poll(ts, values, quality)
    get = reading.values.get
    unasked = Failure("overrun" if reading.late else "timeout")
    good: dict[Ref, int] = {}
    for row, (value_ref, flags_ref) in enumerate(rows):
        if values[row] is not None:  # as it was recalled
            continue
        value = get(value_ref, unasked)
        if type(value) is not float or value - value != 0.0:  # only finite numbers give 0
            value, why = _plain(value)
            if why:
                quality[row] = (_BAD, why)
                continue
        values[row] = value
        flags = get(flags_ref)
        if type(flags) is Bits and len(flags) > 1 and flags[1] & _NOT_NORMAL:
            quality[row] = _flagged(flags[1])
        else:
            good[value_ref] = row
    reading.remember(good)
    return Poll(ts, values, quality)


def _plain(value: Any) -> tuple[Value, str]:
    """Return `value` as a sample can hold it, or why it cannot."""
    if isinstance(value, str):
        return value[:_MAX_TEXT], ""
    if type(value) is bool or (type(value) is int and -_EXACT <= value <= _EXACT):
        return value, ""
    if type(value) is int:
        return float(value), ""
    if isinstance(value, Failure):
        return None, value.reason
    if isinstance(value, list) and len(value) == 2 and all(type(it) is str for it in value):
        return f"{value[0]} {value[1]}"[:_MAX_TEXT], ""  # a date and a time
    return None, _NO_SAMPLE.get(type(value), "unsupported-type")


def _flagged(flags: int) -> tuple[int, str]:
    if flags & _FAULT:
        return _BAD, "fault"
    if flags & _OVERRIDDEN:
        return _UNCERTAIN, "overridden"
    return _UNCERTAIN, "out-of-service"
