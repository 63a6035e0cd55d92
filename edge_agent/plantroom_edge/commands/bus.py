"""Asking devices about points that are written: bounded in time, and never an exception."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from plantroom_edge.drivers import Writing, Written
from plantroom_edge.reach import Reach
from plantroom_shared.cancelling import heed_cancellation
from plantroom_shared.model import Quality, Value

LIMIT: Final = 20.0
"""Seconds after which a device has not answered."""


async def held(driver: Writing, point: str, slot: int | None) -> tuple[Value, str]:
    """Return what is in the place of a write, and why that cannot be read."""
    try:
        async with asyncio.timeout(LIMIT):
            value, reason = await driver.held(point, slot)
    except TimeoutError:
        return None, "timeout"
    heed_cancellation()
    return value, reason


async def write(
    driver: Writing,
    point: str,
    value: Value,
    slot: int | None,
    *,
    within: float = LIMIT,
    back: bool = False,
) -> Written:
    """Write, and return what became of it; after `within` seconds nobody knows."""
    try:
        async with asyncio.timeout(min(within, LIMIT)):
            written = await driver.write(point, value, slot, back=back)
    except TimeoutError:
        return Written(ok=False, reason="timeout")
    heed_cancellation()
    return written


async def present(reach: Reach, point: str) -> Value:
    """Return what a point says now, read as it is polled; None where that cannot be had."""
    group = reach.group
    if group is None:
        return None
    try:
        async with asyncio.timeout(LIMIT):
            # Without the gate: it would take what is read here for reported.
            poll = await reach.driver.read(replace(group, gate=None))
    except TimeoutError:
        return None
    heed_cancellation()
    row = group.points.index(point)
    quality, _ = poll.quality.get(row, (int(Quality.GOOD), ""))
    return poll.values[row] if quality == Quality.GOOD and row < len(poll.values) else None
