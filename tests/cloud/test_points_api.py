"""Points, devices, sites, gateways and mappings: search, filters, pages."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert, update

from plantroom_cloud.db import Database
from plantroom_cloud.tables import Mapping, Point
from support.api_world import NOW, ONE_ENGINE, Seeder, Tenant, client_of
from support.servers import as_owner


async def _names(client: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await client.get("/v1/points", params=params)
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


async def _add(database: Database, tenant: Tenant, *names: str) -> None:
    async with as_owner(database).write() as session:
        row = Seeder(session, tenant).wired | {"device_id": tenant.device, "changed_us": NOW}
        rows = [row | {"key": f"k:{name[:150]}", "name": name} for name in names]
        await session.execute(insert(Point), rows)


async def test_search_finds_words_in_any_case_and_order(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """All words must stand in name, description or key; wildcards of SQL mean only themselves."""
    await _add(database, acme, "100%_open", "ZULUFT Temp Soll", "Ventil 100 offen", "Größe Ö")
    assert await _names(client, q="TEMP supply") == ["CH1.SupplyTemp"]
    assert await _names(client, q="soll zuluft") == ["ZULUFT Temp Soll"]
    assert await _names(client, q="100%") == ["100%_open"]
    assert await _names(client, q="%_o") == ["100%_open"]
    assert await _names(client, q="Ö") == ["Größe Ö"]
    assert await _names(client, q="1001:analog-input:1") == ["CH1.ReturnTemp"]
    assert await _names(client, q="'; DROP TABLE point; --") == []
    assert len(await _names(client, q="  ")) == 9


@ONE_ENGINE
async def test_filters_narrow_down(client: httpx.AsyncClient, acme: Tenant) -> None:
    """Each filter alone and all together; a rejected mapping counts for nothing."""
    assert len(await _names(client, site=acme.site)) == 5
    assert len(await _names(client, gateway=acme.gateway)) == 5
    assert len(await _names(client, device=acme.device)) == 2
    assert await _names(client, equip_class="Chiller") == ["CH1.SupplyTemp"]
    wanted = "Chilled_Water_Supply_Temperature_Sensor"
    assert await _names(client, point_class=wanted) == ["CH1.SupplyTemp"]
    assert len(await _names(client, model="EnOS_Solar_RE_BS")) == 2
    assert await _names(client, equip_class="Battery", q="charge") == ["State of Charge"]
    assert await _names(client, device=acme.device, model="EnOS_Solar_RE_BS") == []


async def test_a_rejected_mapping_does_not_match(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """What a person rejected is shown with its state and found by no class."""
    async with as_owner(database).write() as session:
        which = Mapping.point_id == acme.points[0]
        await session.execute(update(Mapping).where(which).values(state="rejected"))
    assert await _names(client, equip_class="Chiller") == []
    point = (await client.get(f"/v1/points/{acme.points[0]}")).json()
    assert point["meaning"]["state"] == "rejected"
    summary = (await client.get("/v1/mappings/summary")).json()
    assert summary == {"points": 5, "mapped": 0, "with_counterpart": 2, "mean_confidence": None}
    listed = (await client.get("/v1/mappings", params={"state": "rejected"})).json()["items"]
    assert [item["point"] for item in listed] == [acme.points[0]]


async def test_mappings_by_filter(client: httpx.AsyncClient, acme: Tenant) -> None:
    """Mappings narrow down by site, class and confidence; the summary counts by site."""

    async def count(**params: Any) -> int:
        return len((await client.get("/v1/mappings", params=params)).json()["items"])

    assert await count() == 3
    assert await count(site=acme.site, state="proposed") == 3
    assert await count(equip_class="Battery") == 2
    assert await count(min_confidence=0.95) == 2
    page = (await client.get("/v1/mappings", params={"limit": 2})).json()
    assert len(page["items"]) == 2
    assert await count(limit=2, after=page["next"]) == 1
    summary = (await client.get("/v1/mappings/summary", params={"site": acme.site})).json()
    assert summary == {
        "points": 5,
        "mapped": 1,
        "with_counterpart": 3,
        "mean_confidence": pytest.approx(0.9),
    }


async def test_pages_hold_each_point_once_while_others_arrive(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """Following the links shows what was there at the start exactly once, whatever is added."""
    await _add(database, acme, *(f"before {n}" for n in range(30)))
    seen: list[int] = []
    url: Any = "/v1/points?limit=7"
    round_ = 0
    while url:
        answer, _ = await asyncio.gather(
            client.get(url), _add(database, acme, *(f"during {round_} {n}" for n in range(2)))
        )
        seen += [item["id"] for item in answer.json()["items"]]
        link = answer.links.get("next")
        url = link and link["url"]
        round_ += 1
        assert round_ < 30
    assert seen == sorted(set(seen))
    assert len(seen) >= 35


@ONE_ENGINE
async def test_every_list_comes_in_pages(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """Sites, gateways and devices page like points do, and a cursor fits its own list only."""
    from plantroom_cloud.tables import Device, Gateway, Site

    async with as_owner(database).write() as session:
        seeder = Seeder(session, acme)
        for n in range(3):
            await seeder.put(Site, slug=f"s{n}", name="More", created_us=NOW, **seeder.own)
            await seeder.put(Gateway, id=f"gw-more-{n}", name="", created_us=NOW, **seeder.here)
            await seeder.put(Device, key=f"d{n}", name="", protocol="modbus", **seeder.wired)
    first = (await client.get("/v1/points", params={"limit": 1})).json()["next"]
    for path in ("/v1/sites", "/v1/gateways", "/v1/devices"):
        every = (await client.get(path)).json()["items"]
        paged: list[Any] = []
        after: dict[str, str] = {}
        for _ in every:
            body = (await client.get(path, params={"limit": 1, **after})).json()
            paged += body["items"]
            after = {"after": body["next"]}
        assert after == {"after": None}
        assert paged == every
        assert len(every) >= 4
        assert (await client.get(path, params={"after": first})).status_code == 422


async def test_a_gateway_shows_its_account(client: httpx.AsyncClient, acme: Tenant) -> None:
    """Accepted is stored, refused, declared lost and still there, with the gaps and their cause."""
    body = (await client.get(f"/v1/gateways/{acme.gateway}/account")).json()
    terms = {key: body[key] for key in ("accepted", "stored", "quarantined", "gaps", "on_edge")}
    assert terms == {"accepted": 6, "stored": 2, "quarantined": 1, "gaps": 2, "on_edge": 1}
    assert body["balanced"] is True
    assert body["epochs"][0]["accepted"] == 6
    assert body["gap_list"] == [
        {
            "epoch": "00000000000000aa",
            "stream": "tel",
            "lo": 3,
            "hi": 4,
            "rows": 2,
            "cause": "quota",
            "from": None,
            "to": None,
            "signed": False,
            "received": "2026-01-31T12:00:00.000000Z",
        }
    ]
    events = await client.get(f"/v1/gateways/{acme.gateway}/account", params={"stream": "evt"})
    assert events.json()["accepted"] == 0
    assert events.json()["as_of"] is None


_NEVER_EMPTY = {
    "/v1/me": "who asks",
    "/v1/me/sessions": "of users alone",
    "/v1/roles": "the same for all",
    "/v1/users": "whoever signed up",
    "/v1/api-keys": "the one that asks",
    "/v1/service-accounts": "programs",
    "/v1/audit/export": "lines",
    "/v1/audit/keys": "of the service",
    "/v1/me/identities": "of users alone",
    "/v1/usage": "days",
    "/v1/features": "the same for all",
    "/v1/governance/rules": "those that are built in",
    "/v1/governance/facts": "the same for all",
    "/v1/health/detail": "of the service",
}
"""Lists that are not of a company's plant."""


@ONE_ENGINE
async def test_a_company_without_anything_gets_empty_lists(
    api: FastAPI, database: Database
) -> None:
    """A new company sees empty lists and a summary of nothing, no errors."""
    from support.api_routes import all_routes
    from support.api_world import seed_company

    nothing = {"/v1/llm": ("sources", {}), "/v1/llm/estimate": ("points", 0)}
    nothing["/v1/mappings/summary"] = ("mean_confidence", None)
    nothing |= {"/v1/licence": ("limits", []), "/v1/alarms/figures": ("calls", 0)}
    fresh = await seed_company(database, "fresh")
    async with client_of(api, headers=fresh.headers) as client:
        for route in all_routes(api):
            reads = route.method == "GET" and route.path.startswith("/v1/")
            if reads and "{" not in route.path and not route.is_stream:
                answer = await client.get(route.path)
                if route.path in _NEVER_EMPTY:
                    assert answer.status_code in {200, 403}, route.path
                    continue
                body = answer.json()
                name, value = nothing.get(route.path, ("items", []))
                own = body[name]
                if route.path == "/v1/thing-models":
                    own = [model for model in own if model["origin"] != "built-in"]
                assert own == value, route.path
