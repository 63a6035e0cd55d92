"""Waiting for what the far end does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any


async def until(changed: asyncio.Event, condition: Callable[[], Any], seconds: float) -> bool:
    """Return whether `condition` came about within `seconds`; `changed` is set when it may have."""
    end = time.monotonic() + seconds
    while not condition():
        changed.clear()
        waiting = asyncio.ensure_future(changed.wait())
        await asyncio.wait({waiting}, timeout=end - time.monotonic())
        waiting.cancel()
        if time.monotonic() >= end:
            return bool(condition())
    return True
