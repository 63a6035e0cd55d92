"""SQL of alarms as the API lists them: alarms, histories, rules, receivers, figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func, insert, select, tuple_, update

from plantroom_cloud.alarms.flood import Call, Standing
from plantroom_cloud.alarms.states import Standing as Shown
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import (
    Alarm,
    AlarmEvent,
    AlarmReceiver,
    AlarmRule,
    Gateway,
    Point,
    Site,
)

MOST_CALLS: Final = 200_000
_ALARM = (
    Alarm.id, Alarm.rule_id, Alarm.site_id, Alarm.gateway_id, Alarm.point_id, Alarm.title,
    Alarm.priority, Alarm.latching, Alarm.standing, Alarm.active, Alarm.shelved_until_us,
    Alarm.suppressed, Alarm.out_of_service, Alarm.reason, Alarm.value, Alarm.raised_us,
    Alarm.changed_us, Alarm.calls, Alarm.assignee, Alarm.version, AlarmRule.config,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AlarmFilter:
    """Which alarms; None means: whichever."""

    site: int | None = None
    gateway: str | None = None
    point: int | None = None
    rule: int | None = None
    state: str | None = None
    """None: whatever is not normal; ``all``: those too."""
    priority: int | None = None
    """This one or more urgent ones."""
    assignee: str | None = None


class AlarmRepository(Repository):
    """A company's alarms, to be read."""

    def _select(self) -> Any:
        query = select(*_ALARM).join(AlarmRule, AlarmRule.id == Alarm.rule_id)
        # Whoever is confined to a site sees its alarms, though their rule may be of all sites.
        rule = AlarmRule.company_id == self._scope.company_id
        return query.where(self._own(Alarm), rule, Alarm.ended_us.is_(None))

    async def page(self, which: AlarmFilter, page: Page) -> Sequence[AnyRow]:
        """Return alarms, the most urgent first, one more than the page holds if there are more."""
        key = (Alarm.priority, Alarm.changed_us, Alarm.id)
        query = self._select().where(*_conditions(which))
        if page.after:
            query = query.where(tuple_(*key) < tuple_(*page.after))
        query = query.order_by(*(column.desc() for column in key)).limit(page.limit + 1)
        return list((await self._session.execute(query)).all())

    async def find(self, alarm: int) -> AnyRow | None:
        """Return one alarm, or None if there is none to be seen."""
        query = self._select().where(Alarm.id == alarm)
        return (await self._session.execute(query)).one_or_none()

    async def seen(self, alarms: Iterable[int]) -> set[int]:
        """Return those of `alarms` that there are."""
        query = select(Alarm.id).where(
            self._own(Alarm), Alarm.ended_us.is_(None), Alarm.id.in_(list(alarms))
        )
        return set((await self._session.execute(query)).scalars())

    async def history(self, alarm: int, page: Page) -> Sequence[AnyRow]:
        """Return what happened to an alarm, the newest first, one more than the page holds."""
        query = select(AlarmEvent.__table__).where(
            self._own(AlarmEvent), AlarmEvent.alarm_id == alarm
        )
        if page.after:
            query = query.where(AlarmEvent.id < page.after[0])
        query = query.order_by(AlarmEvent.id.desc()).limit(page.limit + 1)
        return (await self._session.execute(query)).all()

    # ------------------------------------------------------------ figures

    async def calls(self, start: int, end: int, site: int | None) -> list[Call]:
        """Return the newest calls that were made in a stretch of time."""
        columns = (AlarmEvent.entered_us, AlarmEvent.alarm_id, AlarmEvent.priority)
        query = (
            select(*columns)
            .join(Alarm, Alarm.id == AlarmEvent.alarm_id)
            .where(self._own(AlarmEvent, Alarm), AlarmEvent.called)
            .where(AlarmEvent.entered_us >= start, AlarmEvent.entered_us < end)
            .order_by(AlarmEvent.entered_us.desc())
            .limit(MOST_CALLS)
        )
        query = query.where(*_at(site))
        return [Call(*row) for row in await self._session.execute(query)]

    async def standing(self, site: int | None) -> list[Standing]:
        """Return the alarms that stand, with the time since when their condition is on."""
        shown = (Shown.UNACKNOWLEDGED.value, Shown.ACKNOWLEDGED.value)
        query = select(Alarm.id, Alarm.raised_us).where(
            self._own(Alarm), Alarm.ended_us.is_(None), Alarm.standing.in_(shown), *_at(site)
        )
        query = query.where(Alarm.raised_us.is_not(None))
        return [Standing(row.id, row.raised_us) for row in await self._session.execute(query)]

    async def titles(self, alarms: Iterable[int]) -> dict[int, str]:
        """Return what alarms are called."""
        query = select(Alarm.id, Alarm.title).where(self._own(Alarm), Alarm.id.in_(list(alarms)))
        return {row.id: row.title for row in await self._session.execute(query)}


def _at(site: int | None) -> list[ColumnElement[bool]]:
    return [] if site is None else [Alarm.site_id == site]


def _conditions(which: AlarmFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    pairs = (
        (Alarm.site_id, which.site),
        (Alarm.gateway_id, which.gateway),
        (Alarm.point_id, which.point),
        (Alarm.rule_id, which.rule),
        (Alarm.assignee, which.assignee),
    )
    conditions += [column == wanted for column, wanted in pairs if wanted is not None]
    if which.state is None:
        conditions.append(Alarm.standing != Shown.NORMAL.value)
    elif which.state != "all":
        conditions.append(Alarm.standing == which.state)
    if which.priority is not None:
        conditions.append(Alarm.priority >= which.priority)
    return conditions


class RuleRepository(Repository):
    """A company's rules; for whoever is confined to sites, those of these sites alone."""

    def _select(self) -> Any:
        return select(AlarmRule.__table__).where(
            self._own(AlarmRule), AlarmRule.deleted_us.is_(None)
        )

    async def count(self) -> int:
        """Return how many there are."""
        query = select(func.count()).where(self._own(AlarmRule), AlarmRule.deleted_us.is_(None))
        return await self._session.scalar(query) or 0

    async def page(self, site: int | None, page: Page) -> Sequence[AnyRow]:
        """Return rules by number, one more than the page holds if there are more."""
        query = self._select()
        if site is not None:
            query = query.where(AlarmRule.site_id == site)
        if page.after:
            query = query.where(AlarmRule.id > page.after[0])
        query = query.order_by(AlarmRule.id).limit(page.limit + 1)
        return list((await self._session.execute(query)).all())

    async def find(self, rule: int, *, lock: bool = False) -> AnyRow | None:
        """Return one rule, or None if the company has none of this number."""
        query = self._select().where(AlarmRule.id == rule)
        if lock:
            query = query.with_for_update()
        return (await self._session.execute(query)).one_or_none()

    async def add(self, **values: Any) -> int:
        """Insert a rule and return its number."""
        row = {"company_id": self._scope.company_id, "version": 1} | values
        statement = insert(AlarmRule).values(**row).returning(AlarmRule.id)
        return int((await self._session.execute(statement)).scalar_one())

    async def change(self, rule: int, **values: Any) -> None:
        """Change a rule."""
        statement = update(AlarmRule).where(self._own(AlarmRule), AlarmRule.id == rule)
        await self._session.execute(statement.values(version=AlarmRule.version + 1, **values))

    async def foreign(
        self, points: Sequence[int], sites: Iterable[int], gateways: Sequence[str]
    ) -> str:
        """Return the first thing that the company does not have, in words; empty: it has all."""
        for words, column, wanted in (
            ("point", Point.id, list(points)),
            ("site", Site.id, list(sites)),
            ("gateway", Gateway.id, list(gateways)),
        ):
            query = select(column).where(self._own(column.class_), column.in_(wanted))
            found = set((await self._session.execute(query)).scalars()) if wanted else set()
            missing = [one for one in wanted if one not in found]
            if missing:
                return f"there is no {words} {missing[0]}"
        return ""


class ReceiverRepository(Repository):
    """Who is told in a company."""

    async def count(self) -> int:
        """Return how many there are."""
        query = select(func.count()).where(
            self._own(AlarmReceiver), AlarmReceiver.deleted_us.is_(None)
        )
        return await self._session.scalar(query) or 0

    async def page(self, page: Page) -> Sequence[AnyRow]:
        """Return receivers by number, one more than the page holds if there are more."""
        query = select(AlarmReceiver.__table__).where(
            self._own(AlarmReceiver), AlarmReceiver.deleted_us.is_(None)
        )
        if page.after:
            query = query.where(AlarmReceiver.id > page.after[0])
        query = query.order_by(AlarmReceiver.id).limit(page.limit + 1)
        return (await self._session.execute(query)).all()

    async def find(self, receiver: int) -> AnyRow | None:
        """Return one receiver, or None if the company has none of this number."""
        query = select(AlarmReceiver.__table__).where(
            self._own(AlarmReceiver),
            AlarmReceiver.id == receiver,
            AlarmReceiver.deleted_us.is_(None),
        )
        return (await self._session.execute(query)).one_or_none()

    async def add(self, **values: Any) -> int:
        """Insert a receiver and return its number."""
        row = {"company_id": self._scope.company_id, "version": 1, "failures": 0, "next_us": 0}
        row |= {"last_error": "", "secret": ""} | values
        statement = insert(AlarmReceiver).values(**row).returning(AlarmReceiver.id)
        return int((await self._session.execute(statement)).scalar_one())

    async def change(self, receiver: int, **values: Any) -> None:
        """Change a receiver."""
        mine = (self._own(AlarmReceiver), AlarmReceiver.id == receiver)
        statement = update(AlarmReceiver).where(*mine)
        await self._session.execute(statement.values(version=AlarmReceiver.version + 1, **values))
