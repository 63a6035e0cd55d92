"""The payload of Sparkplug B: decoded from untrusted bytes, encoded for others. Pure.

A metric that cannot be understood costs only itself: it comes out with its `trouble` and the bytes
it consisted of, and the others beside it are whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from plantroom_shared.errors import Rejected
from plantroom_shared.sparkplug.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    Field,
    fields,
    fixed,
    length,
    varint,
)
from plantroom_shared.sparkplug.values import Raw, read_float, write_double

MAX_PAYLOAD: Final = 120 * 1024
"""Bytes of a message."""
MAX_METRICS: Final = 5000
"""Metrics in a message."""
MAX_NAME: Final = 1000
"""Characters of a metric's name."""

_VALUES: Final = {
    10: ("int", VARINT),
    11: ("long", VARINT),
    12: ("float", FIXED32),
    13: ("double", FIXED64),
    14: ("boolean", VARINT),
    15: ("string", BYTES),
    16: ("bytes", BYTES),
    17: ("dataset", BYTES),
    18: ("template", BYTES),
    19: ("extension", BYTES),
}
"""Field number of a metric's value → its name and wire type."""
_PROPERTY_VALUES: Final = {number - 7: kind for number, kind in _VALUES.items() if number < 16}


@dataclass(slots=True)
class Metric:
    """One metric."""

    name: str = ""
    """Empty where only the alias is sent."""
    alias: int | None = None
    timestamp: int | None = None
    """Milliseconds since 1970-01-01 UTC."""
    datatype: int = 0
    """0 where the birth has told it."""
    value: Raw | None = None
    is_null: bool = False
    is_historical: bool = False
    is_transient: bool = False
    properties: dict[str, Raw] = field(default_factory=dict)
    """Those with a plain value."""
    trouble: str = ""
    """Why it cannot be understood; then only `raw` is worth something."""
    raw: bytes = b""
    """As it was sent."""


@dataclass(slots=True)
class Payload:
    """One message."""

    timestamp: int | None = None
    """Milliseconds since 1970-01-01 UTC, when it was sent."""
    seq: int | None = None
    """0 to 255, counted on by every message of a node."""
    metrics: list[Metric] = field(default_factory=list)


def decode(data: bytes) -> Payload:
    """Return the payload in `data`.

    Raises:
        Rejected: with reason ``too_big`` or ``malformed``; nothing else, whatever the bytes are.
    """
    if len(data) > MAX_PAYLOAD:
        msg = f"a payload of {len(data)} bytes is over the limit of {MAX_PAYLOAD}"
        raise Rejected(msg, reason="too_big")
    payload = Payload()
    for number, kind, value in fields(data):
        match number, kind:
            case 1, 0:
                payload.timestamp = int(value)
            case 2, 2:
                payload.metrics.append(_metric(bytes(value)))
            case 3, 0:
                payload.seq = int(value)
    if len(payload.metrics) > MAX_METRICS:
        msg = f"{len(payload.metrics)} metrics are over the limit of {MAX_METRICS}"
        raise Rejected(msg, reason="too_big")
    return payload


def _metric(data: bytes) -> Metric:
    metric = Metric(raw=data)
    try:
        for item in fields(data):
            _take(metric, item)
        if len(metric.name) > MAX_NAME:
            msg = f"a name of {len(metric.name)} characters"
            raise Rejected(msg, reason="name")  # noqa: TRY301 - one place says what trouble is
    except Rejected as error:
        return Metric(trouble=error.reason, raw=data)
    return metric


def _take(metric: Metric, item: Field) -> None:
    number, kind, value = item
    if number in _VALUES:
        metric.value = _value(_VALUES[number], kind, value)
    elif number == 9 and kind == BYTES:
        metric.properties = _properties(bytes(value))
    elif number == 1 and kind == BYTES:
        metric.name = _text(bytes(value))
    elif kind == VARINT:
        _take_number(metric, number, int(value))


def _take_number(metric: Metric, number: int, value: int) -> None:
    match number:
        case 2:
            metric.alias = value
        case 3:
            metric.timestamp = value
        case 4:
            metric.datatype = value & 0xFFFF_FFFF
        case 5:
            metric.is_historical = bool(value)
        case 6:
            metric.is_transient = bool(value)
        case 7:
            metric.is_null = bool(value)


def _value(known: tuple[str, int], kind: int, value: int | bytes) -> Raw:
    name, wanted = known
    if kind != wanted:
        msg = f"a value of {name!r} is of the wire type {kind}"
        raise Rejected(msg, reason="malformed")
    if isinstance(value, int):
        if name == "boolean":
            return name, bool(value)
        return name, value & 0xFFFF_FFFF if name == "int" else value
    if kind in {FIXED32, FIXED64}:
        return name, read_float(value)
    return name, _text(value) if name == "string" else value


def _properties(data: bytes) -> dict[str, Raw]:
    """Return the properties that have a plain value; nested ones are left out unread."""
    keys: list[str] = []
    values: list[Raw | None] = []
    for number, kind, value in fields(data):
        if number == 1 and kind == BYTES:
            keys.append(_text(bytes(value)))
        elif number == 2 and kind == BYTES:
            values.append(_property(bytes(value)))
    return {key: value for key, value in zip(keys, values, strict=False) if value is not None}


def _property(data: bytes) -> Raw | None:
    found: Raw | None = None
    for number, kind, value in fields(data):
        if number in _PROPERTY_VALUES:
            found = _value(_PROPERTY_VALUES[number], kind, value)
    return found


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        msg = "a text is no UTF-8"
        raise Rejected(msg, reason="malformed") from error


# ---------------------------------------------------------------- encoding


def encode(payload: Payload) -> bytes:
    """Return `payload` as bytes."""
    parts = [length(2, _packed(metric)) for metric in payload.metrics]
    if payload.timestamp is not None:
        parts.insert(0, varint(1, payload.timestamp))
    if payload.seq is not None:
        parts.append(varint(3, payload.seq))
    return b"".join(parts)


def _packed(metric: Metric) -> bytes:
    parts = [length(1, metric.name.encode())] if metric.name else []
    numbers = ((2, metric.alias), (3, metric.timestamp), (4, metric.datatype or None))
    parts += [varint(number, value) for number, value in numbers if value is not None]
    flags = ((5, metric.is_historical), (6, metric.is_transient), (7, metric.is_null))
    parts += [varint(number, 1) for number, flag in flags if flag]
    if metric.properties:
        parts.append(length(9, _packed_properties(metric.properties.items())))
    if metric.value is not None:
        parts.append(_packed_value(metric.value, 0))
    return b"".join(parts)


_NUMBERS: Final = {name: number for number, (name, _) in _VALUES.items()}
_PROPERTY_TYPES: Final = {"int": 3, "long": 4, "double": 10, "boolean": 11, "string": 12}


def _packed_value(value: Raw, shift: int) -> bytes:
    name, content = value
    number = _NUMBERS[name] - shift
    if isinstance(content, float):
        return fixed(number, FIXED64, write_double(content))
    if isinstance(content, str | bytes):
        return length(number, content.encode() if isinstance(content, str) else content)
    return varint(number, int(content))


def _packed_properties(properties: Iterable[tuple[str, Raw]]) -> bytes:
    keys, values = bytearray(), bytearray()
    for key, value in properties:
        keys += length(1, key.encode())
        values += length(2, varint(1, _PROPERTY_TYPES[value[0]]) + _packed_value(value, 7))
    return bytes(keys + values)
