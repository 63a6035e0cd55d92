"""Routes of the LLM mapper."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from plantroom_cloud.identity.access import CurrentScope, Permit
from plantroom_cloud.identity.permissions import Permission
from plantroom_cloud.kit.parameters import SiteFilter
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.mapping.llm.report import counters_of, plan_of, spending_of
from plantroom_cloud.mapping.llm.repository import LlmRepository
from plantroom_cloud.mapping.llm.schemas import LlmPlan, LlmStatus

router = APIRouter(tags=["mappings"])


@router.get(
    "/llm",
    response_model=LlmStatus,
    summary="The LLM mapper",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def get_llm(request: Request, scope: CurrentScope) -> Response:
    """Whether an LLM refines the mapping, what it may use, what it has used and done."""
    state = request.app.state
    settings = state.settings.llm
    async with state.db.read(scope) as session:
        repository = LlmRepository(session, scope)
        trust = await repository.trust(settings.model) if settings else None
        sources = await repository.sources()
    spending = await spending_of(state.db, scope, settings, state.clock.now_us())
    return json_response(
        {
            "configured": settings is not None,
            "model": settings.model if settings else "",
            "mode": settings.mode if settings else "",
            "trust": trust,
            "sources": sources,
            "counters": await counters_of(state.db, scope),
            "spending": spending.as_dict(),
        }
    )


@router.get(
    "/llm/estimate",
    response_model=LlmPlan,
    summary="What asking would cost",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def get_estimate(request: Request, scope: CurrentScope, site: SiteFilter = None) -> Response:
    """Calls, tokens and money that asking about the open templates would take; nothing is asked."""
    state = request.app.state
    plan = await plan_of(state.db, scope, state.settings.llm, state.clock, site)
    return json_response({"configured": state.settings.llm is not None, **plan.as_dict()})
