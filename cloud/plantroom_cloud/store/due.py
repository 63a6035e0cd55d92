"""What a batch of samples leaves to be rolled up: which points, which minutes. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from plantroom_shared.ranges import Range

MINUTE: Final = 60_000_000
MOST: Final = 100
"""Stretches of minutes in one row; where there are more, the nearest are taken together."""


@dataclass(frozen=True, slots=True)
class Due:
    """Points and stretches of whole minutes; every point may have changed in every stretch."""

    points: frozenset[int]
    stretches: tuple[Range, ...]
    """From and to (without), in minutes since 1970."""


def due_of(points: Iterable[int], times: Sequence[int]) -> Due:
    """Return what samples of these points at these times (microseconds) leave to be done."""
    minutes = sorted({ts // MINUTE for ts in times})
    return Due(frozenset(points), tuple(stretches(minutes)))


def stretches(minutes: Sequence[int], most: int = MOST) -> list[Range]:
    """Return `most` stretches or fewer that hold all of `minutes`, which are sorted."""
    out: list[Range] = []
    for minute in minutes:
        if out and minute <= out[-1][1]:
            out[-1] = (out[-1][0], minute + 1)
        else:
            out.append((minute, minute + 1))
    while len(out) > most:
        gaps = sorted(after[0] - before[1] for before, after in pairwise(out))
        out = _joined(out, gaps[len(out) - most - 1])
    return out


def _joined(ranges: list[Range], gap: int) -> list[Range]:
    """Return `ranges` without gaps of up to `gap`."""
    out = ranges[:1]
    for lo, hi in ranges[1:]:
        if lo - out[-1][1] <= gap:
            out[-1] = (out[-1][0], hi)
        else:
            out.append((lo, hi))
    return out


def pack_points(due: Due) -> bytes:
    """Return the points as a row of ``rollup_due`` keeps them."""
    return _pack(sorted(due.points))


def pack_minutes(due: Due) -> bytes:
    """Return the stretches as a row of ``rollup_due`` keeps them."""
    return _pack([minute for stretch in due.stretches for minute in stretch])


def unpack(points: bytes, minutes: bytes) -> Due:
    """Return what `pack_points` and `pack_minutes` packed."""
    ends = _unpack(minutes)
    pairs = tuple(zip(ends[::2], ends[1::2], strict=True))
    return Due(frozenset(_unpack(points)), pairs)


def _pack(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


def _unpack(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 8}q", data)
