"""Routes of findings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from plantroom_cloud.findings.repository import FindingFilter, FindingRepository
from plantroom_cloud.findings.schemas import FindingOut, FindingPage, show_finding
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import From, GatewayId, PlainText, SiteFilter, To
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.times import parse_time

router = APIRouter(tags=["findings"])

OpenOnly = Annotated[bool, Query(description="Only what has not ended.")]
FindingId = Annotated[PlainText, Path(examples=["pca:ahu-3:1769860800000000"])]


@router.get(
    "/findings",
    response_model=FindingPage,
    summary="Findings",
    dependencies=[Depends(Permit(Permission.POINT_READ, confined=True))],
)
async def list_findings(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    site: SiteFilter = None,
    start: From = None,
    end: To = None,
    open_only: Annotated[OpenOnly, Query(alias="open")] = False,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What detectors found, the newest first; with `from` and `to` what went on between them."""
    start_us = None if start is None else parse_time(start, "from")
    end_us = None if end is None else parse_time(end, "to")
    which = FindingFilter(site, start_us, end_us, open_only)
    listing = listing_of("findings", **asdict(which))
    page = read_page(listing, limit, after, (int, str, str))
    rows = await FindingRepository(session, scope).page(which, page)
    return page_response(
        request,
        listing,
        page,
        rows,
        show=show_finding,
        key=lambda row: (row.started_us, row.gateway_id, row.id),
    )


@router.get(
    "/findings/{gateway}/{finding:path}",
    response_model=FindingOut,
    summary="One finding",
    dependencies=[Depends(Permit(Permission.POINT_READ, confined=True))],
)
async def get_finding(
    session: Session, scope: CurrentScope, gateway: GatewayId, finding: FindingId
) -> Response:
    """One event with its evidence."""
    row = await FindingRepository(session, scope).find(gateway, finding)
    if row is None:
        msg = f"gateway {gateway} has no finding {finding}; GET /v1/findings lists yours"
        raise NotFound(msg)
    return json_response(show_finding(row))
