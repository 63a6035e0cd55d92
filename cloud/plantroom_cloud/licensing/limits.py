"""What a licence has room for, asked in the transaction that takes it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.licensing import flags
from plantroom_cloud.licensing.errors import LicenceOver, LimitReached
from plantroom_cloud.licensing.model import OVER, Limit
from plantroom_cloud.licensing.repository import LicenceRepository


async def allow(
    session: AsyncSession, scope: Scope, limit: Limit, now_us: int, *, more: int = 1
) -> None:
    """Let the caller make `more` of something in this transaction.

    The licence stays locked until it ends: of fifty who make the last one at the same time, one
    does. Who holds rows that others wait for asks before taking these.

    Raises:
        LimitReached: there would be more than the licence allows.
        LicenceOver: it is suspended or has ended.
    """
    repository = LicenceRepository(session, Scope(scope.company_id))
    licence = await repository.licence(lock=True)
    if licence is None:
        return
    if (status := licence.status_at(now_us)) in OVER:
        raise LicenceOver(licence, status)
    most = licence.amount(limit).most
    if most is not None and await repository.used(limit, now_us) + more > most:
        raise LimitReached(limit, licence)


async def allows_llm(
    session: AsyncSession, scope: Scope, month: str, tokens: int, now_us: int
) -> bool:
    """Tell whether so many tokens may be set aside, before they are; as `allow` does.

    Args:
        session: in a transaction.
        scope: whose.
        month: ``2026-01``.
        tokens: of what is to be asked.
        now_us: the moment.
    """
    if not await flags.enabled(session, scope, flags.LLM):
        return False
    repository = LicenceRepository(session, Scope(scope.company_id))
    licence = await repository.licence(lock=True)
    if licence is None:
        return True
    if licence.status_at(now_us) in OVER:
        return False
    most = licence.amount(Limit.LLM_TOKENS).most
    return most is None or await repository.llm_tokens(month) + tokens <= most


async def last_published_point(session: AsyncSession, scope: Scope) -> int | None:
    """Return the id up to which points are published; None where all are.

    Points come into being with the samples of gateways, which are never refused: what there is
    beyond the limit is stored, and published once there is room for it.
    """
    repository = LicenceRepository(session, Scope(scope.company_id))
    licence = await repository.licence()
    most = None if licence is None else licence.amount(Limit.POINTS).most
    return None if most is None else await repository.last_point(most)


async def pause(session: AsyncSession, scope: Scope, now_us: int) -> str:
    """Return why nothing is published at the moment; empty where it is."""
    repository = LicenceRepository(session, Scope(scope.company_id))
    licence = await repository.licence()
    if licence is None:
        return ""
    if (status := licence.status_at(now_us)) in OVER:
        return f"licence {status}"
    most = licence.amount(Limit.SAMPLES).most
    if most is not None and await repository.used(Limit.SAMPLES, now_us) >= most:
        return Limit.SAMPLES.value
    return ""
