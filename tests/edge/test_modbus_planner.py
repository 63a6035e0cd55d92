"""The planner: every register read by exactly one request, within what the device can take."""

from __future__ import annotations

import itertools
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_edge.drivers.modbus.planner import Block, Cell, Learned, Span, plan
from plantroom_shared.model import Value
from plantroom_shared.profiles import Limits, Register
from plantroom_shared.registers import BIT_SPACES, width
from support.modbus_image import data_of, words_of, write

TYPES = ("int16", "uint32", "float32", "int64", "float64", "string", "bool", "bcd32")
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


@st.composite
def _cells(draw: st.DrawFn) -> list[Cell]:
    count = draw(st.integers(1, 40))
    return [Cell(_register(draw, number), number) for number in range(count)]


def _register(draw: st.DrawFn, number: int) -> Register:
    space = draw(st.sampled_from(["holding", "holding", "input", "coil"]))
    keys: dict[str, Any] = {"id": f"r{number}", "name": "r", "space": space}
    keys["type"] = "bool" if space in BIT_SPACES else draw(st.sampled_from(TYPES))
    if keys["type"] == "bool" and space not in BIT_SPACES:
        keys["bit"] = draw(st.integers(0, 15))
    if keys["type"] == "string":
        keys["length"] = draw(st.integers(1, 6))
    keys["order"] = draw(st.sampled_from(ORDERS))
    return Register(address=draw(st.integers(0, 150)), **keys)


_LIMITS = st.builds(
    Limits,
    max_registers=st.integers(6, 125),
    max_bits=st.integers(1, 60),
    gap=st.integers(0, 20),
)
_LEARNED = st.builds(
    Learned,
    holes=st.frozensets(
        st.builds(
            lambda space, start, size: Span(space, start, start + size),
            st.sampled_from(["holding", "input", "coil"]),
            st.integers(0, 150),
            st.integers(1, 4),
        ),
        max_size=3,
    ),
    cuts=st.frozensets(
        st.tuples(st.sampled_from(["holding", "input", "coil"]), st.integers(0, 150)), max_size=3
    ),
)


@settings(max_examples=150, deadline=None)
@given(_cells(), _LIMITS, _LEARNED)
def test_every_register_is_covered_once(
    cells: list[Cell], limits: Limits, learned: Learned
) -> None:
    """Each cell is in one block that holds all of it; blocks obey limits, gaps, holes and cuts."""
    blocks = plan(cells, limits, learned)
    assert sorted(cell.slot for block in blocks for cell in block.cells) == list(range(len(cells)))
    for block in blocks:
        end = block.start + block.count
        for cell in block.cells:
            assert cell.register.space == block.space
            assert block.start <= cell.start < cell.end <= end
        if block.hole is not None:
            continue
        top = limits.max_bits if block.space in BIT_SPACES else limits.max_registers
        assert block.count <= top
        covered = {at for cell in block.cells for at in range(cell.start, cell.end)}
        gaps = "".join(" " if at in covered else "-" for at in range(block.start, end)).split()
        assert all(len(gap) <= limits.gap for gap in gaps)
        for hole in learned.holes:
            assert hole.space != block.space or hole.end <= block.start or end <= hole.start
        for space, at in learned.cuts:
            starts = {cell.start for cell in block.cells}
            assert space != block.space or at not in starts or at == block.start


@settings(max_examples=100, deadline=None)
@given(_cells(), _LIMITS)
def test_no_two_neighbours_fit_together(cells: list[Cell], limits: Limits) -> None:
    """Blocks that follow each other could not have been one: there are no more than needed."""
    blocks = plan(cells, limits)
    for left, right in itertools.pairwise(blocks):
        if left.space != right.space:
            continue
        top = limits.max_bits if left.space in BIT_SPACES else limits.max_registers
        first = right.cells[0]
        too_far = first.start - (left.start + left.count) > limits.gap
        assert too_far or first.end - left.start > top


def _word(rng: random.Random) -> int:
    """Return a word that is neither part of a NaN nor of an infinity."""
    return rng.getrandbits(16) & 0x4F4F


@settings(max_examples=150, deadline=None)
@given(_cells(), _LIMITS, st.integers(0, 1 << 30))
def test_unpacking_gives_what_decoding_gives(cells: list[Cell], limits: Limits, seed: int) -> None:
    """A block unpacks overlapping values of any types as decoding each for itself does."""
    rng = random.Random(seed)
    table = {
        space: {at: rng.getrandbits(1) if space == "coil" else _word(rng) for at in range(160)}
        for space in ("holding", "input", "coil")
    }
    raws: list[Value] = [None] * len(cells)
    for block in plan(cells, limits):
        held = words_of(table, block.space, block.start, block.count)
        assert held is not None
        reply = data_of(block.space, held)[1:]
        assert len(reply) == block.size
        block.unpack(reply, raws)
    for cell in cells:
        one = words_of(table, cell.register.space, cell.start, cell.register.words)
        assert one is not None
        if cell.register.space in BIT_SPACES:
            assert raws[cell.slot] is bool(one[0])
        else:
            convert = cell.register.convert
            got = (raws[cell.slot], "") if convert is None else convert(raws[cell.slot], None)
            assert got == cell.register.decode(one)


@given(_cells())
def test_halves_share_no_address(cells: list[Cell]) -> None:
    """A block splits into two that hold all of its cells and no address twice, or not at all."""
    for block in plan(cells, Limits()):
        halves = block.split()
        if halves is None:
            # Every place where it could be split is inside a value.
            for at in range(block.start + 1, block.start + block.count):
                inside = any(cell.start < at < cell.end for cell in block.cells)
                assert inside or all(cell.start != at for cell in block.cells)
            continue
        left, right = halves
        assert left.cells + right.cells == block.cells
        assert left.start + left.count <= right.start
        assert right.start + right.count == block.start + block.count


def test_a_profile_within_its_limits_takes_the_fewest_requests() -> None:
    """250 float registers in a row are four requests of at most 125 registers: none is split."""
    cells = [
        Cell(Register(id=f"r{n}", name="r", address=2 * n, type="float32"), n) for n in range(250)
    ]
    blocks = plan(cells, Limits(max_registers=125))
    assert [(block.start, block.count) for block in blocks] == [
        (0, 124), (124, 124), (248, 124), (372, 124), (496, 4),
    ]  # fmt: skip


def test_two_types_in_one_register_are_both_unpacked() -> None:
    """A 32-bit alarm word and a bit of its second register share a request."""
    image: dict[str, dict[int, int]] = {}
    word = Register(id="w", name="w", address=5, type="uint32")
    bit = Register(id="b", name="b", address=6, type="bool", bit=3)
    write(image, word, 0x00010008)
    block = Block([Cell(word, 0), Cell(bit, 1)])
    raws: list[Value] = [None, None]
    words = words_of(image, "holding", block.start, block.count)
    assert words is not None
    block.unpack(data_of("holding", words)[1:], raws)
    assert raws == [0x00010008, True]
    assert width(word.type) == block.count == 2
