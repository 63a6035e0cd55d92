"""Ending tasks whose libraries lose a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from plantroom_shared import cancelling
from plantroom_shared.cancelling import ended, heed_cancellation


async def _deaf(times: int) -> None:
    """Lose the first `times` cancellations, as a library does that finishes at that moment."""
    while times:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            times -= 1
    await asyncio.Event().wait()


async def _begun(*coroutines: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(one) for one in coroutines]
    await asyncio.sleep(0)
    return tasks


async def test_a_task_that_loses_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An orderly stop does not hang on a library that swallows one."""
    monkeypatch.setattr(cancelling, "AGAIN", 0.01)
    (task,) = await _begun(_deaf(2))
    async with asyncio.timeout(60):
        (outcome,) = await ended(task)
    assert task.cancelled()
    assert isinstance(outcome, asyncio.CancelledError)


async def test_outcomes_come_in_order() -> None:
    """A result, an error and a cancellation, each in its place; what had ended is not touched."""

    async def result() -> int:
        return 7

    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    first = asyncio.create_task(result())
    second, third = await _begun(failing(), _deaf(0))
    async with asyncio.timeout(60):
        outcomes = await ended(first, second, third)
    assert outcomes[0] == 7
    assert [type(one) for one in outcomes[1:]] == [ZeroDivisionError, asyncio.CancelledError]


async def test_who_is_hurried_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second cancellation from outside goes on to the tasks; it comes through when they ended."""
    monkeypatch.setattr(cancelling, "AGAIN", 3600)
    (task,) = await _begun(_deaf(1))
    waiting = asyncio.create_task(ended(task))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert task.cancelled()


async def test_a_loop_that_heeds_ends_after_a_lost_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next turn of a loop notices what the library has kept to itself."""
    monkeypatch.setattr(cancelling, "AGAIN", 3600)
    turns = 0

    async def loop() -> None:
        nonlocal turns
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                turns += 1
            heed_cancellation()

    (task,) = await _begun(loop())
    async with asyncio.timeout(60):
        await ended(task)
    assert turns == 1
