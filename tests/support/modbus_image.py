"""What a Modbus device holds, word by word, made from a profile with values that are known."""

from __future__ import annotations

import random
import struct
from decimal import Decimal

from plantroom_shared.model import Value
from plantroom_shared.profiles import Profile, Register
from plantroom_shared.registers import BIT_SPACES, FLOATS

Image = dict[str, dict[int, int]]
"""By space, the word (or the bit) at each address."""

_RAW = {
    "int16": (-3000, 3000), "uint16": (0, 60000), "bcd16": (0, 9999),
    "int32": (-2_000_000, 2_000_000), "uint32": (0, 4_000_000_000), "bcd32": (0, 99_999_999),
    "int64": (-(1 << 50), 1 << 50), "uint64": (0, 1 << 52),
}  # fmt: skip


def filled(profile: Profile, seed: int) -> tuple[Image, dict[str, Value]]:
    """Return a device of this model and what each of its points then shows.

    The values are worked out with decimals from the raw ones, not with the code under test.
    """
    rng = random.Random(seed)
    image: Image = {}
    exponents = {register.sf: rng.randint(-4, 2) for register in profile.registers if register.sf}
    shown: dict[str, Value] = {}
    for register in profile.registers:
        given = exponents.get(register.id, register.expect)
        raw = _raw(register, rng) if given is None else given
        write(image, register, raw)
        if not register.hidden:
            shown[register.id] = _shown(register, raw, exponents[register.sf] if register.sf else 0)
    return image, shown


def write(image: Image, register: Register, raw: Value) -> None:
    """Put a raw value to where a register is."""
    words = register.pack(raw)
    space = image.setdefault(register.space, {})
    partial = register.type == "bool" or register.bits is not None
    for place, word in enumerate(words):
        at = register.address + place
        space[at] = space.get(at, 0) | word if partial else word


def _raw(register: Register, rng: random.Random) -> Value:
    if register.type == "bool":
        return rng.random() < 0.5
    if register.type == "string":
        return "".join(rng.choices("ABCDEF0123456789-", k=2 * register.length - 1))
    if register.type in FLOATS:
        low, high = register.range or (-1e5, 1e5)
        value = rng.uniform(low, high)
        (single,) = struct.unpack("<f", struct.pack("<f", value))
        return float(single) if register.type == "float32" else value
    low, high = _RAW[register.type]
    if register.range is not None:
        low, high = (round(end / register.scale) for end in register.range)
    return rng.randint(int(low), int(high))


def _shown(register: Register, raw: Value, exponent: int) -> Value:
    if register.type in {"bool", "string"} or isinstance(raw, float):
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


def solid(image: Image) -> Image:
    """Return the same device with its gaps filled: any address up to its last one answers 0."""
    return {
        space: {at: table.get(at, 0) for at in range(min(table), max(table) + 1)}
        for space, table in image.items()
    }


def data_of(space: str, words: list[int]) -> bytes:
    """Return the data of a reply, with its byte count."""
    if space in BIT_SPACES:
        number = sum(bit << place for place, bit in enumerate(words))
        data = number.to_bytes((len(words) + 7) // 8, "little")
    else:
        data = struct.pack(f">{len(words)}H", *words)
    return bytes([len(data)]) + data
