"""Ranges against plain sets of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from plantroom_shared import ranges
from plantroom_shared.ranges import Range

some = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda t: (t[0], sum(t))))


def numbers(of: Iterable[Range]) -> set[int]:
    return {n for lo, hi in of for n in range(lo, hi + 1)}


def is_normal(of: list[Range]) -> bool:
    """Sorted, disjoint, and no two that could be one."""
    ends = [n for pair in of for n in pair]
    return ends == sorted(ends) and all(b[0] > a[1] + 1 for a, b in pairwise(of))


@given(some, some)
def test_ranges_are_sets(a: list[Range], b: list[Range]) -> None:
    """Union, difference and intersection hold the numbers that sets would, in normal form."""
    for got, expected in (
        (ranges.merge([*a, *b]), numbers(a) | numbers(b)),
        (ranges.subtract(a, b), numbers(a) - numbers(b)),
        (ranges.intersect(a, b), numbers(a) & numbers(b)),
    ):
        assert numbers(got) == expected
        assert is_normal(got)
        assert ranges.count(got) == len(expected)


@given(some, st.integers(0, 50), st.integers(0, 5))
def test_covers_means_every_number(a: list[Range], lo: int, more: int) -> None:
    """Joined ranges cover a span exactly when they hold all its numbers."""
    wanted = set(range(lo, lo + more + 1))
    assert ranges.covers(ranges.merge(a), lo, lo + more) == (wanted <= numbers(a))


def test_very_many_ranges_are_no_trouble() -> None:
    """Two lists of 100,000 ranges are subtracted in one pass, not in their product."""
    a = [(i * 10, i * 10 + 5) for i in range(100_000)]
    b = [(i * 10 + 2, i * 10 + 3) for i in range(100_000)]
    assert ranges.count(ranges.subtract(a, b)) == 400_000
