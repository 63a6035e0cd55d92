"""Exports and imports over the API: a file as it was asked for, a plan before anything changes."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, func, insert, select, update

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.exchange import endpoints, repository
from plantroom_cloud.exchange.formats import FORMATS
from plantroom_cloud.exchange.repository import ExchangeRepository
from plantroom_cloud.kit.middleware import MAX_BODY
from plantroom_cloud.mapping.service import map_site
from plantroom_cloud.tables import Mapping, Point
from support.api_world import NOW, ONE_ENGINE, Stopped, Tenant, client_of
from support.servers import as_owner


def _csv(*rows: str) -> bytes:
    return "\n".join(("point_name,point_type,equip_id,equip_class", *rows)).encode()


async def _mapping(database: Database, point: int) -> Mapping:
    async with as_owner(database).read() as session:
        row = await session.scalar(select(Mapping).where(Mapping.point_id == point))
    assert row is not None
    return row


async def _import(client: httpx.AsyncClient, site: int, data: bytes, **params: Any) -> Any:
    answer = await client.post(
        f"/v1/sites/{site}/import", params={"format": "csv"} | params, content=data
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _take_in(client: httpx.AsyncClient, site: int, data: bytes, **params: Any) -> Any:
    plan = await _import(client, site, data, **params)
    assert plan["applied"] is False
    done = await _import(client, site, data, apply=plan["plan"], **params)
    assert done == plan | {"applied": True}
    return done


@ONE_ENGINE
async def test_a_file_comes_as_what_it_is(client: httpx.AsyncClient, acme: Tenant) -> None:
    """Media type and name of each format; every point of the site is in it, mapped or not."""
    for kind, format_ in FORMATS.items():
        answer = await client.get(f"/v1/sites/{acme.site}/export", params={"format": kind})
        assert answer.status_code == 200, kind
        assert answer.headers["content-type"] == format_.media_type
        name = f"tower{format_.suffix}"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        content = format_.read(answer.content)
        assert len(content.points) == 5, kind
        chiller = next(point for point in content.points if point.name == "CH1.SupplyTemp")
        assert (chiller.equipment, chiller.equip_class) == ("CH1", "Chiller"), kind
        assert chiller.point_class == "Chilled_Water_Supply_Temperature_Sensor", kind
        assert (chiller.model_point, chiller.confidence) == ("CH.ChwSupplyTemp", 0.9), kind
        assert content.equipment["bess/1"].equip_class == "Battery", kind


async def test_pages_make_no_difference(
    client: httpx.AsyncClient, acme: Tenant, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    """Read two points at a time or all at once, the file is the same, on either engine."""
    url = f"/v1/sites/{acme.site}/export"
    whole = (await client.get(url, params={"format": "enos"})).content
    async with as_owner(database).read() as session:
        rows = ExchangeRepository(session, Scope(acme.company))
        pages = [page async for page in rows.pages(acme.site, accepted=False, most=2)]
    assert [len(page) for page in pages] == [2, 2, 1]
    monkeypatch.setattr(repository.ExchangeRepository.pages, "__kwdefaults__", {"most": 2})
    assert (await client.get(url, params={"format": "enos"})).content == whole


@ONE_ENGINE
async def test_only_what_is_accepted(
    client: httpx.AsyncClient, acme: Tenant, database: Database
) -> None:
    """On request proposals stay at home."""
    async with as_owner(database).write() as session:
        which = Mapping.point_id == acme.points[0]
        await session.execute(update(Mapping).where(which).values(state="accepted"))
    params = {"format": "csv", "accepted": "true"}
    answer = await client.get(f"/v1/sites/{acme.site}/export", params=params)
    points = FORMATS["csv"].read(answer.content).points
    assert [point.name for point in points] == ["CH1.SupplyTemp"]


@ONE_ENGINE
async def test_a_large_file_is_streamed(
    client: httpx.AsyncClient,
    acme: Tenant,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What does not fit into memory waits on the disk, and arrives whole."""
    monkeypatch.setattr(endpoints, "_IN_MEMORY", 1000)
    monkeypatch.setattr(endpoints, "_PIECE", 700)
    own = {"company_id": acme.company, "site_id": acme.site, "gateway_id": acme.gateway}
    rows = [
        own | {"device_id": acme.device, "key": f"k{n}", "name": f"P {n}", "changed_us": NOW}
        for n in range(300)
    ]
    async with as_owner(database).write() as session:
        await session.execute(insert(Point), rows)
    answer = await client.get(f"/v1/sites/{acme.site}/export", params={"format": "brick"})
    assert len(FORMATS["brick"].read(answer.content).points) == 305


async def test_a_plan_is_shown_and_then_done(
    client: httpx.AsyncClient, acme: Tenant, database: Database
) -> None:
    """Without `apply` nothing changes; with it exactly the plan, decided and never remapped."""
    data = _csv(
        "CH1.SupplyTemp,Leaving_Chilled_Water_Temperature_Sensor,Chiller 1,Chiller",
        "CH1.ReturnTemp,Entering_Chilled_Water_Temperature_Sensor,Chiller 1,Chiller",
        "Nobody,CO2_Sensor,,",
    )
    plan = await _import(client, acme.site, data)
    assert (plan["changes"], plan["untouched"], plan["applied"]) == (2, 3, False)
    assert plan["unknown"] == {"count": 1, "named": ["Nobody: the site has no such point"]}
    first = plan["first"][0]
    assert first["before"]["source"] == "offline"
    assert first["after"]["source"] == "import"
    assert (await _mapping(database, acme.points[0])).equipment == "CH1"
    await _take_in(client, acme.site, data)
    for point, name in zip(acme.points, ("Leaving", "Entering"), strict=False):
        row = await _mapping(database, point)
        assert row.point_class == f"{name}_Chilled_Water_Temperature_Sensor"
        assert (row.equipment, row.equip_class, row.state) == ("Chiller 1", "Chiller", "accepted")
        assert (row.source, row.confidence) == ("import", 0.99)
        assert row.mapped_us == NOW
        assert row.evidence == ["taken in from csv"]
    again = await _import(client, acme.site, data)
    assert (again["changes"], again["same"]) == (0, 2)
    await map_site(database, Scope(acme.company), acme.site, clock=Stopped())
    assert (await _mapping(database, acme.points[0])).equipment == "Chiller 1"


async def test_a_new_mapping_is_added(
    client: httpx.AsyncClient, acme: Tenant, database: Database
) -> None:
    """A point that nobody has mapped yet gets its mapping, with its template."""
    await _take_in(client, acme.site, _csv("CH1.ReturnTemp,CO2_Sensor,X,"))
    row = await _mapping(database, acme.points[1])
    assert (row.point_class, row.template) == ("CO2_Sensor", "CH#.ReturnTemp")


@ONE_ENGINE
async def test_what_a_person_decided_stands(
    client: httpx.AsyncClient, acme: Tenant, database: Database
) -> None:
    """Unless it is said that the file wins."""
    point = acme.points[0]
    async with as_owner(database).write() as session:
        which = Mapping.point_id == point
        values = {"source": "person", "state": "accepted", "point_class": "CO2_Sensor"}
        await session.execute(update(Mapping).where(which).values(**values))
    data = _csv("CH1.SupplyTemp,Fan_Status,,")
    kept = (await _take_in(client, acme.site, data))["kept"]
    assert kept["count"] == 1
    assert "CO2_Sensor" in kept["named"][0]
    assert (await _mapping(database, point)).point_class == "CO2_Sensor"
    await _take_in(client, acme.site, data, overwrite=True)
    row = await _mapping(database, point)
    assert (row.point_class, row.equipment, row.source) == ("Fan_Status", "CH1", "import")


@ONE_ENGINE
async def test_another_plan_is_not_done(
    client: httpx.AsyncClient, acme: Tenant, database: Database
) -> None:
    """If file or site changed since the plan was shown, nothing happens."""
    plan = await _import(client, acme.site, _csv("CH1.SupplyTemp,Fan_Status,,"))
    answer = await client.post(
        f"/v1/sites/{acme.site}/import",
        params={"format": "csv", "apply": plan["plan"]},
        content=_csv("CH1.SupplyTemp,CO2_Sensor,,"),
    )
    assert answer.status_code == 409
    assert answer.json()["code"] == "plan_changed"
    assert (await _mapping(database, acme.points[0])).source == "offline"


async def test_what_is_exported_can_be_taken_in_elsewhere(
    api: FastAPI, client: httpx.AsyncClient, acme: Tenant, rival: Tenant, database: Database
) -> None:
    """The decisions of one site become those of another with the same points; then nothing is left."""
    async with as_owner(database).write() as session:
        own = Mapping.company_id == acme.company
        await session.execute(update(Mapping).where(own).values(state="accepted"))
    async with client_of(api, headers=rival.headers) as other:
        for kind in FORMATS:
            async with as_owner(database).write() as session:
                await session.execute(delete(Mapping).where(Mapping.company_id == rival.company))
            await _assert_taken_in(client, acme.site, other, rival.site, kind)
            async with as_owner(database).read() as session:
                count = select(func.count()).where(Mapping.company_id == acme.company)
                assert await session.scalar(count) == 3, kind


async def _assert_taken_in(
    client: httpx.AsyncClient, site: int, other: httpx.AsyncClient, other_site: int, kind: str
) -> None:
    params = {"format": kind}
    file = (await client.get(f"/v1/sites/{site}/export", params=params)).content
    done = await _take_in(other, other_site, file, format=kind)
    assert done["changes"] == 3, kind
    again = (await other.get(f"/v1/sites/{other_site}/export", params=params)).content
    assert (await _import(other, other_site, file, format=kind))["same"] == 3, kind
    was, now = (
        {
            (p.name, p.equipment, p.equip_class, p.model_point)
            for p in FORMATS[kind].read(data).points
        }
        for data in (file, again)
    )
    # Of the battery's points nobody has said a class; the alias of the chiller's has its proper name.
    assert was == now, kind


@ONE_ENGINE
async def test_rubbish_is_a_problem(client: httpx.AsyncClient, acme: Tenant) -> None:
    """A file of another kind, an unknown format and a wrong plan are 422 and say why."""
    url = f"/v1/sites/{acme.site}/import"
    answer = await client.post(url, params={"format": "brick"}, content=b"<html>")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_file")
    for params in ({"format": "xml"}, {"apply": "x y"}):
        assert (await client.post(url, params=params, content=b"{}")).status_code == 422
    answer = await client.get(f"/v1/sites/{acme.site}/export", params={"format": "docx"})
    assert answer.status_code == 422


@ONE_ENGINE
async def test_files_may_be_larger_than_other_bodies(
    client: httpx.AsyncClient, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import takes 64 MB; what is beyond, and other routes beyond 1 MB, is refused."""
    data = _csv("CH1.SupplyTemp,Fan_Status,,") + (b"\n,,," + b" " * 4096) * (MAX_BODY // 4096)
    assert len(data) > MAX_BODY
    assert (await _import(client, acme.site, data))["changes"] == 1
    url = f"/v1/sites/{acme.site}/import"
    headers = {"content-length": str(endpoints.MAX_UPLOAD + 1)}
    answer = await client.post(url, headers=headers, content=b"x")
    assert answer.status_code == 413
    answer = await client.post(f"/v1/points/{acme.points[0]}/commands", content=data)
    assert answer.status_code == 413


@ONE_ENGINE
async def test_without_the_reader_of_turtle(
    client: httpx.AsyncClient, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing package is a 503 that says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "pyoxigraph", None)
    answer = await client.post(
        f"/v1/sites/{acme.site}/import", params={"format": "brick"}, content=b""
    )
    assert answer.status_code == 503
    assert "pip install" in json.loads(answer.content)["detail"]
