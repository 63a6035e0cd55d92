"""A Modbus TCP server made with pymodbus: the one that the product simulates devices with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from plantroom_edge.simulation import modbus_server
from plantroom_edge.simulation.image import Image


def serving(units: Mapping[int, Image]) -> AbstractAsyncContextManager[int]:
    """Serve units on a free port of 127.0.0.1; yields the port."""
    made = {number: modbus_server.Unit(image) for number, image in units.items()}
    return modbus_server.serving(made)
