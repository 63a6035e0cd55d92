"""When the endpoint is left alone, and how long to wait between two attempts."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from plantroom_cloud.kit.breakers import Manner
from plantroom_shared.backoff import doubling

MOST_ATTEMPTS: Final = 4
MANNER: Final = Manner(failures=MOST_ATTEMPTS, pause=2.0)
"""One call that was given up is reason enough; a free look every two seconds costs nobody much."""
_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 16.0


def wait_before(
    attempt: int, retry_after: float | None, chance: Callable[[], float] = random.random
) -> float:
    """Return the seconds to wait before the next attempt: full jitter, or what the server asks.

    Args:
        attempt: how many have failed, from 1.
        retry_after: seconds that the server wants, with up to a second more so that not all
            who were told the same come back at once.
        chance: returns a number in [0, 1).
    """
    if retry_after is not None:
        return max(0.0, retry_after) + chance() * min(1.0, max(0.0, retry_after))
    return chance() * doubling(attempt, first=_FIRST_WAIT, most=_LONGEST_WAIT)


def retry_after_of(headers: dict[str, str]) -> float | None:
    """Return the seconds that a server's ``Retry-After`` asks for; None where it says nothing.

    Args:
        headers: with names in lower case; seconds, milliseconds (``retry-after-ms``) or a date.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        return seconds if 0.0 <= seconds < float("inf") else None
    try:
        moment = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
