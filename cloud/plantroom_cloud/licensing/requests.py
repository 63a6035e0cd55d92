"""How many requests companies make: counted in memory, written every few seconds.

A write per request would cost more than most requests do. So a process that is killed loses what it
has counted since its last write, and nothing is ever counted twice; where several processes serve, a
limit holds to within what the others serve in these seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.kit.times import DAY, SECOND
from plantroom_cloud.licensing.errors import RequestsUsedUp
from plantroom_cloud.licensing.model import UNLIMITED, Licence, Limit, Status, day_of
from plantroom_cloud.licensing.repository import LicenceRepository
from plantroom_cloud.licensing.usage import Use, count_usage
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

EVERY: Final = 5.0
"""Seconds between two writes of a company's count; so long may a change of a licence take."""


@dataclass(slots=True)
class _Known:
    """What a process knows of a company."""

    day: int
    licence: Licence = UNLIMITED
    written: int = 0
    """Requests of the day, of all processes, when that was last read."""
    pending: int = 0
    read_at: float = float("-inf")
    warnings: tuple[str, ...] = ()
    busy: bool = False
    """Whether somebody writes already."""
    late: list[tuple[int, int]] = field(default_factory=list)
    """(day, requests) of days that are over, to be written."""


class RequestMeter:
    """Counts requests by company, and knows when there are enough.

    Args:
        db: where they are counted.
        clock: what "now" means.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._known: dict[int, _Known] = {}

    async def take(self, scope: Scope) -> tuple[Sequence[str], bool]:
        """Count a request; return what to warn of, and whether `flush` is due.

        Raises:
            RequestsUsedUp: the licence allows no more today; it is not counted.
        """
        now = self._clock.now_us()
        known = self._known.get(scope.company_id)
        if known is None:
            known = self._known[scope.company_id] = _Known(day_of(now))
            await self._read(scope, known)
        if known.day != day_of(now):
            if known.pending:
                known.late.append((known.day, known.pending))
            known.day, known.pending, known.written = day_of(now), 0, 0
        most = known.licence.amount(Limit.REQUESTS).most
        if most is not None and known.written + known.pending >= most:
            wait = (DAY - now % DAY) // SECOND + 1
            raise RequestsUsedUp(Limit.REQUESTS, known.licence, retry_after=wait)
        known.pending += 1
        due = not known.busy and self._clock.monotonic() - known.read_at >= EVERY
        return known.warnings, due

    async def flush(self, scope: Scope) -> None:
        """Write what was counted and read the licence; a database that is busy costs nothing."""
        known = self._known.get(scope.company_id)
        if known is None or known.busy:
            return
        known.busy = True
        portion = [*known.late, (known.day, known.pending)]
        known.written += known.pending  # it counts while it is being written
        known.late, known.pending = [], 0
        try:
            async with self._db.write(scope) as session:
                for day, number in portion:
                    await count_usage(session, scope, day, {Use.REQUESTS: number})
        except SQLAlchemyError as error:
            log.warning("requests not counted yet", extra={"error": str(error)})
            self._take_back(known, portion)
        finally:
            known.busy = False
        await self._read(scope, known)

    @staticmethod
    def _take_back(known: _Known, portion: Sequence[tuple[int, int]]) -> None:
        for day, number in portion:
            if day == known.day:
                known.written -= number
                known.pending += number
            else:
                known.late.append((day, number))

    async def close(self) -> None:
        """Write all that was counted."""
        for company in list(self._known):
            await self.flush(Scope(company))

    async def _read(self, scope: Scope, known: _Known) -> None:
        now = self._clock.now_us()
        known.read_at = self._clock.monotonic()
        try:
            async with self._db.read(scope) as session:
                repository = LicenceRepository(session, scope)
                known.licence = await repository.licence() or UNLIMITED
                if known.licence is UNLIMITED:
                    known.warnings = ()
                    return
                standing = await repository.standing(known.licence, now)
        except SQLAlchemyError as error:
            log.warning("licence not read", extra={"error": str(error)})
            return
        known.written = standing.get(Limit.REQUESTS, 0)
        known.warnings = tuple(warnings_of(known.licence, standing, now))


def warnings_of(licence: Licence, standing: dict[Limit, int], now_us: int) -> list[str]:
    """Return what a company is to be warned of, as parts of the header `Licence-Warning`."""
    found = []
    if (status := licence.status_at(now_us)) not in {Status.ACTIVE, Status.TRIAL}:
        found.append(f"licence;state={status}")
    for limit, used in standing.items():
        amount = licence.amount(limit)
        if (state := amount.state(used)) != "ok":
            most = "" if amount.most is None else f";most={amount.most}"
            found.append(f"{limit};state={state};used={used}{most}")
    return found
