"""Retrying, in its one place."""

from __future__ import annotations

import asyncio
import logging

import pytest

from plantroom_edge.supervise import Supervisor, full_jitter
from plantroom_shared.errors import Unavailable
from support.edge_time import VirtualTime, settle


def test_the_pause_is_drawn_from_a_growing_interval_with_a_cap() -> None:
    """The n-th failure waits between nothing and base * 2^n, never beyond the cap."""
    highs = []

    def top(low: float, high: float) -> float:
        assert low == 0.0
        highs.append(high)
        return high

    pauses = [full_jitter(n, base=0.25, cap=30.0, jitter=top) for n in (1, 2, 3, 8, 9999)]
    assert pauses == highs == [0.5, 1.0, 2.0, 30.0, 30.0]


async def test_a_failing_task_is_started_again_until_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Failures are counted, told once, and the recovery once; an end is an end."""
    starts = 0
    caplog.set_level(logging.INFO)

    async def run() -> None:
        nonlocal starts
        starts += 1
        if starts < 4:
            msg = f"no {starts}"
            raise OSError(msg)

    supervisor = Supervisor(base=0.0)
    await supervisor.keep_running("bus", run)
    report = supervisor.tasks["bus"]
    assert (starts, report.restarts, report.failing) == (4, 3, False)
    assert report.error == "OSError: no 3"
    assert [r.getMessage().split(";")[0] for r in caplog.records] == [
        "task failed",
        "task recovered",
    ]


async def test_a_task_that_says_when_is_started_again_then() -> None:
    """Where the failure names the pause, that is the pause; else it is drawn."""
    slept: list[float] = []
    failures = [Unavailable("no link", retry_after=7.5), Unavailable("no link"), OSError("no disk")]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def run() -> None:
        if failures:
            raise failures.pop(0)

    await Supervisor(base=0.25, cap=0.0, sleep=sleep).keep_running("sync", run)
    assert slept == [7.5, 0.0, 0.0]


async def test_a_task_that_lives_on_has_recovered(caplog: pytest.LogCaptureFixture) -> None:
    """A restarted task counts as recovered when it has lived a while, and may fail anew."""
    time_ = VirtualTime()
    fail = asyncio.Event()
    alive = asyncio.Event()
    starts = 0

    async def run() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise OSError
        alive.set()
        await fail.wait()
        fail.clear()
        raise ValueError

    supervisor = Supervisor(settled=0.01, sleep=time_.sleep)
    task = asyncio.create_task(supervisor.keep_running("x", run))
    await settle()
    assert supervisor.tasks["x"].failing
    await time_.advance(60)
    await alive.wait()
    async with asyncio.timeout(60):
        while supervisor.tasks["x"].failing:
            await asyncio.sleep(0.005)
    fail.set()
    await settle()
    assert supervisor.tasks["x"].restarts == 2
    assert sum("task failed" in record.getMessage() for record in caplog.records) == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancellation_goes_through() -> None:
    """A cancelled task is not started again."""
    supervisor = Supervisor()
    started = asyncio.Event()

    async def run() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(supervisor.keep_running("x", run))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert supervisor.tasks["x"].restarts == 0


async def test_what_a_library_cancels_by_itself_is_a_failure() -> None:
    """A future that is cancelled under a task does not end the task for good."""
    supervisor = Supervisor(base=0.0)
    lives: list[int] = []

    async def run() -> None:
        lives.append(len(lives))
        if len(lives) < 3:
            lost = asyncio.get_running_loop().create_future()
            lost.cancel()
            await lost

    async with asyncio.timeout(60):
        await supervisor.keep_running("x", run)
    assert len(lives) == 3
    assert supervisor.tasks["x"].restarts == 2
    assert supervisor.tasks["x"].error.startswith("CancelledError")


async def test_a_failure_after_a_swallowed_cancellation_is_the_end() -> None:
    """What was to end is not started again, however it ends."""
    supervisor = Supervisor()
    started = asyncio.Event()

    async def run() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ZeroDivisionError from None

    task = asyncio.create_task(supervisor.keep_running("x", run))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert supervisor.tasks["x"].restarts == 0
