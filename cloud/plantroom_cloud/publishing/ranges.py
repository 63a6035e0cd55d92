"""Stretches of time of one point that are still to be published. Pure.

A range is (from, to) in microseconds, without its end; ranges of a point are disjoint.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

Range = tuple[int, int]

GAP_US: Final = 3_600_000_000
"""Two ranges no further apart become one: what lies between may be sent again, which harms none."""
MOST: Final = 16
"""Ranges that a point may have; more of them grow together where they are nearest."""


def stretches(times: Iterable[int], gap_us: int = GAP_US) -> list[Range]:
    """Return the ranges that hold `times`, with no hole of more than `gap_us` in any of them."""
    return merged(((time, time + 1) for time in times), gap_us)


def merged(ranges: Iterable[Range], gap_us: int = GAP_US) -> list[Range]:
    """Return `ranges` in order, those that touch or nearly touch made one."""
    out: list[Range] = []
    for lo, hi in sorted(ranges):
        if out and lo - out[-1][1] <= gap_us:
            out[-1] = (out[-1][0], max(out[-1][1], hi))
        else:
            out.append((lo, hi))
    return out


def bounded(ranges: Sequence[Range], most: int = MOST) -> list[Range]:
    """Return at most `most` ranges that hold all of `ranges`, which are in order and disjoint."""
    out = list(ranges)
    while len(out) > most:
        holes = [after[0] - before[1] for before, after in pairwise(out)]
        at = holes.index(min(holes))
        out[at : at + 2] = [(out[at][0], out[at + 1][1])]
    return out


def without(ranges: Iterable[Range], cuts: Iterable[Range]) -> list[Range]:
    """Return what is left of `ranges`, which are disjoint, once all of `cuts` is taken out."""
    out = sorted(ranges)
    for lo, hi in cuts:
        if lo < hi:
            parts = [part for a, b in out for part in ((a, min(b, lo)), (max(a, hi), b))]
            out = [(a, b) for a, b in parts if a < b]
    return out


def holds(ranges: Sequence[Range], time: int) -> bool:
    """Say whether `time` lies within one of `ranges`, which are in order and disjoint."""
    at = bisect_right(ranges, (time, 1 << 63)) - 1
    return at >= 0 and ranges[at][0] <= time < ranges[at][1]
