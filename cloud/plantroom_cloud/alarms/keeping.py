"""How long a company keeps the history of its alarms, and how what is older goes.

The database refuses to delete what happened, unless it happened before the moment at which the
company's history begins (`AlarmKeep.kept_from_us`). That moment only moves forward, by whole UTC
days, and each portion that goes is in the audit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from plantroom_cloud.audit import record
from plantroom_cloud.config_alarms import LEAST_DAYS, MOST_DAYS
from plantroom_cloud.db import Database, Scope, insert_into
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.tables import (
    Alarm,
    AlarmEvent,
    AlarmKeep,
    AlarmNotice,
    AlarmOccurrence,
    AlarmRule,
)
from plantroom_shared.errors import ConfigError

DAY: Final = 86_400_000_000
MOST: Final = 2_000
"""Events that are deleted in one transaction."""
_OURSELVES: Final = "retention"


class Keeping(Repository):
    """What one company keeps."""

    async def days(self) -> tuple[int | None, int]:
        """Return the days that it has set, None where it has not, and where its history begins."""
        query = select(AlarmKeep.days, AlarmKeep.kept_from_us).where(self._own(AlarmKeep))
        row = (await self._session.execute(query)).one_or_none()
        return (None, 0) if row is None else (row.days, row.kept_from_us)

    async def choose(self, days: int | None, who: Principal | str) -> None:
        """Keep for so many days: 0 is for ever, None what the service has set; ConfigError."""
        if days is not None and days != 0 and not LEAST_DAYS <= days <= MOST_DAYS:
            what = "is no number of days to keep a history"
            fix = f"give 0 (for ever), or {LEAST_DAYS} to {MOST_DAYS}"
            raise ConfigError(what, key="--days", fix=fix)
        before, _ = await self.days()
        await self._put(days=days)
        record(
            self._session,
            self._scope,
            who=who,
            action="alarm-history.keep",
            subject="alarm-history",
            before={"days": before},
            after={"days": days},
        )

    async def advance(self, default: int, now_us: int) -> tuple[int, bool]:
        """Let the history begin where it is to begin by now; return that, and whether it is new."""
        own, begins = await self.days()
        days = default if own is None else own
        until = (now_us - days * DAY) // DAY * DAY if days else 0
        if until > begins:
            await self._put(kept_from_us=until)
        return max(until, begins), until > begins

    async def _put(self, **values: Any) -> None:
        row = {"company_id": self._scope.company_id, "days": None, "kept_from_us": 0}
        statement = insert_into(self._session, AlarmKeep)
        upsert = statement.on_conflict_do_update(
            index_elements=["company_id"],
            set_={name: statement.excluded[name] for name in values},
        )
        await self._session.execute(upsert, [row | values])

    # ------------------------------------------------------------ deleting

    async def drop_events(self, until_us: int) -> int:
        """Delete the oldest events of those before `until_us`, and who was told of them."""
        query = select(AlarmEvent.id).where(self._own(AlarmEvent), AlarmEvent.entered_us < until_us)
        query = query.order_by(AlarmEvent.entered_us).limit(MOST)
        ids = list((await self._session.execute(query)).scalars())
        if not ids:
            return 0
        told = delete(AlarmNotice).where(self._own(AlarmNotice), AlarmNotice.event_id.in_(ids))
        await self._session.execute(told)
        events = delete(AlarmEvent).where(self._own(AlarmEvent), AlarmEvent.id.in_(ids))
        await self._session.execute(events)
        about = {"until_us": until_us, "events": len(ids)}
        record(
            self._session,
            self._scope,
            who=_OURSELVES,
            action="alarm-history.delete",
            subject="alarm-history",
            after=about,
        )
        return len(ids)

    async def drop_rest(self, until_us: int) -> None:
        """Delete what nothing in the history speaks of any more.

        The newest occurrence of an alarm that is not ended stays: evaluation goes on from it.
        """
        over = select(Alarm.id).where(self._own(Alarm), Alarm.ended_us < until_us)
        ended = set((await self._session.execute(over)).scalars())
        await self._drop_occurrences(until_us, ended)
        for table in (AlarmEvent, AlarmOccurrence):
            ended -= await self._named(table.alarm_id, ended)
        await self._delete(Alarm, ended)
        gone = select(AlarmRule.id).where(self._own(AlarmRule), AlarmRule.deleted_us < until_us)
        rules = set((await self._session.execute(gone)).scalars())
        await self._delete(AlarmRule, rules - await self._named(Alarm.rule_id, rules))

    async def _drop_occurrences(self, until_us: int, ended: set[int]) -> None:
        past = or_(AlarmOccurrence.ended_us < until_us, AlarmOccurrence.gone_us < until_us)
        columns = (AlarmOccurrence.id, AlarmOccurrence.alarm_id, AlarmOccurrence.started_us)
        old = select(*columns).where(self._own(AlarmOccurrence), past)
        newest = (
            select(AlarmOccurrence.alarm_id, func.max(AlarmOccurrence.started_us))
            .where(self._own(AlarmOccurrence), AlarmOccurrence.gone_us.is_(None))
            .group_by(AlarmOccurrence.alarm_id)
        )
        last = {row[0]: row[1] for row in await self._session.execute(newest)}
        rows = (await self._session.execute(old)).all()
        idle = {row.id for row in rows if row.alarm_id in ended}
        idle |= {row.id for row in rows if row.started_us < last.get(row.alarm_id, 0)}
        await self._delete(AlarmOccurrence, idle)

    async def _named(self, column: InstrumentedAttribute[int], ids: set[int]) -> set[int]:
        """Return those of `ids` that rows name in `column`."""
        found: set[int] = set()
        for some in _chunks(ids):
            query = select(column).where(self._own(column.class_), column.in_(some)).distinct()
            found |= set((await self._session.execute(query)).scalars())
        return found

    async def _delete(
        self, table: type[Alarm | AlarmOccurrence | AlarmRule], ids: set[int]
    ) -> None:
        for some in _chunks(ids):
            statement = delete(table).where(self._own(table), table.id.in_(some))
            await self._session.execute(statement)


def _chunks(ids: set[int]) -> Iterator[list[int]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), MOST):
        yield ordered[start : start + MOST]


async def retain(database: Database, scope: Scope, default_days: int, now_us: int) -> int:
    """Delete what a company keeps no longer, a portion at a time; return how many events went."""
    async with database.write(scope) as session:
        until, moved = await Keeping(session, scope).advance(default_days, now_us)
    gone = 0
    while until:
        async with database.write(scope) as session:
            dropped = await Keeping(session, scope).drop_events(until)
        gone += dropped
        if dropped < MOST:
            break
    if moved or gone:
        async with database.write(scope) as session:
            await Keeping(session, scope).drop_rest(until)
    return gone
