"""Columns made small without losing a bit: aliases as runs, 32-bit floats by their short names."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

from plantroom_shared.errors import Rejected

Run = tuple[int, int]
"""The first, and how many."""


def runs(aliases: Sequence[int]) -> list[int | list[int]]:
    """Return aliases as they are sent: a run that counts up by one as ``[first, how many]``.

    A poll reads its points in the order of their aliases: runs save a quarter of a message.
    """
    out: list[int | list[int]] = []
    first = last = aliases[0]
    for alias in (*aliases[1:], -1):
        if alias == last + 1:
            last = alias
            continue
        out.append(first if first == last else [first, last - first + 1])
        first = last = alias
    return out


def expand_points(column: Any, n: int) -> list[Any]:
    """Return an alias for each of `n` rows; what is no run and no alias stays for its row.

    Raises:
        Rejected: the column is none, or does not hold `n` rows.
    """
    out: list[Any] = []
    for item in column if isinstance(column, list) else ():
        match item:
            case [int(first), int(many)] if 0 <= first <= 2**53 and 1 <= many <= n - len(out):
                out.extend(range(first, first + many))
            case _:
                out.append(item)
    if not isinstance(column, list) or len(out) != n:
        msg = f"samples: column 'p' does not hold {n} rows"
        raise Rejected(msg, reason="schema")
    return out


def shorten(values: Sequence[Any]) -> tuple[list[Any], list[Run]]:
    """Return values with the 32-bit floats among them by their shortest decimal, and where.

    A device's REAL 21.3 is the double 21.299999237060547: seventeen digits that say no more than
    three do, once the reader knows to round to 32 bits. Every float in the runs is such a one.
    """
    out = list(values)
    rows = [row for row, value in enumerate(out) if type(value) is float]
    narrow = _narrow([out[row] for row in rows])
    exact = [row for row, value in zip(rows, narrow, strict=True) if value == out[row]]
    # 21.5 and 0.125 are as short as they get.
    long = [row for row in exact if out[row] * 8 % 1 or abs(out[row]) >= 1e4]
    shortened = []
    for row, short in zip(long, _short([out[row] for row in long]), strict=True):
        if short != out[row]:
            out[row] = short
            shortened.append(row)
    if not shortened:
        return out, []
    barriers = sorted(set(rows).difference(exact))
    return out, list(_between(barriers, shortened, len(out)))


def _between(barriers: Sequence[int], marks: Sequence[int], n: int) -> Iterable[Run]:
    """Yield the stretches between `barriers` that hold a marked row."""
    at = first = 0
    for barrier in (*barriers, n):
        begin = at
        while at < len(marks) and marks[at] < barrier:
            at += 1
        if at > begin:
            yield first, barrier - first
        first = barrier + 1


def restore(values: list[Any], column: Any) -> None:
    """Undo `shorten` in place; runs that are none, or beyond the rows, are ignored."""
    for item in column if isinstance(column, list) else ():
        match item:
            case [int(first), int(many)] if 0 <= first < len(values) and many >= 1:
                rows = [
                    row
                    for row in range(first, min(first + many, len(values)))
                    if type(values[row]) is float
                ]
                for row, value in zip(rows, _narrow([values[row] for row in rows]), strict=True):
                    values[row] = values[row] if math.isnan(value) else value


def _narrow(values: list[float]) -> Sequence[float]:
    """Return `values` rounded to 32 bits; NaN for what is beyond these."""
    shape = f"<{len(values)}f"
    try:
        return struct.unpack(shape, struct.pack(shape, *values))
    except OverflowError:
        return [_narrow_one(value) for value in values]


def _narrow_one(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.nan


def _short(values: list[float]) -> list[float]:
    """Return the shortest decimals that round to the 32-bit floats `values`; 9 digits always do."""
    out = _rounded(values, 7)
    for digits in (8, 9):
        wrong = [at for at, value in enumerate(_narrow(out)) if value != values[at]]
        for at, value in zip(wrong, _rounded([values[at] for at in wrong], digits), strict=True):
            out[at] = value
    return out


def _rounded(values: list[float], digits: int) -> list[float]:
    # One formatting for all: a quarter of the time of one each.
    return list(map(float, (f"%.{digits}g " * len(values) % tuple(values)).split()))
