"""Routes of rollouts: a change of configuration for several gateways."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from plantroom_cloud.configuration.endpoints import (
    FORCED,
    READ,
    REFUSALS,
    Configurer,
)
from plantroom_cloud.configuration.message import Wish
from plantroom_cloud.configuration.rollout_service import RolloutService, Waves
from plantroom_cloud.configuration.schemas import (
    ResumeIn,
    RolloutDetail,
    RolloutIn,
    RolloutPage,
    show_rollout,
    show_rollout_detail,
)
from plantroom_cloud.identity.access import CurrentScope, Session
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import PlainText
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import Clock, database

router = APIRouter(tags=["configuration"])

RolloutId = Annotated[PlainText, Path(examples=["r-0011223344556677"])]


@router.post(
    "/configuration-rollouts", response_model=RolloutDetail, responses=FORCED, summary="Roll out"
)
async def roll_out_configuration(
    *, request: Request, scope: CurrentScope, who: Configurer, clock: Clock, asked: RolloutIn
) -> Response:
    """Stage a change for several gateways, wave by wave; it halts where too many fail."""
    async with database(request).write(scope) as session:
        service = RolloutService(session, scope, clock)
        gateways = [*asked.gateways]
        if asked.all or asked.site is not None:
            gateways += await service.rows.gateways(None if asked.all else asked.site)
        source = (asked.source.gateway, asked.source.version) if asked.source else None
        ident = await service.roll_out(
            gateways,
            Wish(who, asked.why, asked.force),
            Waves(tuple(asked.waves), asked.most_failed, asked.patience_s),
            source=source,
        )
        row, parts = await service.rollout(ident), await service.rows.of_rollout(ident)
    return json_response(show_rollout_detail(row, parts))


@router.get(
    "/configuration-rollouts", response_model=RolloutPage, dependencies=READ, summary="Rollouts"
)
async def list_configuration_rollouts(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Rollouts of the company, the newest first."""
    listing = listing_of("configuration-rollouts")
    page = read_page(listing, limit, after, (int, str))
    rows = await RolloutService(session, scope, clock).rows.rollouts(page)
    return page_response(
        request, listing, page, rows, show=show_rollout, key=lambda row: (row.created_us, row.id)
    )


@router.get(
    "/configuration-rollouts/{rollout}",
    response_model=RolloutDetail,
    dependencies=READ,
    summary="One rollout",
)
async def get_configuration_rollout(
    session: Session, scope: CurrentScope, clock: Clock, rollout: RolloutId
) -> Response:
    """A rollout with its gateways."""
    service = RolloutService(session, scope, clock)
    row = await service.rollout(rollout)
    return json_response(show_rollout_detail(row, await service.rows.of_rollout(rollout)))


@router.post(
    "/configuration-rollouts/{rollout}/resume",
    response_model=RolloutDetail,
    responses=REFUSALS,
    summary="Go on",
)
async def resume_configuration_rollout(
    *,
    request: Request,
    scope: CurrentScope,
    who: Configurer,
    clock: Clock,
    rollout: RolloutId,
    asked: ResumeIn,
) -> Response:
    """Go on with a rollout that has halted."""
    async with database(request).write(scope) as session:
        service = RolloutService(session, scope, clock)
        await service.resume_rollout(rollout, asked.most_failed, Wish(who))
        row, parts = await service.rollout(rollout), await service.rows.of_rollout(rollout)
    return json_response(show_rollout_detail(row, parts))


@router.post(
    "/configuration-rollouts/{rollout}/cancel",
    response_model=RolloutDetail,
    responses=REFUSALS,
    summary="Stop a rollout",
)
async def cancel_configuration_rollout(
    *, request: Request, scope: CurrentScope, who: Configurer, clock: Clock, rollout: RolloutId
) -> Response:
    """Let no more gateways get it; those that have it keep it."""
    async with database(request).write(scope) as session:
        service = RolloutService(session, scope, clock)
        await service.stop_rollout(rollout, Wish(who))
        row, parts = await service.rollout(rollout), await service.rows.of_rollout(rollout)
    return json_response(show_rollout_detail(row, parts))
