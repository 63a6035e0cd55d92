"""Every route that changes something records it, in the transaction that does it."""

from __future__ import annotations

from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request

from plantroom_cloud import api as routes
from plantroom_cloud import audit
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity.access import CurrentScope, Permit
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.session import database as database_of
from plantroom_cloud.tables import Site
from support.api_audit import acts_without_record
from support.api_routes import all_routes
from support.api_world import NOW, ONE_ENGINE, Stopped, Tenant, client_of, make_app

READ_ONLY = {
    "POST /v1/me/ticket",
    "POST /v1/me/identities",
    "POST /v1/gateways/claim/look",
    "POST /v1/live/tickets",
    "POST /v1/governance/sites/{site}/try",
}
Allowed = Annotated[Principal, Depends(Permit(Permission.SITE_WRITE))]


@ONE_ENGINE
async def test_no_route_writes_without_a_record(
    api: FastAPI, database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """Each route is called; one that writes without an audit record is named, with its tables."""
    wrong, right = await acts_without_record(api, database, acme, client)
    assert wrong == []
    changing = {
        f"{route.method} {route.path}"
        for route in all_routes(api)
        if route.method in {"POST", "PUT", "PATCH", "DELETE"} and route.path.startswith("/v1/")
    }
    assert changing - right - READ_ONLY == set()


def _annex(scope: Scope, number: int) -> Site:
    own = {"company_id": scope.company_id, "timezone": "UTC", "created_us": NOW}
    return Site(slug=f"annex-{number}", name="Annex", **own)


@ONE_ENGINE
async def test_a_route_that_forgets_is_named(
    database: Database, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new route that writes and records nothing, or in another transaction, fails by its name."""
    forgetful = APIRouter()

    @forgetful.post("/forgetful", status_code=202)
    async def forget(request: Request, scope: CurrentScope, who: Allowed) -> None:
        async with database_of(request).write(scope) as session:
            session.add(_annex(scope, 1))

    @forgetful.post("/too-late", status_code=202)
    async def too_late(request: Request, scope: CurrentScope, who: Allowed) -> None:
        async with database_of(request).write(scope) as session:
            session.add(_annex(scope, 2))
        async with database_of(request).write(scope) as session:
            audit.record(session, scope, who=who, action="site.add", subject="site/annex-2")

    monkeypatch.setattr(routes, "ROUTERS", (forgetful,))
    app = make_app(database, Stopped())
    async with client_of(app, headers=acme.headers) as client:
        wrong, _ = await acts_without_record(app, database, acme, client)
    assert [line.split(" unaudited")[0] for line in wrong] == [
        "POST /v1/forgetful writes site",
        "POST /v1/too-late writes site",
    ]
