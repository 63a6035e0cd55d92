"""BACnet tags and values: octets in, Python values out.

Pure. The bytes come from the field and may be anything: every decoder returns checked values or
raises `Malformed`, and every loop moves forward in a datagram of at most 64 KiB.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from plantroom_shared.errors import Rejected

_REAL: Final = struct.Struct(">f").unpack_from
_DOUBLE: Final = struct.Struct(">d").unpack
_MAX_INTEGER: Final = 8  # octets; BACnet knows no limit, but nothing of the field is longer


class Malformed(Rejected):
    """Octets that are no BACnet, or none that belongs here."""

    def __init__(self, what: str) -> None:
        super().__init__(what, reason="malformed")


class ObjectId(int):
    """An object identifier, kept apart from plain numbers."""

    __slots__ = ()


class Bits(bytes):
    """A bit string: the count of unused bits, then the octets, first bit highest."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Stands where a value should be, and says why it does not."""

    reason: str
    """Short and stable: ``error-unknown-object``, ``unsupported-type`` ..."""


UNSUPPORTED: Final = Failure("unsupported-type")


@dataclass(frozen=True, slots=True)
class Choice:
    """A short value under a context tag: what it is, only its property knows."""

    tag: int
    body: bytes


# ---------------------------------------------------------------- primitives


def _unsigned(body: bytes) -> int:
    if not 1 <= len(body) <= _MAX_INTEGER:
        msg = f"an unsigned of {len(body)} octets"
        raise Malformed(msg)
    return int.from_bytes(body, "big")


def _signed(body: bytes) -> int:
    if not 1 <= len(body) <= _MAX_INTEGER:
        msg = f"an integer of {len(body)} octets"
        raise Malformed(msg)
    return int.from_bytes(body, "big", signed=True)


def _null(body: bytes) -> None:
    if body:
        msg = "a null with a value"
        raise Malformed(msg)


def _real(body: bytes) -> float:
    return float(_REAL(body)[0]) if len(body) == 4 else _wrong_length("real", body)


def _double(body: bytes) -> float:
    return float(_DOUBLE(body)[0]) if len(body) == 8 else _wrong_length("double", body)


def _wrong_length(kind: str, body: bytes) -> float:
    msg = f"a {kind} of {len(body)} octets"
    raise Malformed(msg)


def _text(body: bytes) -> str:
    """Decode a character string; the charset octet of old devices often lies, so nothing fails."""
    if not body:
        msg = "a character string without its charset"
        raise Malformed(msg)
    charset, raw = body[0], body[1:]
    if charset == 0:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:  # "ANSI X3.4" of devices from before 2008: mostly Latin-1
            text = raw.decode("latin-1")
    elif charset in _CHARSETS:
        text = raw.decode(_CHARSETS[charset], "replace")
    else:
        text = raw.decode("latin-1")
    return text.replace("\0", "")  # C strings of sloppy devices; no database takes a NUL


_CHARSETS: Final = {2: "shift_jis", 3: "utf-32-be", 4: "utf-16-be", 5: "latin-1"}


def _bits(body: bytes) -> Bits:
    if not body or body[0] > 7:
        msg = "a bit string without its count of unused bits"
        raise Malformed(msg)
    return Bits(body)


def _object_id(body: bytes) -> ObjectId:
    if len(body) != 4:
        msg = f"an object identifier of {len(body)} octets"
        raise Malformed(msg)
    return ObjectId(int.from_bytes(body, "big"))


def _date(body: bytes) -> str:
    """Return a date as ``2026-11-21``; what is left open is a star."""
    if len(body) != 4:
        msg = f"a date of {len(body)} octets"
        raise Malformed(msg)
    year, month, day, _ = body
    parts = (_ANY if year == _OPEN else f"{1900 + year}", _two(month), _two(day))
    return "-".join(parts)


def _time(body: bytes) -> str:
    """Return a time of day as ``14:05:09``; what is left open is a star."""
    if len(body) != 4:
        msg = f"a time of {len(body)} octets"
        raise Malformed(msg)
    return ":".join(map(_two, body[:3]))


_ANY, _OPEN = "*", 255


def _two(number: int) -> str:
    return _ANY if number == _OPEN else f"{number:02}"


def _other(_: bytes) -> Failure:
    return UNSUPPORTED


# By application tag number; 1, the boolean, has its value in the tag itself.
_PRIMITIVES: Final[dict[int, Callable[[bytes], Any]]] = {
    0: _null, 2: _unsigned, 3: _signed, 4: _real, 5: _double, 6: _other, 7: _text,
    8: _bits, 9: _unsigned, 10: _date, 11: _time, 12: _object_id,
}  # fmt: skip


def _length(data: bytes, pos: int, low: int) -> tuple[int, int]:
    """Return the length of a tag's content and where that starts; `low` is the tag's own field."""
    if low < 5:
        return low, pos
    first = data[pos]
    if first < 254:
        return first, pos + 1
    size = 2 if first == 254 else 4
    return int.from_bytes(data[pos + 1 : pos + 1 + size], "big"), pos + 1 + size


def value_at(data: bytes, pos: int) -> tuple[Any, int]:
    """Return the application-tagged value at `pos`, and the position behind it.

    Raises:
        Malformed: there is none; IndexError or struct.error where the octets end too early, which
            `services.py` turns into `Malformed`.
    """
    octet = data[pos]
    if octet == 0x44:  # by far the most common
        return _REAL(data, pos + 1)[0], pos + 5
    tag, low = octet >> 4, octet & 7
    if tag == 1 and octet & 0x0E == 0:
        return bool(low), pos + 1
    primitive = _PRIMITIVES.get(tag)
    if octet & 0x08 or primitive is None:
        msg = f"octet {octet:#04x} starts no value"
        raise Malformed(msg)
    length, pos = _length(data, pos + 1, low)
    stop = pos + length
    if stop > len(data):
        msg = f"a value of {length} octets where {len(data) - pos} are left"
        raise Malformed(msg)
    return primitive(data[pos:stop]), stop


def skip(data: bytes, pos: int) -> int:
    """Return the position behind the context-tagged element at `pos`, with all that it holds."""
    depth = 0
    while True:
        octet = data[pos]
        pos += 1 if octet < 0xF0 else 2  # tag numbers from 15 take a second octet
        context, low = octet & 0x08, octet & 7
        if context and low == 6:
            depth += 1
        elif context and low == 7:
            depth -= 1
        elif context or octet >> 4 != 1:  # an application boolean has no content
            length, pos = _length(data, pos, low)
            pos += length
        if depth < 0 or pos > len(data):
            msg = "tags that do not close"
            raise Malformed(msg)
        if depth == 0:
            return pos


def enclosed(data: bytes, pos: int, closing: int) -> tuple[Any, int]:
    """Return what stands up to the closing tag: one value as itself, else the list of them."""
    items: list[Any] = []
    while (octet := data[pos]) != closing:
        if octet & 0x08:
            start, pos = pos, skip(data, pos)
            short = 0 < octet & 7 < 5 and octet < 0xF0
            items.append(Choice(octet >> 4, data[start + 1 : pos]) if short else UNSUPPORTED)
        else:
            value, pos = value_at(data, pos)
            items.append(value)
    return (items[0] if len(items) == 1 else items), pos + 1


def number_at(data: bytes, pos: int, tag: int) -> tuple[int, int]:
    """Return the unsigned of 1 to 4 octets under context tag `tag`."""
    octet = data[pos]
    size = octet & 7
    if octet & 0xF8 != tag << 4 | 8 or not 1 <= size <= 4:
        msg = f"octet {octet:#04x} where context tag {tag} belongs"
        raise Malformed(msg)
    stop = pos + 1 + size
    if stop > len(data):
        raise IndexError
    return int.from_bytes(data[pos + 1 : stop], "big"), stop


def error_at(data: bytes, pos: int) -> tuple[int, int, int]:
    """Return error class, error code and the position behind them."""
    category, pos = value_at(data, pos)
    code, pos = value_at(data, pos)
    if type(category) is not int or type(code) is not int:
        msg = "an error without class and code"
        raise Malformed(msg)
    return category, code, pos


def context(tag: int, value: int) -> bytes:
    """Return `value` as an unsigned under context tag `tag` (0 to 14)."""
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes((tag << 4 | 8 | size,)) + value.to_bytes(size, "big")
