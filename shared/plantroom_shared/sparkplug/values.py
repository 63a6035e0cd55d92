"""Data types of Sparkplug B: between what stands on the wire and what a point can hold. Pure."""

from __future__ import annotations

import math
import struct
from enum import IntEnum
from typing import Final

from plantroom_shared.errors import Rejected
from plantroom_shared.model import Quality, Value

MAX_TEXT: Final = 4096
"""Characters of a text value."""


class DataType(IntEnum):
    """The types that have a single value; all others are `UNSUPPORTED`."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATE_TIME = 13
    TEXT = 14
    UUID = 15


UNSUPPORTED: Final = range(16, 35)
"""Data sets, bytes, files, templates, property sets and arrays."""

_SIGNED: Final = {1: 8, 2: 16, 3: 32, 4: 64}
_UNSIGNED: Final = {5: 8, 6: 16, 7: 32, 8: 64, 13: 64}
_TEXTS: Final = (DataType.STRING, DataType.TEXT, DataType.UUID)
_INTEGER_FIELDS: Final = ("int", "long")

Raw = tuple[str, int | float | bool | str | bytes]
"""Which value field of a metric was set, and what it held."""


def decode_value(raw: Raw, datatype: int) -> Value:
    """Return the value of a metric.

    Raises:
        Rejected: ``datatype``: the field does not belong to the type; ``value``: it is out of the
            type's range; ``text_too_long``; ``not_finite``.
    """
    field, value = raw
    if datatype in _SIGNED and field in _INTEGER_FIELDS:
        return _signed(int(value), _SIGNED[datatype])
    if datatype in _UNSIGNED and field in _INTEGER_FIELDS:
        return _unsigned(int(value), _UNSIGNED[datatype])
    if datatype in {DataType.FLOAT, DataType.DOUBLE} and field in {"float", "double"}:
        if not math.isfinite(float(value)):
            msg = "a number that is none or infinite"
            raise Rejected(msg, reason="not_finite")
        return float(value)
    if datatype == DataType.BOOLEAN and field == "boolean":
        return bool(value)
    if datatype in _TEXTS and field == "string":
        if len(str(value)) > MAX_TEXT:
            msg = f"a text of more than {MAX_TEXT} characters"
            raise Rejected(msg, reason="text_too_long")
        return str(value)
    msg = f"a value in field {field!r} is none of type {datatype}"
    raise Rejected(msg, reason="datatype")


def _signed(value: int, bits: int) -> int:
    """Return a two's complement; some nodes extend the sign to the whole field, some do not."""
    for width in (bits, 32, 64):
        top = 1 << width
        signed = value - top if value >= top >> 1 else value
        if value < top and -(1 << bits - 1) <= signed < 1 << bits - 1:
            return signed
    raise _out_of_range(value, bits)


def _unsigned(value: int, bits: int) -> int:
    if value < 1 << bits:
        return value
    raise _out_of_range(value, bits)


def _out_of_range(value: int, bits: int) -> Rejected:
    msg = f"{value} does not fit in {bits} bits"
    return Rejected(msg, reason="value")


def datatype_of(value: Value) -> DataType:
    """Return the type under which we send a value: every number is a double."""
    if isinstance(value, bool):
        return DataType.BOOLEAN
    return DataType.STRING if isinstance(value, str) else DataType.DOUBLE


def encode_value(value: Value) -> Raw | None:
    """Return what stands in the metric for `value`; None where there is nothing."""
    match value:
        case None:
            return None
        case bool():
            return "boolean", value
        case str():
            return "string", value
        case _:
            return "double", float(value)


def quality_of(code: int) -> Quality:
    """Return what a ``Quality`` property means: 192 is good, 0 is bad, 500 (stale) is doubtful."""
    if 192 <= code < 256:
        return Quality.GOOD
    return Quality.UNCERTAIN if code >= 64 else Quality.BAD


QUALITY_CODES: Final = {Quality.GOOD: 192, Quality.UNCERTAIN: 64, Quality.BAD: 0}
"""What we send as ``Quality``, as OPC has it."""


def read_float(data: bytes) -> float:
    """Return the float of four or eight little-endian bytes."""
    return float(struct.unpack("<f" if len(data) == 4 else "<d", data)[0])


def write_double(value: float) -> bytes:
    """Return the eight bytes of a double."""
    return struct.pack("<d", value)
