"""Suppression by design: the state of the equipment says that its alarms mean nothing."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.book import AlarmBook, Held
from plantroom_cloud.alarms.rules import Suppression, Threshold, read_rule
from plantroom_cloud.alarms.states import Act
from plantroom_cloud.db import Scope
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import Alarm, AlarmRule, Latest, SampleRow

_MANY = 500


class Guards(Repository):
    """Follows the points whose state suppresses alarms. What is not known suppresses nothing."""

    def __init__(self, session: AsyncSession, scope: Scope, book: AlarmBook) -> None:
        super().__init__(session, scope)
        self._book = book

    async def follow(self, points: Iterable[int] | None = None) -> int:
        """Suppress and bring back what the newest samples of `points` say; None: of all.

        Returns:
            How many alarms changed.
        """
        if points is None:
            return await self._follow(true())
        ids, changed = sorted(points), 0
        for start in range(0, len(ids), _MANY):
            among = Alarm.guard_point_id.in_(ids[start : start + _MANY])
            changed += await self._follow(among)
        return changed

    async def _follow(self, which: ColumnElement[bool]) -> int:
        changed = 0
        columns = (Alarm.id, AlarmRule.config, Latest.value, Latest.text, Latest.quality)
        query = (
            select(*columns, Latest.ts_us, Alarm.suppressed, Alarm.release_us)
            .join(AlarmRule, AlarmRule.id == Alarm.rule_id)
            .join(Latest, Latest.point_id == Alarm.guard_point_id)
            .where(self._own(Alarm, AlarmRule, Latest), Alarm.ended_us.is_(None), which)
            .order_by(Alarm.id)
        )
        for row in (await self._session.execute(query)).all():
            changed += await self._judge(row)
        return changed + await self._free()

    async def _judge(self, row: AnyRow) -> bool:
        guard = _guard_of(row.config)
        off = guard is not None and _holds(guard, row)
        if off is row.suppressed:
            if off and row.release_us is not None:  # it had only just started, and stopped again
                await self._set_release(row.id, None)
            return False
        if not off and guard is not None and await self._waits(guard, row):
            return False
        held = (await self._book.hold([row.id])).get(row.id)
        act = Act.SUPPRESS if off else Act.UNSUPPRESS
        return held is not None and await self._book.act(held, act, release_us=None)

    async def _waits(self, guard: Suppression, row: AnyRow) -> bool:
        """Tell whether it has only just started: what it does then is no alarm either."""
        release: int | None = row.release_us
        if release is None:
            release = min(row.ts_us, self._book.now) + round(guard.hold_s * 1e6)
            if release > self._book.now:
                await self._set_release(row.id, release)
        return release > self._book.now

    async def _set_release(self, alarm: int, release: int | None) -> None:
        mine = update(Alarm).where(self._own(Alarm), Alarm.id == alarm)
        await self._session.execute(mine.values(release_us=release))

    async def _free(self) -> int:
        """Bring back what nothing guards any more."""
        query = select(Alarm.id).where(
            self._own(Alarm), Alarm.suppressed, Alarm.guard_point_id.is_(None)
        )
        ids = (await self._session.execute(query)).scalars().all()
        for held in (await self._book.hold(ids)).values():
            await self._book.act(held, Act.UNSUPPRESS, release_us=None)
        return len(ids)

    async def suppressed_at(self, held: Held, ts: int) -> bool:
        """Tell whether the equipment was in that state at a moment, by the samples."""
        query = select(AlarmRule.config).where(
            self._own(AlarmRule), AlarmRule.id == held.row.rule_id
        )
        guard = _guard_of((await self._session.execute(query)).scalar_one())
        said = (
            select(SampleRow.value, SampleRow.text, SampleRow.quality)
            .where(self._own(SampleRow), SampleRow.point_id == held.row.guard_point_id)
            .where(SampleRow.ts_us <= ts)
            .order_by(SampleRow.ts_us.desc(), SampleRow.tie.desc())
            .limit(1)
        )
        row = (await self._session.execute(said)).first()
        return guard is not None and row is not None and _holds(guard, row)


def _guard_of(config: object) -> Suppression | None:
    when = read_rule(config).when
    return when.suppress if isinstance(when, Threshold) else None


def _holds(guard: Suppression, row: AnyRow) -> bool:
    return row.quality == 0 and guard.limit.judge(row.value, row.text, on=False) is True
