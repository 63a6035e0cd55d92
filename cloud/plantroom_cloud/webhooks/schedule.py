"""When a message is tried again. Pure."""

from __future__ import annotations

import random
from typing import Final

from plantroom_shared.backoff import doubling

DELAYS: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 61_200, 84_295)
"""Seconds between two tries: ten tries in three days, which is promised; so no doubling."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_MOST_ASKED: Final = 3600.0


def delay(tries: int, asked: float = 0.0) -> float | None:
    """Return the seconds until the next try, or None if there is none.

    Args:
        tries: that have failed.
        asked: seconds that the receiver has asked for; heeded up to an hour.
    """
    if tries > len(DELAYS):
        return None
    # All that failed together shall not come back together.
    return max(DELAYS[tries - 1] * random.uniform(1.0, 1.1), min(asked, _MOST_ASKED))


def pause(failures: int) -> float:
    """Return the seconds for which a receiver that failed so often in a row is left alone."""
    return doubling(failures, first=_FIRST_PAUSE, most=_LONGEST_PAUSE)
