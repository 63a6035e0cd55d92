"""Every published SunSpec model: rendered by the Alliance's library, served, read without a profile."""

from __future__ import annotations

import asyncio
import json
from importlib import resources
from typing import Any

import pytest
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from plantroom_edge.drivers.modbus import sunspec_hints
from plantroom_edge.drivers.modbus.sunspec_models import model, published
from plantroom_shared.model import Value
from simulators import modbus_pymodbus
from support import sunspec_device
from support.modbus_bus import bus, independent, read

DEVICE = {"name": "one", "unit": 7, "profile": "sunspec"}
NUMBERS = published()


def close_to(shown: dict[str, Value]) -> dict[str, Any]:
    """Return values to compare with: a float need not be the same to the last digit."""
    return {
        key: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
        for key, value in shown.items()
    }


def alliance(port: int) -> dict[str, Value]:
    """Return what the Alliance's own client reads, by the ids that we give."""
    client = SunSpecModbusClientDeviceTCP(slave_id=7, ipaddr="127.0.0.1", ipport=port, timeout=5)
    try:
        client.scan()
        found = [one for key, (one, *_) in client.models.items() if isinstance(key, int)]
        return {key: value for one in found for key, value in sunspec_device.shown(one).items()}
    finally:
        client.close()


def test_there_are_this_many_models() -> None:
    """The package ships 112 models, and each of them is one of the cases below."""
    assert len(NUMBERS) == 112
    assert {1, 103, 160, 203, 701, 714, 802, 803, 804, 805} <= set(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_model_is_read_as_it_was_rendered(number: int) -> None:
    """Every point of every model has the value it was given, and the Alliance's client says so too."""
    common = sunspec_device.model(1, seed=3)
    models = [common] if number == 1 else [common, sunspec_device.model(number, seed=3)]
    shown = {key: v for one in models for key, v in sunspec_device.shown(one).items()}
    async with (
        modbus_pymodbus.serving({7: sunspec_device.image(models)}) as port,
        bus(port, DEVICE) as driver,
    ):
        inventory = await driver.discover()
        got = await read(driver, inventory.groups)
        judged = await asyncio.to_thread(alliance, port)
    assert inventory.missing == ()
    assert got.reasons == {}
    assert got.values == close_to(shown)
    assert judged == close_to(shown)


async def test_a_device_of_another_server_is_read() -> None:
    """A server that shares no code with the client is read the same, far beyond one request."""
    models = [sunspec_device.model(number, seed=8) for number in (1, 160, 803, 705)]
    shown = {key: v for one in models for key, v in sunspec_device.shown(one).items()}
    async with (
        independent(sunspec_device.image(models)) as port,
        bus(port, {**DEVICE, "unit": 1}) as driver,
    ):
        got = await read(driver, (await driver.discover()).groups)
    assert got.reasons == {}
    assert got.values == close_to(shown)


async def test_points_say_what_they_are() -> None:
    """Names come from labels, states from symbols; units, classes and EnOS points are there."""
    models = [sunspec_device.model(number) for number in (1, 103, 803, 123, 704)]
    async with (
        modbus_pymodbus.serving({7: sunspec_device.image(models)}) as port,
        bus(port, DEVICE) as driver,
    ):
        inventory = await driver.discover()
    points = {point.key.removeprefix("modbus:one:"): point for point in inventory.points}
    (device,) = inventory.devices
    assert (device.vendor, device.model) == (models[0].Mn.value, models[0].Md.value)
    assert "models 1, 103, 803, 123, 704" in device.description
    power = points["103.W"]
    assert (power.name, power.unit, power.point_class) == ("Watts", "W", "Electric_Power_Sensor")
    assert power.enos == "EnOS_Solar_RE_INV/INV.GenActivePW"
    assert power.equip_class == "Inverter"
    assert points["103.TmpCab"].unit == "degC"
    assert points["103.St"].states[:2] == ("Off", "Sleeping")
    assert points["803.2.StrSoC"].name == "String 2 State of Charge"
    assert points["123.WMaxLimPct"].unit == "%"
    assert "(% WMax)" in points["123.WMaxLimPct"].description
    assert points["103.Evt1"].states[:2] == ("Ground fault", "Dc over volt")
    assert points["123.WMaxLimPct"].writable
    assert points["103.St"].writable is None
    assert points["704.PFWInj.PF"].name.startswith("PFWInj ")
    assert len(points) == len(inventory.points)


async def test_what_hardly_changes_is_read_rarely() -> None:
    """Texts and settings are read once a minute, measurements as often as configured."""
    models = [sunspec_device.model(number) for number in (1, 103, 123)]
    async with (
        modbus_pymodbus.serving({7: sunspec_device.image(models)}) as port,
        bus(port, {**DEVICE, "interval": 2}) as driver,
    ):
        groups = (await driver.discover()).groups
    paces = {
        key.removeprefix("modbus:one:"): group.interval for group in groups for key in group.points
    }
    assert paces["103.W"] == 2
    assert paces["1.SN"] == paces["123.WMaxLimPct"] == 60


def test_only_the_models_of_a_device_are_loaded() -> None:
    """A definition is read when a device has the model, and an unknown number has none."""
    model.cache_clear()
    assert model(103) is not None
    assert model(64999) is None
    assert model.cache_info().currsize == 2


def test_the_hints_name_what_exists() -> None:
    """Every hint is of a point that the model has, with a Brick class and an EnOS point that exist."""
    table, equipment = sunspec_hints._table()
    data = resources.files("plantroom_shared.mapping") / "data"
    brick, enos = (
        json.loads((data / name).read_text()) for name in ("brick.json", "enos_models.json")
    )
    classes, points = set(_words(brick)), set(_words(enos))
    for number, hints in table.items():
        names = _names(number)
        for name, (point_class, where) in hints.items():
            assert not point_class or point_class in classes
            assert all(part in points for part in where.split("/") if part)
            siblings = [
                other for other, given in table.items() if given.get(name) and other != number
            ]
            assert name in names or any(name in _names(other) for other in siblings)
    assert set(equipment.values()) <= classes


def _names(number: int) -> set[str]:
    definition = model(number)
    assert definition is not None
    groups, names = [definition], set[str]()
    while groups:
        group = groups.pop()
        names.update(point.name for point in group.points)
        groups += group.groups
    return names


def _words(data: Any) -> list[str]:
    if isinstance(data, dict):
        return [word for key, value in data.items() for word in (key, *_words(value))]
    if isinstance(data, list):
        return [word for value in data for word in _words(value)]
    return [data] if isinstance(data, str) else []
