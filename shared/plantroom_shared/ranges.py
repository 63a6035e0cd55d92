"""Sets of order numbers as sorted, disjoint, inclusive ranges: ``[(1, 9000), (12001, 12400)]``."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]


def merge(ranges: Iterable[Range]) -> list[Range]:
    """Return the union of `ranges`: sorted, disjoint, neighbours joined."""
    out: list[Range] = []
    for lo, hi in sorted(ranges):
        if out and lo <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], hi))
        else:
            out.append((lo, hi))
    return out


def subtract(whole: Iterable[Range], part: Iterable[Range]) -> list[Range]:
    """Return what of `whole` is not in `part`; one pass, as ranges from the wire can be many."""
    cut = merge(part)
    out: list[Range] = []
    i = 0
    for lo, hi in merge(whole):
        start = lo
        while i < len(cut) and cut[i][1] < start:
            i += 1
        j = i
        while j < len(cut) and cut[j][0] <= hi:
            if cut[j][0] > start:
                out.append((start, cut[j][0] - 1))
            start = cut[j][1] + 1
            j += 1
        if start <= hi:
            out.append((start, hi))
        i = max(i, j - 1)
    return out


def intersect(a: Iterable[Range], b: Iterable[Range]) -> list[Range]:
    """Return what is in both `a` and `b`."""
    whole = merge(a)
    return subtract(whole, subtract(whole, b))


def count(ranges: Iterable[Range]) -> int:
    """Return how many numbers disjoint `ranges` hold."""
    return sum(hi - lo + 1 for lo, hi in ranges)


def covers(ranges: Iterable[Range], lo: int, hi: int) -> bool:
    """Say whether one of `ranges` holds all of ``lo..hi``."""
    return any(a <= lo and hi <= b for a, b in ranges)
