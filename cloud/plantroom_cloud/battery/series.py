"""Samples of one point as analytics want them: in one unit, in order, without what is not true."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Final

Raw = tuple[int, float | None, int]
"""Microseconds since 1970, value, quality code (0 is good)."""
Clean = tuple[int, float]
"""Microseconds since 1970, value."""

MINUTE_US: Final = 60_000_000
_LONGEST_GAP: Final = 120 * MINUTE_US

NOT_IMPLEMENTED: Final = frozenset({32768.0, -32768.0, 65535.0, -2147483648.0, 4294967295.0})
"""How SunSpec registers say that there is nothing, where a driver let it through."""


@dataclass(frozen=True, slots=True)
class Series:
    """Samples of one point, in any order, as they were stored."""

    point: int
    """The point's id."""
    samples: Sequence[Raw]
    scale: float = 1.0
    """What a value is multiplied by to be in kW, kWh or per cent."""


def clean(
    series: Series | None, low: float, high: float, absent: Collection[float] = ()
) -> list[Clean]:
    """Return the good samples of `series` by time, one per moment, scaled.

    Args:
        series: None gives nothing.
        low: the least value that can be, after scaling.
        high: the largest.
        absent: values, before scaling, by which a device says that it has none.

    Duplicates, and the order of arrival, make no difference to the result.
    """
    if series is None:
        return []
    scale = series.scale
    kept = [
        (ts, value * scale)
        for ts, value, quality in series.samples
        if quality == 0 and value is not None and low <= value * scale <= high  # NaN fails this
        if value not in absent
    ]
    kept.sort(reverse=True)
    return list(dict(kept).items())[::-1]  # of one moment the smallest value stays, always


def nominal_step(samples: Sequence[Clean]) -> int:
    """Return the usual distance of two samples in microseconds; 0 with fewer than two."""
    steps = [b - a for (a, _), (b, _) in pairwise(samples)]
    return median_low(steps) if steps else 0


def gap_limit(step: int) -> int:
    """Return the distance in microseconds beyond which nothing is known in between.

    Three steps, at least a minute; never more than two hours, however rare samples are.
    """
    return min(max(3 * step, MINUTE_US), _LONGEST_GAP)
