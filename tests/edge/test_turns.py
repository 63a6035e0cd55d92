"""Whose turn it is: one at a time, in the order of arrival, who is in a hurry first."""

from __future__ import annotations

import asyncio

from plantroom_edge.turns import Turn


async def test_the_urgent_come_next() -> None:
    """Who waits urgently has the turn before all others that wait, and nobody has it twice."""
    turn, order, holding, release = Turn(), [], 0, asyncio.Event()

    async def want(name: str, *, urgent: bool = False) -> None:
        nonlocal holding
        async with turn.urgently() if urgent else turn:
            holding += 1
            assert holding == 1
            order.append(name)
            await release.wait()
            holding -= 1

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for name in "abc":
            tasks.create_task(want(name))
        await asyncio.sleep(0)
        tasks.create_task(want("now", urgent=True))
        await asyncio.sleep(0)
        release.set()
    assert order == ["a", "now", "b", "c"]


async def test_a_turn_that_nobody_wants_is_passed_on() -> None:
    """Who is cancelled while waiting, or just as it is its turn, blocks nobody."""
    turn, served = Turn(), []

    async def want(name: str) -> None:
        async with turn:
            served.append(name)

    async with asyncio.timeout(20):
        async with turn:
            tasks = [asyncio.create_task(want(name)) for name in "abcd"]
            await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.sleep(0)
        tasks[1].cancel()  # the turn is its own already
        await asyncio.gather(*tasks, return_exceptions=True)
        async with turn:
            served.append("last")
    assert served == ["c", "d", "last"]
