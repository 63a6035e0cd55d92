"""Thing models, overrides and the schema check over the API, on both databases."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from plantroom_cloud.db import Database
from plantroom_cloud.tables import Mapping, Point, ThingModelRow
from plantroom_cloud.thingmodels import schemas, service
from support.api_world import ONE_ENGINE, Stopped, Tenant, client_of
from support.servers import as_owner


def chiller(**points: dict[str, Any]) -> dict[str, Any]:
    return {"models": {"ABC_HVAC_CH": {"parent": "EnOS_HVAC_CH", "points": points}}}


TEMP = {"type": "DOUBLE", "unit": "degF", "signal": "AI", "required": True}


async def imported(client: httpx.AsyncClient, document: Any) -> dict[str, Any]:
    answer = await client.post("/v1/thing-models/import", json=document)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_model_is_imported_shown_changed_compared_and_deleted(
    client: httpx.AsyncClient, clock: Stopped
) -> None:
    """Every import that differs is a version; what was deleted may come again."""
    assert (await imported(client, chiller(t=TEMP)))["new"] == ["ABC_HVAC_CH"]
    assert (await imported(client, chiller(t=TEMP)))["same"] == ["ABC_HVAC_CH"]
    clock.now += 1000
    changed = chiller(t=TEMP | {"unit": "K"}, s={"type": "INT", "signal": "DI"})
    assert (await imported(client, changed))["changed"] == ["ABC_HVAC_CH"]
    url = "/v1/thing-models/ABC_HVAC_CH"
    shown = (await client.get(url)).json()
    assert shown["points"]["t"]["unit"] == "K"
    assert [v["version"] for v in shown["versions"]] == [1, 2]
    assert [v["ended"] is None for v in shown["versions"]] == [False, True]
    first = (await client.get(url, params={"version": 1})).json()
    assert first["points"]["t"]["unit"] == "degF"
    diff = (await client.get(f"{url}/diff")).json()
    assert (diff["before"], diff["after"]) == ("version 1", "version 2")
    assert [(c["what"], c["where"]) for c in diff["changes"]] == [
        ("added", "points.s"),
        ("changed", "points.t"),
    ]
    back = (await client.get(f"{url}/diff", params={"old": 2, "new": 1})).json()
    assert [c["what"] for c in back["changes"]] == ["removed", "changed"]
    assert (await client.delete(url)).json() == {"deleted": "ABC_HVAC_CH"}
    assert (await client.delete(url)).status_code == 404
    assert (await client.get(url)).status_code == 404
    assert (await client.get(url, params={"version": 2})).status_code == 200
    assert (await imported(client, changed))["new"] == ["ABC_HVAC_CH"]
    assert len((await client.get(url)).json()["versions"]) == 3


@ONE_ENGINE
async def test_the_list_has_own_and_built_in_models(client: httpx.AsyncClient) -> None:
    """By name, one of each; an own model hides the built-in one of its name until it is deleted."""
    document = {"models": {"EnOS_HVAC_CH": {"only": {"type": "INT"}}}}
    await imported(client, document)
    items = {item["model"]: item for item in (await client.get("/v1/thing-models")).json()["items"]}
    assert list(items) == sorted(items)
    assert items["EnOS_HVAC_CH"]["points"] == 1
    assert items["EnOS_HVAC_AHU"]["origin"] == "built-in"
    assert {"brick", "haystack"} <= items.keys()
    diff = (await client.get("/v1/thing-models/EnOS_HVAC_CH/diff")).json()
    assert diff["before"] == "built in"
    await client.delete("/v1/thing-models/EnOS_HVAC_CH")
    built_in = (await client.get("/v1/thing-models/EnOS_HVAC_CH")).json()
    assert len(built_in["points"]) > 10
    assert (await client.get("/v1/thing-models/EnOS_HVAC_AHU/diff")).json()["changes"] == []


@ONE_ENGINE
async def test_poison_costs_no_other_model(client: httpx.AsyncClient) -> None:
    """What can be read is kept; what cannot is told with the file's name, the place and the fix."""
    document = {"models": {"Good": {"x": {"type": "INT"}}, "Bad": {"x": {"type": "NOTHING"}}}}
    answer = await client.post(
        "/v1/thing-models/import", params={"file": "site.json"}, json=document
    )
    body = answer.json()
    assert body["new"] == ["Good"]
    (problem,) = body["problems"]
    assert problem["file"] == "site.json"
    assert problem["key"] == "models.Bad.measurepoints.x.dataType"
    assert "DOUBLE" in problem["fix"]
    answer = await client.post("/v1/thing-models/import", content=b"{")
    assert answer.status_code == 422
    assert "no JSON" in answer.json()["detail"]
    answer = await client.post("/v1/thing-models/import", content=b"[" * 1_100_000)
    assert answer.status_code == 413


@ONE_ENGINE
async def test_a_company_has_so_many_models(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit nothing of a file is kept; what is there may still change."""
    monkeypatch.setattr(service, "MAX_OWN", 2)
    document = {"models": {name: {"x": {"type": "INT"}} for name in ("A", "B")}}
    answer = await client.post("/v1/thing-models/import", json=document)
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many")
    assert (await client.get("/v1/thing-models/A")).status_code == 404
    await imported(client, {"models": {"A": {"x": {"type": "INT"}}}})
    await imported(client, {"models": {"A": {"x": {"type": "DOUBLE"}}}})


# ---------------------------------------------------------------- overrides, check


async def check(client: httpx.AsyncClient, tenant: Tenant, **params: Any) -> dict[str, Any]:
    answer = await client.get(f"/v1/sites/{tenant.site}/schema-check", params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def remap(database: Database, point: int, **values: Any) -> None:
    async with as_owner(database).write() as session:
        await session.execute(update(Mapping).where(Mapping.point_id == point).values(**values))


async def test_a_site_s_mapping_is_checked(
    client: httpx.AsyncClient, acme: Tenant, database: Database
) -> None:
    """A model point that is none is told; the right one fits; what is rejected does not count."""
    found = await check(client, acme)
    assert found["kinds"] == {"no_model_point": 1}
    assert found["findings"][0]["points"] == [acme.points[0]]
    assert (found["mapped"], found["fitting"], found["equipment"]) == (3, 2, 2)
    await remap(database, acme.points[0], model_point="CH_raw_temp_chws")
    assert (await check(client, acme))["findings"] == []
    await remap(database, acme.points[0], state="rejected", model_point="nothing")
    assert (await check(client, acme))["mapped"] == 2


@ONE_ENGINE
async def test_findings_are_bounded_errors_first(
    client: httpx.AsyncClient,
    acme: Tenant,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A site of nothing but trouble is an answer that can be read; all of it is counted."""
    async with as_owner(database).write() as session:
        await session.execute(update(Point).values(unit=""))
        await session.execute(
            update(Point).where(Point.id == acme.battery["soc"]).values(unit="kW")
        )
    monkeypatch.setattr(schemas, "_MOST_FINDINGS", 2)
    found = await check(client, acme)
    assert found["kinds"] == {"no_model_point": 1, "no_unit": 1, "unit": 1}
    assert [item["severity"] for item in found["findings"]] == ["error", "error"]
    assert found["untold"] == 1


async def test_an_override_puts_right_what_does_not_fit(
    client: httpx.AsyncClient, acme: Tenant, database: Database
) -> None:
    """Rows of the company: another model, another point, another unit; taken back they hold no more."""
    point = acme.points[0]
    await imported(client, chiller(supply=TEMP, status={"type": "INT", "required": True}))
    mine = {"model": "EnOS_HVAC_CH", "to_model": "ABC_HVAC_CH", "to_point": "supply"}
    added = (await client.post("/v1/mapping-overrides", json=mine | {"site": acme.site})).json()
    found = await check(client, acme)
    assert [(f["kind"], f["model"], f["model_point"]) for f in found["findings"]] == [
        ("missing", "ABC_HVAC_CH", "status")
    ]
    async with as_owner(database).write() as session:
        await session.execute(update(Point).where(Point.id == point).values(unit="kW"))
    assert (await check(client, acme))["kinds"] == {"missing": 1, "unit": 1}
    unit = {"point": point, "unit": "degC", "multiplier": 0.1, "note": "the controller lies"}
    (await client.post("/v1/mapping-overrides", json=unit)).raise_for_status()
    assert (await check(client, acme))["kinds"] == {"missing": 1}
    await client.delete(f"/v1/mapping-overrides/{added['id']}")
    assert (await check(client, acme))["kinds"] == {"no_model_point": 1}
    listed = (await client.get("/v1/mapping-overrides", params={"ended": True})).json()["items"]
    ended = {item["id"]: item["ended"] for item in listed}
    assert ended[added["id"]] is not None
    assert sum(end is None for end in ended.values()) == 2


@ONE_ENGINE
async def test_a_further_override_of_the_same_ends_the_former(client: httpx.AsyncClient) -> None:
    """Of one thing one holds; the history has both."""
    about = {"model": "EnOS_HVAC_CH", "model_point": "CH_raw_load_chiller"}
    one = (await client.post("/v1/mapping-overrides", json=about | {"sign": -1})).json()
    two = (await client.post("/v1/mapping-overrides", json=about | {"multiplier": 1000})).json()
    items = (await client.get("/v1/mapping-overrides")).json()["items"]
    assert two["id"] in [item["id"] for item in items]
    assert one["id"] not in [item["id"] for item in items]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"sign": -1}, "model"),
        ({"model": "X"}, "unit"),
        ({"model": "X", "unit": "furlongs"}, "unit"),
        ({"model": "X", "unit": "no-units"}, "unit"),
        ({"model": "X", "multiplier": 0}, "multiplier"),
        ({"model": "X", "sign": 0}, "sign"),
        ({"model": "X", "to_model": "a/b"}, "to_model"),
        ({"point": 10**12, "sign": -1}, "point"),
        ({"site": 10**12, "sign": -1}, "site"),
        ({"model": "X", "sign": -1, "code": "import os"}, "code"),
    ],
)
@ONE_ENGINE
async def test_overrides_are_data_and_checked(
    client: httpx.AsyncClient, body: dict[str, Any], name: str
) -> None:
    """What says nothing, or nothing possible, is refused with its name."""
    answer = await client.post("/v1/mapping-overrides", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["name"] == name


@ONE_ENGINE
async def test_no_number_is_no_multiplier(client: httpx.AsyncClient) -> None:
    """JSON of a careless writer may hold an infinity."""
    answer = await client.post(
        "/v1/mapping-overrides",
        content=b'{"model": "X", "multiplier": 1e999}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422


@ONE_ENGINE
async def test_classes_are_checked_against_brick_and_haystack(
    client: httpx.AsyncClient, acme: Tenant, database: Database
) -> None:
    """What a point means is checked for itself, whatever EnOS has for it."""
    for target in ("brick", "haystack"):
        assert (await check(client, acme, target=target))["findings"] == []
    await remap(database, acme.points[0], point_class="Active_Power_Sensor")
    found = await check(client, acme, target="brick")
    assert found["kinds"] == {"unit": 1}
    answer = await client.get(f"/v1/sites/{acme.site}/schema-check", params={"target": "bacnet"})
    assert answer.status_code == 422


async def test_models_of_another_company_do_not_count(
    api: FastAPI, client: httpx.AsyncClient, acme: Tenant, rival: Tenant, database: Database
) -> None:
    """Each sees its own models and overrides, and is checked against its own."""
    await imported(client, chiller(x=TEMP))
    override = {"model": "EnOS_HVAC_CH", "to_model": "ABC_HVAC_CH"}
    (await client.post("/v1/mapping-overrides", json=override)).raise_for_status()
    async with client_of(api, headers=rival.headers) as other:
        assert (await other.get("/v1/thing-models/ABC_HVAC_CH")).status_code == 404
        found = await check(other, rival)
        assert found["findings"][0]["model"] == "EnOS_HVAC_CH"
        foreign = {"point": acme.points[0], "sign": -1}
        assert (await other.post("/v1/mapping-overrides", json=foreign)).status_code == 422
    async with as_owner(database).read() as session:
        owners = set((await session.execute(select(ThingModelRow.company_id))).scalars())
    assert owners == {acme.company, rival.company}


@ONE_ENGINE
async def test_what_is_stored_can_be_imported_again(client: httpx.AsyncClient) -> None:
    """The answer of one model, as it stands there, is a file of its own."""
    await imported(client, chiller(t=TEMP | {"minimum": -5, "choices": [], "title": "Supply °C"}))
    shown = (await client.get("/v1/thing-models/ABC_HVAC_CH")).json()
    document = {"models": [shown | {"model_id": "ABC_HVAC_CH"}]}
    assert (await imported(client, orjson.loads(orjson.dumps(document))))["same"] == ["ABC_HVAC_CH"]
