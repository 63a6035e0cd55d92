"""Routes of the company itself."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from plantroom_cloud.identity.access import CurrentScope
from plantroom_cloud.identity.repository import IdentityRepository
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import Session

router = APIRouter(tags=["company"])


class CounterOut(BaseModel):
    """How often something happened."""

    name: str = Field(examples=["refused.schema"])
    value: int


class Counters(BaseModel):
    """Everything counted for the company."""

    items: list[CounterOut]


@router.get("/counters", response_model=Counters, summary="What was counted")
async def list_counters(session: Session, scope: CurrentScope) -> Response:
    """Counts of the whole company by name: refused messages, published values and the like."""
    rows = await IdentityRepository(session, scope).counters()
    return json_response({"items": [{"name": row.name, "value": row.value} for row in rows]})
