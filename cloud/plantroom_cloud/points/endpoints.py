"""Routes of devices and points."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import (
    ClassFilter,
    DeviceFilter,
    GatewayFilter,
    PlainText,
    RowId,
    SiteFilter,
)
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.points.repository import DeviceRepository, PointFilter, PointRepository
from plantroom_cloud.points.schemas import (
    DevicePage,
    PointOut,
    PointPage,
    show_device,
    show_point,
)

router = APIRouter(tags=["points"])

Words = Annotated[
    PlainText,
    Query(
        description="Words that all stand in name, description or key.", examples=["supply temp"]
    ),
]
Model = Annotated[
    PlainText | None, Query(description="Only of this thing model.", examples=["EnOS_HVAC_AHU"])
]


@router.get(
    "/devices",
    response_model=DevicePage,
    summary="Devices",
    dependencies=[Depends(Permit(Permission.POINT_READ, confined=True))],
)
async def list_devices(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    site: SiteFilter = None,
    gateway: GatewayFilter = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What the gateways talk to: BACnet devices and Modbus units, oldest first."""
    listing = listing_of("devices", site=site, gateway=gateway)
    page = read_page(listing, limit, after, (int,))
    rows = await DeviceRepository(session, scope).page(site, gateway, page)
    return page_response(request, listing, page, rows, show=show_device, key=lambda row: (row.id,))


async def _filter(
    *,
    q: Words = "",
    site: SiteFilter = None,
    gateway: GatewayFilter = None,
    device: DeviceFilter = None,
    equip_class: ClassFilter = None,
    point_class: ClassFilter = None,
    model: Model = None,
) -> PointFilter:
    return PointFilter(q, site, gateway, device, equip_class, point_class, model)


@router.get(
    "/points",
    response_model=PointPage,
    summary="Points, searched and filtered",
    dependencies=[Depends(Permit(Permission.POINT_READ, confined=True))],
)
async def list_points(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    which: Annotated[PointFilter, Depends(_filter)],
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Every readable value with what it was mapped to, oldest first."""
    listing = listing_of("points", **which.as_filters())
    page = read_page(listing, limit, after, (int,))
    rows = await PointRepository(session, scope).page(which, page)
    return page_response(request, listing, page, rows, show=show_point, key=lambda row: (row.id,))


@router.get(
    "/points/{point}",
    response_model=PointOut,
    summary="One point",
    dependencies=[Depends(Permit(Permission.POINT_READ, confined=True))],
)
async def get_point(session: Session, scope: CurrentScope, point: RowId) -> Response:
    """One readable value with what it was mapped to."""
    row = await PointRepository(session, scope).find(point)
    if row is None:
        raise no_point(point)
    return json_response(show_point(row))


def no_point(point: int) -> NotFound:
    """Return the error for a point that the company does not have."""
    return NotFound(f"there is no point {point}; GET /v1/points searches yours")
