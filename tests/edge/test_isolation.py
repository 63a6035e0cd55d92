"""One bus, device or driver never takes another down: a good bus beside one with every defect."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from plantroom_edge import sampler
from plantroom_edge.buffer import Buffer
from plantroom_edge.drivers import Driver, Inventory, Poll, PollGroup
from plantroom_edge.sampler import DISCOVER_AGAIN, Sampler
from plantroom_edge.supervise import Supervisor
from plantroom_shared.cancelling import ended
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch, Device, Point
from support.edge_driver import Script, ScriptedBus, ScriptedDriver
from support.edge_time import VirtualTime
from support.waiting import eventually

SECONDS = 40
"""Of virtual time."""

OWN = "bad:1"


def never() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


class BadDriver:
    """Has one device with three points, and whatever defect a test gives it."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.reads = self.closed = 0

    async def discover(self) -> Inventory:
        points = tuple(Point(key=f"{OWN}:{n}", device=OWN, name=str(n)) for n in range(3))
        group = PollGroup(OWN, 1.0, tuple(point.key for point in points))
        return Inventory((Device(key=OWN, name="bad", protocol="bad"),), points, (group,))

    async def read(self, group: PollGroup) -> Poll:
        self.reads += 1
        return cast("Poll", self.poll())

    def poll(self) -> Any:
        return Poll(self.time.now_us(), [1.0, 2.0, 3.0])

    async def close(self) -> None:
        self.closed += 1


class Says(BadDriver):
    """Returns from `read` what no driver may."""

    def __init__(self, time: VirtualTime, make: Callable[[int], Any]) -> None:
        super().__init__(time)
        self.make = make

    def poll(self) -> Any:
        return self.make(self.time.now_us())


class Hangs(BadDriver):
    async def read(self, group: PollGroup) -> Poll:
        self.reads += 1
        return cast("Poll", await never())


class Deaf(BadDriver):
    """Hears no cancellation, as a library that swallows it once."""

    async def read(self, group: PollGroup) -> Poll:
        self.reads += 1
        with contextlib.suppress(asyncio.CancelledError):
            await never()
        return Poll(self.time.now_us(), [1.0, 2.0, 3.0])


class NeverCloses(BadDriver):
    """Goes away after its first reads, and cannot be closed."""

    async def discover(self) -> Inventory:
        if self.reads:
            msg = "gone"
            raise Unavailable(msg)
        return dataclasses.replace(await super().discover(), missing=("more",))

    async def close(self) -> None:
        self.closed += 1
        await never()


class HangsLooking(BadDriver):
    async def discover(self) -> Inventory:
        return cast("Inventory", await never())


class Lies(BadDriver):
    """Has groups of points that it has not, groups of nothing, and devices without end."""

    async def discover(self) -> Inventory:
        right = await super().discover()
        strange = PollGroup("elsewhere", 1.0, ("elsewhere:1",))
        empty = PollGroup(OWN, 1.0, ())
        return Inventory(right.devices, right.points, (strange, empty, *right.groups), ("x",) * 9)


class FindsNothing(BadDriver):
    async def discover(self) -> Inventory:
        return cast("Inventory", None)


def failing(error: BaseException) -> Callable[[VirtualTime], Driver]:
    """Return a driver of which every read ends with `error`."""

    def make(time: VirtualTime) -> Driver:
        def poll(_: int) -> Any:
            raise error

        return Says(time, poll)

    return make


def saying(make: Callable[[int], Any]) -> Callable[[VirtualTime], Driver]:
    return lambda time: Says(time, make)


def unopened(error: BaseException) -> Callable[[VirtualTime], Driver]:
    """Return a driver that never opens."""

    def make(_: VirtualTime) -> Driver:
        raise error

    return make


BAD: dict[str, Callable[[VirtualTime], Driver]] = {
    "raises what nobody expects": failing(KeyError("defect")),
    "is cancelled from inside": failing(asyncio.CancelledError()),
    "ends the program": failing(SystemExit(3)),
    "runs out of stack": failing(RecursionError()),
    "runs out of memory": failing(MemoryError()),
    "hangs": Hangs,
    "hears no cancellation": Deaf,
    "hangs in discovery": HangsLooking,
    "finds nothing": FindsNothing,
    "lies in discovery": Lies,
    "never closes": NeverCloses,
    "says nothing": saying(lambda _: None),
    "says less": saying(lambda ts: Poll(ts, [1.0])),
    "says more": saying(lambda ts: Poll(ts, [1.0] * 900)),
    "says things": saying(lambda ts: Poll(ts, [object(), b"x", {}])),  # type: ignore[list-item] # on purpose
    "says what no number is": saying(lambda ts: Poll(ts, [math.nan, 2**200, "\ud800" * 900])),
    "has a quality of rows that are not there": saying(
        lambda ts: Poll(ts, [1.0, 2.0, 3.0], {7: (2, "x"), -9: (2, "y")})
    ),
    "has a quality of its own": saying(lambda ts: Poll(ts, [1.0, 2.0, 3.0], {0: (77, "x" * 9999)})),
    "has a quality that is none": saying(
        lambda ts: Poll(ts, [1.0, 2.0, 3.0], {0: None})  # type: ignore[dict-item] # on purpose
    ),
    "reports rows that are not there": saying(lambda ts: Poll(ts, [1.0, 2.0, 3.0], rows=[0, 40])),
    "lives before its time": saying(lambda ts: Poll(-(2**80), [1.0, 2.0, 3.0])),
    "lives in the far future": saying(lambda ts: Poll(2**80, [1.0, 2.0, 3.0])),
    "has no time": saying(lambda ts: Poll(None, [1.0, 2.0, 3.0])),  # type: ignore[arg-type] # on purpose
    "fails for ever": unopened(Unavailable("no such port")),
    "is not even a driver": unopened(TypeError("defect")),
}


@asynccontextmanager
async def side_by_side(
    folder: Path, make: Callable[[VirtualTime], Driver]
) -> AsyncIterator[tuple[VirtualTime, Script, Supervisor, list[Batch], list[Batch]]]:
    """Run a good bus and a bad one with one supervisor and one buffer; yields what was accepted."""
    time = VirtualTime()
    script, supervisor = Script(), Supervisor(sleep=time.sleep)
    buffer = await Buffer.open(folder / "buffer.db", commit_s=0.0, clock=time)
    config = ScriptedBus(name="good", driver="scripted", devices=2, interval=1.0)
    taken: list[Batch] = []
    refused: list[Batch] = []

    class Keeping:
        """Hands everything to the real buffer, and keeps what it has said."""

        add_points = staticmethod(buffer.add_points)

        @staticmethod
        def offer(batch: Batch) -> asyncio.Future[None]:
            promise = buffer.offer(batch)
            promise.add_done_callback(
                lambda done: (refused if done.cancelled() or done.exception() else taken).append(
                    batch
                )
            )
            return promise

    def good() -> Driver:
        return ScriptedDriver(config, time, script)

    tasks = []
    for name, opener in (("bad", lambda: make(time)), ("good", good)):
        polling = Sampler(
            name,
            opener,
            cast("Buffer", Keeping()),
            supervisor=supervisor,
            clock=time,
            sleep=time.sleep,
        )
        tasks.append(asyncio.create_task(supervisor.keep_running(f"bus {name}", polling.run)))
    try:
        await eventually(lambda: {"good/scripted:0", "good/scripted:1"} <= set(supervisor.tasks))
        yield time, script, supervisor, taken, refused
        assert not any(task.done() for task in tasks)
    finally:
        async with asyncio.timeout(60):
            await ended(*tasks)
            await buffer.close()


@pytest.mark.parametrize("defect", BAD)
async def test_a_good_bus_does_not_notice(defect: str, tmp_path: Path) -> None:
    """Beside a driver with any defect, every slot of the good bus is read, stored and on time."""
    async with side_by_side(tmp_path, BAD[defect]) as (time, script, supervisor, taken, refused):
        for _ in range(SECONDS):
            await time.advance(1.0)
        await asyncio.sleep(0)
        assert script.discoveries == 1
        polls = {name: [at for who, at in script.at if who == name] for name in script.reads}
        assert {name: len(times) for name, times in polls.items()} == dict.fromkeys(
            ("scripted:0", "scripted:1"), SECONDS
        )
        for times in polls.values():
            offsets = {round((at - times[0]) % 1.0, 3) % 1.0 for at in times}
            assert offsets == {0.0}
        await eventually(lambda: sum(len(batch) == 5 for batch in taken) == 2 * SECONDS, within=20)
        assert not [batch for batch in refused if len(batch) == 5]
        good = [task for name, task in supervisor.tasks.items() if "good" in name]
        assert good
        assert not any(task.restarts for task in good)


@pytest.mark.parametrize(
    ("defect", "lives"),
    [("ends the program", 1), ("says nothing", 1), ("hangs", 1), ("never closes", 3)],
)
async def test_a_bad_bus_is_tried_again_for_ever(
    defect: str, lives: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends in a defect is started again; a call that hangs is given up, and made again."""
    monkeypatch.setattr(sampler, "POLL_LIMIT", 0.02)
    monkeypatch.setattr(sampler, "CLOSE_LIMIT", 0.02)
    made: list[BadDriver] = []

    def make(time: VirtualTime) -> Driver:
        made.append(cast("BadDriver", BAD[defect](time)))
        return cast("Driver", made[-1])

    async with side_by_side(tmp_path, make) as (time, *_), asyncio.timeout(30):
        while len(made) < lives or sum(driver.reads for driver in made) < 3:
            await time.advance(DISCOVER_AGAIN)
            await asyncio.sleep(0.03)
    assert len(made) >= lives
