"""Being cancelled, where a library may swallow it or cancel what is its own."""

from __future__ import annotations

import asyncio


def heed_cancellation() -> None:
    """Raise CancelledError if somebody has asked the current task to end.

    For loops that call libraries: Python 3.11's `wait_for` swallows a cancellation that comes in the
    moment in which it finishes, and a task group cancels its tasks only once.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
