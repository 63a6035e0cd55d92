"""Samples into alarms: the worker's evaluation of limits, one transaction at a time.

The ingest notes with each batch whose samples it stored (`AlarmDue`), in the batch's transaction.
A round takes notes, folds the samples from the last checkpoint before the oldest that may be new,
compares what comes out with the occurrences that are entered, and enters the difference, with the
changed states, the history and the notices, in the transaction that deletes the notes. Killed at
any point it leaves nothing or all of it; done twice it finds no difference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

from sqlalchemy import and_, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.book import AlarmBook, Held
from plantroom_cloud.alarms.conditions import Fold, Reading, Span, Watch, before, thin
from plantroom_cloud.alarms.guards import Guards
from plantroom_cloud.alarms.occurrences import Entered, Move, Plan, compare, moves
from plantroom_cloud.alarms.rules import Threshold, read_rule
from plantroom_cloud.alarms.states import Act
from plantroom_cloud.config_alarms import AlarmSettings
from plantroom_cloud.db import Scope
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import Alarm, AlarmOccurrence, AlarmRule, AlarmWatch, SampleRow

DEEP: Final = 600_000_000
"""Microseconds: samples that come later than that wait for others like them, to be folded once."""
PAGE: Final = 5_000
"""Samples that are read at once; after each there is a checkpoint."""
_MANY: Final = 500
_GOOD: Final = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What samples say of an alarm by now."""

    base: Fold
    """From where on it was folded."""
    folds: list[Fold]
    spans: list[Span]


class Evaluation(Repository):
    """The alarms of one company's points, within one transaction of the worker."""

    def __init__(
        self, session: AsyncSession, scope: Scope, book: AlarmBook, settings: AlarmSettings
    ) -> None:
        super().__init__(session, scope)
        self._book, self._guards = book, Guards(session, scope, book)
        self._settle = round(settings.settle * 1e6)
        self._late = round(settings.late_limit * 1e6)
        self._history = round(settings.history_after * 1e6)

    async def points(self, oldest: dict[int, int]) -> int:
        """Look at points with new samples: each with the oldest of these, microseconds.

        Returns:
            How many alarms were looked at.
        """
        await self._guards.follow(oldest.keys())
        looked = 0
        for row in await self._watches(AlarmWatch.point_id, sorted(oldest)):
            lo = oldest[row.point_id]
            if lo < Fold(*row.folds[-1]).ts - DEEP:
                lower = lo if row.again_us is None else min(lo, row.again_us)
                await self._save(row.alarm_id, again_us=lower)
                continue
            await self._look(row, lo)
            looked += 1
        return looked

    async def timers(self) -> int:
        """Look at alarms whose delay is over, and at those with samples that came very late."""
        now = self._book.now
        due = or_(AlarmWatch.timer_us <= now - self._settle, AlarmWatch.again_us.is_not(None))
        rows = (await self._session.execute(self._select().where(due).limit(_MANY))).all()
        for row in rows:
            await self._look(row, now if row.again_us is None else row.again_us)
        return len(rows)

    def _select(self) -> Any:
        joined = and_(Alarm.id == AlarmWatch.alarm_id, Alarm.ended_us.is_(None))
        return (
            select(
                AlarmWatch.alarm_id,
                AlarmWatch.point_id,
                AlarmWatch.folds,
                AlarmWatch.again_us,
                AlarmRule.config,
            )
            .join(Alarm, joined)
            .join(AlarmRule, AlarmRule.id == Alarm.rule_id)
            .where(self._own(AlarmWatch, Alarm, AlarmRule))
            .order_by(AlarmWatch.alarm_id)
        )

    async def _watches(self, column: Any, ids: Sequence[int]) -> list[AnyRow]:
        out: list[AnyRow] = []
        for start in range(0, len(ids), _MANY):
            query = self._select().where(column.in_(ids[start : start + _MANY]))
            out += (await self._session.execute(query)).all()
        return out

    async def _look(self, row: AnyRow, lo: int) -> None:
        """Fold what is new of one alarm's point, and enter what has changed."""
        rule = read_rule(row.config)
        assert isinstance(rule.when, Threshold)  # noqa: S101 - only such alarms have a watch
        found = await self._fold(row, rule.when.watch, max(lo, self._book.now - self._late))
        plan = compare(await self._entered(row.alarm_id, found.base), found.spans)
        if not plan.empty:
            await self._enter(row.alarm_id, plan)
        newest = found.folds[-1]
        due = rule.when.watch.due(newest)
        over = due is None or due <= self._book.now - self._settle
        folds = thin(found.folds, self._book.now - self._late)
        await self._save(
            row.alarm_id,
            folds=[list(astuple(fold)) for fold in folds],
            timer_us=None if over else due,
            again_us=None,
        )

    async def _save(self, alarm: int, **values: Any) -> None:
        statement = update(AlarmWatch).where(self._own(AlarmWatch), AlarmWatch.alarm_id == alarm)
        await self._session.execute(statement.values(**values))

    # ------------------------------------------------------------ folding

    async def _fold(self, row: AnyRow, watch: Watch, lo: int) -> Outcome:
        folds = [Fold(*part) for part in row.folds]
        base = before(folds, lo) or folds[0]
        kept = [fold for fold in folds if fold.ts <= base.ts]
        spans: list[Span] = []
        fold = base
        async for readings in self._readings(row.point_id, base.ts):
            fold, ended = watch.take(fold, readings)
            spans += ended
            kept.append(fold)
        spans += watch.until(fold, self._book.now - self._settle)
        return Outcome(base, kept, spans)

    async def _readings(self, point: int, after: int) -> AsyncIterator[list[Reading]]:
        """Yield good samples after a moment in order, those of one moment together."""
        columns = (SampleRow.ts_us, SampleRow.tie, SampleRow.value, SampleRow.text)
        key = tuple_(SampleRow.ts_us, SampleRow.tie)
        query = select(*columns).where(
            self._own(SampleRow), SampleRow.point_id == point, SampleRow.ts_us > after,
            SampleRow.quality == _GOOD,
        )  # fmt: skip
        query = query.order_by(SampleRow.ts_us, SampleRow.tie).limit(PAGE)
        rows = (await self._session.execute(query)).all()
        held: list[Reading] = []
        while len(rows) == PAGE:
            read = held + [Reading(ts, value, text) for ts, _, value, text in rows]
            held = [reading for reading in read if reading.ts == read[-1].ts]
            if read[: -len(held)]:
                yield read[: -len(held)]
            further = query.where(key > tuple_(rows[-1].ts_us, rows[-1].tie))
            rows = (await self._session.execute(further)).all()
        last = held + [Reading(ts, value, text) for ts, _, value, text in rows]
        if last:
            yield last

    # ------------------------------------------------------------ entering

    async def _entered(self, alarm: int, base: Fold) -> list[Entered]:
        """Return the occurrences that hang on what came after `base`."""
        query = select(
            AlarmOccurrence.id, AlarmOccurrence.started_us, AlarmOccurrence.ended_us
        ).where(
            self._own(AlarmOccurrence),
            AlarmOccurrence.alarm_id == alarm,
            AlarmOccurrence.gone_us.is_(None),
            or_(
                AlarmOccurrence.started_us > base.ts,
                # -1: before all times, where the condition was off.
                AlarmOccurrence.started_us == (-1 if base.since is None else base.since),
            ),
        )
        return [Entered(*row) for row in await self._session.execute(query)]

    async def _enter(self, alarm: int, plan: Plan) -> None:
        held = (await self._book.hold([alarm])).get(alarm)
        if held is None:
            return
        now = self._book.now
        told, history = moves(
            plan, active=held.state.active, now=now, over_before=now - self._history
        )
        head: dict[str, Any] = {"company_id": self._scope.company_id}
        head |= {"alarm_id": alarm, "key": None}
        head |= {"entered_us": now, "gone_us": None}
        rows = [
            head | {"started_us": span.start, "ended_us": span.end, "value": span.value}
            for span in plan.new
        ]
        if rows:
            await self._session.execute(insert(AlarmOccurrence), rows)
        for old, span in plan.changed:
            ends: dict[str, Any] = {
                "started_us": span.start,
                "ended_us": span.end,
                "value": span.value,
            }
            await self._change([old.id], **ends)
            if old.end is not None or old.start != span.start:
                doc = {"from": [old.start, old.end], "to": [span.start, span.end]}
                await self._book.note(held, "corrected", at=span.start, doc=doc)
        await self._change([old.id for old in plan.gone], gone_us=now)
        for old in plan.gone:
            doc = {"from": [old.start, old.end]}
            await self._book.note(held, "withdrawn", at=old.start, doc=doc)
        await self._move(held, told, history)

    async def _change(self, ids: Iterable[int], **values: Any) -> None:
        mine = (self._own(AlarmOccurrence), AlarmOccurrence.id.in_(list(ids)))
        await self._session.execute(update(AlarmOccurrence).where(*mine).values(**values))

    async def _move(self, held: Held, told: Sequence[Move], history: Iterable[Span]) -> None:
        guard = held.row.guard_point_id
        skipped: set[int] = set()
        for index, move in enumerate(told):
            over = move.act is Act.ON and index + 1 < len(told)
            if over and guard is not None and await self._guards.suppressed_at(held, move.at):
                # It came and went while the equipment was off: nobody is called for that now.
                skipped |= {index, index + 1}
                doc = {"to": told[index + 1].at, "value": move.value, "suppressed": True}
                await self._book.note(held, "occurred", at=move.at, doc=doc)
        for index, move in enumerate(told):
            if index not in skipped:
                columns: dict[str, Any] = {"value": move.value} if move.act is Act.ON else {}
                await self._book.act(held, move.act, at=move.at, doc=columns, **columns)
        for span in history:
            past = {"to": span.end, "value": span.value}
            await self._book.note(held, "occurred", at=span.start, doc=past)
