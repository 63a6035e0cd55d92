"""What every point said last, with the order numbers under which that is held."""

from __future__ import annotations

from itertools import repeat
from typing import Final

from plantroom_edge.buffer_clock import put_right
from plantroom_edge.buffer_rows import clean
from plantroom_shared.model import Batch, Value

_FOLD_AT: Final = 20_000
"""Rows that may wait to be folded in: later batches make most of the earlier ones needless."""


class Latest:
    """The newest row of each point of one epoch.

    Accepting must stay cheap: `note` only keeps the batch. Folding goes from the newest batch back
    and looks at single rows only where a batch has points that no later one has.
    """

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, int, Value, tuple[int, str] | None]] = {}
        """Alias → order number, time, value, quality."""
        self._parts: list[tuple[int, Batch]] = []
        self._waiting = 0

    def note(self, s0: int, batch: Batch) -> None:
        """Rows ``s0 ...`` were accepted; the batch is not changed any more."""
        self._parts.append((s0, batch))
        self._waiting += len(batch)
        if self._waiting >= _FOLD_AT:
            self._fold()

    def shift(self, offset_us: int) -> None:
        """Move the times that were taken before the clock was set."""
        self._fold()
        self._rows = {
            alias: (seq, put_right([ts], offset_us)[0], value, quality)
            for alias, (seq, ts, value, quality) in self._rows.items()
        }

    def snapshot(self) -> tuple[Batch, list[int]]:
        """Return the rows and their order numbers."""
        self._fold()
        batch, order = Batch(), []
        for row, (alias, (seq, ts, value, quality)) in enumerate(self._rows.items()):
            batch.points.append(alias)
            batch.times.append(ts)
            batch.values.append(value)
            if quality:
                batch.quality[row] = quality
            order.append(seq)
        clean(batch)
        return batch, order

    def _fold(self) -> None:
        seen: set[int] = set()
        for s0, batch in reversed(self._parts):
            there = set(batch.points)
            if not (new := there - seen):
                continue
            seen |= new
            if len(new) == len(there):
                self._take(s0, batch)
            else:
                last = {alias: row for row, alias in enumerate(batch.points) if alias in new}
                for alias, row in last.items():
                    quality = batch.quality.get(row)
                    self._rows[alias] = (s0 + row, batch.times[row], batch.values[row], quality)
        self._parts, self._waiting = [], 0

    def _take(self, s0: int, batch: Batch) -> None:
        """Fold in a whole batch; of rows of one point the last stays."""
        order = range(s0, s0 + len(batch))
        rows = zip(order, batch.times, batch.values, repeat(None), strict=False)
        self._rows.update(zip(batch.points, rows, strict=True))
        for row, quality in sorted(batch.quality.items()):
            alias = batch.points[row]
            if self._rows[alias][0] == s0 + row:
                self._rows[alias] = (s0 + row, batch.times[row], batch.values[row], quality)
