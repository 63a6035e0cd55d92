"""Members, keys and programs that are confined to some sites of their company."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import update

from plantroom_cloud.db import Database
from plantroom_cloud.kit.confined import lies_at
from plantroom_cloud.tables import ApiKey, Gateway, Site, ThingModelRow
from support import api_world
from support.api_routes import Route, all_routes, permits_of
from support.api_world import NOW, Seeder, Tenant, client_of
from support.scope_watch import watching
from support.servers import as_owner

AT_LEAST = 11


async def _second_site(database: Database, tenant: Tenant) -> Tenant:
    """Return the company again, with what it has at another site."""
    async with as_owner(database).write() as session:
        seeder = Seeder(session, tenant)
        annex = {"slug": "annex", "name": "the annex", "created_us": NOW}
        site = await seeder.put(Site, **annex, **seeder.own)
        there = replace(tenant, site=site, gateway="gw-annex", points=[], battery={}, alarms={})
        seeder = Seeder(session, there)
        basement = {"id": there.gateway, "name": "annex basement", "created_us": NOW}
        await seeder.put(Gateway, **basement, **seeder.here)
        await api_world._put_chiller(seeder)
        await api_world._put_alarms(seeder)
    return there


def _open_routes(api: FastAPI) -> list[Route]:
    permits = permits_of(api)
    found = [route for route in all_routes(api) if route.path.startswith("/v1/")]
    keeping = [r for r in found if permits[r.method, r.path][0].confined]
    # What never ends has a suite of its own.
    apart = ("/v1/me", "/v1/roles", "/v1/live/events")
    return [route for route in keeping if not route.path.startswith(apart)]


@pytest.fixture
async def annex(database: Database, acme: Tenant) -> Tenant:
    """What the company has at its second site; its key is confined to the first."""
    there = await _second_site(database, acme)
    async with as_owner(database).write() as session:
        which = ApiKey.id == acme.key_id
        await session.execute(update(ApiKey).where(which).values(sites=[acme.site]))
    return there


async def test_another_site_is_not_found(
    api: FastAPI, acme: Tenant, annex: Tenant, database: Database
) -> None:
    """By id, in lists and by filters: rows of another site are as far away as another company's."""
    routes = _open_routes(api)
    assert len(routes) >= AT_LEAST
    foreign: dict[str, Any] = {"site": annex.site, "gateway": annex.gateway, "device": annex.device}
    foreign["point"] = annex.points[0]
    async with client_of(api, headers=acme.headers) as client:
        with watching(database) as watch:
            for route in routes:
                own = await client.request(route.method, route.url(acme), json=route.body)
                assert own.status_code == 200, (route.path, own.text)
                assert "annex" not in own.text, route.path
                other = await client.request(route.method, route.url(annex), json=route.body)
                if "{" in route.path:
                    assert other.status_code == 404, (route.path, other.text)
                    continue
                for name in route.query & foreign.keys():
                    answer = await client.get(route.path, params={name: foreign[name]})
                    found = answer.json()
                    assert found.get("items", found.get("top")) == [], (route.path, name)
            hour: dict[str, Any] = {
                "interval": "1h",
                "from": NOW // 10**6 - 7200,
                "to": NOW // 10**6,
            }
            sums = await client.get(f"/v1/points/{annex.points[0]}/samples", params=hour)
            assert sums.status_code == 404
    assert watch.escaped == []


async def test_what_does_not_keep_to_sites_is_closed(
    api: FastAPI, acme: Tenant, annex: Tenant
) -> None:
    """Every other route says 403, whatever the key may."""
    keeping = {(route.method, route.path) for route in _open_routes(api)}
    async with client_of(api, headers=acme.headers) as client:
        for route in all_routes(api):
            own = route.path.startswith(("/v1/me", "/v1/roles", "/v1/live/events"))
            if not route.path.startswith("/v1/") or own or (route.method, route.path) in keeping:
                continue
            answer = await client.request(route.method, route.url(acme), json=route.body)
            assert answer.status_code == 403, route.path


def test_what_belongs_to_the_company_belongs_to_no_site() -> None:
    """A table without a site, a point or a gateway shows nothing to whoever is confined."""
    assert str(lies_at(ThingModelRow, 1, {1})) == "false"
