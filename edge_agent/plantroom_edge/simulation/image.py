"""What a Modbus device holds, word by word; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby, pairwise

from plantroom_shared.model import Value
from plantroom_shared.profiles import Profile, Register

Image = dict[str, dict[int, int]]
"""By space, the word (or the bit) at each address."""


def write(image: Image, register: Register, raw: Value) -> None:
    """Put a raw value to where a register is; other bits of a shared word stay."""
    put(image, register, register.pack(raw))


def put(image: Image, register: Register, words: list[int]) -> None:
    """Put the words of a register to where it is; other bits of a shared word stay."""
    space = image.setdefault(register.space, {})
    masks = mask(register)
    for at, word, part in zip(range(register.address, 65536), words, masks, strict=False):
        space[at] = space.get(at, 0) & ~part | word & part


def mask(register: Register) -> list[int]:
    """Return which bits of each word are the register's."""
    if register.bit is not None:
        return [1 << register.bit]
    if register.bits is not None:
        low, high = register.bits
        return register.pack((1 << high - low + 1) - 1)
    return [0xFFFF] * register.words


def render(
    profile: Profile, values: Mapping[str, Value], exponents: Mapping[str, int] | None = None
) -> Image:
    """Return a device of this model that shows `values`.

    Args:
        profile: the model.
        values: by register id, in the unit of the point; what is not here shows nothing.
        exponents: what the scale-factor registers hold; 0 where it is not here.

    Raises:
        ValueError: a value does not fit its register; says which.
    """
    image: Image = {}
    powers = exponents or {}
    for register in wide_first(profile):
        put(image, register, _words(register, values, powers))
    return image


def wide_first(profile: Profile) -> list[Register]:
    """Return the registers, those last that are only some bits of a word."""
    return sorted(profile.registers, key=lambda one: one.bit is not None or one.bits is not None)


def _words(
    register: Register, values: Mapping[str, Value], exponents: Mapping[str, int]
) -> list[int]:
    if register.expect is not None:
        return register.pack(register.expect)
    if register.id in exponents:
        return register.pack(exponents[register.id])
    value = values.get(register.id)
    try:
        return register.encode(value, exponents.get(register.sf or "", 0))
    except ValueError as error:
        if value is None:
            return [0] * register.words
        msg = f"{register.id}: {error}"
        raise ValueError(msg) from error


def bridged(image: Image, gap: int) -> Image:
    """Return the same device with holes of up to `gap` addresses filled: there it answers 0."""
    filled: Image = {}
    for space, table in image.items():
        known = sorted(table)
        filled[space] = dict(table)
        for one, other in pairwise(known):
            if other - one - 1 <= gap:
                filled[space].update(dict.fromkeys(range(one + 1, other), 0))
    return filled


def solid(image: Image) -> Image:
    """Return the same device with its gaps filled: any address up to its last one answers 0."""
    return bridged(image, 65536)


def runs(table: Mapping[int, int]) -> Iterator[tuple[int, list[int]]]:
    """Yield the first address and the words of each run of addresses without a hole."""
    places = enumerate(sorted(table))
    for _, run in groupby(places, key=lambda place: place[1] - place[0]):
        addresses = [address for _, address in run]
        yield addresses[0], [table[address] for address in addresses]
