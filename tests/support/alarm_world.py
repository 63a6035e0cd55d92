"""A company whose points are watched: samples come in by the store's own way, alarms are read back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import insert, select

from plantroom_cloud.alarms.dues import note
from plantroom_cloud.alarms.jobs import SWEEP, AlarmWorker
from plantroom_cloud.alarms.rules import AlarmRuleIn, priority_number
from plantroom_cloud.config_alarms import AlarmSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.ingest.rows import Column
from plantroom_cloud.ingest.samples import SampleRepository
from plantroom_cloud.tables import Alarm, AlarmEvent, AlarmOccurrence, AlarmRule
from support.api_world import NOW, Stopped, Tenant
from support.servers import Owner, as_owner

SECOND = 1_000_000
MINUTE = 60 * SECOND
START = NOW
"""Before it there are no samples but those of the seeded company."""

_OURS = Alarm.subject.not_like("test/%")
"""Not those that every seeded company has."""
ON_POSTGRES = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""For tests that need run on one engine alone, where that is the harder one."""
Said = tuple[float, float | str]
"""Seconds after START, and a value."""


@dataclass
class World:
    """A company, the worker that evaluates its alarms, and a clock that both go by."""

    database: Database
    tenant: Tenant
    clock: Stopped
    settings: AlarmSettings = field(default_factory=lambda: AlarmSettings(settle=0))
    ties: int = 1

    def __post_init__(self) -> None:
        self.worker = AlarmWorker(self.database, self.settings, self.clock)

    @property
    def scope(self) -> Scope:
        """Whose it is."""
        return Scope(self.tenant.company)

    @property
    def owner(self) -> Owner:
        """Its database past the wall, for what tests say."""
        return as_owner(self.database)

    @property
    def point(self) -> int:
        """Its first point."""
        return self.tenant.points[0]

    async def rule(self, when: dict[str, Any], **more: Any) -> int:
        """Add a rule and let the worker know of it; return its number."""
        says = AlarmRuleIn.model_validate({"name": "too warm", "when": when, **more})
        values = {
            "company_id": self.tenant.company,
            "site_id": says.site,
            "name": says.name,
            "kind": says.when.kind,
            "config": says.model_dump(mode="json"),
            "priority": priority_number(says.priority),
            "latching": says.latching,
            "enabled": says.enabled,
            "version": 1,
            "actor": "test",
            "created_us": self.clock.now,
            "changed_us": self.clock.now,
        }
        async with self.database.write(self.scope) as session:
            statement = insert(AlarmRule).values(**values).returning(AlarmRule.id)
            rule = int((await session.execute(statement)).scalar_one())
            await note(session, self.scope, rule=rule)
        await self.work()
        return rule

    async def above(self, high: float = 8.0, point: int | None = None, **more: Any) -> int:
        """Add a rule: a point above a limit."""
        about = {name: more.pop(name) for name in ("priority", "latching") if name in more}
        when = {"kind": "threshold", "points": [point or self.point], "compare": "above"}
        return await self.rule(when | {"high": high} | more, **about)

    async def say(
        self, *said: Said, point: int | None = None, quality: int = 0, settle: bool = True
    ) -> None:
        """Store samples in one batch, as the ingest does; the clock is not behind them."""
        column, number = Column(), point or self.point
        for second, value in said:
            self.ties += 1
            column.point_id.append(number)
            column.ts_us.append(START + round(second * SECOND))
            column.tie.append(self.ties)
            column.value.append(value if isinstance(value, int | float) else None)
            column.text.append(value if isinstance(value, str) else None)
            column.quality.append(quality)
            column.reason.append("")
        async with self.database.write(self.scope) as session:
            sink = SampleRepository(session, self.scope, self.tenant.gateway)
            await sink.add(column)
            await sink.advance_latest(column)
        self.clock.now = max(self.clock.now, *column.ts_us)
        if settle:
            await self.work()

    async def at(self, second: float) -> None:
        """Move the clock on, and let the worker look at what that changes."""
        self.clock.now = START + round(second * SECOND)
        await self.sweep()

    async def work(self) -> None:
        """Deal with all notes."""
        while await self.worker.notes(self.scope):
            pass

    async def sweep(self) -> None:
        """Look at what no sample tells."""
        await self.work()
        await self.worker.sweep(self.scope, refresh=True)

    async def alarms(self) -> list[Any]:
        """Return all alarms that are not ended."""
        query = select(Alarm.__table__).where(Alarm.company_id == self.tenant.company)
        query = query.where(Alarm.ended_us.is_(None), _OURS).order_by(Alarm.id)
        async with self.database.read(self.scope) as session:
            return list((await session.execute(query)).all())

    async def only(self) -> Any:
        """Return the one alarm that there is."""
        (alarm,) = await self.alarms()
        return alarm

    async def standing(self) -> str:
        """Return how the one alarm stands."""
        return str((await self.only()).standing)

    async def history(self, *columns: str) -> list[Any]:
        """Return what happened, in the order in which it was entered."""
        query = select(AlarmEvent.__table__).join(Alarm, Alarm.id == AlarmEvent.alarm_id)
        mine = (table.company_id == self.tenant.company for table in (Alarm, AlarmEvent))
        query = query.where(*mine, _OURS)
        async with self.database.read(self.scope) as session:
            rows = (await session.execute(query.order_by(AlarmEvent.id))).all()
        names = columns or ("kind",)
        picked = [tuple(getattr(row, name) for name in names) for row in rows]
        return [one[0] if len(names) == 1 else one for one in picked]

    async def occurrences(self) -> list[tuple[float, float | None]]:
        """Return what is entered and holds, in seconds after START."""
        query = select(AlarmOccurrence.started_us, AlarmOccurrence.ended_us).where(
            AlarmOccurrence.company_id == self.tenant.company, AlarmOccurrence.gone_us.is_(None)
        )
        async with self.database.read(self.scope) as session:
            rows = (await session.execute(query.order_by(AlarmOccurrence.started_us))).all()
        return [(_seconds(start), None if end is None else _seconds(end)) for start, end in rows]


def _seconds(us: int) -> float:
    return (us - START) / SECOND


def shuffled(said: Iterable[Said], order: list[int]) -> list[Said]:
    """Return `said` in the order of `order`, which numbers it."""
    items = list(said)
    return [items[index] for index in order]


__all__ = ["MINUTE", "ON_POSTGRES", "SECOND", "START", "SWEEP", "Said", "World", "shuffled"]
