"""Waits that double with every failure. Pure, but for chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

Jitter = Callable[[float], float]
"""Makes the wait out of the longest that it may be."""
_MOST_DOUBLINGS: Final = 32


def whole(longest: float) -> float:
    """Return the longest wait itself: for one who waits alone."""
    return longest


def full(longest: float) -> float:
    """Return any wait up to the longest: whoever failed together does not come back together."""
    return random.uniform(0.0, longest)


def half(longest: float) -> float:
    """Return a wait of half of the longest at least: for what is not worth trying at once."""
    return random.uniform(longest / 2, longest)


def doubling(failures: int, *, first: float, most: float, jitter: Jitter = whole) -> float:
    """Return the wait after so many failures in a row, in the unit of `first`.

    Args:
        failures: from 1.
        first: the longest wait after one failure; it doubles with each further one ...
        most: ... up to this.
        jitter: draws the wait.
    """
    return jitter(min(most, first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)))
