"""SQL of what processes say of themselves, and of how things are for one company."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import insert_into
from plantroom_cloud.isolation.lookups import OPEN_CHUNKS
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import JobChunk, Outbox, ProcessReport, Target


async def report(session: AsyncSession, row: Mapping[str, Any], keep_us: int) -> None:
    """Write down what a process says of itself; forget those not heard of for `keep_us`."""
    statement = insert_into(session, ProcessReport)
    upsert = statement.on_conflict_do_update(
        index_elements=["process"],
        set_={name: statement.excluded[name] for name in ("at_us", "dependencies")},
    )
    await session.execute(upsert, [dict(row)])
    old = ProcessReport.at_us < row["at_us"] - keep_us
    await session.execute(delete(ProcessReport).where(old))


async def reports(session: AsyncSession, since_us: int) -> Sequence[AnyRow]:
    """Return what processes have said since then, the newest first."""
    t = ProcessReport
    query = select(t.process, t.parts, t.started_us, t.at_us, t.dependencies)
    query = query.where(t.at_us >= since_us).order_by(t.at_us.desc(), t.process).limit(200)
    return (await session.execute(query)).all()


class OperationsRepository(Repository):
    """How things are for one company."""

    async def targets(self) -> Sequence[AnyRow]:
        """Return each target with how publishing to it goes."""
        t = Target
        query = select(t.kind, t.enabled, t.ok_us, t.failure, t.failing_us)
        return (await self._session.execute(query.where(self._own(t)).order_by(t.kind))).all()

    async def outbox(self) -> dict[str, tuple[int, int]]:
        """Return kind → values that wait, and since when (µs)."""
        t = Outbox
        query = select(t.kind, func.sum(t.rows), func.min(t.created_us)).where(self._own(t))
        rows = await self._session.execute(query.group_by(t.kind))
        return {kind: (int(values), int(since)) for kind, values, since in rows}

    async def jobs(self) -> tuple[dict[str, int], int | None, int | None]:
        """Return open chunks by state, when one became due, and when the last one ended (µs)."""
        t = JobChunk
        mine = self._own(t)
        states = (
            select(t.state, func.count()).where(mine, t.state.in_(OPEN_CHUNKS)).group_by(t.state)
        )
        counts = dict((await self._session.execute(states)).all())
        due = select(func.min(t.due_us)).where(mine, t.state == "waiting")
        ended = select(func.max(t.ended_us)).where(mine, t.state == "done")
        since = (await self._session.execute(due)).scalar_one_or_none()
        return counts, since, (await self._session.execute(ended)).scalar_one_or_none()
