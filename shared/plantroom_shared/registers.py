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

Some devices have a 64-bit value as two 32-bit ones, each in an order of its own; these orders are
written with all eight letters: ``EFGHABCD`` ``CDABGHEF`` ``FEHGBADC`` ``DCBAHGFE``.

A 16-bit value and the characters of a string have no word order, so only their bytes can be
swapped (``BADC``, ``DCBA``).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from math import isfinite
from typing import Any, Literal

from plantroom_shared.model import Value

Type = Literal[
    "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float32", "float64", "bool", "string", "bcd16", "bcd32", "bcd64",
    "bitfield16", "bitfield32", "bitfield64", "ipaddr", "ipv6addr", "eui48",
]  # fmt: skip
"""What a register, or a run of them, holds."""
Order = Literal[
    "ABCD", "CDAB", "BADC", "DCBA", "EFGHABCD", "CDABGHEF", "FEHGBADC", "DCBAHGFE"
]  # fmt: skip
Encoding = Literal["utf-8", "latin-1", "utf-16"]
"""What the bytes of a string mean; ``utf-16`` has one register for each character."""
Space = Literal["holding", "input", "coil", "discrete"]

Raw = Value | bytes
"""What `struct` unpacks, before it is refined."""
Refine = Callable[[Any], Value]
"""What `struct` unpacked → the raw value; None for digits that are no BCD."""

BIT_SPACES: frozenset[str] = frozenset({"coil", "discrete"})
BCD: frozenset[str] = frozenset({"bcd16", "bcd32", "bcd64"})
BITFIELDS: frozenset[str] = frozenset({"bitfield16", "bitfield32", "bitfield64"})
UNSIGNED: frozenset[str] = frozenset({"uint16", "uint32", "uint64"})
"""Types of which some bits can be a value of their own."""
LONG: frozenset[str] = frozenset({"int64", "uint64", "float64", "bcd64", "bitfield64"})
FLOATS: frozenset[str] = frozenset({"float32", "float64"})
TEXTS: frozenset[str] = frozenset({"string", "ipaddr", "ipv6addr", "eui48"})
"""Types whose value is a text."""

_CODES: dict[str, str] = {
    "int16": "h", "uint16": "H", "bcd16": "H", "bool": "H",
    "int32": "i", "uint32": "I", "bcd32": "I", "float32": "f",
    "int64": "q", "uint64": "Q", "float64": "d", "bcd64": "Q",
    "bitfield16": "H", "bitfield32": "I", "bitfield64": "Q",
    "ipaddr": "4s", "ipv6addr": "16s", "eui48": "8s",
}  # fmt: skip
# An order is either endianness, on the bytes as they came or with each word's bytes swapped.
_LAYOUTS: dict[str, tuple[bool, str]] = {
    "ABCD": (False, ">"),
    "CDAB": (True, "<"),
    "BADC": (True, ">"),
    "DCBA": (False, "<"),
}
# No endianness of `struct` has these, so they are put in order by hand.
_HALVES: dict[str, tuple[int, ...]] = {
    order: tuple(order.index(letter) for letter in "ABCDEFGH")
    for order in ("EFGHABCD", "CDABGHEF", "FEHGBADC", "DCBAHGFE")
}
HALF_ORDERS: frozenset[str] = frozenset(_HALVES)
"""Orders of 64-bit values only."""


def width(kind: Type, length: int = 1) -> int:
    """Return how many registers a value takes; `length` is the registers of a string."""
    return length if kind == "string" else struct.calcsize("<" + _CODES[kind]) // 2


def code(kind: Type, length: int = 1, order: Order = "ABCD") -> str:
    """Return the `struct` code of a value."""
    if order in _HALVES:
        return "8s"
    return f"{2 * length}s" if kind == "string" else _CODES[kind]


def layout(kind: Type, order: Order) -> tuple[bool, str]:
    """Return whether to swap the bytes of every word first, and the endianness after that."""
    if kind in TEXTS:
        return order in {"BADC", "DCBA"}, ">"
    return _LAYOUTS.get(order, (False, ">"))


def swap(data: bytes) -> bytes:
    """Return `data` with the two bytes of every register swapped."""
    words = array("H", data)
    words.byteswap()
    return words.tobytes()


def refiner(
    kind: Type,
    order: Order = "ABCD",
    *,
    bit: int = 0,
    bits: tuple[int, int] | None = None,
    encoding: Encoding = "utf-8",
) -> Refine | None:
    """Return the function from what `struct` unpacked to the raw value; None where that is it.

    Args:
        kind: the type of the value.
        order: the order of its bytes.
        bit: which bit of the register is meant, for ``bool``; 0 is the least significant.
        bits: the lowest and the highest bit that are the value, for `UNSIGNED` types.
        encoding: of a string.
    """
    if kind == "string":
        return lambda raw: _text(raw, encoding)
    if kind in TEXTS:
        return _address
    refine: Refine | None = None
    if kind == "bool":
        refine = lambda raw: bool(raw >> bit & 1)  # noqa: E731 -- one of three, a line each
    elif kind in BCD:
        refine = _digits
    elif bits is not None:
        low, mask = bits[0], (1 << bits[1] - bits[0] + 1) - 1
        refine = lambda raw: raw >> low & mask  # noqa: E731
    if order not in _HALVES:
        return refine
    places, number = _HALVES[order], struct.Struct(">" + _CODES[kind])

    def ordered(raw: bytes) -> Value:
        (value,) = number.unpack(bytes(raw[place] for place in places))
        return refine(value) if refine is not None else value

    return ordered


def _address(data: bytes) -> str:
    """Return an IP address, or an EUI-48 in the last six of eight bytes; empty if it is none."""
    if len(data) == 8:
        data = data[2:]
        return "" if data in {b"\xff" * 6, bytes(6)} else data.hex(":").upper()
    return str(ip_address(data)) if any(data) else ""


def _digits(raw: int) -> Value:
    digits = f"{raw:x}"
    return int(digits) if digits.isdecimal() else None


def _text(data: bytes, encoding: Encoding) -> str:
    if encoding == "utf-16":
        text = data.decode("utf-16-be", "replace").split("\0", 1)[0].rstrip("\uffff")
    else:
        # Everything behind the first NUL is what was there before; erased memory holds 0xFF.
        text = data.split(b"\0", 1)[0].rstrip(b"\xff").decode(encoding, "replace")
    # Control bytes are no text.
    return "".join(char for char in text if char.isprintable()).strip()


def decode(
    words: Sequence[int],
    kind: Type,
    order: Order = "ABCD",
    *,
    length: int = 1,
    bit: int = 0,
    bits: tuple[int, int] | None = None,
    encoding: Encoding = "utf-8",
) -> Value:
    """Return the raw value in `words`.

    Args:
        words: exactly as many registers (0-65535) as the value takes; for a coil its 0 or 1.
        kind: the type of the value.
        order: the order of its bytes.
        length: the registers of a string.
        bit: which bit of the register is meant, for ``bool``; 0 is the least significant.
        bits: the lowest and the highest bit that are the value.
        encoding: of a string.

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
    (raw,) = struct.unpack(endian + code(kind, length, order), swap(data) if swapped else data)
    refine = refiner(kind, order, bit=bit, bits=bits, encoding=encoding)
    return raw if refine is None else refine(raw)


def encode(
    value: Value,
    kind: Type,
    order: Order = "ABCD",
    length: int = 1,
    *,
    bit: int = 0,
    bits: tuple[int, int] | None = None,
    encoding: Encoding = "utf-8",
) -> list[int]:
    """Return the registers that hold `value`: what `decode` reads back; other bits are 0.

    Raises:
        ValueError: the value is of the wrong type or does not fit.
    """
    swapped, endian = layout(kind, order)
    try:
        if kind == "string":
            data = _pack_text(value, length, encoding)
        elif kind in TEXTS:
            data = _pack_address(str(value), kind)
        else:
            number = _number(value, kind, bit, bits)
            data = struct.pack((">" if order in _HALVES else endian) + _CODES[kind], number)
    except (struct.error, OverflowError, TypeError) as error:
        msg = f"{value!r} does not fit {kind}: {error}"
        raise ValueError(msg) from error
    if order in _HALVES:
        data = bytes(data["ABCDEFGH".index(letter)] for letter in order)
    data = swap(data) if swapped else data
    return list(struct.unpack(f">{len(data) // 2}H", data))


def _pack_text(value: Value, length: int, encoding: Encoding) -> bytes:
    try:
        data = str(value).encode("utf-16-be" if encoding == "utf-16" else encoding)
    except UnicodeEncodeError as error:
        msg = f"{value!r} does not fit {encoding}"
        raise ValueError(msg) from error
    if len(data) > 2 * length:
        msg = f"{len(data)} bytes do not fit {length} registers"
        raise ValueError(msg)
    return data.ljust(2 * length, b"\0")


def _pack_address(text: str, kind: Type) -> bytes:
    if kind == "eui48":
        return bytes(2) + (bytes.fromhex(text.replace(":", "")) if text else b"\xff" * 6)
    size = 2 * width(kind)
    data = ip_address(text).packed if text else bytes(size)
    if len(data) != size:
        msg = f"{text!r} is no {kind}"
        raise ValueError(msg)
    return data


def _number(value: Value, kind: Type, bit: int, bits: tuple[int, int] | None) -> float:
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
    number = round(value)
    if bits is not None:
        if not 0 <= number < 1 << bits[1] - bits[0] + 1:
            msg = f"{number} does not fit the bits {bits[0]} to {bits[1]}"
            raise ValueError(msg)
        return number << bits[0]
    return int(str(number), 16) if kind in BCD else number


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
