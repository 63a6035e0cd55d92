"""Findings and gateway conditions into alarms: each occurrence has a name, and is entered once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import and_, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.book import AlarmBook, Held
from plantroom_cloud.alarms.rules import Condition, Findings, GatewayConditions
from plantroom_cloud.alarms.setting import Rule, Setting, Subject
from plantroom_cloud.alarms.states import Act
from plantroom_cloud.db import Scope
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import (
    Alarm,
    AlarmOccurrence,
    DeliveryAlarm,
    FindingRow,
    GapRecord,
    Gateway,
)

DAY: Final = 86_400_000_000
_MANY: Final = 500
_DELIVERY: Final[Mapping[str, Condition]] = {
    "clock_skew": "clock",
    "duplicate_identity": "clone",
    "stream_fork": "fork",
    "restored": "restored",
}
_WORDS: Final[Mapping[Condition, str]] = {
    "offline": "offline",
    "clock": "clock is wrong",
    "clone": "two agents with one identity",
    "fork": "other rows under known numbers",
    "restored": "restored from an old image",
    "gap": "rows declared lost",
}


@dataclass(frozen=True, slots=True)
class Named:
    """An occurrence as its source knows it."""

    key: str
    start: int
    end: int | None
    value: float | None = None
    doc: Mapping[str, Any] = field(default_factory=dict)


class Sources(Repository):
    """What findings and gateways say, within one transaction of the worker."""

    def __init__(
        self, session: AsyncSession, scope: Scope, book: AlarmBook, history_us: int
    ) -> None:
        super().__init__(session, scope)
        self._book, self._history = book, history_us
        self._setting = Setting(session, scope, book)

    # ------------------------------------------------------------ findings

    async def findings(self, noted: Mapping[str, Iterable[str]]) -> None:
        """Look at findings that came or ended: gateway → ids."""
        rules = await self._setting.rules("finding")
        for gateway, ids in noted.items() if rules else ():
            wanted = sorted(set(ids))
            for start in range(0, len(wanted), _MANY):
                some = FindingRow.id.in_(wanted[start : start + _MANY])
                for rule in rules:
                    await self._findings(rule, FindingRow.gateway_id == gateway, some)

    async def open_findings(self, rule: Rule) -> None:
        """Look at what is found and not over: for a rule that is new."""
        await self._findings(rule, FindingRow.ended_us.is_(None))

    async def _findings(self, rule: Rule, *which: Any) -> None:
        when = rule.says.when
        if not isinstance(when, Findings):
            return
        query = select(FindingRow.__table__).where(self._own(FindingRow), *which)
        query = query.where(FindingRow.score >= when.least_score)
        if when.detector is not None:
            query = query.where(FindingRow.detector == when.detector)
        if rule.says.site is not None:
            query = query.where(FindingRow.site_id == rule.says.site)
        found: dict[Subject, list[Named]] = defaultdict(list)
        order = (FindingRow.started_us, FindingRow.id)
        for row in await self._session.execute(query.order_by(*order)):
            found[_subject_of(rule, row)].append(_named(row))
        await self._enter_all(rule, found)

    # ------------------------------------------------------------ gateways

    async def gateways(self) -> None:
        """Look at all gateways."""
        for rule in await self._setting.rules("gateway"):
            when = rule.says.when
            if not isinstance(when, GatewayConditions):
                continue
            query = select(Gateway.id, Gateway.site_id, Gateway.online, Gateway.seen_us)
            query = query.where(self._own(Gateway))
            if rule.says.site is not None:
                query = query.where(Gateway.site_id == rule.says.site)
            if when.gateways is not None:
                query = query.where(Gateway.id.in_(when.gateways))
            rows = (await self._session.execute(query.order_by(Gateway.id))).all()
            homes = {row.id: row for row in rows}
            found: dict[Subject, list[Named]] = defaultdict(list)
            if "offline" in when.conditions:
                await self._offline(rule, rows, found, round(when.offline_s * 1e6))
            await self._delivery(rule, homes, found, set(when.conditions))
            if "gap" in when.conditions:
                await self._gaps(rule, homes, found)
            await self._enter_all(rule, found)

    async def _offline(
        self, rule: Rule, rows: Sequence[AnyRow], found: dict[Subject, list[Named]], delay: int
    ) -> None:
        stand = await self._open(rule)
        for row in rows:
            subject = _about(rule, row, "offline")
            was = stand.get(subject.key)
            if row.online or row.seen_us is None:
                if was is not None:
                    end = max(row.seen_us or 0, was.started_us + 1)
                    found[subject].append(Named(was.key, was.started_us, end))
            elif was is None and row.seen_us + delay <= self._book.now:
                found[subject].append(Named(f"offline/{row.seen_us}", row.seen_us, None))

    async def _open(self, rule: Rule) -> dict[str, AnyRow]:
        """Return by subject what of a rule's occurrences is not over."""
        query = (
            select(Alarm.subject, AlarmOccurrence.key, AlarmOccurrence.started_us)
            .join(Alarm, Alarm.id == AlarmOccurrence.alarm_id)
            .where(self._own(Alarm, AlarmOccurrence), Alarm.rule_id == rule.id)
            .where(Alarm.ended_us.is_(None), AlarmOccurrence.ended_us.is_(None))
            .order_by(AlarmOccurrence.id)
        )
        return {row.subject: row for row in await self._session.execute(query)}

    async def _delivery(
        self,
        rule: Rule,
        homes: Mapping[str, AnyRow],
        found: dict[Subject, list[Named]],
        wanted: set[Condition],
    ) -> None:
        # What was cleared is still to be seen for a day: that closes what is entered as open.
        recent = DeliveryAlarm.cleared_us >= max(rule.created_us, self._book.now - DAY)
        query = select(DeliveryAlarm.__table__).where(
            self._own(DeliveryAlarm), or_(DeliveryAlarm.cleared_us.is_(None), recent)
        )
        for row in await self._session.execute(query.order_by(DeliveryAlarm.id)):
            condition = _DELIVERY.get(row.kind)
            if condition in wanted and row.gateway_id in homes:
                doc = {"details": row.details}
                named = Named(f"{row.kind}/{row.id}", row.since_us, row.cleared_us, None, doc)
                found[_about(rule, homes[row.gateway_id], condition)].append(named)

    async def _gaps(
        self, rule: Rule, homes: Mapping[str, AnyRow], found: dict[Subject, list[Named]]
    ) -> None:
        since = max(rule.created_us, self._book.now - DAY)
        query = (
            select(GapRecord.__table__)
            .where(self._own(GapRecord), GapRecord.received_us >= since)
            .order_by(GapRecord.received_us, GapRecord.epoch, GapRecord.stream, GapRecord.lo)
        )
        for row in await self._session.execute(query):
            if row.gateway_id in homes:
                rows = row.hi - row.lo + 1
                doc = {"rows": rows, "cause": row.cause, "stream": row.stream}
                key = f"gap/{row.epoch}/{row.stream}/{row.lo}"
                # A loss is over when it is told; what stays is that somebody must know.
                named = Named(key, row.received_us, row.received_us + 1, float(rows), doc)
                found[_about(rule, homes[row.gateway_id], "gap")].append(named)

    # ------------------------------------------------------------ entering

    async def _enter_all(self, rule: Rule, found: Mapping[Subject, Sequence[Named]]) -> None:
        if not found:
            return
        ids = await self._setting.alarms(rule, list(found))
        known = await self._known(ids.values(), [n.key for named in found.values() for n in named])
        for subject, named in found.items():
            alarm = ids[subject.key]
            entered = {key: row for (owner, key), row in known.items() if owner == alarm}
            if any(_is_news(entered.get(one.key), one) for one in named):
                await self._enter(alarm, entered, named)

    async def _known(
        self, alarms: Iterable[int], keys: Sequence[str]
    ) -> dict[tuple[int, str], AnyRow]:
        out: dict[tuple[int, str], AnyRow] = {}
        owners = sorted(alarms)
        for start in range(0, len(owners), _MANY):
            for at in range(0, len(keys), _MANY):
                query = select(
                    AlarmOccurrence.id,
                    AlarmOccurrence.alarm_id,
                    AlarmOccurrence.key,
                    AlarmOccurrence.ended_us,
                ).where(
                    self._own(AlarmOccurrence),
                    AlarmOccurrence.alarm_id.in_(owners[start : start + _MANY]),
                    AlarmOccurrence.key.in_(keys[at : at + _MANY]),
                )
                for row in await self._session.execute(query):
                    out[row.alarm_id, row.key] = row
        return out

    async def _enter(
        self, alarm: int, entered: Mapping[str, AnyRow], named: Sequence[Named]
    ) -> None:
        held = (await self._book.hold([alarm])).get(alarm)
        if held is None:
            return
        called = False
        for one in named:
            row = entered.get(one.key)
            if not _is_news(row, one):
                continue
            if row is None:
                await self._insert(alarm, one)
                # What came and went several times between two looks calls once.
                called |= await self._begin(held, one, quiet=called)
            else:
                mine = and_(self._own(AlarmOccurrence), AlarmOccurrence.id == row.id)
                close = update(AlarmOccurrence).where(mine).values(ended_us=one.end)
                await self._session.execute(close)
            if one.end is not None and held.state.active and not await self._stands(alarm):
                await self._book.act(held, Act.OFF, at=one.end)

    async def _begin(self, held: Held, one: Named, *, quiet: bool) -> bool:
        """Enter what has begun; say whether that changed the alarm."""
        past = one.end is not None and (
            quiet or held.state.active or one.end < self._book.now - self._history
        )
        if past:
            doc = {**one.doc, "to": one.end}
            await self._book.note(held, "occurred", at=one.start, doc=doc)
        elif held.state.active:
            await self._book.note(held, "again", at=one.start, doc=one.doc)
        else:
            return await self._book.act(held, Act.ON, at=one.start, doc=one.doc, value=one.value)
        return False

    async def _insert(self, alarm: int, one: Named) -> None:
        values = {"alarm_id": alarm, "key": one.key, "started_us": one.start, "value": one.value}
        values |= {"ended_us": one.end, "entered_us": self._book.now, "gone_us": None}
        head = {"company_id": self._scope.company_id}
        await self._session.execute(insert(AlarmOccurrence), [head | values])

    async def _stands(self, alarm: int) -> bool:
        query = select(AlarmOccurrence.id).where(
            self._own(AlarmOccurrence),
            AlarmOccurrence.alarm_id == alarm,
            AlarmOccurrence.ended_us.is_(None),
        )
        return (await self._session.execute(query.limit(1))).first() is not None


def _is_news(row: AnyRow | None, one: Named) -> bool:
    return row is None or (row.ended_us is None and one.end is not None)


def _subject_of(rule: Rule, row: AnyRow) -> Subject:
    key = f"finding/{row.gateway_id}/{row.detector}/{row.subject}"[:500]
    title = f"{rule.says.name}: {row.detector} {row.subject}"
    return Subject(key, title, row.site_id, row.gateway_id)


def _named(row: AnyRow) -> Named:
    end = None if row.ended_us is None else max(row.ended_us, row.started_us + 1)
    doc = {"finding": row.id, "text": row.text[:1000], "points": row.points[:20]}
    return Named(f"{row.gateway_id}/{row.id}", row.started_us, end, row.score, doc)


def _about(rule: Rule, row: AnyRow, condition: Condition) -> Subject:
    title = f"{rule.says.name}: {row.id}, {_WORDS[condition]}"
    return Subject(f"gateway/{row.id}/{condition}", title, row.site_id, row.id)
