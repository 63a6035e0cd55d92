"""From rules to alarms: which alarms there are, and where their evaluation begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.book import AlarmBook, reborn
from plantroom_cloud.alarms.conditions import Fold
from plantroom_cloud.alarms.dues import note
from plantroom_cloud.alarms.rules import AlarmRuleIn, Threshold, priority_number, read_rule
from plantroom_cloud.db import Scope, insert_into
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import (
    Alarm,
    AlarmOccurrence,
    AlarmRule,
    AlarmWatch,
    Latest,
    Mapping,
    Point,
)

_POINTS: Final = 500
SETTLED: Final = 60_000_000
"""Microseconds after which no transaction of the ingest is under way that began before a rule."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A thing that a rule applies to."""

    key: str
    title: str
    site: int
    gateway: str
    point: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its number."""

    id: int
    says: AlarmRuleIn
    created_us: int

    @classmethod
    def of(cls, row: AnyRow) -> Rule:
        """Return the rule in a row."""
        return cls(row.id, read_rule(row.config), row.created_us)


RULE_COLUMNS: Final = (
    AlarmRule.id, AlarmRule.config, AlarmRule.enabled, AlarmRule.deleted_us, AlarmRule.created_us,
)  # fmt: skip


class Setting(Repository):
    """Makes, keeps and ends the alarms of rules, within one transaction of the worker."""

    def __init__(self, session: AsyncSession, scope: Scope, book: AlarmBook) -> None:
        super().__init__(session, scope)
        self._book = book

    async def rules(self, kind: str | None = None) -> list[Rule]:
        """Return the rules that hold."""
        query = select(*RULE_COLUMNS).where(
            self._own(AlarmRule), AlarmRule.enabled, AlarmRule.deleted_us.is_(None)
        )
        if kind is not None:
            query = query.where(AlarmRule.kind == kind)
        rows = (await self._session.execute(query.order_by(AlarmRule.id))).all()
        return [Rule.of(row) for row in rows]

    async def apply(self, rule_id: int) -> None:
        """Bring the alarms of a rule to what it says by now."""
        query = select(*RULE_COLUMNS).where(self._own(AlarmRule), AlarmRule.id == rule_id)
        row = (await self._session.execute(query)).one_or_none()
        if row is None:
            return
        rule = Rule.of(row)
        holds = row.enabled and row.deleted_us is None
        when = rule.says.when
        if not isinstance(when, Threshold):
            await self._adjust(rule)
            if not holds:
                await self._end_all(rule.id)
            elif rule.says.when.kind == "finding":
                await self._again(rule=rule.id, lo=self._book.now, due=self._book.now + SETTLED)
            return
        subjects = await self._points(rule, when) if holds else []
        alarms = await self.alarms(rule, subjects)
        await self._end_all(rule.id, but=alarms.values())
        await self._adjust(rule)
        begin = await self._watch(subjects, alarms)
        await self._guard(rule, when, alarms)
        # Ingest notes samples where it sees a rule: what was on its way just now may have no note,
        # and may be older than what has one.
        points = sorted(subject.point for subject in subjects if subject.point is not None)
        now = self._book.now
        if points:
            await self._again(points=points, lo=now, due=now)
            await self._again(points=points, lo=begin + 1, due=now + SETTLED)

    async def _again(self, **what: Any) -> None:
        await note(self._session, self._scope, **what)

    async def guards(self) -> None:
        """Look anew which points are on the same equipment: mappings change."""
        for rule in await self.rules("threshold"):
            when = rule.says.when
            if isinstance(when, Threshold) and when.suppress and when.suppress.point_class:
                query = select(Alarm.subject, Alarm.id).where(
                    self._own(Alarm), Alarm.rule_id == rule.id, Alarm.ended_us.is_(None)
                )
                rows = (await self._session.execute(query)).all()
                await self._guard(rule, when, {row.subject: row.id for row in rows})

    async def _points(self, rule: Rule, when: Threshold) -> list[Subject]:
        out: list[Subject] = []
        for chunk in _chunks(sorted(set(when.points))):
            query = select(Point.id, Point.name, Point.site_id, Point.gateway_id).where(
                self._own(Point), Point.id.in_(chunk)
            )
            if rule.says.site is not None:
                query = query.where(Point.site_id == rule.says.site)
            out += [
                Subject(
                    f"point/{p.id}", f"{rule.says.name}: {p.name}", p.site_id, p.gateway_id, p.id
                )
                for p in await self._session.execute(query)
            ]
        return out

    async def alarms(self, rule: Rule, subjects: Sequence[Subject]) -> dict[str, int]:
        """Return the alarms of `subjects` by key, made or taken up again where they must be."""
        known: dict[str, AnyRow] = {}
        for chunk in _chunks([subject.key for subject in subjects]):
            query = select(Alarm.subject, Alarm.id, Alarm.ended_us).where(
                self._own(Alarm), Alarm.rule_id == rule.id, Alarm.subject.in_(chunk)
            )
            known |= {row.subject: row for row in await self._session.execute(query)}
        new = {s.key: s for s in subjects if s.key not in known}
        again = [row.id for row in known.values() if row.ended_us is not None]
        if again:
            revived = update(Alarm).where(self._own(Alarm), Alarm.id.in_(again))
            await self._session.execute(revived.values(**reborn()))
        ids = {key: int(row.id) for key, row in known.items()}
        if new:
            statement = insert(Alarm).returning(Alarm.subject, Alarm.id)
            rows = [self._row(rule, subject) for subject in new.values()]
            ids |= {row.subject: row.id for row in await self._session.execute(statement, rows)}
        return ids

    def _row(self, rule: Rule, subject: Subject) -> dict[str, Any]:
        return (
            reborn()
            | {
                "company_id": self._scope.company_id,
                "rule_id": rule.id,
                "site_id": subject.site,
                "gateway_id": subject.gateway,
                "point_id": subject.point,
                "subject": subject.key[:500],
                "title": subject.title,
                "guard_point_id": None,
                "value": None,
                "raised_us": None,
                "changed_us": self._book.now,
                "calls": 0,
                "assignee": "",
                "version": 1,
            }
            | _of_rule(rule)
        )

    async def _adjust(self, rule: Rule) -> None:
        """Give the alarms what stands in the rule."""
        statement = update(Alarm).where(self._own(Alarm), Alarm.rule_id == rule.id)
        await self._session.execute(statement.values(**_of_rule(rule)))

    async def _end_all(self, rule_id: int, but: Iterable[int] = ()) -> None:
        query = select(Alarm.id).where(
            self._own(Alarm), Alarm.rule_id == rule_id, Alarm.ended_us.is_(None)
        )
        ids = set((await self._session.execute(query)).scalars()) - set(but)
        for held in (await self._book.hold(ids)).values():
            await self._book.end(held)
        for chunk in _chunks(sorted(ids)):
            unwatch = delete(AlarmWatch).where(self._own(AlarmWatch))
            await self._session.execute(unwatch.where(AlarmWatch.alarm_id.in_(chunk)))
            over = update(AlarmOccurrence).where(
                self._own(AlarmOccurrence),
                AlarmOccurrence.alarm_id.in_(chunk),
                AlarmOccurrence.ended_us.is_(None),
            )
            await self._session.execute(over.values(ended_us=self._book.now))

    # ------------------------------------------------------------ points

    async def _watch(self, subjects: Sequence[Subject], alarms: dict[str, int]) -> int:
        """Begin, or begin anew, with the newest sample; what is on stays on until that is judged.

        Returns:
            Up to when everything is taken in of all of them, microseconds.
        """
        points = {s.point: alarms[s.key] for s in subjects if s.point is not None}
        newest: dict[int, int] = {}
        for chunk in _chunks(sorted(points)):
            query = select(Latest.point_id, Latest.ts_us).where(
                self._own(Latest), Latest.point_id.in_(chunk)
            )
            newest |= {row.point_id: row.ts_us for row in await self._session.execute(query)}
        on = await self._on(points.values())
        now = self._book.now
        rows: list[dict[str, Any]] = []
        oldest = now
        for point, alarm in points.items():
            since = on.get(alarm)
            begin = min(newest.get(point, now), now) - 1
            oldest = min(oldest, begin)
            fold = Fold(begin, *((since.started_us, None, since.value) if since else ()))
            rows.append(
                {
                    "company_id": self._scope.company_id,
                    "alarm_id": alarm,
                    "point_id": point,
                    "folds": [list(asdict(fold).values())],
                    "timer_us": None,
                    "again_us": None,
                }
            )
        if not rows:
            return now
        statement = insert_into(self._session, AlarmWatch)
        fresh = {name: statement.excluded[name] for name in ("folds", "timer_us", "again_us")}
        upsert = statement.on_conflict_do_update(index_elements=["alarm_id"], set_=fresh)
        await self._session.execute(upsert, rows)
        return oldest

    async def _on(self, alarms: Iterable[int]) -> dict[int, AnyRow]:
        out: dict[int, AnyRow] = {}
        for chunk in _chunks(sorted(alarms)):
            columns = (
                AlarmOccurrence.alarm_id,
                AlarmOccurrence.started_us,
                AlarmOccurrence.value,
            )
            query = select(*columns).where(
                self._own(AlarmOccurrence),
                AlarmOccurrence.alarm_id.in_(chunk),
                AlarmOccurrence.ended_us.is_(None),
                AlarmOccurrence.gone_us.is_(None),
            )
            out |= {row.alarm_id: row for row in await self._session.execute(query)}
        return out

    async def _guard(self, rule: Rule, when: Threshold, alarms: dict[str, int]) -> None:
        """Say which point's state suppresses each alarm."""
        guards: dict[int, list[int]] = {}
        guard = when.suppress
        if guard is not None and guard.point is not None:
            query = select(Point.id).where(self._own(Point), Point.id == guard.point)
            if (await self._session.execute(query)).first() is not None:
                guards[guard.point] = list(alarms.values())
        elif guard is not None and guard.point_class is not None:
            found = await self._same_equipment(when.points, guard.point_class)
            for point, state in found.items():
                if (alarm := alarms.get(f"point/{point}")) is not None:
                    guards.setdefault(state, []).append(alarm)
        mine = (self._own(Alarm), Alarm.rule_id == rule.id)
        none = update(Alarm).where(*mine, Alarm.guard_point_id.is_not(None))
        await self._session.execute(none.values(guard_point_id=None))
        for point, ids in guards.items():
            for chunk in _chunks(ids):
                change = update(Alarm).where(*mine, Alarm.id.in_(chunk))
                await self._session.execute(change.values(guard_point_id=point))

    async def _same_equipment(self, points: Sequence[int], wanted: str) -> dict[int, int]:
        """Return point → the point of the class `wanted` that is mapped to the same equipment."""
        homes: dict[int, tuple[int, str]] = {}
        for chunk in _chunks(sorted(set(points))):
            query = select(Mapping.point_id, Mapping.site_id, Mapping.equipment).where(
                self._own(Mapping), Mapping.point_id.in_(chunk), Mapping.equipment != ""
            )
            for row in await self._session.execute(query):
                homes[row.point_id] = (row.site_id, row.equipment)
        query = (
            select(Mapping.point_id, Mapping.site_id, Mapping.equipment)
            .where(self._own(Mapping), Mapping.point_class == wanted, Mapping.state != "rejected")
            .where(Mapping.site_id.in_({site for site, _ in homes.values()}))
            .order_by(Mapping.point_id.desc())
        )
        found = await self._session.execute(query)
        states = {(row.site_id, row.equipment): row.point_id for row in found}
        return {point: states[home] for point, home in homes.items() if home in states}


def _of_rule(rule: Rule) -> dict[str, Any]:
    return {"priority": priority_number(rule.says.priority), "latching": rule.says.latching}


def _chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(items), _POINTS):
        yield items[start : start + _POINTS]
