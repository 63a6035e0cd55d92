"""Places on the clock: every group is read at its own moment of each interval; pure."""

from __future__ import annotations

import math

MANY = 1000
"""So many missed slots at once are a clock that was set, not a device that is slow."""


def phase(index: int, count: int, interval: float) -> float:
    """Return a group's place in its interval: the groups of a bus spread over it evenly."""
    return interval * index / max(count, 1)


def next_slot(now: float, place: float, interval: float, last: int) -> tuple[int, float, int]:
    """Return the number of the next slot, the seconds until it, and how many were missed.

    Args:
        now: seconds since 1970-01-01 UTC.
        place: seconds after a multiple of the interval.
        interval: seconds.
        last: the slot before; -1 if there was none.
    """
    slot = math.floor((now - place) / interval) + 1
    missed = 0
    if last >= 0 and abs(slot - last) <= 1:
        slot = last + 1  # woken a little early or right on time
    elif last >= 0 and slot > last + 1:
        missed = slot - last - 1 if slot - last < MANY else 1
    return slot, max(0.0, slot * interval + place - now), missed
