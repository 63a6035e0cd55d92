"""Governance's job of the worker: checks what has changed, carries deletions out, makes exports."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy.exc import DBAPIError

from plantroom_cloud.audit.heads import make_head_key
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.governance.carrying_out import SomethingIsLeft, Worker
from plantroom_cloud.governance.deleting import CONFIRMED, DeletionRows
from plantroom_cloud.governance.exporting import Exporter
from plantroom_cloud.governance.repository import GovernanceRepository
from plantroom_cloud.governance.service import GovernanceService
from plantroom_cloud.isolation.lookups import deletions_to_do, exports_to_do, sites_to_check
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.times import SECOND
from plantroom_cloud.supervise import Backoff
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

POLL: Final = 2.0
"""Seconds between two looks for work."""
_MOST: Final = 500
"""Sites looked up at once."""
_REST: Final = 4
"""After a check a site is left alone at least so many times as long as that took."""
_WAIT: Final = 60.0
"""Seconds until a deletion that does not get on is tried again."""

Place = tuple[int, int]
"""(company, site)."""


async def run(database: Database, settings: CloudSettings, clock: Clock) -> None:
    """Look for work until cancelled; trouble is waited for."""
    key = await asyncio.to_thread(make_head_key, settings.data)
    rows, days = settings.governance.delete_rows, settings.governance.export_days
    worker = Worker(database, clock, key.key, settings.data, rows)
    exporter = Exporter(database, clock, settings.data, days)
    checker, backoff = Checker(database, settings, clock), Backoff("governance")
    waits: dict[str, float] = {}
    while True:
        try:
            await checker.round()
            await delete_all(worker, waits)
            await export_all(exporter)
        except DBAPIError as error:
            await backoff.wait(error)
            continue
        backoff.recovered()
        await asyncio.sleep(POLL)


class Checker:
    """Checks sites that have changed, and those that nobody has looked at for long."""

    def __init__(self, database: Database, settings: CloudSettings, clock: Clock) -> None:
        self._db, self._settings, self._clock = database, settings.governance, clock
        self._rest: dict[Place, float] = {}
        """Place → until when it is left alone, on the monotonic clock."""
        self._failing: set[Place] = set()

    async def round(self) -> int:
        """Check what is due; return how many sites those were."""
        old = self._clock.now_us() - round(self._settings.check_every * SECOND)
        async with self._db.read(None) as session:
            places = await sites_to_check(session, old, _MOST)
        now = self._clock.monotonic()
        self._rest = {place: until for place, until in self._rest.items() if until > now}
        due = [place for place in places if place not in self._rest]
        return sum([await self._try(place) for place in due])

    async def _try(self, place: Place) -> bool:
        began = self._clock.monotonic()
        try:
            await check_noted(
                self._db, Scope(place[0]), place[1], self._clock, self._settings.rule_seconds
            )
        except DBAPIError as error:
            if place not in self._failing:
                extra = {"site": place[1], "why": type(error).__name__}
                log.warning("a site could not be checked", extra=extra)
            self._failing.add(place)
            self._rest[place] = self._clock.monotonic() + _WAIT
            return False
        self._failing.discard(place)
        ended = self._clock.monotonic()
        self._rest[place] = ended + max(self._settings.check_gap, _REST * (ended - began))
        return True


async def check_noted(
    database: Database, scope: Scope, site: int, clock: Clock, seconds: float
) -> None:
    """Check a site and settle the notes that led to it.

    The notes are marked in a transaction of their own before anything is read: a change that is not
    seen by the check has left, or will leave, another note. Whoever is killed between finds them.
    """
    async with database.write(scope) as session:
        await GovernanceRepository(session, scope).take(site)
    async with database.write(scope) as session:
        rows = GovernanceRepository(session, scope)
        notes = await rows.taken(site)
        try:
            await GovernanceService(session, scope, clock).check(site, seconds=seconds)
        except NotFound:
            log.debug("a site to be checked has gone", extra={"site": site})
        await rows.settle(notes)


async def delete_all(worker: Worker, waits: dict[str, float]) -> int:
    """Carry out what is confirmed; return how many deletions came to their end.

    Args:
        worker: does it.
        waits: deletion → until when it is left alone, on the monotonic clock: kept between calls.
    """
    async with worker.database.read(None) as session:
        due = await deletions_to_do(session)
    done = 0
    for scope, deletion in due:
        if waits.get(deletion, 0.0) > worker.clock.monotonic():
            continue
        try:
            done += await worker.carry_out(scope, deletion)
        except (SomethingIsLeft, DBAPIError) as error:
            waits[deletion] = worker.clock.monotonic() + _WAIT
            await _note_trouble(worker, scope, deletion, error)
    return done


async def _note_trouble(worker: Worker, scope: Scope, deletion: str, error: Exception) -> None:
    cause = f"{type(error).__name__}: {error}"[:300]
    log.warning("a deletion does not get on", extra={"deletion": deletion, "cause": cause})
    async with worker.database.write(scope) as session:
        row = await DeletionRows(session, scope).find(deletion, lock=True)
        if row is not None and row.state == CONFIRMED:
            row.trouble = cause


async def export_all(exporter: Exporter) -> None:
    """Make the exports that wait, and remove those that are over."""
    async with exporter.database.read(None) as session:
        due = await exports_to_do(session, exporter.clock.now_us())
    for scope, export in due:
        await exporter.work(scope, export)
