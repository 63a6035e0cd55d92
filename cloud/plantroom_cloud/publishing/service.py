"""Asking for plans and giving the word: what API and command line have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.governance.gate import check_gate
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import ApiError, NotFound
from plantroom_cloud.kit.times import rfc3339_or_none
from plantroom_cloud.publishing.plans import FAILED, MADE, WANTED, PlanRepository
from plantroom_cloud.publishing.repository import PublishingRepository
from plantroom_cloud.publishing.schemas import show_plan
from plantroom_cloud.tables import PublishPlan
from plantroom_shared.clock import Clock

KIND: Final = "enos"
"""The platform that is meant where none is named: there is one."""


class NotMade(ApiError):
    """The word was given for a plan that nobody can have seen yet."""

    status, code, title = 409, "plan_not_made", "The plan is not made yet"


class PublishingService:
    """What a company asks of its publishing, site by site."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock) -> None:
        self._session, self._scope, self._clock = session, scope, clock
        self._plans = PlanRepository(session, scope)

    async def status(self, site_id: int) -> dict[str, Any]:
        """Return what the publishing of a site has come to; NotFound if there is no such site."""
        await self._check(site_id)
        outbox = PublishingRepository(self._session, self._scope)
        waiting, since = await outbox.backlog(KIND)
        due, due_from = await self._plans.due(KIND, site_id)
        devices, gone = await self._plans.devices(site_id)
        row = await self._plans.newest(KIND, site_id)
        counters = await outbox.counters(f"{KIND}.")
        return {
            "kind": KIND,
            "site": site_id,
            "enabled": bool(await self._plans.target(KIND)),
            "points": await self._plans.points(KIND, site_id),
            "devices": devices,
            "devices_gone": gone,
            "due_points": due,
            "due_from": rfc3339_or_none(due_from),
            "waiting": waiting,
            "waiting_since": rfc3339_or_none(since),
            "counters": {name.removeprefix(f"{KIND}."): n for name, n in counters.items()},
            "plan": None if row is None else show_plan(row),
        }

    async def newest(self, site_id: int) -> PublishPlan:
        """Return the newest plan of a site; NotFound if there is none."""
        await self._check(site_id)
        row = await self._plans.newest(KIND, site_id)
        if row is None:
            msg = f"there is no plan for site {site_id}; POST to the same path asks for one"
            raise NotFound(msg)
        return row

    async def ask(self, site_id: int, who: Principal | str) -> PublishPlan:
        """Ask the worker for a plan; NotFound if there is no such site."""
        await self._check(site_id)
        by = audit.display_name(who)
        row = await self._plans.ask(KIND, site_id, by, self._clock.now_us())
        self._record(who, "plan", site_id, {"plan": row.id})
        return row

    async def approve(
        self, site_id: int, plan_id: int | None, who: Principal | str, left_out: Sequence[str] = ()
    ) -> PublishPlan:
        """Have the worker carry out a plan; one that failed goes on where it was broken off.

        Raises:
            NotFound: there is no such plan of this site.
            NotMade: nobody can have seen it yet.
            GateClosed: a rule of governance blocks the site.
        """
        await self._check(site_id)
        row = await self._plans.find(KIND, site_id, plan_id)
        if row is None:
            msg = f"there is no such plan for site {site_id}; POST .../publishing/plan asks for one"
            raise NotFound(msg)
        if row.state == WANTED or row.made_us is None:
            msg = f"plan {row.id} is not made yet; look at it first: GET .../publishing/plan"
            raise NotMade(msg)
        if row.state in (MADE, FAILED):
            await check_gate(self._session, self._scope, site_id, "publishing", clock=self._clock)
            by = audit.display_name(who)
            await self._plans.approve(row.id, by, self._clock.now_us(), left_out)
            steps = {"plan": row.id, "steps": len(row.steps or ()), "left_out": list(left_out)}
            self._record(who, "apply", site_id, steps)
        return row

    def _record(self, who: Principal | str, verb: str, site: int, after: dict[str, Any]) -> None:
        audit.record(
            self._session,
            self._scope,
            who=who,
            action=f"publishing.{verb}",
            subject=f"site/{site}",
            after=after,
        )

    async def _check(self, site_id: int) -> None:
        if not await self._plans.has_site(site_id):
            msg = f"there is no site {site_id}; GET /v1/sites lists yours"
            raise NotFound(msg)
