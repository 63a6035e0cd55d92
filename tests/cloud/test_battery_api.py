"""Batteries at the API: found by what their points were mapped to, reckoned from stored samples."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from plantroom_cloud.battery import service
from plantroom_cloud.battery.equipment import group
from plantroom_cloud.db import Database
from plantroom_cloud.tables import Device, Latest, Mapping
from support.api_battery import HOUR, SECOND, cycling
from support.api_world import NOW, ONE_ENGINE, Seeder, Tenant, put_samples
from support.servers import as_owner

_START = NOW - 12 * HOUR


async def _put_cycles(database: Database, tenant: Tenant) -> None:
    """Store twelve hours of full cycles at 90 %, in W and per cent, a sample each half minute."""
    level, soc = cycling(12)
    for role, value in {"power": lambda t: 1000 * level(t), "soc": soc}.items():
        rows = [
            {"ts_us": _START + n * 30 * SECOND, "value": value(n / 120)} for n in range(12 * 120)
        ]
        await put_samples(database, tenant, tenant.battery[role], rows)


def _url(tenant: Tenant, equipment: str = "bess%2F1") -> str:
    return f"/v1/batteries/{tenant.site}/{equipment}/metrics"


async def _figures(client: httpx.AsyncClient, url: str, **params: Any) -> dict[str, Any]:
    window = {"from": str(_START // SECOND), "to": str(NOW // SECOND)}
    answer = await client.get(url, params=window | params)
    assert answer.status_code == 200, answer.text
    return {figure["name"]: figure for figure in answer.json()["figures"]}


async def test_batteries_of_a_site(client: httpx.AsyncClient, acme: Tenant) -> None:
    """A battery is listed with its nameplate and the points that serve it, unclassed ones too."""
    items = (await client.get(f"/v1/sites/{acme.site}/batteries")).json()["items"]
    assert [item["equipment"] for item in items] == ["bess/1"]
    battery = items[0]
    assert battery["rated_kwh"] == pytest.approx(40)
    assert battery["rated_kw"] is None
    roles = {point["role"]: (point["name"], point["unit"]) for point in battery["points"]}
    assert roles == {
        "power": ("Total Power", "W"),
        "soc": ("State of Charge", "%"),
        "rated_energy": ("Nameplate Energy Capacity", "Wh"),
    }


async def test_figures_from_stored_samples(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """What was built into the samples comes out of the route, in kWh from W."""
    await _put_cycles(database, acme)
    found = await _figures(client, _url(acme))
    assert found["energy_in"]["value"] == pytest.approx(160, rel=0.01)
    assert found["energy_out"]["value"] == pytest.approx(144, rel=0.01)
    assert found["efc"]["value"] == pytest.approx(3.8, rel=0.01)
    assert found["rte"]["value"] == pytest.approx(90, abs=0.5)
    assert found["rte"]["grade"] == "A"
    assert found["energy_in"]["from"] == "2026-01-31T00:00:00.000000Z"
    assert found["energy_in"]["points"] == [acme.battery["power"]]
    plain = await client.get(_url(acme, "bess/1"))
    assert plain.status_code == 200


@ONE_ENGINE
async def test_what_the_caller_knows_better(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """Rating and sign can be given; the wrong sign blocks results and says so."""
    await _put_cycles(database, acme)
    found = await _figures(client, _url(acme), rated_kwh=80, rated_kw=50)
    assert found["efc"]["value"] == pytest.approx(1.9, rel=0.01)
    wrong = await _figures(client, _url(acme), charge_positive="true")
    assert wrong["energy_in"]["value"] is None
    assert "sign_inverted" in wrong["energy_in"]["flags"]


@ONE_ENGINE
async def test_an_idle_battery_has_no_invented_figures(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    """Without samples every figure is null with grade N."""
    found = await _figures(client, _url(acme))
    for figure in found.values():
        assert figure["value"] is None
        assert figure["grade"] == "N"


@ONE_ENGINE
async def test_too_many_samples_are_refused(
    client: httpx.AsyncClient, database: Database, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More samples than can be reckoned at once ask for a narrower window; so does a long one."""
    await _put_cycles(database, acme)
    monkeypatch.setattr(service, "MAX_SAMPLES", 100)
    window = {"from": str(_START // SECOND), "to": str(NOW // SECOND)}
    for params in (window, {"from": "0"}):
        answer = await client.get(_url(acme), params=params)
        assert answer.status_code == 422
        assert "narrow from..to" in answer.json()["detail"]


@ONE_ENGINE
async def test_an_unknown_battery_is_not_found(client: httpx.AsyncClient, acme: Tenant) -> None:
    """A key that no battery has, and a site that is none, are 404s."""
    for url in (_url(acme, "other"), f"/v1/batteries/{10**6}/bess%2F1/metrics"):
        assert (await client.get(url)).status_code == 404
    assert (await client.get(f"/v1/sites/{10**6}/batteries")).status_code == 404


@ONE_ENGINE
async def test_roles_by_model_class_and_name(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """The model decides before the class, the class before the name; without a unit no role."""
    async with as_owner(database).write() as session:
        seeder = Seeder(session, acme)
        device = await seeder.put(
            Device, key="bacnet:77", name="Storage", protocol="bacnet", **seeder.wired
        )
        named = {
            "a": ("Storage Active Power", "kW", "Active_Power_Sensor", ""),
            "b": ("Storage Power 2", "kW", "", "BS.ActivePW"),
            "c": ("Storage SOC", "", "", ""),
            "d": ("Energy charged", "MWh", "", ""),
            "e": ("Energy discharged", "MWh", "", ""),
            "f": ("Discharge energy limit", "MWh", "", ""),
            "g": ("Rated capacity", "kWh", "", ""),
            "h": ("Power without unit", "", "Active_Power_Sensor", ""),
            "i": ("SOC max", "%", "", ""),
            "k": ("Max Charge Power", "kW", "Electric_Power_Sensor", ""),
            "j": ("Max discharge power", "kW", "", "BS.MaxDischargePower"),
        }
        ids = {}
        for key, (name, unit, point_class, model_point) in named.items():
            ids[key] = await seeder.point(device, f"bacnet:77:{key}", name, unit, 100.0)
            await seeder.mapping(
                ids[key],
                equip_class="Battery_Energy_Storage_System",
                point_class=point_class,
                model_id="EnOS_Solar_RE_BS" if model_point else "",
                model_point=model_point,
                confidence=0.8,
            )
    items = (await client.get(f"/v1/sites/{acme.site}/batteries")).json()["items"]
    storage = next(item for item in items if item["equipment"] == "bacnet:77")
    assert {point["role"]: point["point"] for point in storage["points"]} == {
        "power": ids["b"],
        "soc": ids["c"],
        "charge_counter": ids["d"],
        "discharge_counter": ids["e"],
        "rated_energy": ids["g"],
        "rated_power": ids["j"],
    }
    assert (storage["rated_kwh"], storage["rated_kw"]) == (100.0, 100.0)


def _row(key: str, name: str, unit: str, point_class: str = "") -> Any:
    meaning: dict[str, Any] = {
        "equipment": "b",
        "equip_class": "Battery",
        "point_class": point_class,
    }
    meaning |= {"model_id": "", "model_point": "", "confidence": 0.9}
    about = {"id": 1, "device_id": 1, "key": key, "name": name, "unit": unit}
    return SimpleNamespace(**about, **meaning, value=1.0, quality=0)


@pytest.mark.parametrize(
    ("row", "role"),
    [
        (_row("modbus:b:W", "Total Power", "W", "Electric_Power_Sensor"), "power"),
        (_row("modbus:b:WChaRteMax", "Charge Rate", "W", "Electric_Power_Sensor"), None),
        (_row("modbus:b:ReqW", "Battery Power Request", "W", "Electric_Power_Sensor"), None),
        (_row("modbus:b:WHRtg", "Nameplate Energy Capacity", "Wh"), "rated_energy"),
        (_row("modbus:b:SoC", "State of Charge", "%"), "soc"),
        (_row("modbus:b:SoCMin", "Nameplate Min SoC", "%"), None),
        (_row("modbus:b:SoH", "State of Health", "%"), None),
        (_row("modbus:b:W", "Total Power", "", "Electric_Power_Sensor"), None),
        (_row("modbus:b:W", "Total Power", "degrees-celsius", "Electric_Power_Sensor"), None),
    ],
)
def test_limits_and_nameplates_serve_no_measurement(row: Any, role: str | None) -> None:
    """A point that only says what could be is never taken for what is."""
    assert set(group([row])[0].roles) == ({role} if role else set())


@ONE_ENGINE
async def test_bad_nameplates_and_rejected_mappings_do_not_count(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """A nameplate of bad quality is unknown; a rejected mapping makes no battery."""
    async with as_owner(database).write() as session:
        await session.execute(update(Latest).values(quality=2))
    battery = (await client.get(f"/v1/sites/{acme.site}/batteries")).json()["items"][0]
    assert battery["rated_kwh"] is None
    async with as_owner(database).write() as session:
        await session.execute(update(Latest).values(quality=0, value=0.0))
    battery = (await client.get(f"/v1/sites/{acme.site}/batteries")).json()["items"][0]
    assert battery["rated_kwh"] is None
    async with as_owner(database).write() as session:
        await session.execute(update(Mapping).values(state="rejected"))
    assert (await client.get(f"/v1/sites/{acme.site}/batteries")).json() == {"items": []}
