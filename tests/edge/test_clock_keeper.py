"""The timekeeper: the buffer knows what the clock is worth, and rows are put right once it is set."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from plantroom_edge.buffer import Buffer
from plantroom_edge.clock import BUILT_US, EdgeClock
from plantroom_edge.timekeeper import Timekeeper
from plantroom_shared.cancelling import ended
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch
from plantroom_shared.wire import Samples, decode_rows
from support.edge_rows import METER, points
from support.edge_time import T0, VirtualTime, settle

S = 1_000_000


class Site:
    """A gateway that starts in 1970, with its buffer."""

    def __init__(self, buffer: Buffer, time: VirtualTime, clock: EdgeClock) -> None:
        self.buffer, self.time, self.clock = buffer, time, clock
        self.keeper = Timekeeper(clock, buffer, sleep=time.sleep)

    def state(self) -> str:
        return self.buffer.clock_state

    async def sample(self, value: float) -> None:
        await self.buffer.append(Batch([0], [self.clock.now_us()], [value]))

    async def sent(self) -> list[tuple[int, str]]:
        """Return the time of each sample that the buffer gives out, and how its clock was."""
        out = []
        for frame in await self.buffer.next("tel", (0, 0), 100):
            rows = decode_rows(frame.blob)
            assert isinstance(rows, Samples)
            out += [(ts, rows.clock) for ts in rows.batch.times]
        return out


async def site(folder: Path) -> Site:
    time = VirtualTime()
    time.wall_offset_us = 0
    clock = EdgeClock(time, folder / "clock.json", synced=lambda: False)
    buffer = await Buffer.open(folder / "buffer.db", commit_s=0.001, clock=clock)
    await buffer.add_points(points(1), [METER])
    return Site(buffer, time, clock)


async def test_rows_wait_for_the_time_and_get_it(tmp_path: Path) -> None:
    """What is read before the clock is set is kept back, then stamped with the time it was read."""
    unit = await site(tmp_path)
    assert unit.state() == "unset"
    await unit.sample(1.0)
    unit.time.seconds += 60
    await unit.sample(2.0)
    assert await unit.sent() == []
    unit.time.seconds += 40
    unit.time.wall_offset_us = T0
    await unit.keeper.look()
    assert [ts for ts, _ in await unit.sent()] == [T0, T0 + 60 * S]
    assert unit.state() == "holdover"
    unit.time.seconds += 1
    await unit.sample(3.0)
    assert (await unit.sent())[-1] == (T0 + 101 * S, "holdover")
    await unit.buffer.close()


async def test_the_cloud_can_tell_the_time(tmp_path: Path) -> None:
    """Where the system never learns the time, the cloud's answer puts all rows right."""
    unit = await site(tmp_path)
    await unit.sample(1.0)
    unit.time.seconds += 10
    await unit.keeper.hear(T0, 2.0)
    assert [ts for ts, _ in await unit.sent()] == [T0 + S - 10 * S]
    assert unit.state() == "sync"
    await unit.sample(2.0)
    assert (await unit.sent())[-1] == (T0 + S, "sync")
    assert unit.keeper.figures() == {"clock_skew_us": 0, "clock_skew_s": 0.0}
    await unit.buffer.close()


async def test_rows_around_the_moment_are_told_apart(tmp_path: Path) -> None:
    """Read before the clock was set and accepted after it, or read after it: each gets its own time."""
    unit = await site(tmp_path)
    await unit.sample(1.0)
    early = unit.clock.now_us()
    assert early < BUILT_US
    unit.time.seconds += 5
    shift = unit.clock.hear(T0, 0.0)  # the buffer has not been told yet
    assert shift is not None
    await unit.sample(2.0)
    await unit.keeper._set_by(shift, "cloud")
    await unit.buffer.append(Batch([0], [early], [3.0]))
    times = sorted(ts for ts, _ in await unit.sent())
    assert times == [T0 - 5 * S, T0 - 5 * S, T0]
    await unit.buffer.close()


async def test_a_buffer_that_is_away_is_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk fails the rows stay back; at the next look they are put right."""
    unit = await site(tmp_path)
    await unit.sample(1.0)
    real = unit.buffer.restamp

    async def away(_offset: int) -> int:
        msg = "disk I/O error"
        raise Unavailable(msg)

    monkeypatch.setattr(unit.buffer, "restamp", away)
    await unit.keeper.hear(T0, 0.0)
    assert unit.state() == "unset"
    monkeypatch.setattr(unit.buffer, "restamp", real)
    await unit.keeper.look()
    assert [ts for ts, _ in await unit.sent()] == [T0]
    assert unit.state() == "sync"
    await unit.buffer.close()


async def test_it_looks_every_second(tmp_path: Path) -> None:
    """The task sees that the system's clock was set without being told."""
    unit = await site(tmp_path)
    task = asyncio.create_task(unit.keeper.run())
    await unit.time.advance(3.0)
    assert unit.state() == "unset"
    unit.time.wall_offset_us = T0
    await unit.time.advance(1.0)
    async with asyncio.timeout(60):
        while unit.state() == "unset":
            await settle()
    await ended(task)
    await unit.buffer.close()
