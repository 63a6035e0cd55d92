"""What a Modbus device holds, word by word, made from a profile with values that are known."""

from __future__ import annotations

import math
import random
import struct
from decimal import Decimal

from plantroom_edge.simulation.image import Image, solid, wide_first, write
from plantroom_shared.model import Value
from plantroom_shared.profiles import Profile, Register
from plantroom_shared.registers import BIT_SPACES, BITFIELDS, FLOATS, signed

__all__ = ["Image", "data_of", "filled", "solid", "words_of", "write"]

_RAW = {
    "int16": (-3000, 3000), "uint16": (0, 60000), "bcd16": (0, 9999),
    "int32": (-2_000_000, 2_000_000), "uint32": (0, 4_000_000_000), "bcd32": (0, 99_999_999),
    "int64": (-(1 << 50), 1 << 50), "uint64": (0, 1 << 52), "bcd64": (0, 10**15),
    "bitfield16": (0, (1 << 16) - 1), "bitfield32": (0, (1 << 32) - 1), "bitfield64": (0, 1 << 52),
}  # fmt: skip


def filled(profile: Profile, seed: int) -> tuple[Image, dict[str, Value]]:
    """Return a device of this model and what each of its points then shows.

    The values are worked out with decimals from the raw ones, not with the code under test.
    """
    rng = random.Random(seed)
    image: Image = {}
    exponents = {register.sf: rng.randint(-4, 2) for register in profile.registers if register.sf}
    shown: dict[str, Value] = {}
    for register in wide_first(profile):
        given = exponents.get(register.id, register.expect)
        exponent = exponents[register.sf] if register.sf else 0
        raw = _raw(register, rng, exponent) if given is None else given
        write(image, register, raw)
        if not register.hidden:
            shown[register.id] = _shown(register, raw, exponent)
    # Bits may lie in a register that is a value as well.
    for register in profile.points:
        if register.bit is not None:
            word = image[register.space][register.address]
            shown[register.id] = bool(word >> register.bit & 1)
        elif register.type in BITFIELDS and register.states:
            shown[register.id] = _texts(register, image[register.space])
    return image, shown


def _texts(register: Register, table: dict[int, int]) -> str:
    """Return the texts of the bits that are set in a field with the high word first."""
    number = 0
    for at in range(register.address, register.address + register.words):
        number = number << 16 | table[at]
    bits = [bit for bit in range(16 * register.words) if number >> bit & 1]
    return ", ".join(register.states.get(bit, f"bit {bit}") for bit in bits) or "none"


def _raw(register: Register, rng: random.Random, exponent: int) -> Value:
    nothing = {signed(register.type, one) for one in register.sentinel}
    return next(raw for _ in range(99) if (raw := _any_raw(register, rng, exponent)) not in nothing)


def _any_raw(register: Register, rng: random.Random, exponent: int) -> Value:
    if register.type == "bool":
        return rng.random() < 0.5
    if register.type == "string":
        letters = register.length if register.encoding == "utf-16" else 2 * register.length - 1
        return "".join(rng.choices("ABCDEF0123456789-", k=letters))
    factor = register.scale * 10.0**exponent
    low, high = _RAW.get(register.type, (-1e5, 1e5))
    if register.bits is not None:
        low, high = 0, (1 << register.bits[1] - register.bits[0] + 1) - 1
    if register.range is not None:
        ends = sorted((end - register.offset) / factor for end in register.range)
        low, high = max(low, ends[0]), min(high, ends[1])
    if register.type in FLOATS:
        value = rng.uniform(low, high)
        (single,) = struct.unpack("<f", struct.pack("<f", value))
        return float(single) if register.type == "float32" else value
    return rng.randint(math.ceil(low), math.floor(high))


def _shown(register: Register, raw: Value, exponent: int) -> Value:
    if register.type in {"bool", "string"}:
        return raw
    if isinstance(raw, float) and register.scale == 1 and not register.offset:
        return raw
    value = Decimal(str(raw)).scaleb(exponent) * Decimal(str(register.scale))
    value += Decimal(str(register.offset))
    return int(value) if value == value.to_integral() else float(value)


def words_of(image: Image, space: str, start: int, count: int) -> list[int] | None:
    """Return what a read gives; None if one of the addresses is not there."""
    table = image.get(space, {})
    if any(start + place not in table for place in range(count)):
        return None
    return [table[start + place] for place in range(count)]


def data_of(space: str, words: list[int]) -> bytes:
    """Return the data of a reply, with its byte count."""
    if space in BIT_SPACES:
        number = sum(bit << place for place, bit in enumerate(words))
        data = number.to_bytes((len(words) + 7) // 8, "little")
    else:
        data = struct.pack(f">{len(words)}H", *words)
    return bytes([len(data)]) + data
