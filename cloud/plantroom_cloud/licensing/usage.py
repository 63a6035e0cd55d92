"""What a company uses, per day, counted where it is used."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope, insert_into
from plantroom_cloud.licensing.model import day_of
from plantroom_cloud.tables import UsageDay


class Use(StrEnum):
    """What is counted by the day; tokens of language models are counted where they are set aside."""

    SAMPLES = "samples"
    REQUESTS = "requests"
    PUBLISHED = "published"
    JOBS = "jobs"


async def count_usage(
    session: AsyncSession, scope: Scope, day: int, amounts: Mapping[Use, int]
) -> dict[Use, int]:
    """Add to what a company used on a day; return the totals.

    In the transaction of what it counts: both are there, or neither is. Its rows stay locked until
    then, so it stands last, and companies come in the order of their ids.
    """
    totals = {}
    for use, amount in sorted(amounts.items()):
        if not amount:
            continue
        new = insert_into(session, UsageDay).values(
            company_id=scope.company_id, day=day, what=use.value, amount=amount
        )
        statement = new.on_conflict_do_update(
            index_elements=["company_id", "day", "what"],
            set_={"amount": UsageDay.amount + new.excluded.amount},
        )
        done = await session.execute(statement.returning(UsageDay.amount))
        totals[use] = int(done.scalar_one())
    return totals


async def count_now(
    session: AsyncSession, scope: Scope, now_us: int, use: Use, amount: int
) -> None:
    """Add to what a company uses today."""
    await count_usage(session, scope, day_of(now_us), {use: amount})
