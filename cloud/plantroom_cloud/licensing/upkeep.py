"""Looks once a minute how licences stand, and notes once a day what is near its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final, NamedTuple

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.isolation.lookups import licensed
from plantroom_cloud.licensing.model import Licence, Limit, Status, day_of
from plantroom_cloud.licensing.repository import LicenceRepository
from plantroom_cloud.supervise import Backoff
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

EVERY: Final = 60.0
"""Seconds between two rounds."""
_KEPT: Final = 400
"""Days for which a notice is kept."""


class _Notice(NamedTuple):
    subject: str
    kind: str
    used: int
    most: int | None


async def run(database: Database, _settings: CloudSettings, clock: Clock) -> None:
    """Look every minute until cancelled: a job of the worker."""
    backoff = Backoff("licensing")
    while True:
        try:
            await look(database, clock.now_us())
        except DBAPIError as error:
            await backoff.wait(error)
            continue
        backoff.recovered()
        await asyncio.sleep(EVERY)


async def look(database: Database, now_us: int) -> int:
    """Note what is to be noted of every company with a licence; return how much that was."""
    async with database.read(None) as session:
        companies = await licensed(session)
    noted = 0
    for scope in companies:
        async with database.write(scope) as session:
            noted += await _look_at(session, scope, now_us)
    return noted


async def _look_at(session: AsyncSession, scope: Scope, now_us: int) -> int:
    repository = LicenceRepository(session, scope)
    licence = await repository.licence()
    if licence is None:
        return 0
    standing = await repository.standing(licence, now_us)
    noted, day = 0, day_of(now_us)
    for one in _notices(licence, standing, now_us):
        about = one._asdict()
        if await repository.notice(day=day, at_us=now_us, **about):
            noted += 1
            log.warning("licence", extra={"company": scope.company_id} | about)
            audit.record(
                session,
                scope,
                who="service:licensing",
                action="licence.notice",
                subject="licence",
                after=about,
            )
    await repository.forget(day - _KEPT)
    return noted


def _notices(licence: Licence, standing: dict[Limit, int], now_us: int) -> Iterator[_Notice]:
    status = licence.status_at(now_us)
    if status not in {Status.ACTIVE, Status.TRIAL}:
        yield _Notice("licence", status.value, 0, None)
    for limit, used in standing.items():
        amount = licence.amount(limit)
        if (state := amount.state(used)) != "ok":
            yield _Notice(limit.value, state, used, amount.most)
