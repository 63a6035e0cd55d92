"""Routes of batteries."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from plantroom_cloud.battery.schemas import (
    BatteryFigures,
    BatteryList,
    show_battery,
    show_figure,
)
from plantroom_cloud.battery.service import Asked, BatteryService
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission
from plantroom_cloud.kit.parameters import From, PlainText, RowId, To
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import Clock
from plantroom_cloud.samples.window import read_window
from plantroom_cloud.sites.repository import SiteRepository

router = APIRouter(tags=["batteries"])

EquipmentKey = Annotated[PlainText, Path(examples=["battery"], description="See the list.")]
Rated = Annotated[float | None, Query(gt=0, le=1e9, description="In place of the nameplate's.")]
ChargePositive = Annotated[
    bool, Query(description="Power of this battery is positive while it charges.")
]


@router.get(
    "/sites/{site}/batteries",
    response_model=BatteryList,
    summary="Batteries of a site",
    dependencies=[Depends(Permit(Permission.POINT_READ))],
)
async def list_batteries(session: Session, scope: CurrentScope, site: RowId) -> Response:
    """Equipment of class Battery*, with the points that power, charge and energy are read from."""
    if await SiteRepository(session, scope).find(site) is None:
        msg = f"there is no site {site}; GET /v1/sites lists yours"
        raise NotFound(msg)
    batteries = await BatteryService(session, scope).batteries(site)
    return json_response({"items": [show_battery(site, battery) for battery in batteries]})


async def _asked(
    rated_kwh: Rated = None, rated_kw: Rated = None, charge_positive: ChargePositive = False
) -> Asked:
    return Asked(rated_kwh, rated_kw, charge_positive)


@router.get(
    "/batteries/{site}/{equipment:path}/metrics",
    response_model=BatteryFigures,
    summary="Figures of a battery",
    dependencies=[Depends(Permit(Permission.POINT_READ))],
)
async def get_figures(
    *,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    site: RowId,
    equipment: EquipmentKey,
    asked: Annotated[Asked, Depends(_asked)],
    start: From = None,
    end: To = None,
) -> Response:
    """Energy in and out, equivalent full cycles and round-trip efficiency over at most 31 days.

    Each with coverage and grade; power > 0 discharges. What is not known is null and says why.
    """
    window = read_window(start, end, clock.now_us())
    service = BatteryService(session, scope)
    battery, figures = await service.figures(site, equipment, window, asked)
    body = {
        "battery": show_battery(site, battery),
        "figures": [show_figure(figure) for figure in figures],
    }
    return json_response(body)
