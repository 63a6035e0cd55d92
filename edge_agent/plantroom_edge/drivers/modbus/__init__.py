"""Modbus: units behind one host or serial port, read through profiles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from plantroom_edge.drivers import Candidate, Driver, DriverSpec, Progress, ScanRequest, drivers
from plantroom_edge.drivers.modbus.config import ModbusBus, ModbusDevice
from plantroom_shared.clock import Clock

if TYPE_CHECKING:
    from plantroom_edge.drivers.modbus.scan_line import Reading

__all__ = ["ModbusBus", "ModbusDevice"]


def open_bus(config: ModbusBus, clock: Clock) -> Driver:
    """Return the driver of a bus; ConfigError if a profile is missing or wrong."""
    # A gateway without a Modbus bus never loads this.
    from plantroom_edge.drivers.modbus.driver import ModbusDriver  # noqa: PLC0415

    return ModbusDriver(config, clock)


async def scan_bus(request: ScanRequest, clock: Clock) -> AsyncIterator[Candidate | Progress]:
    """Yield the units that answer at the targets, with the profile that fits each."""
    from plantroom_edge.drivers.modbus.opening import open_connection  # noqa: PLC0415 - as above
    from plantroom_edge.drivers.modbus.scanning import scan  # noqa: PLC0415

    def open_serial(keys: Mapping[str, Any]) -> Reading:
        anything = {"name": "unknown", "profile": "sunspec"}
        bus = ModbusBus.model_validate({"name": "scan", **keys, "devices": [anything]})
        return open_connection(bus, clock)

    async with aclosing(scan(request, clock, open_serial)) as events:
        async for event in events:
            yield event


drivers.register("modbus")(DriverSpec(config=ModbusBus, open=open_bus, scan=scan_bus))
