"""Upkeep of claiming: old certificates end, and devices that nobody claimed are forgotten."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import and_, delete, or_, update

from plantroom_cloud.db import Database
from plantroom_cloud.isolation.lookups import companies_with_superseded
from plantroom_cloud.kit.times import DAY
from plantroom_cloud.tables import IssuedCertificate, PendingGateway

SUPERSEDED_US: Final = DAY
"""How long a certificate stays good after a newer one was confirmed: a gateway that is cut off right
then may come back with the old one."""
FORGET_US: Final = 7 * DAY
"""How long a device that nobody has claimed is remembered after its time."""
KEEP_US: Final = 200 * DAY
"""How long what a claimed device got is kept for it: longer than it is good for."""


async def prune(database: Database, now_us: int) -> int:
    """Do what is due, for all companies; return how many rows that were."""
    before_us, rows = now_us - SUPERSEDED_US, 0
    async with database.read(None) as reading:
        scopes = await companies_with_superseded(reading, before_us)
    for scope in scopes:
        old = update(IssuedCertificate).where(
            IssuedCertificate.company_id == scope.company_id,
            IssuedCertificate.superseded_us <= before_us,
            IssuedCertificate.revoked_us.is_(None),
        )
        async with database.write(scope) as session:
            done: Any = await session.execute(old.values(revoked_us=now_us, reason="superseded"))
            rows += done.rowcount
    waiting = PendingGateway.state != "claimed"
    gone = delete(PendingGateway).where(
        or_(
            and_(waiting, PendingGateway.expires_us <= now_us - FORGET_US),
            PendingGateway.created_us <= now_us - KEEP_US,
        )
    )
    async with database.write(None) as session:
        done = await session.execute(gone)
    return rows + int(done.rowcount)
