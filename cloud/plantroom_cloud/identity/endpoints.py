"""Routes of the company itself."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission
from plantroom_cloud.identity.repository import IdentityRepository
from plantroom_cloud.kit.responses import json_response

router = APIRouter(tags=["company"])


class CounterOut(BaseModel):
    """How often something happened."""

    name: str = Field(examples=["refused.schema"])
    value: int


class Counters(BaseModel):
    """Everything counted for the company."""

    items: list[CounterOut]


@router.get(
    "/counters",
    response_model=Counters,
    summary="What was counted",
    dependencies=[Depends(Permit(Permission.COMPANY_READ))],
)
async def list_counters(session: Session, scope: CurrentScope) -> Response:
    """Counts of the whole company by name: refused messages, published values and the like."""
    rows = await IdentityRepository(session, scope).counters()
    return json_response({"items": [{"name": row.name, "value": row.value} for row in rows]})
