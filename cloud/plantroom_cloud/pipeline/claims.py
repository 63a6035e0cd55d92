"""Who does which chunk: claims with a lease, and results that are entered once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import (
    ColumnElement,
    and_,
    delete,
    func,
    not_,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope, is_sqlite
from plantroom_cloud.isolation import lookups
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.live import topics
from plantroom_cloud.live.telling import Happening, tell
from plantroom_cloud.pipeline.news import sites_of_places, tell_job
from plantroom_cloud.pipeline.repository import OPEN, JobRepository
from plantroom_cloud.pipeline.stages import following
from plantroom_cloud.tables import JobChunk, JobOutput, JobRow

MAX_TRIES: Final = 5
"""How often a chunk is begun before its building is given up."""
_KEY = (JobChunk.job_id, JobChunk.building, JobChunk.stage, JobChunk.piece)
_INTERIM: Final = ("group", "map", "questions", "answers")
"""Of no use once a building is scored."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A chunk that this worker may do until its lease runs out."""

    scope: Scope
    job: str
    building: int
    stage: str
    piece: int
    points: int
    tries: int
    token: str
    place: dict[str, Any]
    """Of the building: ``name`` and ``site``, and of one that an Edge searches ``edge`` and ``nets``."""
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What a stage has brought for one chunk."""

    outputs: Sequence[tuple[str, int, bytes]] = ()
    """Kind, piece and data."""
    told: dict[str, Any] = field(default_factory=dict)
    points: int | None = None
    """How many points the building turned out to have; None where that was known."""
    pieces: int = 1
    """Into how many chunks the next stage is cut."""
    reason: str = ""
    """What is missing of it, though it is done; for people."""


Lane = Literal["search", "other"]
"""Chunks that wait for an Edge for minutes, and all that do not: neither shall keep the other."""


def _due(
    now_us: int, lane: Lane | None = None, own: tuple[ColumnElement[bool], ...] = ()
) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a chunk that may be taken; of any lane where none is named."""
    due = (JobChunk.state.in_(OPEN), JobChunk.due_us <= now_us)
    if lane is None:
        return due
    mine = (JobRow.id == JobChunk.job_id, JobRow.company_id == JobChunk.company_id)
    # Not all columns: a look-up across companies may read some of them alone.
    edges = select(JobRow.id).where(*mine, *own, JobRow.source == "edges").exists()
    search = and_(JobChunk.stage == "select", edges)
    return (*due, search if lane == "search" else not_(search))


async def companies_with_work(
    session: AsyncSession, now_us: int, lane: Lane | None = None
) -> list[int]:
    """Return companies that have a chunk to be taken."""
    return await lookups.companies_with_work(session, *_due(now_us, lane))


class Claims(Repository):
    """Chunks of one company, for who does them."""

    async def take(
        self, worker: str, now_us: int, lease_us: int, lane: Lane | None = None
    ) -> Claim | None:
        """Claim the chunk that is due longest; None where there is none, or all are being claimed.

        On PostgreSQL a row that another worker is about to claim is passed over; on SQLite the
        transaction has the write lock from its start, so that there is no other.
        """
        due = (self._own(JobChunk), *_due(now_us, lane, (self._own(JobRow),)))
        chosen = select(*_KEY).where(*due).order_by(JobChunk.due_us, *_KEY).limit(1)
        if not is_sqlite(self._session):
            chosen = chosen.with_for_update(skip_locked=True)
        key = (await self._session.execute(chosen)).one_or_none()
        if key is None:
            return None
        token = secrets.token_hex(16)
        statement = (
            update(JobChunk)
            .where(self._own(JobChunk), *self._at(*key))
            .values(
                state="claimed",
                worker=worker[:80],
                token=token,
                tries=JobChunk.tries + 1,
                due_us=now_us + lease_us,
                sent_us=None,  # once the lease has run out, somebody else is to be woken
            )
            .returning(JobChunk.points, JobChunk.tries)
        )
        row = (await self._session.execute(statement)).one()
        job = await JobRepository(self._session, self._scope).find(key.job_id)
        assert job is not None  # noqa: S101 -- a foreign key leads to it
        place = job.buildings[key.building]
        return Claim(self._scope, *key, row.points, row.tries, token, place, job.options)

    async def renew(self, claim: Claim, until_us: int) -> bool:
        """Keep a claim until `until_us`; False if it was lost, or the job was cancelled."""
        return await self._turn(claim, due_us=until_us)

    async def tell(self, claim: Claim, told: dict[str, Any], points: int) -> bool:
        """Say how far a chunk has come while it is done; False if the claim was lost."""
        return await self._turn(claim, told=told, points=points)

    async def give_back(self, claim: Claim, due_us: int, reason: str = "", *, free: bool) -> bool:
        """Let a chunk be done from `due_us` on, by whoever comes; False if the claim was lost.

        Args:
            claim: what this worker has.
            due_us: from when on.
            reason: what went wrong; empty where nothing did.
            free: whether the try does not count.
        """
        tries = claim.tries - free
        return await self._turn(claim, state="waiting", due_us=due_us, reason=reason, tries=tries)

    async def finish(self, claim: Claim, result: Result, now_us: int) -> bool:
        """Enter what a chunk has brought, and plan what comes next, at once or not at all.

        Returns:
            Whether it counts; False if the claim was lost: then nothing is entered.
        """
        jobs = JobRepository(self._session, self._scope)
        job = await jobs.lock(claim.job)
        points = claim.points if result.points is None else result.points
        done = {"state": "done", "told": result.told, "points": points}
        done["reason"] = result.reason[:500].replace("\0", "")
        if job is None or not await self._turn(claim, ended_us=now_us, **done):
            return False
        await jobs.put(claim.job, claim.building, result.outputs)
        if claim.stage == "score":
            await self._forget(claim)
        if not await self._left(claim, stage=claim.stage):
            await self._plan(claim, result, points, now_us)
        await self._tell(claim, "done", now_us)
        await self._end(claim.job, now_us)
        return True

    async def fail(self, claim: Claim, reason: str, now_us: int) -> bool:
        """Give a chunk up, and with it its building; the others go on."""
        await JobRepository(self._session, self._scope).lock(claim.job)
        if not await self._turn(claim, state="failed", reason=reason, ended_us=now_us):
            return False
        await self._tell(claim, "failed", now_us)
        await self._end(claim.job, now_us)
        return True

    async def unsent(self, now_us: int, again_us: int, limit: int) -> int:
        """Note for up to `limit` chunks that are due that a worker is woken now.

        Args:
            now_us: now.
            again_us: what was sent before that is sent again: messages get lost.
            limit: how many at most.

        Returns:
            How many they are.
        """
        due = (self._own(JobChunk), JobChunk.state.in_(OPEN), JobChunk.due_us <= now_us)
        old = or_(JobChunk.sent_us.is_(None), JobChunk.sent_us <= again_us)
        chosen = select(*_KEY).where(*due, old).order_by(JobChunk.due_us, *_KEY).limit(limit)
        if not is_sqlite(self._session):
            chosen = chosen.with_for_update(skip_locked=True)
        keys = [tuple(row) for row in await self._session.execute(chosen)]
        if keys:
            mine = (self._own(JobChunk), tuple_(*_KEY).in_(keys))
            await self._session.execute(update(JobChunk).where(*mine).values(sent_us=now_us))
        return len(keys)

    async def not_sent(self, now_us: int) -> None:
        """Take back that workers were woken at `now_us`: they were not."""
        mine = (self._own(JobChunk), JobChunk.sent_us == now_us)
        await self._session.execute(update(JobChunk).where(*mine).values(sent_us=None))

    # ------------------------------------------------------------ within a transaction

    @staticmethod
    def _at(job: str, building: int, stage: str, piece: int) -> tuple[Any, ...]:
        return (
            JobChunk.job_id == job,
            JobChunk.building == building,
            JobChunk.stage == stage,
            JobChunk.piece == piece,
        )

    async def _turn(self, claim: Claim, **values: Any) -> bool:
        """Change a chunk that is still ours."""
        statement = (
            update(JobChunk)
            .where(
                self._own(JobChunk),
                *self._at(claim.job, claim.building, claim.stage, claim.piece),
                JobChunk.state == "claimed",
                JobChunk.token == claim.token,
            )
            .values(**values)
            .returning(JobChunk.piece)
        )
        return (await self._session.execute(statement)).first() is not None

    async def _left(self, claim: Claim, *, stage: str) -> int:
        """Return how many chunks of a building's stage are not done."""
        statement = select(func.count()).where(
            self._own(JobChunk),
            JobChunk.job_id == claim.job,
            JobChunk.building == claim.building,
            JobChunk.stage == stage,
            JobChunk.state != "done",
        )
        return int((await self._session.execute(statement)).scalar_one())

    async def _plan(self, claim: Claim, result: Result, points: int, now_us: int) -> None:
        if claim.stage == "analyse":
            # Its chunks share the building's points among them.
            points = await self._points(claim)
        publish = bool(claim.options.get("publish")) and claim.place.get("site") is not None
        planned = following(claim.stage, points, pieces=result.pieces, publish=publish)
        chunks = [
            {"stage": one.stage, "piece": one.piece, "points": one.points, "due_us": now_us}
            for one in planned
        ]
        jobs = JobRepository(self._session, self._scope)
        await jobs.plan(claim.job, claim.building, chunks)

    async def _points(self, claim: Claim) -> int:
        statement = select(JobChunk.points).where(
            self._own(JobChunk), *self._at(claim.job, claim.building, "select", 0)
        )
        return int((await self._session.execute(statement)).scalar_one())

    async def _forget(self, claim: Claim) -> None:
        """Delete what led to a building's score: what is published is the score alone."""
        await self._session.execute(
            delete(JobOutput).where(
                self._own(JobOutput),
                JobOutput.job_id == claim.job,
                JobOutput.building == claim.building,
                JobOutput.kind.in_(_INTERIM),
            )
        )

    async def _end(self, job: str, now_us: int) -> None:
        """End a job of which nothing is left to do."""
        states = select(JobChunk.state, func.count()).where(
            self._own(JobChunk), JobChunk.job_id == job
        )
        found = (await self._session.execute(states.group_by(JobChunk.state))).all()
        counts = dict(found)
        if counts.get("waiting") or counts.get("claimed"):
            return
        failed = counts.get("failed", 0)
        reason = f"{failed} chunks were given up; see troubles" if failed else ""
        state = "failed" if failed else "done"
        statement = update(JobRow).where(
            self._own(JobRow), JobRow.id == job, JobRow.state == "open"
        )
        changed = statement.values(state=state, reason=reason, ended_us=now_us)
        row = (await self._session.execute(changed.returning(JobRow.buildings))).first()
        if row is not None:
            what = {"job": job, "state": state}
            await tell_job(self._session, self._scope, now_us, **what, places=row.buildings)

    async def _tell(self, claim: Claim, state: str, now_us: int) -> None:
        """Tell who watches how far it has come."""
        where = {"building": claim.building, "stage": claim.stage, "piece": claim.piece}
        data = {"job": claim.job, "state": state, **where}
        sites = sites_of_places([claim.place])
        step = Happening(topics.JOBS, "job.step", data, sites, hook=False)
        await tell(self._session, self._scope, now_us, step)
