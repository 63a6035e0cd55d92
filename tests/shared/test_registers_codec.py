"""The register codec: the orders by their definition, and what is read is what was written."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_shared.model import Quality, Value
from plantroom_shared.registers import (
    Order,
    Type,
    decode,
    encode,
    signed,
    width,
)
from plantroom_shared.scaling import converter, quality

ORDERS: tuple[Order, ...] = tuple(one for one in get_args(Order) if len(one) == 4)
HALF_ORDERS: tuple[Order, ...] = tuple(one for one in get_args(Order) if len(one) == 8)
LONG: tuple[Type, ...] = ("int64", "uint64", "float64", "bcd64", "bitfield64")
WIDE: tuple[Type, ...] = ("int32", "uint32", "int64", "uint64", "float32", "float64")

_BOUNDS = {
    "int16": (-(1 << 15), (1 << 15) - 1), "uint16": (0, (1 << 16) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1), "uint32": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1), "uint64": (0, (1 << 64) - 1),
    "bcd16": (0, 9999), "bcd32": (0, 99_999_999), "bcd64": (0, 10**16 - 1),
    "bitfield16": (0, (1 << 16) - 1), "bitfield32": (0, (1 << 32) - 1),
    "bitfield64": (0, (1 << 64) - 1),
}  # fmt: skip


def _values(kind: Type) -> st.SearchStrategy[Any]:
    if kind == "bool":
        return st.booleans()
    if kind == "string":
        return st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8)
    if kind in {"ipaddr", "ipv6addr"}:
        return st.ip_addresses(v=4 if kind == "ipaddr" else 6).map(_shown)
    if kind == "eui48":
        octets = st.binary(min_size=6, max_size=6).filter(lambda one: set(one) not in ({0}, {255}))
        return octets.map(lambda one: one.hex(":").upper()) | st.just("")
    if kind in _BOUNDS:
        low, high = _BOUNDS[kind]
        return st.integers(low, high)
    return st.floats(width=32 if kind == "float32" else 64, allow_nan=False)


def _shown(address: object) -> str:
    """Return an address as text; all zeros are none."""
    return "" if str(address) in {"0.0.0.0", "::"} else str(address)


@given(st.data(), st.sampled_from(get_args(Type)), st.sampled_from(ORDERS), st.integers(0, 15))
def test_what_was_written_is_read(data: st.DataObject, kind: Type, order: Order, bit: int) -> None:
    """Every type in every order comes back as it went, in as many registers as it takes."""
    value = data.draw(_values(kind))
    words = encode(value, kind, order, 4, bit=bit)
    assert len(words) == width(kind, 4)
    assert all(0 <= word <= 0xFFFF for word in words)
    assert decode(words, kind, order, length=4, bit=bit) == value


@given(st.data(), st.sampled_from(LONG), st.sampled_from(HALF_ORDERS))
def test_halves_in_an_order_of_their_own(data: st.DataObject, kind: Type, order: Order) -> None:
    """Each letter of an eight-letter order is the byte that stands there on the wire."""
    value = data.draw(_values(kind))
    plain = b"".join(word.to_bytes(2, "big") for word in encode(value, kind))
    words = encode(value, kind, order)
    wire = b"".join(word.to_bytes(2, "big") for word in words)
    assert wire == bytes(plain["ABCDEFGH".index(letter)] for letter in order)
    assert decode(words, kind, order) == value


@given(st.data(), st.sampled_from(("uint16", "uint32", "uint64")), st.sampled_from(ORDERS))
def test_some_bits_are_a_number(data: st.DataObject, kind: Type, order: Order) -> None:
    """Of a number, the bits named are the value, whatever the others are."""
    low = data.draw(st.integers(0, 16 * width(kind) - 1))
    high = data.draw(st.integers(low, 16 * width(kind) - 1))
    whole = data.draw(_values(kind))
    part = decode(encode(whole, kind, order), kind, order, bits=(low, high))
    assert f"{part:b}".zfill(high - low + 1) == f"{whole:064b}"[63 - high : 64 - low]
    assert isinstance(part, int)
    alone = encode(part, kind, order, bits=(low, high))
    assert decode(alone, kind, order) == part << low
    with pytest.raises(ValueError, match="does not fit the bits"):
        encode(1 << high - low + 1, kind, order, bits=(low, high))


def test_bits_with_texts_are_texts() -> None:
    """A bitfield shows the texts of the bits that are set, and those without a text by number."""
    convert = converter(
        "bitfield16", texts={0: "Over-voltage", 3: "Door"}, sentinels=frozenset({0xFFFF})
    )
    assert convert is not None
    assert convert(0b1101, None) == ("Over-voltage, bit 2, Door", "")
    assert convert(0, None) == ("none", "")
    assert convert(0xFFFF, None) == (None, "not-available")
    assert convert(None, None) == (None, "not-a-number")
    assert converter("bitfield32") is None


@pytest.mark.parametrize(
    ("kind", "words", "text"),
    [
        ("ipaddr", [0xC0A8, 0x0105], "192.168.1.5"),
        ("ipv6addr", [0xFE80, 0, 0, 0, 0, 0, 0, 0x0001], "fe80::1"),
        ("eui48", [0, 0x0011, 0x22AA, 0xBBCC], "00:11:22:AA:BB:CC"),
    ],
)
def test_addresses_are_texts(kind: Type, words: list[int], text: str) -> None:
    """Network addresses are read as people write them, and unset ones are no value."""
    convert = converter(kind)
    assert convert is not None
    assert convert(decode(words, kind), None) == (text, "")
    unset = encode("", kind)
    assert convert(decode(unset, kind), None) == (None, "not-available")
    with pytest.raises(ValueError):
        encode("nonsense", kind)


def test_an_address_fits_its_kind() -> None:
    """A long address is not put where a short one belongs."""
    with pytest.raises(ValueError, match="is no ipaddr"):
        encode("fe80::1", "ipaddr")


def _spread(octets: bytes, order: Order) -> list[int]:
    """Return the words by the definition: words reversed, bytes of each word reversed, or both."""
    pairs = [octets[at : at + 2] for at in range(0, len(octets), 2)]
    if order in {"CDAB", "DCBA"}:
        pairs.reverse()
    if order in {"BADC", "DCBA"}:
        pairs = [pair[::-1] for pair in pairs]
    return [pair[0] << 8 | pair[1] for pair in pairs]


@given(st.data(), st.sampled_from(("int16", "uint16", *WIDE)), st.sampled_from(ORDERS))
def test_an_order_is_where_the_bytes_are(data: st.DataObject, kind: Type, order: Order) -> None:
    """Any words decode as the big-endian ones do after their bytes were put back in place."""
    octets = data.draw(st.binary(min_size=2 * width(kind), max_size=2 * width(kind)))
    plain = decode(_spread(octets, "ABCD"), kind, "ABCD")
    moved = decode(_spread(octets, order), kind, order)
    assert moved == plain or (math.isnan(float(moved or 0)) and math.isnan(float(plain or 0)))
    if kind in {"uint16", "uint32", "uint64"}:
        assert plain == int.from_bytes(octets, "big")


@pytest.mark.parametrize(
    ("kind", "order", "words", "value"),
    [
        ("float32", "ABCD", [0x4366, 0x1999], 230.09999084472656),
        ("float32", "CDAB", [0x1999, 0x4366], 230.09999084472656),
        ("float32", "BADC", [0x6643, 0x9919], 230.09999084472656),
        ("float32", "DCBA", [0x9919, 0x6643], 230.09999084472656),
        ("float64", "ABCD", [0x3FF0, 0, 0, 0], 1.0),
        ("float64", "DCBA", [0, 0, 0, 0xF03F], 1.0),
        ("int32", "CDAB", [0xFFFE, 0xFFFF], -2),
        ("int64", "ABCD", [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE], -2),
        ("uint64", "CDAB", [0x7788, 0x5566, 0x3344, 0x1122], 0x1122334455667788),
        ("int16", "CDAB", [0x8000], -32768),
        ("uint16", "DCBA", [0x3412], 0x1234),
        ("bcd16", "ABCD", [0x1234], 1234),
        ("bcd32", "CDAB", [0x5678, 0x1234], 12345678),
        ("bcd64", "ABCD", [0x0123, 0x4567, 0x8901, 0x2345], 123456789012345),
        ("bitfield32", "ABCD", [1, 2], 65538),
        ("uint64", "EFGHABCD", [0x5566, 0x7788, 0x1122, 0x3344], 0x1122334455667788),
        ("uint64", "CDABGHEF", [0x3344, 0x1122, 0x7788, 0x5566], 0x1122334455667788),
        ("uint64", "FEHGBADC", [0x6655, 0x8877, 0x2211, 0x4433], 0x1122334455667788),
        ("uint64", "DCBAHGFE", [0x4433, 0x2211, 0x8877, 0x6655], 0x1122334455667788),
    ],
)
def test_known_words(kind: Type, order: Order, words: list[int], value: Value) -> None:
    """Words from the definitions of the types decode and encode as these say."""
    assert decode(words, kind, order) == value
    assert encode(value, kind, order) == words


def test_strings_end_at_nul_and_hold_text_only() -> None:
    """What is behind the first NUL, control bytes and padding are no part of a string."""
    assert decode([0x4142, 0x0058], "string", length=2) == "AB"
    assert decode([0x2041, 0x0742], "string", length=2) == "AB"
    assert decode([0x4241, 0x0043], "string", "DCBA", length=2) == "ABC"
    assert decode([0x4142, 0x4320], "string", "CDAB", length=2) == "ABC"
    assert decode([0x7AC3, 0xBC20], "string", length=2) == "zü"
    assert decode([0x41FF, 0xFFFF], "string", length=2) == "A"
    assert decode([0xFFFE], "string") == "\N{REPLACEMENT CHARACTER}" * 2
    assert decode([0xE4FC], "string", encoding="latin-1") == "äü"
    assert decode([0x0041, 0x20AC, 0, 0x58], "string", length=4, encoding="utf-16") == "A€"
    assert encode("A€", "string", length=3, encoding="utf-16") == [0x41, 0x20AC, 0]
    with pytest.raises(ValueError, match="does not fit latin-1"):
        encode("€", "string", length=3, encoding="latin-1")


def test_digits_that_are_none_are_no_value() -> None:
    """A nibble above nine is no decimal digit."""
    assert decode([0x12A4], "bcd16") is None


def test_nan_stays_what_it_is() -> None:
    """The codec does not judge: NaN is decoded as NaN."""
    assert math.isnan(float(decode([0x7FC0, 0], "float32") or 0))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (70000, "uint16"), (-1, "uint32"), (1 << 63, "int64"), (10_000, "bcd16"), (-5, "bcd16"),
        (1e300, "float32"), ("five", "int16"), (None, "int16"), ("x" * 9, "string"),
        (math.inf, "int32"), (math.nan, "int32"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(value: Value, kind: Type) -> None:
    """A value that the registers cannot hold is a ValueError."""
    with pytest.raises(ValueError, match=r"fit|number"):
        encode(value, kind, "ABCD", 4)


@pytest.mark.parametrize("words", [[], [1], [1, 2, 3]])
def test_the_number_of_words_must_be_right(words: list[int]) -> None:
    """A value is never made of fewer or more words than it takes."""
    with pytest.raises(ValueError, match="takes 2 registers"):
        decode(words, "float32")


def test_bits_of_a_sentinel() -> None:
    """A sentinel can be written as bits or as the number itself."""
    assert signed("int16", 0x8000) == signed("int16", -32768) == -32768
    assert signed("uint16", 0xFFFF) == 65535
    assert signed("int64", 1 << 63) == -(1 << 63)
    assert signed("float32", 0x44750000) == 980.0
    assert signed("float64", 0x408EA00000000000) == 980.0


@given(st.integers(-32768, 32767), st.integers(-10, 10))
def test_a_power_of_ten_scales_exactly(raw: int, exponent: int) -> None:
    """A scale factor gives the float nearest to the decimal, not a sum of errors."""
    convert = converter("int16", has_exponent=True)
    assert convert is not None
    assert convert(raw, exponent) == (float(f"{raw}e{exponent}"), "")


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.sampled_from(["0.1", "0.01", "0.001", "1e-6"]))
def test_a_decimal_scale_is_exact(raw: int, scale: str) -> None:
    """2301 tenths are 230.1, not 230.10000000000002."""
    convert = converter("int32", scale=float(scale))
    assert convert is not None
    exponent = {"0.1": -1, "0.01": -2, "0.001": -3, "1e-6": -6}[scale]
    assert convert(raw, None) == (float(f"{raw}e{exponent}"), "")


def test_scale_offset_and_exponent_together() -> None:
    """The exponent comes first, then scale, then offset."""
    convert = converter("int16", scale=3, offset=-40, has_exponent=True)
    assert convert is not None
    assert convert(25, -1) == (-32.5, "")


@pytest.mark.parametrize("exponent", [None, 11, -11, -32768])
def test_an_exponent_that_is_none(exponent: int | None) -> None:
    """Beyond ten there is no scale factor, so there is no value."""
    convert = converter("int16", has_exponent=True)
    assert convert is not None
    assert convert(5, exponent) == (None, "bad-scale-factor")


def test_plain_numbers_need_no_conversion() -> None:
    """Integers and bits without scale, sentinel or range are taken as they are."""
    assert converter("uint32") is None
    assert converter("bool") is None
    assert converter("float32") is not None


def test_reasons_have_a_quality() -> None:
    """A value out of range is uncertain; everything else that is not good is bad."""
    assert quality("") is Quality.GOOD
    assert quality("out-of-range") is Quality.UNCERTAIN
    assert quality("timeout") is Quality.BAD
