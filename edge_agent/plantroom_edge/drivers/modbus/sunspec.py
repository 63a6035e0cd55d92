"""What a SunSpec device says of itself: where its models are, how many of what it has.

A device announces itself with ``SunS`` and a chain of models behind it: number, length, data, up to
the number 65535. All of it is the device's word: an address only ever grows and ends at 65535, a
chain has at most `MAX_MODELS` models, and a count is believed as far as the model's length bears it.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from plantroom_edge.drivers.modbus.pdu import Fault
from plantroom_edge.drivers.modbus.sunspec_models import GroupDef, model

BASES: Final = (40000, 50000, 0)
"""Where the marker can be."""
MARKER: Final = 0x53756E53
MAX_MODELS: Final = 250
END: Final = 0xFFFF
COMMON: Final = 64
"""Registers of manufacturer, model, options, version and serial number in model 1."""

Read = Callable[[int, int], Awaitable["bytes | Fault"]]
"""First address and count of holding registers → their data."""


class Trouble(Exception):
    """The device cannot be explored now; the text says why, for a person.

    Args:
        what: the text.
        reason: why its points are bad meanwhile.
        asked: False if nobody asked it, for the sake of others.
    """

    def __init__(self, what: str, reason: str = "other-device", *, asked: bool = True) -> None:
        self.reason, self.asked = reason, asked
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class Block:
    """A model of a device."""

    number: int
    start: int
    """Address of its number; the length stands behind it, then the data."""
    length: int
    """Registers of its data."""
    counts: tuple[tuple[str, int], ...] = ()
    """What it says of how often groups are there, by the name of the point."""

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.start + 2 + self.length


@dataclass(frozen=True, slots=True)
class Common:
    """The nameplate: model 1."""

    manufacturer: str = ""
    model: str = ""
    version: str = ""
    serial: str = ""


@dataclass(frozen=True, slots=True)
class Explored:
    """A device as it was found; equal where nothing has changed."""

    base: int
    blocks: tuple[Block, ...]
    common: Common = Common()
    notes: tuple[str, ...] = ()
    """What is odd about the chain, for a person."""

    @property
    def layout(self) -> tuple[int, tuple[Block, ...]]:
        """Where everything is: the version or the serial number do not move a register."""
        return self.base, self.blocks


async def explore(read: Read) -> Explored:
    """Return what a device has.

    Raises:
        Trouble: it does not answer, or is no SunSpec device.
    """
    base = await find(read)
    blocks, notes = await _chain(read, base + 2)
    counted = [await _counted(read, block) for block in blocks]
    return Explored(base, tuple(counted), await _common(read, counted), tuple(notes))


async def find(read: Read) -> int:
    """Return the address of the marker; `Trouble` if it is nowhere."""
    for base in BASES:
        data = await _ask(read, base, 2)
        if data is not None and int.from_bytes(data, "big") == MARKER:
            return base
    where = ", ".join(map(str, BASES))
    msg = f"is no SunSpec device: there is no marker at {where}"
    raise Trouble(msg)


async def _chain(read: Read, at: int) -> tuple[list[Block], list[str]]:
    blocks: list[Block] = []
    while len(blocks) < MAX_MODELS:
        if at > 65534:
            return blocks, [f"the chain of models has no end before {at}"]
        header = await _ask(read, at, 2)
        if header is None:
            # Some devices have no length behind the number that ends the chain.
            ended = await _ask(read, at, 1) == b"\xff\xff"
            return blocks, [] if ended else [f"the chain of models breaks off at {at}"]
        number, length = struct.unpack(">HH", header)
        block = Block(number, at, length)
        if block.number == END:
            return blocks, []
        if block.number == 0:
            return blocks, [f"the chain of models ends at {at} with a number 0"]
        if block.end > 65536:
            what = f"model {block.number} at {at} says it is {block.length} registers long"
            return blocks, [f"{what}: it and what is behind it are not read"]
        blocks.append(block)
        at = block.end
    return blocks, [f"only the first {MAX_MODELS} models are read"]


async def _counted(read: Read, block: Block) -> Block:
    definition = model(block.number)
    wanted = count_points(definition) if definition is not None else {}
    wanted = {name: at for name, at in wanted.items() if at < 2 + block.length}
    if not wanted:
        return block
    first, last = min(wanted.values()), max(wanted.values())
    data = await _ask(read, block.start + first, last - first + 1)
    if data is None:
        return block
    words = struct.unpack(f">{len(data) // 2}H", data)
    counts = tuple((name, words[at - first]) for name, at in sorted(wanted.items()))
    return Block(block.number, block.start, block.length, counts)


def count_points(definition: GroupDef) -> dict[str, int]:
    """Return the points that say how often a group is there, and their places in the model."""
    named = {name for group in definition.groups for name in _counters(group)}
    places: dict[str, int] = {}
    at = 0
    for point in definition.points:
        if point.name in named and point.size == 1:
            places[point.name] = at
        at += point.size
    return places


def _counters(group: GroupDef) -> set[str]:
    own = {group.count} if isinstance(group.count, str) else set()
    return own.union(*(_counters(one) for one in group.groups))


async def _common(read: Read, blocks: list[Block]) -> Common:
    first = blocks[0] if blocks else None
    if first is None or first.number != 1 or first.length < COMMON:
        return Common()
    data = await _ask(read, first.start + 2, COMMON)
    if data is None:
        return Common()
    maker, kind, version, serial = data[:32], data[32:64], data[80:96], data[96:128]
    return Common(_text(maker), _text(kind), _text(version), _text(serial))


def _text(data: bytes) -> str:
    text = data.split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(char for char in text if char.isprintable()).strip()


async def _ask(read: Read, start: int, count: int) -> bytes | None:
    """Return the data of a read, None where the device refuses it; `Trouble` if it is silent."""
    data = await read(start, count)
    if isinstance(data, Fault):
        if data.silent:
            msg = f"no answer ({data.reason})"
            raise Trouble(msg, data.reason, asked=data.asked)
        return None
    if len(data) != 2 * count:
        msg = f"no answer (short-reply at {start})"
        raise Trouble(msg, "short-reply")
    return data
