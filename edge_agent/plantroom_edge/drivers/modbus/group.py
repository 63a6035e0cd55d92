"""The points of one poll group: their requests, their raw values, and how these become a poll."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from plantroom_edge.drivers import Gate, Poll
from plantroom_edge.drivers.modbus.learning import Lessons
from plantroom_edge.drivers.modbus.planner import Block, Cell, plan
from plantroom_shared import scaling
from plantroom_shared.model import Quality, Value
from plantroom_shared.profiles import Profile, Register
from plantroom_shared.scaling import Convert

_BAD = int(Quality.BAD)


class Sweep:
    """What one pass over a group has brought: raw values and faults, by slot."""

    __slots__ = ("answered", "flaws", "got_data", "raws", "silent")

    def __init__(self, slots: int) -> None:
        self.raws: list[Value] = [None] * slots
        self.flaws: dict[int, str] = {}
        self.answered = False
        """The unit said something."""
        self.got_data = False
        """The unit said what it was asked."""
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


class GroupPlan:
    """The compiled form of a poll group.

    A slot is a place in the list of raw values: the points come first, in the order of the group,
    then the scale factors they need.

    Args:
        profile: of the device.
        points: the registers of the group.
        lessons: of the device; the requests are compiled anew after they changed.
    """

    def __init__(self, profile: Profile, points: Sequence[Register], lessons: Lessons) -> None:
        self.points = tuple(points)
        self.turn = 0
        """Which block comes first in the next pass."""
        self._profile, self._lessons = profile, lessons
        slots = {register.id: slot for slot, register in enumerate(points)}
        for register in points:
            if register.sf is not None:
                slots.setdefault(register.sf, len(slots))
        self._cells = [Cell(profile.by_id[one], slot) for one, slot in slots.items()]
        converts = [(row, one.convert, one.sf) for row, one in enumerate(points)]
        self._rows = [(row, convert) for row, convert, sf in converts if convert and not sf]
        # With a factor that may move, the raw value alone does not say whether the value has moved.
        self._factored = [
            (row, convert, slots[sf]) for row, convert, sf in converts if convert and sf
        ]
        self._converts = [None if sf else convert for _, convert, sf in converts]
        self._version = -1
        self._blocks: list[Block] = []

    def steps(self) -> tuple[float, ...]:
        """Return what one raw unit of each point is worth; what has a factor comes scaled."""
        return tuple(1.0 if one.sf else abs(one.scale) for one in self.points)

    def blocks(self) -> list[Block]:
        """Return the requests to make, in turn."""
        blocks = self.planned()
        return blocks[self.turn :] + blocks[: self.turn]

    def planned(self) -> list[Block]:
        """Return the requests, first of all compiled anew if something was learned."""
        if self._version != self._lessons.version:
            self._version = self._lessons.version
            self._blocks = plan(self._cells, self._profile.limits, self._lessons.known())
            self.turn = 0
        return self._blocks

    def sweep(self) -> Sweep:
        """Return an empty pass."""
        return Sweep(len(self._cells))

    def skip_to_after(self, block: Block) -> None:
        """Begin the next pass behind `block`, so that what follows it gets its turn too."""
        if block in self._blocks:
            self.turn = (self._blocks.index(block) + 1) % len(self._blocks)

    def poll(self, ts: int, sweep: Sweep, gate: Gate | None = None) -> Poll:
        """Return the values of the points, scaled and judged.

        Args:
            ts: microseconds since 1970-01-01 UTC.
            sweep: the pass over this group.
            gate: says which rows are worth it; the values of the others are not worked out.
        """
        rows = len(self.points)
        if not sweep.answered:
            return Poll.dead(ts, rows, sweep.silent)
        flaws = sweep.flaws
        quality = {slot: (_BAD, reason) for slot, reason in flaws.items() if slot < rows}
        poll = Poll(ts, sweep.raws[:rows], quality)
        for row, convert, factor in self._factored:
            _scale(poll, row, convert, sweep, factor)
        if gate is None:
            _scale_all(poll, self._rows, flaws)
            return poll
        return self._gated(poll, sweep, gate)

    def _gated(self, poll: Poll, sweep: Sweep, gate: Gate) -> Poll:
        """Keep the rows that the gate wants; scale only these."""
        raws, bad = poll.values, poll.quality
        wanted = gate.changed(raws, bad)
        poll.rows, poll.values, poll.quality = wanted, [None] * len(raws), {}
        for row in wanted:
            poll.values[row] = raws[row]
            if row in bad:
                poll.quality[row] = bad[row]
            elif (convert := self._converts[row]) is not None:
                _scale(poll, row, convert, sweep)
        return poll


def _scale_all(poll: Poll, rows: Iterable[tuple[int, Convert]], flaws: Container[int]) -> None:
    """Do the same as `_scale` for many rows, at a third less."""
    values, quality = poll.values, poll.quality
    for row, convert in rows:
        if row in flaws:
            continue
        values[row], reason = convert(values[row], None)
        if reason:
            quality[row] = (int(scaling.quality(reason)), reason)


def _scale(poll: Poll, row: int, convert: Convert, sweep: Sweep, factor: int | None = None) -> None:
    """Turn the raw value of a row into its value, and judge it."""
    if row in sweep.flaws:
        return
    exponent = None
    if factor is not None:
        if factor in sweep.flaws:
            poll.values[row], poll.quality[row] = None, (_BAD, sweep.flaws[factor])
            return
        given = sweep.raws[factor]
        exponent = given if isinstance(given, int) else None
    poll.values[row], reason = convert(poll.values[row], exponent)
    if reason:
        poll.quality[row] = (int(scaling.quality(reason)), reason)
