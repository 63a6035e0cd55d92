"""Modbus: units behind one host or serial port, read through profiles."""

from __future__ import annotations

from plantroom_edge.drivers import Driver, DriverSpec, drivers
from plantroom_edge.drivers.modbus.config import ModbusBus, ModbusDevice
from plantroom_shared.clock import Clock

__all__ = ["ModbusBus", "ModbusDevice"]


def open_bus(config: ModbusBus, clock: Clock) -> Driver:
    """Return the driver of a bus; ConfigError if a profile is missing or wrong."""
    # A gateway without a Modbus bus never loads this.
    from plantroom_edge.drivers.modbus.driver import ModbusDriver  # noqa: PLC0415

    return ModbusDriver(config, clock)


drivers.register("modbus")(DriverSpec(config=ModbusBus, open=open_bus))
