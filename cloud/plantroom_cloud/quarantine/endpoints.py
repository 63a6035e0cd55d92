"""Routes of the quarantine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Body, Depends, Query, Request, Response

from plantroom_cloud.gateways.endpoints import AnyStream, no_gateway
from plantroom_cloud.gateways.listing import GatewayListing
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import GatewayId, PlainText, RowId
from plantroom_cloud.kit.problems import refusals
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.quarantine.payloads import shown
from plantroom_cloud.quarantine.repository import QuarantineFilter, QuarantineRepository
from plantroom_cloud.quarantine.schemas import (
    DecisionOut,
    Discard,
    QuarantinedDetail,
    QuarantinePage,
    Release,
    show_decision,
    show_detail,
    show_row,
)
from plantroom_cloud.quarantine.service import Conflict, QuarantineService, held_of, no_row

router = APIRouter(tags=["quarantine"])

Reason = Annotated[
    PlainText | None, Query(description="Only of this reason.", examples=["future_ts"])
]
State = Annotated[
    Literal["held", "released", "discarded"] | None, Query(description="All where left out.")
]
_CONFLICT: Final = refusals(Conflict)


@router.get(
    "/gateways/{gateway}/quarantine",
    response_model=QuarantinePage,
    summary="Refused rows",
    dependencies=[Depends(Permit(Permission.QUARANTINE_READ))],
)
async def list_quarantine(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    gateway: GatewayId,
    reason: Reason = None,
    stream: AnyStream = None,
    state: State = "held",
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Rows that could not be stored, the newest first; by default those nobody has decided about."""
    if await GatewayListing(session, scope).find(gateway) is None:
        raise no_gateway(gateway)
    which = QuarantineFilter(reason, stream, state)
    listing = listing_of("quarantine", gateway=gateway, **asdict(which))
    page = read_page(listing, limit, after, (int,))
    rows = await QuarantineRepository(session, scope).page(gateway, which, page)
    return page_response(request, listing, page, rows, show=show_row, key=lambda row: (row.id,))


@router.get(
    "/gateways/{gateway}/quarantine/{row}",
    response_model=QuarantinedDetail,
    summary="One refused row",
    dependencies=[Depends(Permit(Permission.QUARANTINE_READ))],
)
async def get_quarantined(
    session: Session, scope: CurrentScope, gateway: GatewayId, row: RowId
) -> Response:
    """A refused row with what it says, and what its alias means."""
    rows = QuarantineRepository(session, scope)
    found = await rows.find(gateway, row)
    if found is None:
        raise no_row(gateway, row)
    held, content = held_of(found), shown(held_of(found))
    alias = content.get("p") if isinstance(content, dict) else None
    return json_response(show_detail(found, held, await rows.point(held, alias)))


@router.post(
    "/gateways/{gateway}/quarantine/{row}/release",
    response_model=DecisionOut,
    responses=_CONFLICT,
    summary="Store a refused row after all",
)
async def release(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.QUARANTINE_WRITE))],
    clock: Clock,
    gateway: GatewayId,
    row: RowId,
    asked: Annotated[Release | None, Body()] = None,
) -> Response:
    """Run it through the ingest again, corrected where that is asked for; stored exactly once.

    The account moves from quarantined to stored in the same transaction. Asked again, the answer is
    the same and nothing happens.
    """
    correction = (asked or Release()).correction()
    async with database(request).write(scope) as session:
        made = await QuarantineService(session, scope, clock).release(gateway, row, correction, who)
    return json_response(show_decision(made))


@router.post(
    "/gateways/{gateway}/quarantine/{row}/discard",
    response_model=DecisionOut,
    responses=_CONFLICT,
    summary="Give a refused row up",
)
async def discard(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.QUARANTINE_WRITE))],
    clock: Clock,
    gateway: GatewayId,
    row: RowId,
    asked: Discard,
) -> Response:
    """Decide that it will never be stored, and why; it stays to be seen and counted."""
    async with database(request).write(scope) as session:
        made = await QuarantineService(session, scope, clock).discard(
            gateway, row, asked.reason, who
        )
    return json_response(show_decision(made))
