"""The points of one poll group: their requests, their raw values, and how these become a poll."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from functools import cached_property, lru_cache
from math import inf, nextafter
from sys import float_info
from typing import Any
from weakref import WeakValueDictionary

from plantroom_edge.drivers import Gate, Poll
from plantroom_edge.drivers.modbus.learning import Lessons
from plantroom_edge.drivers.modbus.planner import Block, Cell, Learned, plan
from plantroom_shared import registers as codec
from plantroom_shared import scaling
from plantroom_shared.model import Quality, Value
from plantroom_shared.profiles import Profile, Register
from plantroom_shared.scaling import Convert

_BAD = int(Quality.BAD)
_NUMBERS = codec.FLOATS | codec.UNSIGNED | {"int16", "int32", "int64"}
"""Types whose raw value is always a number."""
_NARROW = 1e-9
"""By this part a range is taken narrower, so that the exact conversion decides at its ends."""


class Sweep:
    """What one pass over a group has brought: raw values and faults, by slot."""

    __slots__ = ("answered", "asked", "flaws", "got_data", "raws", "silent")

    def __init__(self, slots: int) -> None:
        self.raws: list[Value] = [None] * slots
        self.flaws: dict[int, str] = {}
        self.answered = False
        """The unit said something."""
        self.got_data = False
        """The unit said what it was asked."""
        self.asked = True
        """Whether it was asked at all."""
        self.silent = ""
        """Why the pass ended early: the unit says nothing."""

    def take(self, block: Block, data: bytes) -> None:
        """Take the raw values of a block from a reply of the right size."""
        self.got_data = True
        block.unpack(data, self.raws)
        if self.flaws:
            for cell in block.cells:
                self.flaws.pop(cell.slot, None)

    def spoil(self, block: Block, reason: str) -> None:
        """Mark what a block reads as bad."""
        for cell in block.cells:
            self.flaws[cell.slot] = reason

    def spoil_rest(self, blocks: Iterable[Block]) -> None:
        """Mark what was not read, because the unit says nothing, as bad for that reason."""
        for block in blocks:
            for cell in block.cells:
                if self.raws[cell.slot] is None:
                    self.flaws[cell.slot] = self.silent


class Layout:
    """What follows from a profile alone: where raw values go, and what becomes of them.

    Devices of one model share it. A slot is a place in the list of raw values: the points come
    first, in the order of the group, then the scale factors they need.

    Args:
        profile: of the device.
        points: the registers of the group.
    """

    def __init__(self, profile: Profile, points: Sequence[Register]) -> None:
        self.points = tuple(points)
        self.profile = profile
        slots = {register.id: slot for slot, register in enumerate(points)}
        for register in points:
            if register.sf is not None:
                slots.setdefault(register.sf, len(slots))
        self.cells = [Cell(profile.by_id[one], slot) for one, slot in slots.items()]
        plain = [(row, one.convert) for row, one in enumerate(points) if not one.sf]
        rows = [(row, convert) for row, convert in plain if convert]
        self.factored = [
            (row, one.convert, slots[one.sf])
            for row, one in enumerate(points)
            if one.convert and one.sf
        ]
        early = {row for row, register in enumerate(points) if not _comparable(register)}
        self.early = [(row, convert) for row, convert in rows if row in early]
        """What is scaled before a gate is asked."""
        self.late = {row: convert for row, convert in rows if row not in early}
        """What is scaled only where the gate lets it through."""
        scalers = {row: scaling.scaler(points[row].scale, points[row].offset) for row in self.late}
        self.quick = {row: scale for row, scale in scalers.items() if scale}
        """The same without judging it, where that changes anything."""
        self.steps = tuple(
            1.0 if row in early else abs(register.scale) for row, register in enumerate(points)
        )
        """What one raw unit of each point is worth; 1 where the gate is shown the value itself."""

    @cached_property
    def checks(self) -> list[tuple[int, float, float]]:
        """Row, and between which raw values all is well; made when a gate is asked first."""
        return [(row, *_limits(self.points[row])) for row in self.late]

    @cached_property
    def unlearned(self) -> list[Block]:
        """The requests for a device that refuses nothing."""
        return plan(self.cells, self.profile.limits)


class Layouts:
    """The layouts in use: one for all devices of a model that are read alike."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[object, ...], Layout] = WeakValueDictionary()

    def of(self, profile: Profile, points: Sequence[Register]) -> Layout:
        """Return the layout of some registers of a profile."""
        # A layout keeps its profile, so nobody else has that id while it is known.
        key = (id(profile), *(register.id for register in points))
        layout = self._known.get(key)
        if layout is None:
            layout = self._known[key] = Layout(profile, points)
        return layout


class GroupPlan:
    """Compiled points of one device that are read together.

    Args:
        layout: of the registers of the group.
        lessons: of the device; the requests are compiled anew after they changed.
    """

    def __init__(self, layout: Layout, lessons: Lessons) -> None:
        self.layout, self.points, self.steps = layout, layout.points, layout.steps
        self.turn = 0
        """Which block comes first in the next pass."""
        self._lessons = lessons
        self._version = -1
        self._blocks: list[Block] = []

    def blocks(self) -> list[Block]:
        """Return the requests to make, in turn."""
        blocks = self.planned()
        return blocks[self.turn :] + blocks[: self.turn]

    def planned(self) -> list[Block]:
        """Return the requests, first of all compiled anew if something was learned."""
        if self._version != self._lessons.version:
            self._version = self._lessons.version
            self._blocks, self.turn = self._compile(self._lessons.known()), 0
        return self._blocks

    def _compile(self, learned: Learned) -> list[Block]:
        layout = self.layout
        if not learned.holes and not learned.cuts:
            return layout.unlearned
        return plan(layout.cells, layout.profile.limits, learned)

    def sweep(self) -> Sweep:
        """Return an empty pass."""
        return Sweep(len(self.layout.cells))

    def skip_to_after(self, block: Block) -> None:
        """Begin the next pass behind `block`, so that what follows it gets its turn too."""
        if block in self._blocks:
            self.turn = (self._blocks.index(block) + 1) % len(self._blocks)

    def poll(self, ts: int, sweep: Sweep, gate: Gate | None = None) -> Poll:
        """Return the values of the points, scaled and judged.

        Args:
            ts: microseconds since 1970-01-01 UTC.
            sweep: the pass over this group.
            gate: says which rows are worth a sample; the others are not scaled.
        """
        rows, layout = len(self.points), self.layout
        if not sweep.answered:
            return Poll.dead(ts, rows, sweep.silent, asked=sweep.asked)
        quality = {slot: (_BAD, reason) for slot, reason in sweep.flaws.items() if slot < rows}
        poll = Poll(ts, sweep.raws[:rows], quality)
        for row, convert, factor in layout.factored:
            _scale(poll, row, convert, sweep, factor)
        _scale_all(poll, layout.early, sweep.flaws)
        if gate is None:
            _scale_all(poll, layout.late.items(), sweep.flaws)
            return poll
        return self._gated(poll, gate)

    def _gated(self, poll: Poll, gate: Gate) -> Poll:
        """Return a poll of which only what the gate lets through, or needs, is scaled."""
        layout, quality = self.layout, poll.quality
        raws: Sequence[Any] = poll.values  # numbers, or None: `_comparable`
        for row in [
            row
            for row, low, high in layout.checks
            if (raw := raws[row]) is None or not low <= raw <= high
        ]:
            if row not in quality and (reason := layout.late[row](raws[row], None)[1]):
                quality[row] = (int(scaling.quality(reason)), reason)
        rows = gate.changed(raws, quality)
        values: list[Value] = [None] * len(raws)
        quick = layout.quick
        for row in {*rows, *gate.needed} if gate.needed else rows:
            raw = raws[row]
            values[row] = quick[row](raw) if row in quick and raw is not None else raw
        for row in quality.keys() & layout.late.keys():  # what is not plainly good
            if values[row] is not None:
                values[row] = layout.late[row](raws[row], None)[0]
        return Poll(poll.ts, values, quality, rows=rows)


def _scale_all(poll: Poll, rows: Iterable[tuple[int, Convert]], flaws: Container[int]) -> None:
    """Do the same as `_scale` for many rows, at a third less."""
    values, quality = poll.values, poll.quality
    for row, convert in rows:
        if row in flaws:
            continue
        values[row], reason = convert(values[row], None)
        if reason:
            quality[row] = (int(scaling.quality(reason)), reason)


def _scale(poll: Poll, row: int, convert: Convert, sweep: Sweep, factor: int) -> None:
    """Turn a raw value into a value by a factor that the device gives, and judge it."""
    if row in sweep.flaws:
        return
    if factor in sweep.flaws:
        poll.values[row], poll.quality[row] = None, (_BAD, sweep.flaws[factor])
        return
    given = sweep.raws[factor]
    poll.values[row], reason = convert(poll.values[row], given if isinstance(given, int) else None)
    if reason:
        poll.quality[row] = (int(scaling.quality(reason)), reason)


def _comparable(register: Register) -> bool:
    """Say whether distances of raw values are distances of values, and 0 of one 0 of the other."""
    plain = register.type in _NUMBERS or (register.type == "bool" and register.convert is None)
    return plain and register.sf is None and register.offset == 0


def _limits(register: Register) -> tuple[float, float]:
    """Return raw values between which all are numbers, in range and no sentinel.

    Of what lies beyond, the exact conversion decides: it may still be good.
    """
    return _stretch(register.type, register.sentinel, register.range, register.scale)


@lru_cache(maxsize=4096)
def _stretch(
    kind: codec.Type,
    sentinels: tuple[int, ...],
    span: tuple[float, float] | None,
    scale: float,
) -> tuple[float, float]:
    if span is None:
        high = float_info.max / max(1.0, abs(scale)) * (1 - _NARROW)  # no more than can be scaled
        low = -high
    else:
        low, high = sorted(limit / scale for limit in span)
        low, high = low + (high - low) * _NARROW, high - (high - low) * _NARROW
    for pattern in sentinels:
        sentinel = codec.signed(kind, pattern)
        if sentinel > 0:
            high = min(high, nextafter(sentinel, -inf))
        elif sentinel <= 0:  # nor where it is NaN, which lies nowhere
            low = max(low, nextafter(sentinel, inf))
    return low, high
