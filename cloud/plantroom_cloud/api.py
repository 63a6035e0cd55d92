"""Every router of the service; all of them stand under `PREFIX` and behind the key."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from plantroom_cloud.alarms.endpoints import router as alarms
from plantroom_cloud.alarms.rule_endpoints import router as alarm_rules
from plantroom_cloud.audit.endpoints import router as audit
from plantroom_cloud.battery.endpoints import router as battery
from plantroom_cloud.commands.endpoints import router as commands
from plantroom_cloud.configuration.endpoints import router as configuration
from plantroom_cloud.configuration.rollout_endpoints import router as rollouts
from plantroom_cloud.conventions.entry import ENTRY
from plantroom_cloud.exchange.endpoints import router as exchange
from plantroom_cloud.findings.endpoints import router as findings
from plantroom_cloud.gateways.claim.endpoints import public as provision
from plantroom_cloud.gateways.claim.endpoints import router as claiming
from plantroom_cloud.gateways.endpoints import router as gateways
from plantroom_cloud.governance.endpoints import router as governance
from plantroom_cloud.governance.endpoints_data import router as company_data
from plantroom_cloud.identity.access import REQUIRED
from plantroom_cloud.identity.endpoints import router as company
from plantroom_cloud.identity.endpoints_credentials import router as credentials
from plantroom_cloud.identity.endpoints_me import router as me
from plantroom_cloud.identity.endpoints_users import router as users
from plantroom_cloud.identity.oidc.endpoints import mine as identities
from plantroom_cloud.kit.problems import RESPONSES
from plantroom_cloud.licensing.endpoints import router as licensing
from plantroom_cloud.live.endpoints import router as live
from plantroom_cloud.mapping.endpoints import router as mapping
from plantroom_cloud.mapping.llm.endpoints import router as llm
from plantroom_cloud.operations.endpoints import router as operations
from plantroom_cloud.pipeline.endpoints import router as pipeline
from plantroom_cloud.points.endpoints import router as points
from plantroom_cloud.publishing.endpoints import router as publishing
from plantroom_cloud.quarantine.endpoints import router as quarantine
from plantroom_cloud.replay.endpoints import router as replay
from plantroom_cloud.review.endpoints import router as review
from plantroom_cloud.samples.endpoints import router as samples
from plantroom_cloud.sites.endpoints import router as sites
from plantroom_cloud.thingmodels.endpoints import router as thing_models
from plantroom_cloud.webhooks.endpoints import router as webhooks

ROUTERS: Final = (
    sites,
    claiming,  # before what would take `claim` for a gateway's id
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
    company,
    me,
    identities,
    users,
    credentials,
    quarantine,
    replay,
    commands,
    configuration,
    rollouts,
    thing_models,
    pipeline,
    alarms,
    alarm_rules,
    webhooks,
    live,
    audit,
    licensing,
    governance,
    company_data,
    operations,
)

PREFIX: Final = "/v1"

PROVISION: Final = provision
"""What devices use that nobody knows yet."""

PUBLIC: Final = frozenset(
    {
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/oauth/token",
        "/.well-known/jwks.json",
        "/provision/v1/begin",
        "/provision/v1/poll",
        "/oauth/oidc/{provider}/start",
        "/oauth/oidc/{provider}/callback",
    }
)
"""The only paths that answer without a key or a token."""


def v1() -> APIRouter:
    """Return everything that needs a key: who asks, then how often, then whether it was done."""
    router = APIRouter(dependencies=[REQUIRED, ENTRY], responses=RESPONSES)
    for part in ROUTERS:
        router.include_router(part)
    return router
