"""Routes of mappings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import ClassFilter, SiteFilter
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.mapping.listing import MappingFilter, MappingListing
from plantroom_cloud.mapping.schemas import MappingPage, MappingSummary, show_mapping

router = APIRouter(tags=["mappings"])

State = Annotated[
    Literal["proposed", "accepted", "rejected"] | None, Query(description="Only in this state.")
]
MinConfidence = Annotated[
    float | None, Query(ge=0, le=1, description="Only from this confidence on.", examples=[0.9])
]


@router.get(
    "/mappings",
    response_model=MappingPage,
    summary="Mappings",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def list_mappings(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    site: SiteFilter = None,
    state: State = None,
    equip_class: ClassFilter = None,
    min_confidence: MinConfidence = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What points were mapped to, with confidence and evidence, by point id."""
    which = MappingFilter(site, state, equip_class, min_confidence)
    listing = listing_of("mappings", **asdict(which))
    page = read_page(listing, limit, after, (int,))
    rows = await MappingListing(session, scope).page(which, page)
    return page_response(
        request, listing, page, rows, show=show_mapping, key=lambda row: (row.point_id,)
    )


@router.get(
    "/mappings/summary",
    response_model=MappingSummary,
    summary="How far it has come",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def get_summary(session: Session, scope: CurrentScope, site: SiteFilter = None) -> Response:
    """Counts of points, of mapped points and of those with a counterpart, and their confidence."""
    row = await MappingListing(session, scope).summary(site)
    return json_response(dict(row._mapping))  # noqa: SLF001 - the public way to a row's columns
