"""Report by exception: which rows of a poll say something new.

Every row has a window around what it reported last; what lies within it is not reported. So a
value that creeps is reported as soon as it has crept a deadband, and the error of what is stored
is never more than that. One comparison a row, whatever the kind of its deadband.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from plantroom_shared.model import Quality, Value

_BAD: Final = int(Quality.BAD)
_SWEEPS: Final = 16
"""How often within the shortest heartbeat it is looked who is due."""
_LAX: Final = 1 + 1e-9
"""A deadband of three raw steps is 2.9999999999999996 of them."""
_NUMBERS: Final = frozenset({int, float})
_LAST_TEXT: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Band:
    """How far a value must move from what was reported last."""

    absolute: float = 0.0
    """In the unit of what is compared."""
    share: float = 0.0
    """Of the size of the last reported value: 0.01 is one percent."""
    heartbeat: float = 900.0
    """Seconds of silence at most."""
    origin: str = "rule"
    """Who says so: ``rule``, ``profile``, ``device``, ``kind``."""


class RowGate:
    """The gate of one poll group.

    Args:
        bands: one per row, in raw units; None reports every poll.
        clock: monotonic seconds.
        needed: rows whose values are used in every poll, reported or not.
        interval: seconds between two polls.
    """

    def __init__(
        self,
        bands: Sequence[Band | None],
        clock: Callable[[], float],
        needed: Sequence[int] = (),
        interval: float = 0.0,
    ) -> None:
        self.needed: Sequence[int] = tuple(needed)
        self.suppressed = 0
        """Rows that were read and said nothing new."""
        self._clock = clock
        width = lru_cache(_width)  # most rows have the same: one object for all
        self._widths = [width(band) for band in bands]
        """Absolute width and part of the value; below 0: every poll is reported."""
        self._low: list[Any] = []
        self._high: list[Any] = []
        self._flaws: dict[int, tuple[int, str]] = {}
        self._sent = array("d", [0.0]) * len(bands)
        self._beats = [math.inf if band is None else band.heartbeat for band in bands]
        self._every = max(min(self._beats, default=math.inf) / _SWEEPS, interval)
        self._sweep_at = -math.inf
        self._rows = range(len(bands))
        self.forget()

    def forget(self) -> None:
        """Report every row with the next poll: what was reported last has not been stored."""
        # An empty window: nothing lies within.
        self._low, self._high = [1.0] * len(self._beats), [0.0] * len(self._beats)
        self._flaws.clear()

    def changed(self, raws: Sequence[Value], bad: Mapping[int, tuple[int, str]]) -> Sequence[int]:
        """Return the rows to report, in order; see `Gate`."""
        if bad:
            raws = _without(raws, bad)
        try:
            rows = [
                row
                for row, raw, low, high in zip(self._rows, raws, self._low, self._high, strict=True)
                if not low <= raw <= high
            ]
        except TypeError:
            rows = self._one_by_one(raws)
        if bad or self._flaws:
            rows = self._with_quality(rows, bad)
        now = self._clock()
        if now >= self._sweep_at:
            rows = self._with_due(rows, now)
        return self._remember(rows, raws, bad, now)

    def _one_by_one(self, raws: Sequence[Value]) -> list[int]:
        """Compare rows where one has become of another type than it was: texts, nulls."""
        rows = []
        for row, raw in enumerate(raws):
            low: Any = self._low[row]
            try:
                same = low <= raw <= self._high[row]
            except TypeError:
                same = raw is None and low is None
            if not same:
                rows.append(row)
        return rows

    def _with_quality(self, rows: list[int], bad: Mapping[int, tuple[int, str]]) -> list[int]:
        """Add what went bad, became good or is bad for another reason."""
        flaws = self._flaws
        more = {row for row, pair in bad.items() if flaws.get(row) != pair}
        more.update(row for row in flaws if row not in bad)
        return sorted(more.union(rows)) if more else rows

    def _with_due(self, rows: list[int], now: float) -> list[int]:
        """Add who would be silent for too long before it is looked again."""
        self._sweep_at = now + self._every
        latest = now + self._every
        due = [
            row
            for row, sent, beat in zip(self._rows, self._sent, self._beats, strict=True)
            if sent + beat <= latest
        ]
        return sorted({*rows, *due}) if due else rows

    def _remember(
        self,
        rows: list[int],
        raws: Sequence[Value],
        bad: Mapping[int, tuple[int, str]],
        now: float,
    ) -> list[int]:
        """Put the windows around what is reported now; return the rows."""
        again = []
        flawed = bad.keys() | self._flaws.keys()
        low, high, sent, widths = self._low, self._high, self._sent, self._widths
        for row in rows:
            raw: Any = raws[row]
            if row in flawed or type(raw) not in _NUMBERS or raw - raw != 0:
                if not self._remember_one(row, raw, bad.get(row), now):
                    again.append(row)
                continue
            width, share = widths[row]
            if width < 0:
                low[row], high[row] = 1.0, 0.0  # nothing lies within
                continue
            if share:
                width = max(width, share * abs(raw))
            low[row], high[row] = (raw - width, raw + width) if width else (raw, raw)
            sent[row] = now
        if again:
            rows = sorted(set(rows).difference(again))
        self.suppressed += len(raws) - len(rows)
        return rows

    def _remember_one(self, row: int, raw: Value, flaw: tuple[int, str] | None, now: float) -> bool:
        """Put the window of a row that is no plain number; return whether it is worth a sample."""
        before = self._flaws.pop(row, None)
        if flaw is not None:
            self._flaws[row] = flaw
        low: Any = raw
        high: Any = raw
        if self._widths[row][0] < 0:
            low, high = (_LAST_TEXT, "") if isinstance(raw, str) else (1.0, 0.0)
        elif flaw is not None and flaw[0] == _BAD:
            low, high = -math.inf, math.inf
        elif isinstance(raw, float) and math.isnan(raw):
            due = now + self._every >= self._sent[row] + self._beats[row]
            if self._low[row] is _NAN and before == flaw and not due:
                return False
            low, high = _NAN, 0.0
        elif isinstance(raw, int | float) and not isinstance(raw, bool):
            width, share = self._widths[row]
            width = max(width, share * abs(raw))
            low, high = (raw - width, raw + width) if width else (raw, raw)
        self._low[row], self._high[row], self._sent[row] = low, high, now
        return True


_NAN: Final = math.nan
"""The lower end of the window of a value that is no number: nothing lies within."""


def _width(band: Band | None) -> tuple[float, float]:
    return (-1.0, 0.0) if band is None else (band.absolute * _LAX, band.share * _LAX)


def _without(raws: Sequence[Value], bad: Mapping[int, tuple[int, str]]) -> list[Value]:
    """Return `raws` with a number wherever there is none because the row is bad."""
    out = list(raws)
    for row, (quality, _) in bad.items():
        if quality == _BAD:
            out[row] = 0.0
    return out
