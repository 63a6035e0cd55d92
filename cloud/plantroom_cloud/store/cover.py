"""Which roll-ups and which samples answer a question about a span of time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plantroom_cloud.store.due import MINUTE
from plantroom_cloud.store.summing import LEVELS, SECOND
from plantroom_shared.ranges import Range


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """What to read: roll-ups of a length, or samples (length 0), with ``start <= ts < end``."""

    length_s: int
    start: int
    end: int


def cover(start: int, end: int, interval: int, due: Sequence[Range], raw_from: int) -> list[Piece]:
    """Return pieces that together say of each moment in ``start .. end`` all that is known, once.

    Args:
        start: microseconds.
        end: microseconds, without.
        interval: microseconds of the intervals asked for; no piece is coarser.
        due: sorted, disjoint stretches of minutes whose roll-ups are not up to date.
        raw_from: before that (whole days) samples are deleted when they are rolled up. Those that
            still lie there are not in their roll-ups yet.
    """
    levels = [length for length in reversed(LEVELS) if interval % (length * SECOND) == 0]
    stale = [(lo * MINUTE, hi * MINUTE) for lo, hi in due]
    pieces: list[Piece] = []
    if start < raw_from:
        # Nobody knows better than to the minute any more: the window is widened to whole ones.
        lo, hi = start - start % MINUTE, min(raw_from, -(-end // MINUTE) * MINUTE)
        pieces += _fill(lo, hi, levels or [LEVELS[0]], [])
        pieces += [Piece(0, *part) for part in _cut(stale, lo, hi)]
    if end > raw_from:
        pieces += _fill(max(start, raw_from), end, levels, stale)
    return _joined(pieces)


def _fill(start: int, end: int, levels: Sequence[int], stale: Sequence[Range]) -> list[Piece]:
    """Cover ``start .. end`` with the coarsest roll-ups that are up to date, the rest finer."""
    if start >= end:
        return []
    if not levels:
        return [Piece(0, start, end)]
    length, finer = levels[0] * SECOND, levels[1:]
    lo, hi = -(-start // length) * length, end - end % length
    if lo >= hi:
        return _fill(start, end, finer, stale)
    pieces, at = _fill(start, lo, finer, stale), lo
    for first, last in _cut(stale, lo, hi):
        # Grown to whole intervals of this level, it may touch the one before.
        bad_lo, bad_hi = max(at, first - first % length), -(-last // length) * length
        if bad_hi <= at:
            continue
        if at < bad_lo:
            pieces.append(Piece(levels[0], at, bad_lo))
        pieces += _fill(bad_lo, bad_hi, finer, stale)
        at = bad_hi
    if at < hi:
        pieces.append(Piece(levels[0], at, hi))
    return pieces + _fill(hi, end, finer, stale)


def _cut(ranges: Sequence[Range], lo: int, hi: int) -> list[Range]:
    """Return the parts of `ranges` within ``lo .. hi``."""
    cut = [(max(start, lo), min(end, hi)) for start, end in ranges]
    return [(start, end) for start, end in cut if start < end]


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Return `pieces` with neighbours of one kind made one."""
    out: list[Piece] = []
    for piece in sorted(pieces):
        if out and out[-1].length_s == piece.length_s and out[-1].end == piece.start:
            out[-1] = Piece(piece.length_s, out[-1].start, piece.end)
        else:
            out.append(piece)
    return out
