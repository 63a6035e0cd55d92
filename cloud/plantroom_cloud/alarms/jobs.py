"""The worker's evaluation of alarms: notes at once, the clock and the gateways every few seconds."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.book import AlarmBook
from plantroom_cloud.alarms.dues import unpack
from plantroom_cloud.alarms.evaluation import Evaluation
from plantroom_cloud.alarms.guards import Guards
from plantroom_cloud.alarms.keeping import retain
from plantroom_cloud.alarms.setting import Setting
from plantroom_cloud.alarms.sources import Sources
from plantroom_cloud.alarms.states import Act
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.config_alarms import AlarmSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.isolation.lookups import companies_with_alarms
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.publishing.lease import lease
from plantroom_cloud.supervise import Backoff
from plantroom_cloud.tables import Alarm, AlarmDue
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

IDLE: Final = 1.0
"""Seconds between two looks for notes."""
SWEEP: Final = 10.0
"""Seconds between two looks at delays, shelves and gateways."""
REFRESH: Final = 600.0
"""Seconds between two looks at which points are on the same equipment, and what is kept."""
NOTES: Final = 200
"""Notes in one transaction ..."""
POINTS: Final = 2_000
"""... or fewer, where they speak of so many points: on SQLite the ingest waits for so long."""


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Evaluate alarms for ever; a database that is away is waited for."""
    worker, backoff = AlarmWorker(database, settings.alarms, clock), Backoff("alarms")
    while True:
        try:
            await worker.round()
        except DBAPIError as error:
            await backoff.wait(error)
            continue
        backoff.recovered()
        await asyncio.sleep(IDLE)


@dataclass(slots=True)
class AlarmWorker:
    """Evaluates the alarms of all companies, round by round."""

    database: Database
    settings: AlarmSettings
    clock: Clock
    _swept: float = float("-inf")
    _refreshed: float = float("-inf")

    async def round(self) -> int:
        """Do all that is due now; return how many notes were dealt with."""
        now = self.clock.monotonic()
        sweep, refresh = now - self._swept >= SWEEP, now - self._refreshed >= REFRESH
        async with self.database.read(None) as session:
            scopes = await companies_with_alarms(session)
        done = 0
        for scope in scopes:
            # Two that did the same would wait for each other; that all is right does not rest on it.
            async with lease(self.database, f"alarms-{scope.company_id}") as held:
                if held:
                    done += await self._company(scope, sweep=sweep, refresh=refresh)
        self._swept = now if sweep else self._swept
        self._refreshed = now if refresh else self._refreshed
        return done

    async def _company(self, scope: Scope, *, sweep: bool, refresh: bool) -> int:
        done = 0
        while dealt := await self.notes(scope):
            done += dealt
        if sweep:
            await self.sweep(scope, refresh=refresh)
        if refresh:
            await retain(self.database, scope, self.settings.keep_days, self.clock.now_us())
        return done

    async def notes(self, scope: Scope) -> int:
        """Deal with the oldest notes of a company, in one transaction; return how many."""
        async with self.database.write(scope) as session:
            return await _Notes(session, scope, self.settings, self.clock.now_us()).run()

    async def sweep(self, scope: Scope, *, refresh: bool = False) -> None:
        """Look at what no sample tells: delays, shelves, gateways; a transaction each."""
        async with self.database.write(scope) as session:
            await _shelves(session, scope, self.clock.now_us())
        async with self.database.write(scope) as session:
            book = AlarmBook(session, scope, self.clock.now_us())
            if refresh:
                await Setting(session, scope, book).guards()
            await Guards(session, scope, book).follow()
            await Evaluation(session, scope, book, self.settings).timers()
        async with self.database.write(scope) as session:
            book = AlarmBook(session, scope, self.clock.now_us())
            await Sources(session, scope, book, _history(self.settings)).gateways()


class _Notes(Repository):
    """One transaction of one company."""

    def __init__(
        self, session: AsyncSession, scope: Scope, settings: AlarmSettings, now_us: int
    ) -> None:
        super().__init__(session, scope)
        self._now = now_us
        self._book = AlarmBook(session, scope, now_us)
        self._evaluation = Evaluation(session, scope, self._book, settings)
        self._setting = Setting(session, scope, self._book)
        self._sources = Sources(session, scope, self._book, _history(settings))

    async def run(self) -> int:
        query = select(AlarmDue.__table__).where(self._own(AlarmDue), AlarmDue.due_us <= self._now)
        found = (await self._session.execute(query.order_by(AlarmDue.id).limit(NOTES))).all()
        notes: list[AnyRow] = []
        findings: dict[str, list[str]] = defaultdict(list)
        oldest: dict[int, int] = {}
        for note in found:
            if note.findings:
                findings[note.gateway_id] += note.findings
            for point in unpack(note.points):
                oldest[point] = min(note.lo_us, oldest.get(point, note.lo_us))
            notes.append(note)
            if len(oldest) >= POINTS:
                break
        if not notes:
            return 0
        await self._rules(notes)
        if findings:
            await self._sources.findings(findings)
        if oldest:
            await self._evaluation.points(oldest)
        await self._forget(notes)
        return len(notes)

    async def _rules(self, notes: Iterable[AnyRow]) -> None:
        noted = [note for note in notes if note.rule_id is not None]
        for rule_id in dict.fromkeys(note.rule_id for note in noted if not note.lo_us):
            await self._setting.apply(rule_id)
        looked = {note.rule_id for note in noted}
        for rule in await self._setting.rules("finding") if looked else ():
            if rule.id in looked:
                await self._sources.open_findings(rule)

    async def _forget(self, notes: Iterable[AnyRow]) -> None:
        ids = [note.id for note in notes]
        done = delete(AlarmDue).where(self._own(AlarmDue), AlarmDue.id.in_(ids))
        await self._session.execute(done)


async def _shelves(session: AsyncSession, scope: Scope, now_us: int) -> None:
    """Bring back what has been on the shelf for its time."""
    book = AlarmBook(session, scope, now_us)
    query = select(Alarm.id).where(
        Alarm.company_id == scope.company_id, Alarm.shelved_until_us <= now_us
    )
    ids = (await session.execute(query)).scalars().all()
    for held in (await book.hold(ids)).values():
        await book.act(held, Act.EXPIRE, reason="")


def _history(settings: AlarmSettings) -> int:
    return round(settings.history_after * 1e6)
