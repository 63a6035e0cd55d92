"""From registers to requests: the fewest reads that fetch all of them; pure.

A block is one request. Two registers share a block if the gap between them is small enough to be
read along, the block stays within what the device can take, and nothing that the device was found
to refuse lies between or under them. A value of several registers is never split.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from plantroom_shared import registers as codec
from plantroom_shared.model import Value
from plantroom_shared.profiles import Limits, Register
from plantroom_shared.registers import Space


@dataclass(frozen=True, slots=True)
class Cell:
    """A register of a profile, and where its raw value goes."""

    register: Register
    slot: int

    @property
    def start(self) -> int:
        """Its first address."""
        return self.register.address

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.register.address + self.register.words


@dataclass(frozen=True, slots=True)
class Span:
    """A run of addresses of one space, `end` excluded."""

    space: Space
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Learned:
    """What a device was found to refuse."""

    holes: frozenset[Span] = frozenset()
    """Not to be read, by nobody: not even to fill a gap."""
    cuts: frozenset[tuple[Space, int]] = frozenset()
    """Addresses that start a block of their own: the gap before them is refused."""


class Block:
    """One request: consecutive addresses of one space, and how to take the reply apart.

    Args:
        cells: what is read, of one space, sorted by address.
        hole: the span that the device has refused before, if this block asks for one again.
    """

    __slots__ = ("_bits", "_parts", "cells", "count", "hole", "size", "space", "start")

    def __init__(self, cells: Sequence[Cell], hole: Span | None = None) -> None:
        self.cells, self.hole = tuple(cells), hole
        self.space: Space = cells[0].register.space
        self.start = cells[0].start
        self.count = max(cell.end for cell in cells) - self.start
        bits = self.space in codec.BIT_SPACES
        self.size = (self.count + 7) // 8 if bits else 2 * self.count
        """Bytes of data in a right reply."""
        self._bits = [(cell.start - self.start, cell.slot) for cell in cells] if bits else []
        self._parts = [] if bits else _compile(self.start, self.cells)

    def span(self) -> Span:
        """Return the addresses that it reads."""
        return Span(self.space, self.start, self.start + self.count)

    def unpack(self, data: bytes, raws: list[Value]) -> None:
        """Write the raw values in a reply of `size` bytes to their slots."""
        if self._bits:
            number = int.from_bytes(data, "little")
            for offset, slot in self._bits:
                raws[slot] = bool(number >> offset & 1)
            return
        swapped = b""
        for part in self._parts:
            if part.swap and not swapped:
                swapped = codec.swap(data)
            values = part.struct.unpack_from(swapped if part.swap else data)
            for value, slot in zip(values, part.slots, strict=True):
                raws[slot] = value
            for index, refine, slot in part.refined:
                raws[slot] = refine(values[index])

    def split(self) -> tuple[Block, Block] | None:
        """Return two halves without a cell in common, as equal as can be; None if it has none."""
        places = []
        end = self.start
        for index, cell in enumerate(self.cells):
            if index and cell.start >= end:
                places.append(index)
            end = max(end, cell.end)
        if not places:
            return None
        at = min(places, key=lambda index: abs(2 * index - len(self.cells)))
        return Block(self.cells[:at]), Block(self.cells[at:])


@dataclass(frozen=True, slots=True)
class _Part:
    """Values of a block that one `struct` call unpacks."""

    swap: bool
    struct: struct.Struct
    slots: list[int]
    refined: list[tuple[int, codec.Refine, int]]
    """Values that are more than a number: index in the unpacked tuple, what is done, slot."""


def _compile(start: int, cells: Iterable[Cell]) -> list[_Part]:
    """Return the parts of a block: one per byte order, and one more where values overlap."""
    rows: dict[tuple[bool, str], list[list[Cell]]] = {}
    for cell in cells:
        register = cell.register
        chains = rows.setdefault(codec.layout(register.type, register.order), [])
        # Parts of one number share it; anything else that overlaps needs another pass.
        for chain in chains:
            if chain[-1].end <= cell.start or _same_number(chain[-1], cell):
                chain.append(cell)
                break
        else:
            chains.append([cell])
    return [
        _part(start, swap, endian, chain)
        for (swap, endian), chains in rows.items()
        for chain in chains
    ]


def _same_number(one: Cell, other: Cell) -> bool:
    a, b = one.register, other.register
    return b.refine is not None and a.address == b.address and _code(a) == _code(b)


def _code(register: Register) -> str:
    return codec.code(register.type, register.length, register.order)


def _part(start: int, swap: bool, endian: str, chain: Sequence[Cell]) -> _Part:
    code, end = endian, start
    slots: list[int] = []
    refined: list[tuple[int, codec.Refine, int]] = []
    for cell in chain:
        register = cell.register
        if not slots or cell.start >= end:
            code += f"{2 * (cell.start - end)}x{_code(register)}"
            end = cell.end
            slots.append(cell.slot)
        if register.refine is not None:
            refined.append((len(slots) - 1, register.refine, cell.slot))
    return _Part(swap, struct.Struct(code), slots, refined)


def plan(cells: Iterable[Cell], limits: Limits, learned: Learned | None = None) -> list[Block]:
    """Return the blocks that read every cell exactly once.

    Args:
        cells: the registers to read, in any order.
        limits: what the device can take.
        learned: what it was found to refuse; a register in a hole gets a block of its own.
    """
    learned = learned or Learned()
    blocks: list[Block] = []
    spaces: dict[Space, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.start, cell.end)):
        spaces.setdefault(cell.register.space, []).append(cell)
    for space, members in spaces.items():
        holes = [hole for hole in learned.holes if hole.space == space]
        cuts = {at for where, at in learned.cuts if where == space}
        free = [cell for cell in members if _hole_of(cell, holes) is None]
        blocks += [Block(run) for run in _runs(free, limits, holes, cuts)]
        blocks += _hole_blocks(members, holes)
    return blocks


def _hole_of(cell: Cell, holes: Iterable[Span]) -> Span | None:
    return next((hole for hole in holes if cell.start < hole.end and hole.start < cell.end), None)


def _hole_blocks(cells: Iterable[Cell], holes: Collection[Span]) -> list[Block]:
    inside: dict[Span, list[Cell]] = {}
    for cell in cells:
        hole = _hole_of(cell, holes)
        if hole is not None:
            inside.setdefault(hole, []).append(cell)
    return [Block(members, hole) for hole, members in inside.items()]


def _runs(
    cells: Iterable[Cell], limits: Limits, holes: Collection[Span], cuts: Collection[int]
) -> Iterable[list[Cell]]:
    """Yield the cells of each block: the first that fits takes as many as it can."""
    run: list[Cell] = []
    start = end = 0
    for cell in cells:
        bits = cell.register.space in codec.BIT_SPACES
        top = limits.max_bits if bits else limits.max_registers
        joined = max(end, cell.end)
        if (
            not run
            or joined - start > top
            or cell.start - end > limits.gap
            or any(start < at <= cell.start for at in cuts)
            or any(hole.start < joined and start < hole.end for hole in holes)
        ):
            if run:
                yield run
            run, start, end = [], cell.start, cell.start
        run.append(cell)
        end = max(end, cell.end)
    if run:
        yield run
