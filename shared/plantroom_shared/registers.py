"""The register codec: Modbus words to values and back; pure, no I/O.

A value of several registers is written with the letters of its bytes, most significant first.
For the 32-bit value with the bytes ``A B C D`` two registers hold, by word order:

========  ===========  ===========================================
order     on the wire  64 bits
========  ===========  ===========================================
``ABCD``  AB CD        AB CD EF GH: big-endian
``CDAB``  CD AB        GH EF CD AB: words reversed
``BADC``  BA DC        BA DC FE HG: bytes reversed in each word
``DCBA``  DC BA        HG FE DC BA: little-endian
========  ===========  ===========================================

A 16-bit value and the characters of a string have no word order, so only their bytes can be
swapped (``BADC``, ``DCBA``).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from math import isfinite
from typing import Literal

from plantroom_shared.model import Quality, Value

Type = Literal[
    "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float32", "float64", "bool", "string", "bcd16", "bcd32", "ipaddr", "ipv6addr", "eui48",
]  # fmt: skip
"""What a register, or a run of them, holds."""
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
Space = Literal["holding", "input", "coil", "discrete"]

Raw = Value | bytes
"""What `struct` unpacks, before `refine`."""
Convert = Callable[[Value, int | None], tuple[Value, str]]
"""Raw value and scale exponent → value and, if it is not good, why."""

BIT_SPACES: frozenset[str] = frozenset({"coil", "discrete"})
PLAIN: frozenset[str] = frozenset(
    {"int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"}
)
"""Types whose raw value is the number itself."""
TEXTS: frozenset[str] = frozenset({"string", "ipaddr", "ipv6addr", "eui48"})
"""Types whose value is a text."""
FLOATS: frozenset[str] = frozenset({"float32", "float64"})
EXPONENTS = range(-10, 11)
"""What a scale-factor register may say (SunSpec); anything else is no scale factor."""

_CODES: dict[str, str] = {
    "int16": "h", "uint16": "H", "bcd16": "H", "bool": "H",
    "int32": "i", "uint32": "I", "bcd32": "I", "float32": "f",
    "int64": "q", "uint64": "Q", "float64": "d",
    "ipaddr": "4s", "ipv6addr": "16s", "eui48": "8s",
}  # fmt: skip
# An order is either endianness, on the bytes as they came or with each word's bytes swapped.
_LAYOUTS: dict[str, tuple[bool, str]] = {
    "ABCD": (False, ">"),
    "CDAB": (True, "<"),
    "BADC": (True, ">"),
    "DCBA": (False, "<"),
}
_UNCERTAIN = frozenset({"out-of-range"})


def width(kind: Type, length: int = 1) -> int:
    """Return how many registers a value takes; `length` is the registers of a string."""
    return length if kind == "string" else struct.calcsize("<" + _CODES[kind]) // 2


def code(kind: Type, length: int = 1) -> str:
    """Return the `struct` code of a value."""
    return f"{2 * length}s" if kind == "string" else _CODES[kind]


def layout(kind: Type, order: Order) -> tuple[bool, str]:
    """Return whether to swap the bytes of every word first, and the endianness after that."""
    if kind in TEXTS:
        return order in {"BADC", "DCBA"}, ">"
    return _LAYOUTS[order]


def swap(data: bytes) -> bytes:
    """Return `data` with the two bytes of every register swapped."""
    words = array("H", data)
    words.byteswap()
    return words.tobytes()


def refine(kind: Type, raw: Raw, bit: int = 0) -> Value:
    """Return the value behind what `struct` unpacked; None for digits that are no BCD."""
    if isinstance(raw, bytes):
        return _text(raw) if kind == "string" else _address(raw)
    if isinstance(raw, int):
        if kind == "bool":
            return bool(raw >> bit & 1)
        if kind in {"bcd16", "bcd32"}:
            digits = f"{raw:x}"
            return int(digits) if digits.isdecimal() else None
    return raw


def _text(data: bytes) -> str:
    # Everything behind the first NUL is what was there before; control bytes are no text.
    text = data.split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(char for char in text if char.isprintable()).strip()


def _address(data: bytes) -> str:
    """Return an IP address, or an EUI-48 in the last six of eight bytes; empty if it is none."""
    if len(data) == 8:
        data = data[2:]
        return "" if data in {b"\xff" * 6, bytes(6)} else data.hex(":").upper()
    return str(ip_address(data)) if any(data) else ""


def decode(
    words: Sequence[int], kind: Type, order: Order = "ABCD", *, length: int = 1, bit: int = 0
) -> Value:
    """Return the value in `words`.

    Args:
        words: exactly as many registers (0-65535) as the value takes; for a coil its 0 or 1.
        kind: the type of the value.
        order: the order of its bytes.
        length: the registers of a string.
        bit: which bit of the register is meant, for ``bool``; 0 is the least significant.

    Returns:
        The value; None where BCD digits are none. NaN and infinities stay what they are.

    Raises:
        ValueError: there are more or fewer words than the value takes.
    """
    if len(words) != width(kind, length):
        msg = f"{kind} takes {width(kind, length)} registers, not {len(words)}"
        raise ValueError(msg)
    swapped, endian = layout(kind, order)
    data = struct.pack(f">{len(words)}H", *words)
    (raw,) = struct.unpack(endian + code(kind, length), swap(data) if swapped else data)
    return refine(kind, raw, bit)


def encode(
    value: Value, kind: Type, order: Order = "ABCD", length: int = 1, *, bit: int = 0
) -> list[int]:
    """Return the registers that hold `value`: what `decode` reads back.

    Raises:
        ValueError: the value is of the wrong type or does not fit.
    """
    swapped, endian = layout(kind, order)
    try:
        data = struct.pack(endian + code(kind, length), _pack_value(value, kind, length, bit))
    except (struct.error, OverflowError, TypeError) as error:
        msg = f"{value!r} does not fit {kind}: {error}"
        raise ValueError(msg) from error
    data = swap(data) if swapped else data
    return list(struct.unpack(f">{len(data) // 2}H", data))


def _pack_value(value: Value, kind: Type, length: int, bit: int) -> float | bytes:
    if kind == "string":
        data = str(value).encode()
        if len(data) > 2 * length:
            msg = f"{len(data)} bytes do not fit {length} registers"
            raise ValueError(msg)
        return data
    if kind in TEXTS:
        return _pack_address(str(value), kind)
    if isinstance(value, str) or value is None:
        msg = f"a {kind} takes a number, not {value!r}"
        raise ValueError(msg)
    if kind == "bool":
        return int(bool(value)) << bit
    if kind in FLOATS:
        return float(value)
    if not isfinite(value):
        msg = f"{value} is no whole number"
        raise ValueError(msg)
    return int(str(round(value)), 16) if kind.startswith("bcd") else round(value)


def _pack_address(text: str, kind: Type) -> bytes:
    if kind == "eui48":
        return bytes(2) + (bytes.fromhex(text.replace(":", "")) if text else b"\xff" * 6)
    size = 2 * width(kind)
    data = ip_address(text).packed if text else bytes(size)
    if len(data) != size:
        msg = f"{text!r} is no {kind}"
        raise ValueError(msg)
    return data


def signed(kind: Type, pattern: int) -> float | int:
    """Return the raw value that the bits of `pattern` stand for: 0x8000 of an int16 is -32768."""
    bits = 16 * width(kind)
    if kind in FLOATS:
        code_of = {32: (">I", ">f"), 64: (">Q", ">d")}[bits]
        (number,) = struct.unpack(code_of[1], struct.pack(code_of[0], pattern))
        return float(number)
    if kind.startswith("int") and pattern >= 1 << (bits - 1):
        return pattern - (1 << bits)
    return pattern


def quality(reason: str) -> Quality:
    """Return the quality that goes with a reason: a value out of range is kept, but uncertain."""
    if not reason:
        return Quality.GOOD
    return Quality.UNCERTAIN if reason in _UNCERTAIN else Quality.BAD


def converter(
    kind: Type,
    *,
    scale: float = 1,
    offset: float = 0,
    has_exponent: bool = False,
    sentinels: frozenset[float | int] = frozenset(),
    limits: tuple[float, float] | None = None,
) -> Convert | None:
    """Return the function from raw values to values; None where raw values are values.

    Args:
        kind: the type of the register.
        scale: what a raw value is multiplied with.
        offset: what is added after that, in the unit of the point.
        has_exponent: whether a scale-factor register gives a power of ten.
        sentinels: raw values that mean there is no value.
        limits: the lowest and the highest plausible value, in the unit of the point.

    Returns:
        A function to ``(value, reason)``; the reason of a good value is empty.
    """
    if kind in TEXTS:
        return _convert_text
    scaled = _scaler(scale, offset)
    checked = scaled or has_exponent or sentinels or limits or kind in FLOATS or "bcd" in kind
    if kind == "bool" or not checked:
        return None

    def convert(raw: Value, exponent: int | None = None) -> tuple[Value, str]:
        if not isinstance(raw, (int, float)):
            return None, "not-a-number"
        if raw in sentinels or raw != raw:  # noqa: PLR0124 - only NaN differs from itself
            return None, "not-available"
        value: float = raw
        if has_exponent:
            if exponent is None or exponent not in EXPONENTS:
                return None, "bad-scale-factor"
            value = raw * 10**exponent if exponent >= 0 else raw / 10**-exponent
        if scaled is not None:
            value = scaled(value)
        return _judge(value, limits)

    return convert


def _judge(value: float, limits: tuple[float, float] | None) -> tuple[Value, str]:
    if not isfinite(value):
        return None, "not-finite"
    if limits is not None and not limits[0] <= value <= limits[1]:
        return value, "out-of-range"
    return value, ""


def _convert_text(raw: Value, _exponent: int | None = None) -> tuple[Value, str]:
    return (raw, "") if raw else (None, "not-available")


def _scaler(scale: float, offset: float) -> Callable[[float], float] | None:
    if scale == 1 and offset == 0:
        return None
    # 2301 x 0.1 is 230.10000000000002, 2301 / 10 is 230.1: divide where the divisor is whole.
    divisor = round(1 / scale) if 0 < abs(scale) < 1 else 0
    if divisor and abs(1 / divisor - scale) < 1e-12 * abs(scale):
        return lambda raw: raw / divisor + offset
    return lambda raw: raw * scale + offset
