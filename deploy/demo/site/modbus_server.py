"""Modbus TCP servers over the site's registers, by pymodbus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from plantroom_shared.model import Value
from plantroom_shared.profiles import Register

from .ledger import Counter
from .modbus_devices import ModbusDevice, raw_value

Reader = Callable[[], tuple[int, dict[str, Value]]]
"""Returns the number of the step, and what the device shows in it by register id."""

_FUNCTIONS = {3: "holding", 4: "input"}
_BRIDGED = 40
"""Unused registers between two used ones that still answer; a longer hole refuses."""
_EVERYWHERE = 65_535


@dataclass(frozen=True, slots=True)
class Request:
    """A read of a block, and the words of the whole space that will answer it."""

    space: str
    address: int
    count: int
    start: int
    """Address of the first of `words`."""
    words: list[int]

    def put(self, register: Register, values: list[int]) -> None:
        """Let `register` show `values`."""
        offset = register.address - self.start
        if register.type == "bool" and register.bit is not None:
            # Bools share their register.
            values = [self.words[offset] & ~(1 << register.bit) | values[0]]
        self.words[offset : offset + len(values)] = values

    def covers(self, register: Register) -> bool:
        """Say whether all of `register` is in the block."""
        end = self.address + self.count
        return self.address <= register.address and register.address + register.words <= end


class Registers:
    """The registers of one device, brought up to date when somebody reads them."""

    def __init__(self, device: ModbusDevice, read: Reader) -> None:
        self._registers, self._read = device.profile.registers, read
        self._steps: dict[str, int] = {}

    def fill(self, request: Request) -> None:
        """Write the readings of this step into the space, once per step."""
        step, values = self._read()
        if self._steps.get(request.space) == step:
            return
        self._steps[request.space] = step
        for register in self._registers:
            if register.space == request.space:
                request.put(register, raw_value(register, values))


class LedgerRegisters:
    """The registers of one device in ledger mode: each read of a block counts each point once."""

    def __init__(self, device: ModbusDevice, index: dict[str, int], counter: Counter) -> None:
        self._registers, self._index, self._counter = device.profile.registers, index, counter

    def fill(self, request: Request) -> None:
        """Give every register of the block its next value; one cut in two is not counted."""
        for register in self._registers:
            if register.space == request.space and request.covers(register):
                value = self._counter.serve(self._index[register.id])
                request.put(register, register.encode(value))


def unit(device: ModbusDevice, fill: Callable[[Request], None]) -> SimDevice:
    """Return the pymodbus device whose registers `fill` keeps up to date."""

    async def answer(  # noqa: PLR0917 - pymodbus calls it by position
        function: int,
        start: int,
        address: int,
        count: int,
        words: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if written is not None:
            return ExcCodes.ILLEGAL_ADDRESS
        fill(Request(_FUNCTIONS.get(function, ""), address, count, start, words))
        return None

    return SimDevice(device.unit, simdata=_blocks(device.profile.registers), action=answer)


async def serve(host: str, sims: Iterable[SimDevice]) -> tuple[ModbusTcpServer, int]:
    """Start a server for `sims` on a free port of `host`; return it and the port.

    A unit that is not there is answered as a gateway does: exception 11.
    """
    server = ModbusTcpServer([*sims, _nobody()], address=(host, 0))
    await server.serve_forever(background=True)
    # A listener's "transport" is asyncio's server.
    port: int = cast("asyncio.Server", server.transport).sockets[0].getsockname()[1]
    return server, port


def by_host(devices: Iterable[ModbusDevice]) -> list[tuple[str, list[ModbusDevice]]]:
    """Return the devices by the TCP server they share."""
    return [(host, list(group)) for host, group in groupby(devices, lambda one: one.host)]


def _nobody() -> SimDevice:
    async def refuse(*_: object) -> ExcCodes:
        return ExcCodes.GATEWAY_NO_RESPONSE

    whole = SimData(0, count=_EVERYWHERE, values=0, datatype=DataType.REGISTERS)
    return SimDevice(0, simdata=[whole], action=refuse)


def _blocks(
    registers: Iterable[Register],
) -> tuple[list[SimData], list[SimData], list[SimData], list[SimData]]:
    """Return pymodbus' four spaces: coils, discrete inputs, holding and input registers."""
    known = list(registers)
    nothing = SimData(0, values=[False] * 16, datatype=DataType.BITS, readonly=True)
    return (
        [nothing],
        [nothing],
        _runs([r for r in known if r.space == "holding"]),
        _runs([r for r in known if r.space == "input"]),
    )


def _runs(registers: list[Register]) -> list[SimData]:
    spans: list[list[int]] = []
    for register in sorted(registers, key=lambda one: one.address):
        first, end = register.address, register.address + register.words
        if spans and first <= spans[-1][1] + _BRIDGED:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([first, end])
    if not spans:
        # pymodbus wants a block in every space; an invalid register answers "illegal address".
        return [SimData(_EVERYWHERE, datatype=DataType.INVALID)]
    return [
        SimData(first, values=[0] * (end - first), datatype=DataType.REGISTERS, readonly=True)
        for first, end in spans
    ]
