"""Jobs made, cancelled and resumed; every worker finds them in the database."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import ApiError, InvalidRequest, NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.licensing.limits import allow
from plantroom_cloud.licensing.model import Limit
from plantroom_cloud.licensing.usage import Use, count_now
from plantroom_cloud.pipeline.edges import Edges
from plantroom_cloud.pipeline.news import tell_job
from plantroom_cloud.pipeline.repository import OPEN, JobRepository
from plantroom_cloud.pipeline.stages import following
from plantroom_cloud.pipeline.uploads import Upload
from plantroom_shared.clock import Clock

MAX_OPEN: Final = 100
"""Jobs of one company that may be open at once."""


class TooMany(ApiError):
    """The company has as many open jobs as it may have."""

    status: ClassVar[int] = 429
    code: ClassVar[str] = "too_many_jobs"
    title: ClassVar[str] = "Too many jobs are open"


class Ended(ApiError):
    """The job has come to another end already."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "job_ended"
    title: ClassVar[str] = "The job has ended"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job shall do."""

    sites: tuple[int, ...] | None = None
    """Of which sites the points; None means all, unless there is an upload, or are Edges."""
    upload: Upload | None = None
    digest: str = ""
    """SHA-256 of the upload."""
    edges: Edges | None = None
    """EnOS Edges that find the points."""
    options: dict[str, Any] = field(default_factory=lambda: {"llm": True, "publish": True})

    @property
    def source(self) -> str:
        """Where the points come from: ``upload``, ``edges`` or ``sites``."""
        return "upload" if self.upload else "edges" if self.edges else "sites"


def digest(data: bytes, name: str) -> str:
    """Return the SHA-256 of an upload with its name."""
    return hashlib.sha256(name.encode() + b"\0" + data).hexdigest()


class JobService:
    """Jobs of one company, within one transaction."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock) -> None:
        self._session, self._scope = session, scope
        self._jobs, self._clock = JobRepository(session, scope), clock

    async def start(self, asked: Asked, who: Principal | str) -> str:
        """Enter a job and return its id.

        Raises:
            NotFound: the company has no such site.
            InvalidRequest: there is nothing to do.
            TooMany: the company has `MAX_OPEN` open jobs.
            LimitReached: the licence allows no more today.
        """
        if await self._jobs.unfinished() >= MAX_OPEN:
            what = f"{MAX_OPEN} jobs are open; wait until one has ended, or cancel one"
            raise TooMany(what, headers={"Retry-After": "10"})
        job, now_us = f"j-{secrets.token_hex(16)}", self._clock.now_us()
        await allow(self._session, self._scope, Limit.JOBS, now_us)
        places, points = await self._places(asked)
        await self._jobs.add(
            id=job,
            source=asked.source,
            buildings=places,
            options=asked.options,
            notes=asked.upload.notes if asked.upload else {},
            created_us=now_us,
        )
        for number, count in enumerate(points):
            await self._plan(job, number, count, asked.upload, now_us)
        await self._tell(job, "open", places)
        source = "upload" if asked.upload else "sites"
        about = {"source": source, "digest": asked.digest, "options": asked.options}
        await count_now(self._session, self._scope, now_us, Use.JOBS, 1)
        self._record(who, "start", job, about | {"sites": asked.sites, "points": sum(points)})
        return job

    def _record(self, who: Principal | str, verb: str, job: str, after: Any = None) -> None:
        audit.record(
            self._session,
            self._scope,
            who=who,
            action=f"job.{verb}",
            subject=f"job/{job}",
            after=after,
        )

    async def _places(self, asked: Asked) -> tuple[list[dict[str, Any]], list[int]]:
        """Return the buildings and how many points each has."""
        if asked.upload is not None:
            return asked.upload.buildings, asked.upload.points
        if asked.edges is not None:
            return asked.edges.buildings, [0] * len(asked.edges.buildings)
        rows = await self._jobs.sites(asked.sites)
        missing = sorted(set(asked.sites or ()) - {row.id for row in rows})
        if missing:
            what = f"there is no site {missing[0]}; GET /v1/sites lists yours"
            raise NotFound(what)
        if not rows:
            what = "there is no site yet; upload a point list, or add one: `plantroom-cloud site`"
            raise InvalidRequest(what)
        return [{"name": row.name, "site": row.id} for row in rows], [row.points for row in rows]

    async def _plan(
        self, job: str, number: int, points: int, upload: Upload | None, now_us: int
    ) -> None:
        """Enter the first chunk of a building; what was uploaded is selected already."""
        chunk = {"stage": "select", "piece": 0, "points": points, "due_us": now_us}
        if upload is None:
            await self._jobs.plan(job, number, [chunk])
            return
        await self._jobs.put(job, number, upload.outputs[number])
        chunks = [{**chunk, "state": "done", "ended_us": now_us, "told": {"read_us": now_us}}]
        await self._jobs.plan(job, number, chunks)
        planned = following("select", points, publish=False)
        chunks = [
            {"stage": one.stage, "piece": one.piece, "points": one.points, "due_us": now_us}
            for one in planned
        ]
        await self._jobs.plan(job, number, chunks)

    async def cancel(self, job: str, who: Principal | str) -> None:
        """End a job; what is being done for it is thrown away. Again is no matter.

        Raises:
            NotFound: the company has no such job.
            Ended: it is done, or has failed.
        """
        row = await self._locked(job)
        if row.state == "cancelled":
            return
        if row.state != "open":
            msg = f"it is {row.state}: there is nothing to cancel"
            raise Ended(msg)
        now_us = self._clock.now_us()
        await self._jobs.turn(job, OPEN, state="cancelled", ended_us=now_us)
        await self._jobs.change(job, state="cancelled", ended_us=now_us, reason="cancelled")
        await self._tell(job, "cancelled", row.buildings)
        self._record(who, "cancel", job)

    async def resume(self, job: str, who: Principal | str) -> None:
        """Go on with a job that was cancelled or has failed, from where it was. Again is no matter.

        Raises:
            NotFound: the company has no such job.
            Ended: it is done.
        """
        row = await self._locked(job)
        if row.state == "open":
            return
        if row.state == "done":
            msg = "it is done: start another"
            raise Ended(msg)
        fresh = {"state": "waiting", "tries": 0, "due_us": self._clock.now_us(), "sent_us": None}
        await self._jobs.turn(job, ("failed", "cancelled"), ended_us=None, **fresh)
        await self._jobs.change(job, state="open", ended_us=None, reason="")
        await self._tell(job, "open", row.buildings)
        self._record(who, "resume", job)

    async def _tell(self, job: str, state: str, places: Sequence[dict[str, Any]]) -> None:
        now_us = self._clock.now_us()
        await tell_job(self._session, self._scope, now_us, job=job, state=state, places=places)

    async def _locked(self, job: str) -> AnyRow:
        row = await self._jobs.lock(job)
        if row is None:
            raise no_job(job)
        return row


def no_job(job: str) -> NotFound:
    """Return the error for an id of no job of the company."""
    return NotFound(f"there is no job {job}; GET /v1/jobs lists yours")


def sites_of(wanted: Sequence[int] | None) -> tuple[int, ...] | None:
    """Return the ids of sites in one order, each once."""
    return None if wanted is None else tuple(sorted(set(wanted)))
