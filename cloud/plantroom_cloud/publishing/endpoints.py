"""Routes of publishing: how far it is, what would have to be done, and the word to do it."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from plantroom_cloud.identity.access import CurrentScope, Writer
from plantroom_cloud.kit.parameters import RowId
from plantroom_cloud.kit.problems import MEDIA_TYPE, Forbidden
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import Clock, Session, database
from plantroom_cloud.publishing.schemas import ApplyIn, PlanOut, PublishingOut, show_plan
from plantroom_cloud.publishing.service import NotMade, PublishingService

router = APIRouter(tags=["publishing"])

_PROBLEM: Final = {"schema": {"$ref": "#/components/schemas/Problem"}}
_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    kind.status: {"description": kind.title, "content": {MEDIA_TYPE: _PROBLEM}}
    for kind in (Forbidden, NotMade)
}


@router.get(
    "/sites/{site}/publishing", response_model=PublishingOut, summary="How far publishing is"
)
async def get_publishing(
    session: Session, scope: CurrentScope, clock: Clock, site: RowId
) -> Response:
    """What of a site is published, what is still to be, and its newest plan."""
    return json_response(await PublishingService(session, scope, clock).status(site))


@router.get("/sites/{site}/publishing/plan", response_model=PlanOut, summary="The newest plan")
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
    request: Request, scope: CurrentScope, writer: Writer, clock: Clock, site: RowId
) -> Response:
    """Have the worker compare what should be published with what is there; nothing is changed."""
    async with database(request).write() as session:
        row = await PublishingService(session, scope, clock).ask(site, writer)
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
    writer: Writer,
    clock: Clock,
    site: RowId,
    asked: ApplyIn,
) -> Response:
    """Have the worker do the steps that were shown; doing it again does nothing twice.

    The answer comes at once; `result` of the plan tells what became of each step.
    """
    async with database(request).write() as session:
        service = PublishingService(session, scope, clock)
        row = await service.approve(site, asked.plan, writer, asked.leave_out)
    return json_response(show_plan(row))
