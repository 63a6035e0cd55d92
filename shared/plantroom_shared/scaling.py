"""From raw values to values: scaled, compared and judged; pure, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from sys import float_info

from plantroom_shared.model import Quality, Value
from plantroom_shared.registers import BCD, BITFIELDS, FLOATS, TEXTS, Type

Convert = Callable[[Value, int | None], tuple[Value, str]]
"""Raw value and scale exponent → value and, if it is not good, why."""

EXPONENTS = range(-10, 11)
"""What a scale-factor register may say (SunSpec); anything else is no scale factor."""
NO_BITS = "none"
"""Value of a bitfield with texts none of whose bits is set."""
_UNCERTAIN = frozenset({"out-of-range"})


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
    texts: Mapping[int, str] | None = None,
) -> Convert | None:
    """Return the function from raw values to values; None where raw values are values.

    Args:
        kind: the type of the register.
        scale: what a raw value is multiplied with.
        offset: what is added after that, in the unit of the point.
        has_exponent: whether a scale-factor register gives a power of ten.
        sentinels: raw values that mean there is no value.
        limits: the lowest and the highest plausible value, in the unit of the point.
        texts: what each bit of a bitfield means; its value is then the texts of the bits that
            are set.

    Returns:
        A function to ``(value, reason)``; the reason of a good value is empty.
    """
    if kind in TEXTS:
        return _convert_text
    if kind in BITFIELDS and texts:
        return _convert_bits(texts, sentinels)
    scaled = scaler(scale, offset)
    if kind not in FLOATS and not has_exponent:
        plain = scaled is None and not sentinels and limits is None and kind not in BCD
        return None if plain or kind == "bool" else _convert_whole(scaled, sentinels, limits)

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


def _convert_whole(
    scaled: Callable[[float], float] | None,
    sentinels: frozenset[float | int],
    limits: tuple[float, float] | None,
) -> Convert:
    """Return the short way for most registers: whole numbers, which are never NaN."""
    low, high = limits or (-float_info.max, float_info.max)

    def convert(raw: Value, _exponent: int | None = None) -> tuple[Value, str]:
        if raw.__class__ is not int:
            return None, "not-a-number"
        if raw in sentinels:
            return None, "not-available"
        value: float = scaled(raw) if scaled is not None else raw
        return (value, "") if low <= value <= high else _judge(value, limits)

    return convert


def _judge(value: float, limits: tuple[float, float] | None) -> tuple[Value, str]:
    if not isfinite(value):
        return None, "not-finite"
    if limits is not None and not limits[0] <= value <= limits[1]:
        return value, "out-of-range"
    return value, ""


def _convert_text(raw: Value, _exponent: int | None = None) -> tuple[Value, str]:
    return (raw, "") if raw else (None, "not-available")


def _convert_bits(texts: Mapping[int, str], sentinels: frozenset[float | int]) -> Convert:
    def convert(raw: Value, _exponent: int | None = None) -> tuple[Value, str]:
        if not isinstance(raw, int):
            return None, "not-a-number"
        if raw in sentinels:
            return None, "not-available"
        bits = [bit for bit in range(raw.bit_length()) if raw >> bit & 1]
        return ", ".join(texts.get(bit, f"bit {bit}") for bit in bits) or NO_BITS, ""

    return convert


def scaler(scale: float, offset: float) -> Callable[[float], float] | None:
    """Return what scale and offset do to a raw value; None where that is nothing."""
    if scale == 1 and offset == 0:
        return None
    # 2301 x 0.1 is 230.10000000000002, 2301 / 10 is 230.1: divide where the divisor is whole.
    divisor = round(1 / scale) if 0 < abs(scale) < 1 else 0
    if divisor and abs(1 / divisor - scale) < 1e-12 * abs(scale):
        return lambda raw: raw / divisor + offset
    return lambda raw: raw * scale + offset
