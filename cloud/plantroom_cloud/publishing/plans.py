"""SQL of plans: asked for, made, approved, carried out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import func, select, update

from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.publishing.steps import Step
from plantroom_cloud.tables import (
    EnosDevice,
    PublishDue,
    PublishedPoint,
    PublishPlan,
    Site,
    Target,
)

WANTED, MADE, APPROVED, DONE, FAILED = "wanted", "made", "approved", "done", "failed"
OPEN: Final = (WANTED, APPROVED)
"""States in which a worker has something to do."""


class PlanRepository(Repository):
    """Plans of one company, and what its publishing has come to."""

    async def site_id(self, slug: str) -> int | None:
        """Return the id of a site by its slug."""
        query = select(Site.id).where(self._own(Site), Site.slug == slug)
        return await self._session.scalar(query)

    async def has_site(self, site_id: int) -> bool:
        """Say whether the company has a site."""
        query = select(Site.id).where(self._own(Site), Site.id == site_id)
        return (await self._session.scalar(query)) is not None

    async def ask(self, kind: str, site_id: int, by: str, now_us: int) -> PublishPlan:
        """Ask for a plan of a site; one that is asked for already is that one."""
        row = await self._newest(kind, site_id, (WANTED,))
        if row is None:
            row = PublishPlan(
                company_id=self._scope.company_id,
                kind=kind,
                site_id=site_id,
                state=WANTED,
                steps=[],
                note="",
                result={},
                left_out=[],
                asked_us=now_us,
                asked_by=by[:200],
                approved_by="",
            )
            self._session.add(row)
            await self._session.flush()
        return row

    async def newest(self, kind: str, site_id: int) -> PublishPlan | None:
        """Return the newest plan of a site, in whatever state."""
        return await self._newest(kind, site_id, ())

    async def find(self, kind: str, site_id: int, plan_id: int | None) -> PublishPlan | None:
        """Return a plan of a site; without an id the newest that was made."""
        if plan_id is None:
            return await self._newest(kind, site_id, (MADE, APPROVED, DONE, FAILED))
        query = select(PublishPlan).where(self._own(PublishPlan), PublishPlan.id == plan_id)
        query = query.where(PublishPlan.kind == kind, PublishPlan.site_id == site_id)
        return await self._session.scalar(query)

    async def _newest(self, kind: str, site_id: int, states: Sequence[str]) -> PublishPlan | None:
        query = select(PublishPlan).where(
            self._own(PublishPlan), PublishPlan.kind == kind, PublishPlan.site_id == site_id
        )
        if states:
            query = query.where(PublishPlan.state.in_(states))
        return await self._session.scalar(query.order_by(PublishPlan.id.desc()).limit(1))

    async def open(self, kind: str) -> PublishPlan | None:
        """Return the oldest plan that a worker has something to do for."""
        query = select(PublishPlan).where(
            self._own(PublishPlan), PublishPlan.kind == kind, PublishPlan.state.in_(OPEN)
        )
        return await self._session.scalar(query.order_by(PublishPlan.id).limit(1))

    async def approve(self, plan_id: int, by: str, now_us: int, left_out: Sequence[str]) -> None:
        """Note that somebody has given the word for a plan."""
        await self._session.execute(
            update(PublishPlan)
            .where(self._own(PublishPlan), PublishPlan.id == plan_id)
            .values(
                state=APPROVED,
                left_out=list(left_out),
                approved_us=now_us,
                approved_by=by[:200],
            )
        )

    async def get(self, plan_id: int) -> PublishPlan | None:
        """Return a plan by its id."""
        query = select(PublishPlan).where(self._own(PublishPlan), PublishPlan.id == plan_id)
        return await self._session.scalar(query)

    # ------------------------------------------------------------ what it has come to

    async def target(self, kind: str) -> bool | None:
        """Say whether the company publishes to a platform; None where it never did."""
        query = select(Target.enabled).where(self._own(Target), Target.kind == kind)
        return await self._session.scalar(query)

    async def points(self, kind: str, site_id: int) -> int:
        """Return how many points of a site are published."""
        query = select(func.count()).where(
            self._own(PublishedPoint),
            PublishedPoint.kind == kind,
            PublishedPoint.site_id == site_id,
            PublishedPoint.until_us.is_(None),
        )
        return int(await self._session.scalar(query) or 0)

    async def due(self, kind: str, site_id: int) -> tuple[int, int | None]:
        """Return how many points still have something due, and from when on."""
        query = (
            select(func.count(func.distinct(PublishDue.point_id)), func.min(PublishDue.lo_us))
            .join(PublishedPoint, PublishedPoint.point_id == PublishDue.point_id)
            .where(self._own(PublishDue, PublishedPoint), PublishDue.kind == kind)
            .where(PublishedPoint.kind == kind, PublishedPoint.until_us.is_(None))
            .where(PublishedPoint.site_id == site_id)
        )
        row = (await self._session.execute(query)).one()
        return int(row[0] or 0), row[1]

    async def devices(self, site_id: int) -> tuple[int, int]:
        """Return how many devices of a site EnOS has confirmed, and how many of them are gone."""
        query = select(func.count(), func.count(EnosDevice.gone_us)).where(
            self._own(EnosDevice), EnosDevice.site_id == site_id, EnosDevice.asset_id != ""
        )
        row = (await self._session.execute(query)).one()
        return int(row[0]), int(row[1])


def steps_of(row: PublishPlan) -> list[Step]:
    """Return the steps of a plan."""
    return [Step.of(shown) for shown in row.steps]
