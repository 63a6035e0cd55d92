"""A Modbus TCP server whose units are made from profiles, by pymodbus."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from plantroom_edge.simulation.image import Image, bridged, mask, runs
from plantroom_edge.simulation.motion import example
from plantroom_shared.errors import ConfigError
from plantroom_shared.profiles import Profile

_SPACES: Final = {1: "coil", 5: "coil", 15: "coil", 2: "discrete", 4: "input"}
"""By function code; all others are about holding registers."""
_NOTHING: Final = 65_535
"""Where an empty space has its one address."""
_BITS_OF_A_WORD: Final = 16

Picture = Callable[[], Image]
"""Returns what a unit shows now."""


@dataclass(slots=True)
class Unit:
    """One device behind the server."""

    image: Image
    picture: Picture | None = None
    """What it shows from then on; without it always `image`, and what was written."""
    writable: dict[str, dict[int, int]] = field(default_factory=dict)
    """By space and address, the bits that may be written; what was written stays."""
    identity: dict[str, str] = field(default_factory=dict)
    """What it answers to "read device identification", by the names of pymodbus, if it is alone:
    pymodbus has one identity in a process."""


def unit_of(profile: Profile, image: Image, picture: Picture | None = None) -> Unit:
    """Return a device of this model that shows `image`, and answers in its gaps as it may."""
    writable: dict[str, dict[int, int]] = {}
    for register in profile.registers:
        if register.write is not None:
            table = writable.setdefault(register.space, {})
            for at, bits in enumerate(mask(register), start=register.address):
                table[at] = table.get(at, 0) | bits
    said = profile.identify.device_id
    given = {
        "VendorName": said and said.vendor,
        "ProductCode": said and said.product,
        "MajorMinorRevision": said and said.revision,
        "ModelName": said and said.model,
    }
    identity = {name: example(pattern) for name, pattern in given.items() if pattern}
    return Unit(bridged(image, profile.limits.gap), picture, writable, identity)


@asynccontextmanager
async def serving(
    units: Mapping[int, Unit], host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    """Serve units; yields the port, a free one where `port` is 0.

    Raises:
        ConfigError: the port cannot be had.
    """
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    devices = [_device(number, unit) for number, unit in units.items()]
    server = ModbusTcpServer(devices, address=(host, port))
    known = dict(server.control.Identity)
    for unit in units.values() if len(units) == 1 else ():
        server.control.Identity.update(ModbusDeviceIdentification(info_name=unit.identity))  # type: ignore[no-untyped-call] # pymodbus does not say
    if not await server.listen() or not isinstance(server.transport, asyncio.Server):
        what = f"port {port} of {host} cannot be had: it is taken, or needs more rights"
        raise ConfigError(what, key="--port", fix="name another one, such as 5020")
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        server.control.Identity.update(known)
        await server.shutdown()  # type: ignore[no-untyped-call] # pymodbus does not say


def _device(number: int, unit: Unit) -> SimDevice:
    coils, discrete, holding, inputs = (
        [
            SimData(address, values=words, datatype=kind)
            for address, words in _blocks(unit.image.get(space) or {_NOTHING: 0}, bits)
        ]
        for space, kind, bits in (
            ("coil", DataType.BITS, True),
            ("discrete", DataType.BITS, True),
            ("holding", DataType.REGISTERS, False),
            ("input", DataType.REGISTERS, False),
        )
    )
    return SimDevice(number, (coils, discrete, holding, inputs), action=partial(_act, unit))


def _blocks(table: Mapping[int, int], bits: bool) -> list[tuple[int, list[int] | list[bool]]]:
    return [
        (address, [bool(word) for word in words] if bits else words)
        for address, words in runs(table)
    ]


async def _act(  # noqa: PLR0917 - pymodbus calls it by position
    unit: Unit,
    function: int,
    start: int,
    address: int,
    _count: int,
    words: list[int],
    written: list[int] | list[bool] | None,
) -> ExcCodes | None:
    """Bring the words of a space up to date before they are read, or judge a write."""
    space = _SPACES.get(function, "holding")
    if written is not None:
        allowed = unit.writable.get(space, {})
        places = range(address, address + len(written))
        return None if all(at in allowed for at in places) else ExcCodes.ILLEGAL_ADDRESS
    if unit.picture is not None:
        _refresh(unit.picture(), unit.writable, space, start, words)
    return None


def _refresh(
    image: Image, writable: dict[str, dict[int, int]], space: str, start: int, words: list[int]
) -> None:
    """Write what the device shows now over the words of a space, but for what can be written."""
    kept = writable.get(space, {})
    for at, word in image.get(space, {}).items():
        if space in {"coil", "discrete"}:
            place, shift = divmod(at, _BITS_OF_A_WORD)
            if at not in kept:
                bit = 1 << shift
                words[place - start] = words[place - start] & ~bit | bool(word) << shift
            continue
        stay = kept.get(at, 0)
        words[at - start] = words[at - start] & stay | word & ~stay
