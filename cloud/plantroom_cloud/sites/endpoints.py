"""Routes of sites."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import RowId
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.sites.repository import SiteRepository
from plantroom_cloud.sites.schemas import SiteOut, SitePage, show_site

router = APIRouter(tags=["sites"])


@router.get(
    "/sites",
    response_model=SitePage,
    summary="Sites",
    dependencies=[Depends(Permit(Permission.SITE_READ, confined=True))],
)
async def list_sites(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """The company's buildings and plants, oldest first."""
    listing = listing_of("sites")
    page = read_page(listing, limit, after, (int,))
    rows = await SiteRepository(session, scope).page(page)
    return page_response(request, listing, page, rows, show=show_site, key=lambda row: (row.id,))


@router.get(
    "/sites/{site}",
    response_model=SiteOut,
    summary="One site",
    dependencies=[Depends(Permit(Permission.SITE_READ, confined=True))],
)
async def get_site(session: Session, scope: CurrentScope, site: RowId) -> Response:
    """One building or plant."""
    row = await SiteRepository(session, scope).find(site)
    if row is None:
        msg = f"there is no site {site}; GET /v1/sites lists yours"
        raise NotFound(msg)
    return json_response(show_site(row))
