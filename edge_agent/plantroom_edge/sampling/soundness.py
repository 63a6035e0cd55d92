"""Whether what a driver returned is a poll at all: a defect of a driver is its own bus's trouble.

Values are looked at where they become samples. What is looked at here would spoil the rows of other
buses that are stored with it: the buffer writes what it has been handed as a whole.
"""

from __future__ import annotations

from typing import Any, Final

from plantroom_edge.drivers import Poll
from plantroom_shared.model import Quality

LATEST: Final = 7_258_118_400_000_000
"""The year 2200 in microseconds: who says more does not count in them."""

LONGEST_REASON: Final = 100
"""Characters; drivers have a word or two."""

_QUALITIES: Final = frozenset(int(one) for one in Quality)


def is_sound(poll: Any, rows: int) -> bool:
    """Say whether `poll` is one of so many rows, at a time that can be, with qualities that exist."""
    if not isinstance(poll, Poll) or not isinstance(poll.values, list):
        return False
    if len(poll.values) != rows or type(poll.ts) is not int or not 0 <= poll.ts < LATEST:
        return False
    if poll.rows and not 0 <= min(poll.rows) <= max(poll.rows) < rows:
        return False
    return all(0 <= row < rows and _is_flaw(flaw) for row, flaw in poll.quality.items())


def _is_flaw(flaw: Any) -> bool:
    if not isinstance(flaw, tuple) or len(flaw) != 2:
        return False
    quality, reason = flaw
    return quality in _QUALITIES and isinstance(reason, str) and len(reason) <= LONGEST_REASON
