"""Being cancelled, where a library may swallow it or cancel what is its own."""

from __future__ import annotations

import asyncio
from typing import Any, Final

AGAIN: Final = 10.0
"""Seconds that a cancelled task has to clear up before it is cancelled again.

Twice the longest grace that any part takes: a publisher waits so long for what it has sent.
"""


def heed_cancellation() -> None:
    """Raise CancelledError if somebody has asked the current task to end.

    For loops that call libraries: Python 3.11's `wait_for` swallows a cancellation that comes in the
    moment in which it finishes, and a task group cancels its tasks only once.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def ended(*tasks: asyncio.Task[Any]) -> list[Any]:
    """Cancel `tasks` every `AGAIN` seconds until they have ended; return results or exceptions.

    Once is not enough where a library swallows it. Who is cancelled while waiting here cancels
    `tasks` again at once, and is itself cancelled when they have ended: nothing is left behind.
    """
    left = {task for task in tasks if not task.done()}
    hurried: asyncio.CancelledError | None = None
    while left:
        for task in left:
            task.cancel()
        try:
            await asyncio.wait(left, timeout=AGAIN)
        except asyncio.CancelledError as error:
            hurried = error
        left = {task for task in left if not task.done()}
    if hurried is not None:
        raise hurried
    return list(await asyncio.gather(*tasks, return_exceptions=True))
