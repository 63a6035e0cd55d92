"""Whose turn it is with a device."""

from __future__ import annotations

import asyncio

from plantroom_edge.turns import Turn


async def test_the_urgent_come_next() -> None:
    """Who waits urgently has the line before all others that wait, and nobody has it twice."""
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


async def test_who_is_in_a_hurry_comes_first() -> None:
    """Turns are given in the order of arrival, urgent ones before; a cancelled one is passed on."""
    turn, order = Turn(), list[str]()

    async def wait(name: str, *, urgent: bool) -> None:
        async with turn.urgently() if urgent else turn:
            order.append(name)

    async with asyncio.timeout(5):
        async with turn:
            assert turn.locked()
            tasks = [
                asyncio.create_task(wait(name, urgent=name.startswith("u")))
                for name in ("a", "b", "u1", "u2", "gone")
            ]
            await asyncio.sleep(0)
            tasks[-1].cancel()
            tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["u1", "u2", "b"]
    assert not turn.locked()


async def test_a_turn_that_is_given_to_one_who_is_cancelled_goes_on() -> None:
    """Nobody keeps a turn by being cancelled in the moment it is given."""
    turn = Turn()
    async with asyncio.timeout(5):
        async with turn:
            waiting = asyncio.create_task(turn.__aenter__())
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with turn:
            assert turn.locked()
