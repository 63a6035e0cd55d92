"""What a fault run says: figures with their limits, as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that was measured, and the limit it must keep.

    Args:
        fault: which fault.
        what: what was counted or measured.
        runs: how many cases stand behind it.
        value: the number.
        limit: the most (or, with `least`, the least) it may be; None for what is only told.
        least: whether `limit` is a floor.
        unit: of value and limit.
        seed: with which the run can be repeated; None where nothing was random.
    """

    fault: str
    what: str
    runs: int
    value: float
    limit: float | None = 0
    least: bool = False
    unit: str = ""
    seed: int | None = None
    timing: bool = False
    """Whether it depends on how busy the machine is: told, not judged, in the test suite."""

    @property
    def holds(self) -> bool:
        """Say whether the limit is kept."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.least else self.value <= self.limit

    @property
    def verdict(self) -> str:
        """The last column of the table."""
        if self.limit is None:
            return "told"
        return "ok" if self.holds else "FAILED"

    def document(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self) | {"verdict": self.verdict}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of `values` lie; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as text, a line each."""
    rows = [("fault", "what", "runs", "figure", "limit", "verdict")]
    rows += [
        (
            each.fault,
            each.what,
            f"{each.runs:,}",
            _number(each.value, each.unit),
            "" if each.limit is None else ("≥ " if each.least else "≤ ") + _number(each.limit, ""),
            each.verdict,
        )
        for each in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = (2, 3, 4)
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:]])


def _number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if value == int_or_nan(value) else f"{value:,.2f}"
    return f"{text} {unit}".strip()


def int_or_nan(value: float) -> float:
    """Return `value` without its fraction; NaN and infinities have none to compare with."""
    return float(int(value)) if math.isfinite(value) else math.nan
