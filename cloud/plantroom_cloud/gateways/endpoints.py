"""Routes of gateways."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from plantroom_cloud.gateways.account import account
from plantroom_cloud.gateways.listing import GatewayListing
from plantroom_cloud.gateways.schemas import (
    AccountOut,
    GatewayOut,
    GatewayPage,
    show_account,
    show_gateway,
)
from plantroom_cloud.identity.access import CurrentScope
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import GatewayId, SiteFilter
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import Session

router = APIRouter(tags=["gateways"])

MAX_GAPS: Final = 1000
Stream = Annotated[Literal["tel", "evt"], Query(description="`tel`: samples, `evt`: findings.")]


@router.get("/gateways", response_model=GatewayPage, summary="Gateways")
async def list_gateways(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    site: SiteFilter = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """The company's edge agents by id."""
    listing = listing_of("gateways", site=site)
    page = read_page(listing, limit, after, (str,))
    rows = await GatewayListing(session, scope).page(site, page)
    return page_response(request, listing, page, rows, show=show_gateway, key=lambda row: (row.id,))


@router.get("/gateways/{gateway}", response_model=GatewayOut, summary="One gateway")
async def get_gateway(session: Session, scope: CurrentScope, gateway: GatewayId) -> Response:
    """One edge agent, with what it last reported."""
    row = await GatewayListing(session, scope).find(gateway)
    if row is None:
        raise _no_gateway(gateway)
    return json_response(show_gateway(row))


@router.get(
    "/gateways/{gateway}/account", response_model=AccountOut, summary="A gateway's loss account"
)
async def get_account(
    session: Session, scope: CurrentScope, gateway: GatewayId, stream: Stream = "tel"
) -> Response:
    """Where every row is that the gateway ever accepted: stored, refused, lost or still there."""
    found = await account(session, scope, gateway, stream)
    if found is None:
        raise _no_gateway(gateway)
    gaps = await GatewayListing(session, scope).gaps(gateway, stream, MAX_GAPS)
    return json_response(show_account(gateway, stream, found, gaps))


def _no_gateway(gateway: str) -> NotFound:
    return NotFound(f"there is no gateway {gateway}; GET /v1/gateways lists yours")
