"""Token buckets: how often somebody may ask. Pure but for the port.

A bucket is one number, the moment at which it will be full again (GCRA): it fills by itself, and an
entry whose moment has passed says nothing and can go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from plantroom_cloud.config_api import RateLimit

MOST: Final = 100_000
"""Buckets that a process remembers."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Whose bucket it is, and how large."""

    kind: str
    """``key``, ``company`` or ``address``: for the headers."""
    whose: str
    limit: RateLimit


@dataclass(frozen=True, slots=True)
class Level:
    """How a bucket stands after a request."""

    bucket: Bucket
    remaining: int
    full_in: float
    """Seconds until it is full again."""
    wait: float
    """Seconds until the request would be let through; 0: it is."""


class Buckets(Protocol):
    """Where buckets stand: in memory, or in what several processes share."""

    async def take(self, buckets: Sequence[Bucket], now: float) -> list[Level]:
        """Take one token from each bucket, or none from any where one is empty.

        Args:
            buckets: whose tokens it takes.
            now: seconds on a clock that never goes back.
        """
        ...


class MemoryBuckets:
    """Buckets of this process."""

    def __init__(self, most: int = MOST) -> None:
        self._full_at: dict[tuple[str, str], float] = {}
        self._most = most

    async def take(self, buckets: Sequence[Bucket], now: float) -> list[Level]:
        """Take one token from each bucket, or none from any where one is empty."""
        before = [max(self._full_at.get((b.kind, b.whose), 0.0), now) for b in buckets]
        waits = [
            _wait(bucket.limit, full, now) for bucket, full in zip(buckets, before, strict=True)
        ]
        if max(waits, default=0.0) > 0:
            return [
                level(bucket, full, now, wait)
                for bucket, full, wait in zip(buckets, before, waits, strict=True)
            ]
        after = []
        for bucket, full in zip(buckets, before, strict=True):
            full_at = full + 1 / bucket.limit.rate
            self._full_at[bucket.kind, bucket.whose] = full_at
            after.append(level(bucket, full_at, now, 0.0))
        if len(self._full_at) > self._most:
            self._make_room(now)
        return after

    def _make_room(self, now: float) -> None:
        """Drop what is full; where that is too little, what will be full soonest."""
        kept = {whose: full for whose, full in self._full_at.items() if full > now}
        if len(kept) > self._most // 2:
            latest = sorted(kept.items(), key=lambda item: -item[1])
            kept = dict(latest[: self._most // 2])
        self._full_at = kept


def _wait(limit: RateLimit, full_at: float, now: float) -> float:
    """Return the seconds until there is a token; what is less than a nanosecond is none."""
    wait = full_at + 1 / limit.rate - now - limit.burst / limit.rate
    return wait if wait > 1e-9 else 0.0


def level(bucket: Bucket, full_at: float, now: float, wait: float) -> Level:
    """Return how a bucket stands that is full at `full_at`."""
    missing = max(0.0, full_at - now)
    remaining = math.floor(bucket.limit.burst - missing * bucket.limit.rate + 1e-6)
    return Level(bucket, max(0, remaining), missing, wait)
