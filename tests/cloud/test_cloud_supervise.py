"""Retrying: once said on failure, once on recovery, and no part takes another down."""

from __future__ import annotations

import asyncio
import logging

import pytest

from plantroom_cloud import supervise
from plantroom_cloud.supervise import Backoff, keep_running
from plantroom_shared.cancelling import ended
from plantroom_shared.errors import Unavailable


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays as short as can be."""
    monkeypatch.setattr(supervise, "_BASE", 0.0001)


async def test_failure_and_recovery_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """However often it fails in between."""
    caplog.set_level(logging.INFO, logger=supervise.__name__)
    backoff = Backoff("part", most=0.001)
    backoff.recovered()
    for _ in range(30):
        await backoff.wait(Unavailable("away"))
    assert backoff.failures == 30
    backoff.recovered()
    assert [record.message for record in caplog.records] == ["trouble, trying again", "recovered"]
    assert backoff.failures == 0


async def test_waiting_ends_when_all_ends() -> None:
    """A stop is not delayed by a back-off."""
    backoff, stop = Backoff("part", most=3600), asyncio.Event()
    backoff.failures = 40
    stop.set()
    async with asyncio.timeout(60):
        await backoff.wait(Unavailable("away"), stop)
        backoff.failures = 0
        stop.clear()
        await backoff.wait(Unavailable("away"), stop)


async def test_a_part_that_fails_or_ends_is_started_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug is logged with its trace, once in a row; cancelling ends it."""
    starts, enough = 0, asyncio.Event()

    async def run() -> None:
        nonlocal starts
        starts += 1
        if starts >= 5:
            enough.set()
        if starts % 2:
            raise ZeroDivisionError

    task = asyncio.create_task(keep_running("part", run, most=0.001))
    async with asyncio.timeout(60):
        await enough.wait()
    await ended(task)
    assert task.cancelled()
    traced = [record for record in caplog.records if record.exc_info]
    assert len(traced) == 1


async def test_a_steady_run_counts_as_recovery() -> None:
    """So that a failure once a day starts with the shortest delay each time."""
    starts, enough = 0, asyncio.Event()

    async def run() -> None:
        nonlocal starts
        starts += 1
        if starts == 3:
            enough.set()
        msg = "away"
        raise Unavailable(msg)

    task = asyncio.create_task(keep_running("part", run, most=0.001, steady=0.0))
    async with asyncio.timeout(60):
        await enough.wait()
    await ended(task)


async def test_what_a_library_cancels_by_itself_ends_no_part() -> None:
    """A future that is cancelled under a part is a failure; cancelling the part itself ends it."""
    starts, enough = 0, asyncio.Event()

    async def part() -> None:
        nonlocal starts
        starts += 1
        if starts == 2:
            enough.set()
            await asyncio.Event().wait()
        lost = asyncio.get_running_loop().create_future()
        lost.cancel()
        await lost

    task = asyncio.create_task(keep_running("part", part, most=0.0))
    async with asyncio.timeout(60):
        await enough.wait()
    (outcome,) = await ended(task)
    assert isinstance(outcome, asyncio.CancelledError)


async def test_a_part_that_fails_after_a_swallowed_cancellation_is_not_started_again() -> None:
    """What was to end is over, however it ends."""
    starts, started = 0, asyncio.Event()

    async def part() -> None:
        nonlocal starts
        starts += 1
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ZeroDivisionError from None

    task = asyncio.create_task(keep_running("part", part, most=0.0))
    await started.wait()
    async with asyncio.timeout(60):
        (outcome,) = await ended(task)
    assert isinstance(outcome, asyncio.CancelledError)
    assert starts == 1
