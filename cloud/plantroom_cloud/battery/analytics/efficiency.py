"""Round-trip efficiency: what comes out of what went in, the charge that stayed inside considered.

Over a window whose state of charge ends where it began nothing stayed inside: such a closed window
is looked for first. Otherwise the difference is made good with the rated energy. A state of charge
that jumps says nothing about what is inside, so the window is cut there and the longest part kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from plantroom_cloud.battery.analytic import ANALYTICS, BatteryData, Figure, Grade, worst
from plantroom_cloud.battery.series import Clean
from plantroom_cloud.battery.throughput import Energy, charged_and_discharged

_CLOSED: Final = 2.0
"""Per cent between start and end up to which a window is closed."""
_SWING: Final = 5.0
"""Per cent that a charge or discharge moves at least, to count as one."""
_PAIRS: Final = 3
_COVERAGE: Final = 0.95
_BELIEVABLE: Final = (50.0, 100.0 + 1e-6)


@dataclass(frozen=True, slots=True)
class _Window:
    """A stretch of states of charge with the energy that flowed in it."""

    soc: Sequence[Clean]
    charged: float
    discharged: float
    coverage: float

    @property
    def moved(self) -> float:
        """Per cent from start to end."""
        return self.soc[-1][1] - self.soc[0][1]

    @property
    def span(self) -> int:
        """Microseconds."""
        return self.soc[-1][0] - self.soc[0][0]

    @property
    def closed(self) -> bool:
        return abs(self.moved) <= _CLOSED


@ANALYTICS.register("efficiency")
def efficiency(data: BatteryData) -> list[Figure]:
    """Return ``rte``, the round-trip efficiency in per cent, or why there is none."""
    charge, discharge = charged_and_discharged(data)
    parts = list(_parts(data, charge, discharge))
    flags = charge.flags | discharge.flags | ({"soc_reset"} if len(parts) > 1 else frozenset())
    if charge.value is None or discharge.value is None or not parts:
        missing = "soc_unknown" if not data.soc_samples else "energy_unknown"
        return [_figure(data, (charge, discharge), None, flags | {missing})]
    longest = max(parts, key=lambda part: part[-1][0] - part[0][0])
    windows = [_window(part, charge, discharge) for part in _candidates(longest)]
    closed = [window for window in windows if window.closed and not _too_little(data, window)]
    chosen = max(closed, key=lambda window: window.span) if closed else windows[0]
    why, value = _ratio(data, chosen)
    return [_figure(data, (charge, discharge), chosen, flags | why, value)]


def _parts(data: BatteryData, charge: Energy, discharge: Energy) -> Iterator[list[Clean]]:
    """Cut the states of charge where one moves further than the energy in between can tell."""
    soc = data.soc_samples
    part = soc[:1]
    for before, after in pairwise(soc):
        if data.rated_kwh and _jumps(before, after, data.rated_kwh, charge, discharge):
            yield part
            part = []
        part.append(after)
    if part:
        yield part


def _jumps(
    before: Clean, after: Clean, rated_kwh: float, charge: Energy, discharge: Energy
) -> bool:
    moved = abs(after[1] - before[1])
    if moved <= _CLOSED:
        return False
    into = charge.flow.within(before[0], after[0])
    out = discharge.flow.within(before[0], after[0])
    known = 2 * min(into.covered_us, out.covered_us) >= after[0] - before[0]
    return known and moved > 100 * (into.kwh + out.kwh) / rated_kwh + _CLOSED


def _candidates(part: Sequence[Clean]) -> Iterator[Sequence[Clean]]:
    """Yield all of `part`, then what of it closes with its start, then with its end."""
    yield part
    first, last = part[0][1], part[-1][1]
    end = max(i for i, (_, soc) in enumerate(part) if abs(soc - first) <= _CLOSED)
    yield part[: end + 1]
    start = min(i for i, (_, soc) in enumerate(part) if abs(soc - last) <= _CLOSED)
    yield part[start:]


def _window(part: Sequence[Clean], charge: Energy, discharge: Energy) -> _Window:
    start, end = part[0][0], part[-1][0]
    into, out = charge.flow.within(start, end), discharge.flow.within(start, end)
    covered = min(into.covered_us, out.covered_us) / (end - start) if end > start else 0.0
    return _Window(part, into.kwh, out.kwh, covered)


def _swings(soc: Sequence[Clean]) -> tuple[int, int]:
    """Return how often the state of charge rose and fell by at least `_SWING` per cent."""
    rises = falls = direction = 0
    low = high = soc[0][1]
    for _, value in soc:
        low, high = min(low, value), max(high, value)
        if direction <= 0 and value - low >= _SWING:
            rises, direction, high = rises + 1, 1, value
        elif direction >= 0 and high - value >= _SWING:
            falls, direction, low = falls + 1, -1, value
    return rises, falls


def _too_little(data: BatteryData, window: _Window) -> bool:
    """Say whether less than one full charge went in: losses drown in what cannot be told."""
    if data.rated_kwh:
        return window.charged < 0.999 * data.rated_kwh
    return sum(max(b - a, 0.0) for (_, a), (_, b) in pairwise(window.soc)) < 100


def _ratio(data: BatteryData, window: _Window) -> tuple[frozenset[str], float | None]:
    """Return the efficiency in per cent with what to know about it, or None and why."""
    if window.coverage < _COVERAGE:
        return frozenset({"coverage_too_low"}), None
    if _too_little(data, window):
        return frozenset({"too_little_charged"}), None
    few = min(_swings(window.soc)) < _PAIRS
    if window.closed:
        flags = {"closed"} | ({"few_cycles"} if few else set())
    elif not data.rated_kwh:
        return frozenset({"not_closed", "rated_energy_unknown"}), None
    elif few:
        return frozenset({"not_closed", "few_cycles"}), None
    else:
        flags = {"soc_corrected"}
    kept = window.moved / 100 * (data.rated_kwh or 0.0)
    value = 100 * (window.discharged + kept) / window.charged
    if not _BELIEVABLE[0] <= value <= _BELIEVABLE[1]:
        return frozenset({*flags, "not_believable"}), None
    return frozenset(flags), value


def _figure(
    data: BatteryData,
    energy: tuple[Energy, Energy],
    window: _Window | None,
    flags: frozenset[str],
    value: float | None = None,
) -> Figure:
    charge, discharge = energy
    points = charge.points + discharge.points + ((data.soc.point,) if data.soc else ())
    grade: Grade = "N"
    if value is not None:
        grade = worst(charge.grade, discharge.grade, "C" if "few_cycles" in flags else "A")
    return Figure(
        name="rte",
        value=value,
        unit="%",
        start=window.soc[0][0] if window else data.start,
        end=window.soc[-1][0] if window else data.end,
        method="efficiency.soc/1",
        coverage=window.coverage if window else 0.0,
        grade=grade,
        points=tuple(dict.fromkeys(points)),
        flags=tuple(sorted(flags)),
    )
