"""Routes of gateways."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from plantroom_cloud.gateways.account import account, accounts, deliveries
from plantroom_cloud.gateways.books import gateways_of
from plantroom_cloud.gateways.listing import GapFilter, GatewayListing
from plantroom_cloud.gateways.schemas import (
    AccountOut,
    GapPage,
    GatewayOut,
    GatewayPage,
    SiteAccountOut,
    show_account,
    show_gap,
    show_gateway,
    show_site,
)
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission
from plantroom_cloud.kit.pages import After, Limit, Page, Position, listing_of, read_page
from plantroom_cloud.kit.parameters import From, GatewayId, PlainText, RowId, SiteFilter, To
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import Clock
from plantroom_cloud.kit.times import parse_time
from plantroom_cloud.sites.repository import SiteRepository

router = APIRouter(tags=["gateways"])

MAX_GAPS: Final = 1000
_STREAMS: Final = "`tel`: samples, `evt`: findings, `aud`: audit, `cmd`: results of commands."
Stream = Annotated[Literal["tel", "evt", "aud", "cmd"], Query(description=_STREAMS)]
AnyStream = Annotated[Literal["tel", "evt", "aud", "cmd"] | None, Query(description=_STREAMS)]
Cause = Annotated[PlainText | None, Query(description="Only of this cause.", examples=["quota"])]


@router.get(
    "/gateways",
    response_model=GatewayPage,
    summary="Gateways",
    dependencies=[Depends(Permit(Permission.GATEWAY_READ, confined=True))],
)
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


@router.get(
    "/gateways/{gateway}",
    response_model=GatewayOut,
    summary="One gateway",
    dependencies=[Depends(Permit(Permission.GATEWAY_READ, confined=True))],
)
async def get_gateway(session: Session, scope: CurrentScope, gateway: GatewayId) -> Response:
    """One edge agent, with what it last reported."""
    row = await GatewayListing(session, scope).find(gateway)
    if row is None:
        raise no_gateway(gateway)
    return json_response(show_gateway(row))


@router.get(
    "/gateways/{gateway}/account",
    response_model=AccountOut,
    summary="A gateway's loss account",
    dependencies=[Depends(Permit(Permission.GATEWAY_READ))],
)
async def get_account(
    session: Session, scope: CurrentScope, clock: Clock, gateway: GatewayId, stream: Stream = "tel"
) -> Response:
    """Where every row is that the gateway ever accepted: stored, refused, lost or still there.

    One consistent snapshot: accepted = stored + quarantined + gaps + on_edge holds at any moment.
    """
    found = await account(session, scope, gateway, stream)
    if found is None:
        raise no_gateway(gateway)
    (delivery,) = await deliveries(session, scope, [gateway], stream)
    newest = Page(MAX_GAPS, None)
    gaps = await GatewayListing(session, scope).gaps(gateway, GapFilter(stream), newest)
    return json_response(show_account(found, delivery, gaps[:MAX_GAPS], clock.now_us()))


@router.get(
    "/gateways/{gateway}/gaps",
    response_model=GapPage,
    summary="A gateway's gaps",
    dependencies=[Depends(Permit(Permission.GATEWAY_READ, confined=True))],
)
async def list_gaps(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    gateway: GatewayId,
    stream: AnyStream = None,
    cause: Cause = None,
    start: From = None,
    end: To = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Rows that the gateway declared lost, the newest record first.

    `from` and `to` ask when the rows were accepted; where that is not known, when we were told.
    """
    if await GatewayListing(session, scope).find(gateway) is None:
        raise no_gateway(gateway)
    start_us = None if start is None else parse_time(start, "from")
    end_us = None if end is None else parse_time(end, "to")
    which = GapFilter(stream, cause, start_us, end_us)
    listing = listing_of("gaps", gateway=gateway, **asdict(which))
    page = read_page(listing, limit, after, (int, str, str, int))
    rows = await GatewayListing(session, scope).gaps(gateway, which, page)
    return page_response(request, listing, page, rows, show=show_gap, key=_gap_key)


def _gap_key(row: AnyRow) -> Position:
    return (row.received_us, row.epoch, row.stream, row.lo)


@router.get(
    "/sites/{site}/account",
    response_model=SiteAccountOut,
    summary="A site's loss account",
    dependencies=[Depends(Permit(Permission.GATEWAY_READ))],
)
async def get_site_account(
    session: Session, scope: CurrentScope, clock: Clock, site: RowId, stream: Stream = "tel"
) -> Response:
    """The sum of its gateways' accounts, and each of them, at one moment."""
    if await SiteRepository(session, scope).find(site) is None:
        msg = f"there is no site {site}; GET /v1/sites lists yours"
        raise NotFound(msg)
    gateways = await gateways_of(session, scope, site=site)
    found = await accounts(session, scope, gateways, stream)
    parts = zip(found, await deliveries(session, scope, gateways, stream), strict=True)
    return json_response(show_site(site, stream, list(parts), clock.now_us()))


def no_gateway(gateway: str) -> NotFound:
    """Return the error of a gateway that the company does not have."""
    return NotFound(f"there is no gateway {gateway}; GET /v1/gateways lists yours")
