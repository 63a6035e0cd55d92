"""A Modbus TCP server made with pymodbus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import groupby

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from support.modbus_image import Image


@asynccontextmanager
async def serving(units: Mapping[int, Image]) -> AsyncIterator[int]:
    """Serve units on a free port of 127.0.0.1; yields the port."""
    devices = [SimDevice(unit, _simdata(image)) for unit, image in units.items()]
    server = ModbusTcpServer(devices, address=("127.0.0.1", 0))
    await server.listen()
    try:
        assert isinstance(server.transport, asyncio.Server)
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call] # pymodbus does not say


def _simdata(image: Image) -> tuple[list[SimData], list[SimData], list[SimData], list[SimData]]:
    coils, discrete, holding, inputs = (
        [
            SimData(address, values=words, datatype=kind)
            for address, words in _runs(image.get(space) or {65535: 0}, bits)
        ]
        for space, kind, bits in (
            ("coil", DataType.BITS, True),
            ("discrete", DataType.BITS, True),
            ("holding", DataType.REGISTERS, False),
            ("input", DataType.REGISTERS, False),
        )
    )
    return coils, discrete, holding, inputs


def _runs(table: Mapping[int, int], bits: bool) -> list[tuple[int, list[int] | list[bool]]]:
    """Return runs of addresses without a gap."""
    runs: list[tuple[int, list[int] | list[bool]]] = []
    places = enumerate(sorted(table))
    for _, run in groupby(places, key=lambda place: place[1] - place[0]):
        addresses = [address for _, address in run]
        words = [table[address] for address in addresses]
        runs.append((addresses[0], [bool(word) for word in words] if bits else words))
    return runs
