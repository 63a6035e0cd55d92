"""A buffer and the sync that empties it, in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from plantroom_edge.buffer import Buffer
from plantroom_edge.clock import EdgeClock
from plantroom_edge.config import CloudConfig
from plantroom_edge.supervise import Supervisor
from plantroom_edge.sync import Sync
from plantroom_edge.timekeeper import Timekeeper
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.model import Batch
from support.edge_broker import GATEWAY
from support.edge_cloud import ModelCloud
from support.edge_rows import METER, points


def syncing(
    cloud: CloudConfig, buffer: Buffer, clock: EdgeClock | None = None, **more: Any
) -> Sync:
    keeper = Timekeeper(clock or EdgeClock(SystemClock()), buffer)
    return Sync(GATEWAY, cloud, buffer, keeper=keeper, **more)


class Gateway:
    """A buffer and the sync that empties it."""

    def __init__(self, buffer: Buffer, cloud: CloudConfig, clock: EdgeClock) -> None:
        self.buffer, self.clock = buffer, clock
        self.sync = syncing(cloud, buffer, clock, figures=lambda: {"accepted": 1.0})
        self.supervisor = Supervisor(base=0.02, cap=0.2)

    async def held(self) -> int:
        return sum((await self.buffer.stats()).held.values())

    async def drained(self) -> None:
        async with asyncio.timeout(60):
            while await self.held():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def gateway(
    folder: Path, cloud: CloudConfig, *, machine: Clock | None = None, backlog: int = 0, **more: Any
) -> AsyncIterator[Gateway]:
    """Run a gateway with one point; `backlog` samples wait in its buffer before it connects."""
    clock = EdgeClock(machine or SystemClock(), synced=lambda: False)
    buffer = await Buffer.open(folder / "buffer.db", commit_s=0.001, clock=clock, **more)
    await buffer.add_points(points(1), [METER])
    unit = Gateway(buffer, cloud, clock)
    for serial in range(backlog):
        await buffer.append(Batch([0], [clock.now_us()], [float(serial)]))
    task = asyncio.create_task(unit.supervisor.keep_running("sync", unit.sync.run))
    try:
        yield unit
    finally:
        await ended(task)
        await buffer.close()


def values(model: ModelCloud, epoch: str) -> list[object]:
    """Return the samples that `model` has of `epoch`, in the order of their numbers."""
    keyed = {key[2]: value for key, value in model.rows.items() if key[:2] == (epoch, "tel")}
    return [keyed[seq] for seq in sorted(keyed)]
