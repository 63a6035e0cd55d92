"""Waiting for something that nobody tells: asked again and again, and never for ever."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

DEADLINE = 60.0
"""Seconds after which it will not happen any more."""
_PAUSE = 0.01


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Return when `condition` holds; fail after `DEADLINE` seconds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(_PAUSE)


async def eventually(
    condition: Callable[[], Any], what: str = "it", *, within: float = DEADLINE
) -> None:
    """Do the same without stopping the loop; `condition` may be a coroutine function as well."""
    try:
        async with asyncio.timeout(within) as limit:
            while not await _holds(condition):
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        assert not limit.expired(), f"{what} did not happen"
        raise


async def _holds(condition: Callable[[], Any]) -> Any:
    found = condition()
    return await found if inspect.isawaitable(found) else found
