"""Every router of the service; all of them stand under /v1 and behind the key."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from plantroom_cloud.battery.endpoints import router as battery
from plantroom_cloud.commands.endpoints import router as commands
from plantroom_cloud.exchange.endpoints import router as exchange
from plantroom_cloud.findings.endpoints import router as findings
from plantroom_cloud.gateways.endpoints import router as gateways
from plantroom_cloud.identity.access import REQUIRED
from plantroom_cloud.identity.endpoints import router as identity
from plantroom_cloud.kit.problems import RESPONSES
from plantroom_cloud.mapping.endpoints import router as mapping
from plantroom_cloud.mapping.llm.endpoints import router as llm
from plantroom_cloud.pipeline.endpoints import router as pipeline
from plantroom_cloud.points.endpoints import router as points
from plantroom_cloud.publishing.endpoints import router as publishing
from plantroom_cloud.quarantine.endpoints import router as quarantine
from plantroom_cloud.replay.endpoints import router as replay
from plantroom_cloud.review.endpoints import router as review
from plantroom_cloud.samples.endpoints import router as samples
from plantroom_cloud.sites.endpoints import router as sites
from plantroom_cloud.thingmodels.endpoints import router as thing_models

ROUTERS: Final = (
    sites,
    gateways,
    points,
    samples,
    findings,
    mapping,
    exchange,
    review,
    llm,
    battery,
    publishing,
    identity,
    quarantine,
    replay,
    commands,
    thing_models,
    pipeline,
)

PUBLIC: Final = frozenset({"/livez", "/readyz", "/openapi.json", "/docs"})
"""The only paths that answer without a key."""


def v1() -> APIRouter:
    """Return everything that needs a key."""
    router = APIRouter(prefix="/v1", dependencies=[REQUIRED], responses=RESPONSES)
    for part in ROUTERS:
        router.include_router(part)
    return router
