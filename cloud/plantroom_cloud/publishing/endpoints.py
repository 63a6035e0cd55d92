"""Routes of publishing: how far it is, what would have to be done, and the word to do it."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.parameters import RowId
from plantroom_cloud.kit.problems import Forbidden, refusals
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.publishing.schemas import ApplyIn, PlanOut, PublishingOut, show_plan
from plantroom_cloud.publishing.service import NotMade, PublishingService

router = APIRouter(tags=["publishing"])

_REFUSALS: Final = refusals(Forbidden, NotMade)


@router.get(
    "/sites/{site}/publishing",
    response_model=PublishingOut,
    summary="How far publishing is",
    dependencies=[Depends(Permit(Permission.PUBLISHING_READ))],
)
async def get_publishing(
    session: Session, scope: CurrentScope, clock: Clock, site: RowId
) -> Response:
    """What of a site is published, what is still to be, and its newest plan."""
    return json_response(await PublishingService(session, scope, clock).status(site))


@router.get(
    "/sites/{site}/publishing/plan",
    response_model=PlanOut,
    summary="The newest plan",
    dependencies=[Depends(Permit(Permission.PUBLISHING_READ))],
)
async def get_plan(session: Session, scope: CurrentScope, clock: Clock, site: RowId) -> Response:
    """What would have to be done on the platform; `state` says whether it is made yet."""
    row = await PublishingService(session, scope, clock).newest(site)
    return json_response(show_plan(row))


@router.post(
    "/sites/{site}/publishing/plan",
    response_model=PlanOut,
    responses=_REFUSALS,
    summary="Ask for a plan",
)
async def ask_for_plan(
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.PUBLISHING_WRITE))],
    clock: Clock,
    site: RowId,
) -> Response:
    """Have the worker compare what should be published with what is there; nothing is changed."""
    async with database(request).write(scope) as session:
        row = await PublishingService(session, scope, clock).ask(site, who)
    return json_response(show_plan(row))


@router.post(
    "/sites/{site}/publishing/apply",
    response_model=PlanOut,
    responses=_REFUSALS,
    summary="Carry out a plan",
)
async def apply_plan(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.PUBLISHING_WRITE))],
    clock: Clock,
    site: RowId,
    asked: ApplyIn,
) -> Response:
    """Have the worker do the steps that were shown; doing it again does nothing twice.

    The answer comes at once; `result` of the plan tells what became of each step.
    """
    async with database(request).write(scope) as session:
        service = PublishingService(session, scope, clock)
        row = await service.approve(site, asked.plan, who, asked.leave_out)
    return json_response(show_plan(row))
