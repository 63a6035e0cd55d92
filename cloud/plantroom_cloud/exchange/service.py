"""Exports a site to a file and takes a file in, the plan first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.exchange.plan import ImportPlan, make_plan
from plantroom_cloud.exchange.record import Content, Format, SiteAbout
from plantroom_cloud.exchange.repository import Decided, ExchangeRepository
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import ApiError, NotFound


class PlanChanged(ApiError):
    """What the file would do now is not what was looked at."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "plan_changed"
    title: ClassVar[str] = "The plan is another one by now"


class ExchangeService:
    """One company's exports and imports, in the transaction of `session`."""

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session, self._scope = session, scope
        self._rows = ExchangeRepository(session, scope)

    async def site(self, site_id: int) -> SiteAbout:
        """Return the site.

        Raises:
            NotFound: the company has none of this id.
        """
        found = await self._rows.site(site_id)
        if found is None:
            msg = f"there is no site {site_id}; GET /v1/sites lists yours"
            raise NotFound(msg)
        return found

    async def export(
        self, site_id: int, format_: Format, *, accepted: bool = False
    ) -> AsyncIterator[str]:
        """Yield a file piece by piece: memory is that of a few thousand points.

        Args:
            site_id: one of the company's.
            format_: how it is written.
            accepted: only points whose mapping is accepted.

        Raises:
            NotFound: the company has no such site.
        """
        about = await self.site(site_id)
        outline = await self._rows.outline(site_id, about, accepted=accepted)
        writer = format_.writer(outline)
        yield writer.head()
        async for page in self._rows.pages(site_id, accepted=accepted):
            yield await asyncio.to_thread(writer.points, page)
        yield writer.tail()

    async def plan(self, site_id: int, content: Content, *, overwrite: bool) -> ImportPlan:
        """Return what taking a file in would change; nothing is.

        Raises:
            NotFound: the company has no such site.
        """
        await self.site(site_id)
        present = await self._rows.present(site_id)
        return await asyncio.to_thread(make_plan, content, present, overwrite=overwrite)

    async def apply(
        self,
        site_id: int,
        content: Content,
        *,
        overwrite: bool,
        digest: str,
        about: Decided,
        who: Principal | str,
    ) -> ImportPlan:
        """Do what the plan of this digest says, all of it or nothing.

        Raises:
            NotFound: the company has no such site.
            PlanChanged: the file or the site is another one since the plan was shown.
        """
        await self._rows.lock(site_id)
        plan = await self.plan(site_id, content, overwrite=overwrite)
        if plan.digest != digest:
            msg = "the file or the site has changed since; look at the new plan and apply that"
            raise PlanChanged(msg)
        await self._rows.decide(site_id, plan, about, overwrite=overwrite)
        done = {"plan": digest, "changes": len(plan.changes), "overwrite": overwrite}
        audit.record(
            self._session,
            self._scope,
            who=who,
            action="site.import",
            subject=f"site/{site_id}",
            after=done | {"about": about.evidence},
        )
        return plan
