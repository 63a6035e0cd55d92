"""The wire format of Protocol Buffers, as far as one fixed message needs it. Pure.

Everything raises nothing but `Rejected`, whatever the bytes are, and reads no byte twice: the cost
of a message is bounded by its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plantroom_shared.errors import Rejected

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

Field = tuple[int, int, int | bytes]
"""Number, wire type, and the raw value: an integer for VARINT, else the bytes."""

_SIZES: Final = {FIXED64: 8, FIXED32: 4}
_MASK: Final = 2**64 - 1


def fields(data: bytes) -> Iterator[Field]:
    """Yield the fields of a message in their order.

    Raises:
        Rejected: ``malformed``: it ends early, or has a field of a kind that is no longer in use.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            number_value, at = _varint(data, at)
            yield number, kind, number_value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            msg = f"field {number} is of the unknown kind {kind}"
            raise Rejected(msg, reason="malformed")
        if number == 0 or size > end - at:
            msg = f"field {number} does not end within its message"
            raise Rejected(msg, reason="malformed")
        yield number, kind, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer that begins at `at`, and where it ends."""
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value & _MASK, at + place + 1
    msg = "a number has no end"
    raise Rejected(msg, reason="malformed")


def varint(number: int, value: int) -> bytes:
    """Return a field with an integer from 0 to 2**64 - 1."""
    return _number(number << 3) + _number(value)


def length(number: int, value: bytes) -> bytes:
    """Return a field with bytes, a text or a message."""
    return _number(number << 3 | BYTES) + _number(len(value)) + value


def fixed(number: int, kind: int, value: bytes) -> bytes:
    """Return a field with the four or eight bytes of a float."""
    return _number(number << 3 | kind) + value


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
