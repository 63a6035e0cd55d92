"""How the service is, for who runs a company's part of it."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from plantroom_cloud.identity.access import CurrentScope, Permit
from plantroom_cloud.identity.permissions import Permission
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.operations.schemas import HealthOut
from plantroom_cloud.operations.service import health

router = APIRouter(tags=["service"])


@router.get(
    "/health/detail",
    response_model=HealthOut,
    summary="How each dependency is",
    dependencies=[Depends(Permit(Permission.COMPANY_WRITE))],
)
async def get_health(request: Request, scope: CurrentScope, clock: Clock) -> Response:
    """State, age of the last success and latency of all that the service needs.

    200 also where something fails: `status` says `degraded` then. What is about your company alone
    is: its jobs, and the platforms that it publishes to.
    """
    return json_response((await health(database(request), scope, clock)).model_dump())
