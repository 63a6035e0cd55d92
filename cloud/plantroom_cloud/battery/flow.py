"""Energy over time: from power by integration, from counters by differences."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median_low
from typing import Final, Literal

from plantroom_cloud.battery.series import Clean, gap_limit, nominal_step

HOUR_US: Final = 3_600_000_000
_MARGIN: Final = 1.2
_REGISTER_RANGES: Final = (2.0**16, 2.0**32)

PowerKind = Literal["sampled", "interval_end", "mean"]
"""What a power value stands for: its moment, the interval before it, or the mean of the one after
it."""
Piece = tuple[int, int, float]
"""From, to (microseconds since 1970) and the kWh in between; pieces do not overlap."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Energy of a stretch of time."""

    kwh: float
    covered_us: int
    """For how much of the stretch it is known."""


class Flow:
    """Energy in one direction; where no piece lies, nothing is known."""

    def __init__(
        self,
        pieces: Sequence[Piece],
        *,
        step: int,
        resolution: float = 0.0,
        flags: frozenset[str] = frozenset(),
    ) -> None:
        self.step = step
        """Usual distance of the samples behind it, microseconds."""
        self.resolution = resolution
        """Smallest amount that it can tell, kWh."""
        self.flags = flags
        self._pieces = pieces
        self._starts = [start for start, _, _ in pieces]
        self._kwh = list(accumulate((kwh for _, _, kwh in pieces), initial=0.0))
        self._covered = list(accumulate((end - start for start, end, _ in pieces), initial=0))

    def within(self, start: int, end: int) -> Amount:
        """Return the energy from `start` to `end`; a piece that lies across counts by its share."""
        kwh_0, covered_0 = self._until(start)
        kwh_1, covered_1 = self._until(end)
        return Amount(max(0.0, kwh_1 - kwh_0), covered_1 - covered_0)

    def _until(self, ts: int) -> tuple[float, int]:
        index = bisect_right(self._starts, ts) - 1
        if index < 0:
            return 0.0, 0
        start, end, kwh = self._pieces[index]
        inside = min(ts, end) - start
        share = inside / (end - start)
        return self._kwh[index] + kwh * share, self._covered[index] + inside


def integrate(power: Sequence[Clean], kind: PowerKind, rated_kw: float | None) -> tuple[Flow, Flow]:
    """Return charged and discharged energy from power in kW, where > 0 discharges.

    Each interval gets one value first and counts as charge or discharge by its sign. Intervals
    longer than `gap_limit` are left out: nobody knows what happened there.
    """
    step = nominal_step(power)
    limit = gap_limit(step)
    edge = _edge(power, rated_kw) if kind == "interval_end" else 0.0
    pieces: list[Piece] = []
    for (start, before), (end, after) in pairwise(power):
        if end - start > limit:
            continue
        if kind == "mean":
            level = before
        elif kind == "interval_end" and abs(after - before) > edge:
            level = after
        else:
            level = (before + after) / 2
        pieces.append((start, end, level * (end - start) / HOUR_US))
    charge = [(start, end, max(-kwh, 0.0)) for start, end, kwh in pieces]
    discharge = [(start, end, max(kwh, 0.0)) for start, end, kwh in pieces]
    return Flow(charge, step=step), Flow(discharge, step=step)


def _edge(power: Sequence[Clean], rated_kw: float | None) -> float:
    """Return the change in kW from which on a new value is a step and no ramp or noise."""
    if len(power) < 2:
        return 0.0
    rated = rated_kw or max(abs(kw) for _, kw in power)
    noise = median_low([abs(b - a) for (_, a), (_, b) in pairwise(power)])
    return max(0.02 * rated, 5 * noise)


def count(counter: Sequence[Clean], limit_kw: float | None, scale: float) -> Flow:
    """Return the energy that a counter in kWh tells, across gaps too.

    Args:
        counter: readings that grow with the energy.
        limit_kw: the most that can flow; None if nobody knows.
        scale: kWh per unit of the counter's register, for its overflow.

    A reading below the one before is an overflow of a 16 or 32 bit register, if it fits, or else a
    reset: nothing is known of that interval, and counting goes on from there. A rise beyond what
    can flow is a jump and dropped likewise.
    """
    resolution = _resolution(counter, scale)
    pieces: list[Piece] = []
    flags: set[str] = set()
    moved_at = counter[0][0] if counter else 0  # since when the counter has stood still
    for (start, before), (end, after) in pairwise(counter):
        most = None
        if limit_kw is not None:
            most = _MARGIN * limit_kw * (end - moved_at) / HOUR_US + resolution
        delta, flag = _difference(before, after, most, scale)
        if flag:
            flags.add(flag)
        if delta is not None:
            pieces.append((start, end, delta))
        if after != before:
            moved_at = end
    step = nominal_step(counter)
    return Flow(pieces, step=step, resolution=resolution, flags=frozenset(flags))


def _resolution(counter: Sequence[Clean], scale: float) -> float:
    rises = [b - a for (_, a), (_, b) in pairwise(counter) if b > a]
    return min(rises) if len(rises) >= 3 else scale


def _difference(
    before: float, after: float, most: float | None, scale: float
) -> tuple[float | None, str]:
    """Return the energy between two readings and what was odd about it."""
    if after >= before:
        jumped = most is not None and after - before > most
        return (None, "counter_jump") if jumped else (after - before, "")
    for span in _REGISTER_RANGES:
        full = span * scale
        delta = after + full - before
        plausible = 0.05 * full if most is None else min(most, 0.05 * full)
        if 0.95 * full < before < full and delta <= plausible:
            return delta, "counter_wrap"
    return None, "counter_reset"
