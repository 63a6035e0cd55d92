"""The driver ``noted``: holding registers of a device that keeps a ledger, over a real socket."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from plantroom_edge.drivers import (
    BusConfig,
    DriverSpec,
    Inventory,
    Poll,
    PollGroup,
    Written,
    drivers,
)
from plantroom_shared.clock import Clock
from plantroom_shared.model import Device, Point, Value


class NotedBus(BusConfig):
    port: int
    device: str = "device"
    first: int = 0
    """Register of the first point."""
    points: int = 10
    interval: float = 1.0


class NotedDriver:
    """Points ``noted:DEVICE:REGISTER``, a register each."""

    def __init__(self, config: NotedBus, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()
        self._transaction = 0

    async def discover(self) -> Inventory:
        config = self._config
        device = Device(key=f"noted:{config.device}", name=config.device, protocol="modbus")
        numbers = range(config.first, config.first + config.points)
        keys = tuple(f"{device.key}:{number}" for number in numbers)
        points = [Point(key=key, device=device.key, name=key, writable=True) for key in keys]
        group = PollGroup(device.key, self._config.interval, keys)
        return Inventory((device,), tuple(points), (group,))

    async def read(self, group: PollGroup) -> Poll:
        now, count = self._clock.now_us(), len(group.points)
        reply = await self._ask(struct.pack(">BHH", 3, self._config.first, count))
        if reply is None or reply[0] != 3:
            return Poll.dead(now, count, "timeout")
        return Poll(now, [float(word) for word in struct.unpack(f">{count}H", reply[2:])])

    async def held(self, point: str, priority: int | None) -> tuple[Value, str]:
        del priority
        reply = await self._ask(struct.pack(">BHH", 3, int(point.rsplit(":", 1)[1]), 1))
        if reply is None or reply[0] != 3:
            return None, "timeout"
        return float(struct.unpack(">H", reply[2:4])[0]), ""

    async def write(self, point: str, value: Value, priority: int | None) -> Written:
        address = int(point.rsplit(":", 1)[1])
        assert isinstance(value, int | float)
        reply = await self._ask(struct.pack(">BHH", 6, address, round(value)))
        if reply is None or reply[0] != 6:
            return Written(ok=False, reason="timeout")
        shows, why = await self.held(point, priority)
        ok = not why and shows == value
        return Written(ok=ok, reason="" if ok else "read-back", shows=shows)

    async def close(self) -> None:
        if self._line:
            self._line[1].close()
            self._line = None

    async def _ask(self, pdu: bytes) -> bytes | None:
        async with self._turn:
            try:
                async with asyncio.timeout(2):
                    return await self._exchange(pdu)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                await self.close()
                return None
            except asyncio.CancelledError:
                await self.close()
                raise

    async def _exchange(self, pdu: bytes) -> bytes:
        if self._line is None:
            self._line = await asyncio.open_connection("127.0.0.1", self._config.port)
        reader, writer = self._line
        self._transaction = (self._transaction + 1) % 65536
        writer.write(struct.pack(">HHHB", self._transaction, 0, len(pdu) + 1, 1) + pdu)
        await writer.drain()
        _, _, length, _ = struct.unpack(">HHHB", await reader.readexactly(7))
        return await reader.readexactly(length - 1)


@contextmanager
def registered() -> Iterator[None]:
    """Make the driver known under ``noted`` for a while."""
    spec: Any = DriverSpec(NotedBus, NotedDriver)
    drivers.register("noted")(spec)
    try:
        yield
    finally:
        del drivers._items["noted"]
