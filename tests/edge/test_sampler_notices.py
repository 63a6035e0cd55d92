"""What devices tell by themselves becomes samples between two polls."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from plantroom_edge.drivers import Poll, PollGroup
from plantroom_edge.sampler import Sampler
from plantroom_edge.supervise import Supervisor
from plantroom_shared.clock import Clock
from plantroom_shared.model import Quality
from support.edge_driver import Script, ScriptedBus, ScriptedDriver
from support.edge_sampling import Shelf
from support.edge_time import VirtualTime


class TellingDriver(ScriptedDriver):
    """Hands out what a test puts into `news`."""

    def __init__(self, config: ScriptedBus, clock: Clock, script: Script) -> None:
        super().__init__(config, clock, script)
        self.news: asyncio.Queue[tuple[PollGroup, Poll]] = asyncio.Queue()
        self.fails = 0

    async def notice(self) -> tuple[PollGroup, Poll]:
        if self.fails:
            self.fails -= 1
            msg = "a defect"
            raise RuntimeError(msg)
        return await self.news.get()


async def test_news_become_rows_of_their_group() -> None:
    """Only the rows that were told, with growing times; news of unknown groups are dropped."""
    time, memory = VirtualTime(), Shelf()
    config = ScriptedBus.model_validate({"name": "bus", "driver": "scripted", "interval": 60.0})
    driver = TellingDriver(config, time, Script())
    driver.sleep = time.sleep  # type: ignore[assignment] # virtual
    driver.fails = 1
    sampler = Sampler(
        "bus",
        lambda: driver,
        memory,  # type: ignore[arg-type] # stands in
        supervisor=Supervisor(sleep=time.sleep),
        clock=time,
        sleep=time.sleep,
    )
    task = asyncio.create_task(sampler.run())
    try:
        await time.advance(10.0)
        [device] = [state for key, state in sampler.devices.items() if key == "scripted:1"]
        group = device.groups[0].group
        memory.batches.clear()
        stamp = device.last_ts
        bad = {3: (int(Quality.BAD), "fault")}
        told = Poll(stamp - 5, [0.0, 1.0, float("nan"), 3.0, 4.0], bad, rows=[1, 2, 3])
        driver.news.put_nowait((replace(group, device="nobody"), told))
        driver.news.put_nowait((replace(group, points=("x",)), told))
        driver.news.put_nowait((group, Poll(stamp, [1.0] * 5)))
        driver.news.put_nowait((group, told))
        await time.advance(1.0)
        [batch] = memory.batches
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert batch.values == [1.0, None, 3.0]
    assert batch.points == [6, 7, 8]
    assert batch.times == [stamp + 1] * 3
    assert batch.quality[2] == (int(Quality.BAD), "fault")
    assert batch.quality[1][0] == Quality.BAD
    assert sampler.counters["notices"] == 3
