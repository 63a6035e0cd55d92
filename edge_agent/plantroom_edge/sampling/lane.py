"""What becomes of the polls of one group: units, totals, and the rows that are worth a sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from plantroom_edge.buffer_rows import unfit
from plantroom_edge.drivers import Poll, PollGroup
from plantroom_edge.sampling.counters import Counter
from plantroom_edge.sampling.derived import Feeds
from plantroom_edge.sampling.gate import RowGate
from plantroom_shared.model import Batch, Quality, Value

_BAD: Final = int(Quality.BAD)
_STALE: Final = (_BAD, "stale")

Flaws = dict[int, tuple[int, str]]


@dataclass(slots=True)
class Lane:
    """One poll group on its way to samples."""

    group: PollGroup
    aliases: list[int]
    gate: RowGate | None = None
    scales: Sequence[tuple[int, Callable[[float], float]]] = ()
    """Rows that are kept in another unit than the device's, and how to get there."""
    counters: Sequence[tuple[int, int, Counter]] = ()
    """Rows that are counters: row, alias of the total, counter."""
    feeds: Feeds = ()
    """Rows that derived points are calculated from."""
    stale_after: float = math.inf
    """Seconds without a read after which the points are stale."""
    values: Sequence[Value] = ()
    """Of the last poll, in the points' units."""
    bad: Flaws = field(default_factory=dict)
    """Row → (`Quality`, reason) of the last poll."""
    last_at: float = math.inf
    """Monotonic seconds of the last poll."""
    last_ts: int = 0
    silent: int = 0
    """Rows of the last poll that said nothing new."""
    totals: Sequence[Value] = ()
    """Of the counters, in their order, as of the last poll."""
    doubts: Flaws = field(default_factory=dict)
    """Place among the counters → (`Quality`, reason)."""

    def operands(self) -> tuple[Sequence[Value], Flaws]:
        """Return values and flaws for `feeds`: the rows of the poll, then the totals."""
        if not self.counters:
            return self.values, self.bad
        count = len(self.aliases)
        doubts = {count + place: flaw for place, flaw in self.doubts.items()}
        return [*self.values, *self.totals], self.bad | doubts

    def take(self, poll: Poll, ts: int, now: float) -> Batch:
        """Return the samples of a poll.

        Args:
            poll: as the driver gave it; its values are put into the points' units.
            ts: the time it gets, microseconds since 1970-01-01 UTC.
            now: monotonic seconds.
        """
        count = len(self.aliases)
        self.last_at, self.last_ts = now, ts
        if self.scales:
            self._scale(poll.values)
        bad = {row: pair for row, pair in poll.quality.items() if 0 <= row < count}
        if poll.rows is not None:
            rows = poll.rows
            values = [poll.values[row] for row in rows]
        else:
            rows, values = range(count), list(poll.values)
        for place, value in enumerate(values):
            if type(value) is float and math.isfinite(value):
                continue
            if why := unfit(value):
                values[place] = None
                bad[rows[place]] = (_BAD, why)
        self.values, self.bad = poll.values, bad
        if poll.rows is None and self.gate is not None and self._asks(poll):
            rows = self.gate.changed(values, bad)
            values = [values[row] for row in rows]
        self.silent = count - len(rows)
        return self._batch(rows, values, ts)

    def hear(self, poll: Poll, ts: int) -> Batch:
        """Return the samples of what a device has told by itself; its other rows stay as they are.

        Args:
            poll: of which only `rows` say something; the driver has asked the gate.
            ts: the time it gets, microseconds since 1970-01-01 UTC.
        """
        count = len(self.aliases)
        told = [row for row in poll.rows or () if 0 <= row < count]
        values, bad = list(self.values) or [None] * count, dict(self.bad)
        if self.scales:
            self._scale(poll.values)
        for row in told:
            value, flaw = poll.values[row], poll.quality.get(row)
            if why := unfit(value):
                value, flaw = None, flaw or (_BAD, why)
            values[row] = value
            if flaw is None:
                bad.pop(row, None)
            else:
                bad[row] = flaw
        self.values, self.bad, self.last_ts = values, bad, ts
        return self._batch(told, [values[row] for row in told], ts)

    def _asks(self, poll: Poll) -> bool:
        """Say whether the gate is asked here: its bands are raw where a driver has told steps."""
        return not self.group.steps or len(poll.quality) >= len(self.aliases)

    def _scale(self, values: list[Value]) -> None:
        for row, scale in self.scales:
            value = values[row]
            if isinstance(value, int | float) and not isinstance(value, bool):
                values[row] = scale(value)

    def _batch(self, rows: Sequence[int], values: list[Value], ts: int) -> Batch:
        bad, aliases = self.bad, self.aliases
        if len(rows) == len(aliases):
            batch = Batch(list(aliases), [ts] * len(rows), values, dict(bad))
        else:
            quality = {place: bad[row] for place, row in enumerate(rows) if row in bad}
            batch = Batch([aliases[row] for row in rows], [ts] * len(rows), values, quality)
        if self.counters:
            self._count(batch, frozenset(rows), ts)
        return batch

    def _count(self, batch: Batch, rows: frozenset[int], ts: int) -> None:
        """Add the totals of the counters: of every reading, reported where that is."""
        totals: list[Value] = []
        self.doubts = {}
        for place, (row, alias, counter) in enumerate(self.counters):
            value, flaw, total = self.values[row], self.bad.get(row), None
            if isinstance(value, int | float) and (flaw is None or flaw[0] != _BAD):
                total, doubt = counter.take(float(value), ts / 1e6)
                flaw = doubt or flaw
            elif flaw is None:
                flaw = (_BAD, "not-a-number")
            totals.append(total)
            if flaw is not None:
                self.doubts[place] = flaw
            if row in rows or (total is not None and flaw is not None):
                if flaw is not None:
                    batch.quality[len(batch)] = flaw
                batch.points.append(alias)
                batch.times.append(ts)
                batch.values.append(total)
        self.totals = totals

    def mark(self, flaw: tuple[int, str], ts: int, *, known: bool = True) -> Batch:
        """Return samples that say of the points, without a read, that they are bad.

        Args:
            flaw: (`Quality`, reason).
            ts: their time, microseconds since 1970-01-01 UTC.
            known: also of those that are bad already, for another reason.
        """
        count, before = len(self.aliases), self.bad
        flaws = dict.fromkeys(range(count), flaw)
        if not known:
            flaws.update({row: pair for row, pair in before.items() if pair[0] == _BAD})
        self.values, self.bad, self.last_ts = [None] * count, flaws, ts
        rows: Sequence[int] = [row for row in flaws if known or before.get(row) != flaws[row]]
        if self.gate is not None:
            worth = set(self.gate.changed(self.values, flaws))
            rows = [row for row in rows if row in worth]
        return self._batch(rows, [None] * len(rows), ts)

    def forget(self) -> None:
        """Report all with the next poll: what was reported last has not been stored."""
        if self.gate is not None:
            self.gate.forget()

    def overdue(self, now: float) -> bool:
        """Say whether the points have just become stale; once, until the next read."""
        if now - self.last_at <= self.stale_after:
            return False
        self.last_at = math.inf
        return any(pair[0] != _BAD for pair in self.bad.values()) or len(self.bad) < len(
            self.aliases
        )

    @property
    def stale_ts(self) -> int:
        """When the points became stale, if nothing is read: microseconds since 1970-01-01 UTC."""
        return self.last_ts + round(self.stale_after * 1e6)

    def stale(self, ts: int) -> Batch:
        """Return samples that say of every point that was not bad that it is stale."""
        return self.mark(_STALE, ts, known=False)
