"""The few routes that answer without a key: is it alive, is it ready, how is it used."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from plantroom_cloud.kit import docs
from plantroom_cloud.kit.draining import Draining
from plantroom_cloud.kit.problems import NotReady
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import database

router = APIRouter(tags=["service"])
_MIGRATED = text("SELECT version_num FROM alembic_version")


class Status(BaseModel):
    """Of the service."""

    status: str = Field(examples=["ok"])


@router.get("/livez", response_model=Status, summary="Is the process alive?")
async def livez() -> Response:
    """200 as long as the process answers at all; asks nothing else."""
    return json_response({"status": "ok"})


@router.get("/readyz", response_model=Status, summary="Can it serve?")
async def readyz(request: Request) -> Response:
    """200 when the database answers and holds the tables, 503 otherwise and before an end."""
    if cast("Draining", request.app.state.draining).on:
        msg = "this process is about to end; ask another"
        raise NotReady(msg)
    try:
        async with database(request).read(None) as session:
            await session.execute(_MIGRATED)
    except (SQLAlchemyError, OSError) as error:
        msg = "the database does not answer, or 'plantroom-cloud migrate' was not run"
        raise NotReady(msg) from error
    return json_response({"status": "ok"})


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The API for programs."""
    return json_response(cast("FastAPI", request.app).openapi())


@router.get("/docs", include_in_schema=False)
async def page(request: Request) -> Response:
    """The API for people."""
    html = docs.render(cast("FastAPI", request.app).openapi())
    return Response(html, 200, {"Content-Security-Policy": docs.POLICY}, "text/html")
