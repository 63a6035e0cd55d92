"""SQL of jobs as people see them: made, listed, cancelled, resumed, their progress and rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import and_, delete, func, insert, select, update

from plantroom_cloud.db import insert_into, is_sqlite
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, AnySelect, Repository
from plantroom_cloud.tables import Company, JobChunk, JobOutput, JobRow, Point, Site

OPEN: Final = ("waiting", "claimed")
"""States of a chunk that is yet to be done."""
_JOB = (
    JobRow.id, JobRow.source, JobRow.buildings, JobRow.options, JobRow.notes,
    JobRow.state, JobRow.reason, JobRow.created_us, JobRow.ended_us,
)  # fmt: skip


class JobRepository(Repository):
    """A company's jobs."""

    async def add(self, **values: Any) -> None:
        """Insert a job."""
        row = {"company_id": self._scope.company_id, "state": "open", "reason": ""}
        await self._session.execute(insert(JobRow).values(**row, **values))

    async def find(self, job: str) -> AnyRow | None:
        """Return one job, or None if the company has none of this id."""
        statement = select(*_JOB).where(self._own(JobRow), JobRow.id == job)
        return (await self._session.execute(statement)).one_or_none()

    async def lock(self, job: str) -> AnyRow | None:
        """Return one job, and let nobody else enter anything of it until the transaction ends."""
        statement = select(*_JOB).where(self._own(JobRow), JobRow.id == job)
        if not is_sqlite(self._session):
            statement = statement.with_for_update()
        return (await self._session.execute(statement)).one_or_none()

    async def page(self, state: str | None, page: Page) -> Sequence[AnyRow]:
        """Return jobs, the newest first, one more than the page holds if there are more."""
        statement: AnySelect = select(*_JOB).where(self._own(JobRow))
        if state is not None:
            statement = statement.where(JobRow.state == state)
        if page.after:
            created, job = page.after
            older = JobRow.created_us < created
            statement = statement.where(
                older | ((JobRow.created_us == created) & (JobRow.id < job))
            )
        order = (JobRow.created_us.desc(), JobRow.id.desc())
        return (await self._session.execute(statement.order_by(*order).limit(page.limit + 1))).all()

    async def unfinished(self) -> int:
        """Return how many jobs of the company are open."""
        statement = select(func.count()).where(self._own(JobRow), JobRow.state == "open")
        return int((await self._session.execute(statement)).scalar_one())

    async def change(self, job: str, **values: Any) -> None:
        """Change what is known of a job."""
        statement = update(JobRow).where(self._own(JobRow), JobRow.id == job)
        await self._session.execute(statement.values(**values))

    async def turn(self, job: str, before: Sequence[str], **values: Any) -> None:
        """Change all chunks of a job that are in one of the states `before`."""
        statement = update(JobChunk).where(
            self._own(JobChunk), JobChunk.job_id == job, JobChunk.state.in_(before)
        )
        await self._session.execute(statement.values(**values))

    async def delete(self, job: str) -> None:
        """Remove a job with all that belongs to it."""
        for table in (JobOutput, JobChunk):
            await self._session.execute(delete(table).where(self._own(table), table.job_id == job))
        await self._session.execute(delete(JobRow).where(self._own(JobRow), JobRow.id == job))

    # ------------------------------------------------------------ what it consists of

    async def company(self) -> str:
        """Return the slug of the company: its settings go by it."""
        mine = select(Company.slug).where(Company.id == self._scope.company_id)
        return str((await self._session.execute(mine)).scalar_one())

    async def sites(self, wanted: Sequence[int] | None) -> Sequence[AnyRow]:
        """Return (id, name, points) of the company's sites, of all or of those `wanted`, by id."""
        statement = (
            select(Site.id, Site.name, func.count(Point.id).label("points"))
            .outerjoin(Point, and_(Point.site_id == Site.id, self._own(Point)))
            .where(self._own(Site))
            .group_by(Site.id, Site.name)
        )
        if wanted is not None:
            statement = statement.where(Site.id.in_(wanted))
        return (await self._session.execute(statement.order_by(Site.id))).all()

    async def plan(self, job: str, building: int, chunks: Sequence[dict[str, Any]]) -> None:
        """Add chunks of a building; those that are there stay as they are."""
        if not chunks:
            return
        own = {"company_id": self._scope.company_id, "job_id": job, "building": building}
        blank = {"tries": 0, "worker": "", "token": "", "told": {}, "reason": ""}
        rows = [{**own, **blank, "state": "waiting", **chunk} for chunk in chunks]
        for start in range(0, len(rows), 500):
            statement = insert_into(self._session, JobChunk).values(rows[start : start + 500])
            await self._session.execute(statement.on_conflict_do_nothing())

    async def put(self, job: str, building: int, outputs: Sequence[tuple[str, int, bytes]]) -> None:
        """Add kind, piece and data; what is there stays, since it is the same."""
        own = {"company_id": self._scope.company_id, "job_id": job, "building": building}
        for kind, piece, data in outputs:
            statement = insert_into(self._session, JobOutput).values(
                kind=kind, piece=piece, data=data, **own
            )
            await self._session.execute(statement.on_conflict_do_nothing())

    async def outputs(self, job: str, building: int, kind: str) -> list[bytes]:
        """Return all pieces of a kind, in order."""
        rows = await self._session.scalars(
            select(JobOutput.data)
            .where(
                self._own(JobOutput),
                JobOutput.job_id == job,
                JobOutput.building == building,
                JobOutput.kind == kind,
            )
            .order_by(JobOutput.piece)
        )
        return list(rows)

    async def output(self, job: str, building: int, kind: str, piece: int) -> bytes | None:
        """Return one piece."""
        where = (JobOutput.job_id == job, JobOutput.building == building)
        what = (JobOutput.kind == kind, JobOutput.piece == piece)
        return await self._session.scalar(
            select(JobOutput.data).where(self._own(JobOutput), *where, *what)
        )

    # ------------------------------------------------------------ how far it has come

    async def progress(self, jobs: Sequence[str]) -> Sequence[AnyRow]:
        """Return chunks, points and tries of jobs by stage and state."""
        statement = (
            select(
                JobChunk.job_id,
                JobChunk.stage,
                JobChunk.state,
                func.count().label("chunks"),
                func.sum(JobChunk.points).label("points"),
                func.sum(JobChunk.tries).label("tries"),
            )
            .where(self._own(JobChunk), JobChunk.job_id.in_(jobs))
            .group_by(JobChunk.job_id, JobChunk.stage, JobChunk.state)
        )
        return (await self._session.execute(statement)).all()

    async def told(self, job: str, stage: str) -> Sequence[AnyRow]:
        """Return (building, told) of what is done of a stage."""
        statement = select(JobChunk.building, JobChunk.told).where(
            self._own(JobChunk),
            JobChunk.job_id == job,
            JobChunk.stage == stage,
            JobChunk.state == "done",
        )
        return (await self._session.execute(statement)).all()

    async def told_of(self, job: str, building: int, stage: str) -> dict[str, Any]:
        """Return what a stage of one chunk has told of a building; empty until it is done."""
        rows = await self.told(job, stage)
        return next((dict(row.told) for row in rows if row.building == building), {})

    async def troubles(self, job: str) -> Sequence[AnyRow]:
        """Return the first chunks that have failed, or failed before: stage, building, state, reason."""
        statement = (
            select(
                JobChunk.stage, JobChunk.building, JobChunk.state, JobChunk.tries, JobChunk.reason
            )
            .where(self._own(JobChunk), JobChunk.job_id == job, JobChunk.reason != "")
            .order_by(JobChunk.building, JobChunk.stage, JobChunk.piece)
            .limit(20)
        )
        return (await self._session.execute(statement)).all()

    async def chunks_of(self, job: str, low: int, high: int) -> Sequence[AnyRow]:
        """Return building, stage, state and points of chunks, and `told` of what is scored."""
        statement = select(
            JobChunk.building, JobChunk.stage, JobChunk.state, JobChunk.points, JobChunk.told
        ).where(
            self._own(JobChunk),
            JobChunk.job_id == job,
            JobChunk.building >= low,
            JobChunk.building < high,
        )
        return (await self._session.execute(statement)).all()

    async def kinds(self, job: str, low: int, high: int) -> set[tuple[int, str]]:
        """Return (building, kind) of what there is of buildings."""
        statement = (
            select(JobOutput.building, JobOutput.kind)
            .where(
                self._own(JobOutput),
                JobOutput.job_id == job,
                JobOutput.building >= low,
                JobOutput.building < high,
            )
            .distinct()
        )
        return {(row.building, row.kind) for row in await self._session.execute(statement)}
