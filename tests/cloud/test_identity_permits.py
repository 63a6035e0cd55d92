"""Every route says what it asks for; one that does not is named."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy import update

from plantroom_cloud import api as routes
from plantroom_cloud.db import Database
from plantroom_cloud.identity.access import CurrentScope, Permit
from plantroom_cloud.identity.permissions import ROLES, Permission, Principal
from plantroom_cloud.tables import ApiKey
from support.api_routes import all_routes, undeclared
from support.api_world import Stopped, Tenant, client_of, make_app
from support.servers import as_owner


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """One engine is enough here: this is about routes."""
    return sqlite_database


def _app_with(database: Database, monkeypatch: pytest.MonkeyPatch, *parts: APIRouter) -> FastAPI:
    monkeypatch.setattr(routes, "ROUTERS", (*routes.ROUTERS, *parts))
    return make_app(database, Stopped())


def test_every_route_declares_a_permission(api: FastAPI) -> None:
    """No route under /v1 answers without having said which permission it asks for."""
    assert undeclared(api) == []
    assert sum(route.path.startswith("/v1/") for route in all_routes(api)) >= 55


def test_an_undeclared_route_is_named(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding a route without a permission, or with two of them, makes the test above name it."""
    forgotten = APIRouter()

    @forgotten.get("/forgotten")
    @forgotten.post("/forgotten/{site}")
    async def forget(scope: CurrentScope) -> None:
        """Has a key, and no rule."""

    read = Depends(Permit(Permission.SITE_READ))

    @forgotten.get("/twice", dependencies=[read])
    async def twice(
        who: Annotated[Principal, Depends(Permit(Permission.COMPANY_WRITE))],
    ) -> None:
        """Nobody can tell which of the two holds."""

    app = _app_with(database, monkeypatch, forgotten)
    assert sorted(undeclared(app)) == [
        "GET /v1/forgotten",
        "GET /v1/twice",
        "POST /v1/forgotten/{site}",
    ]


def test_what_is_no_route_of_ours_is_named(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mounted application under /v1 cannot declare anything, and is named too."""
    app = _app_with(database, monkeypatch)
    app.mount("/v1/inner", FastAPI(openapi_url=None))
    assert undeclared(app) == ["ANY /v1/inner/{path}"]


async def test_a_permission_lets_through_or_not(
    database: Database, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has the permission gets the answer, who has not is told which it is."""
    asking = APIRouter()

    @asking.get("/asked", dependencies=[Depends(Permit(Permission.SITE_WRITE))])
    async def asked() -> str:
        return "done"

    @asking.get("/more", dependencies=[Depends(Permit(Permission.COMPANY_WRITE))])
    async def more() -> str:
        return "done"

    app = _app_with(database, monkeypatch, asking)
    async with as_owner(database).write() as session:
        await session.execute(update(ApiKey).values(scopes=["engineer"]))
    async with client_of(app, headers=acme.headers) as client:
        assert (await client.get("/v1/asked")).json() == "done"
        refused = await client.get("/v1/more")
    assert refused.status_code == 403
    assert "company:write" in refused.json()["detail"]


def test_roles_grow_from_one_another() -> None:
    """Who may more may all that who may less may; an administrator may everything."""
    assert ROLES["viewer"] < ROLES["operator"] < ROLES["engineer"] < ROLES["company_admin"]
    assert ROLES["installer"] < ROLES["engineer"]
    assert ROLES["company_admin"] == frozenset(Permission)
    assert not any(p.value.endswith(":write") for p in ROLES["viewer"] - {Permission.OWN})
