"""Every profile of the product: planned, served by a device made from it, and read back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from plantroom_shared.model import Value
from plantroom_shared.profiles import list_profiles, load_profile
from simulators import modbus_pymodbus
from support.modbus_bus import bus, groups_of, independent, read
from support.modbus_image import filled, solid

NAMES = list_profiles(protocol="modbus")
LEAST = {
    "battery/sunspec-802-803": 45,
    "inverter/sunspec-103": 35,
    "meter/carlo-gavazzi-em24": 20,
    "meter/eastron-sdm630": 30,
    "meter/schneider-pm5560": 45,
}


def test_the_product_has_these_profiles() -> None:
    """The simulated site is made of them; none has shrunk."""
    assert {name: len(load_profile(name).points) >= LEAST.get(name, 1) for name in NAMES} == (
        dict.fromkeys(NAMES, True)
    )
    assert set(LEAST) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_what_a_device_shows_is_read(name: str) -> None:
    """Every point of a simulated device of this model has the value it was given, and is good."""
    image, shown = filled(load_profile(name), seed=len(name))
    async with (
        modbus_pymodbus.serving({7: solid(image)}) as port,
        bus(port, {"name": "one", "unit": 7, "profile": name}) as driver,
    ):
        inventory = await driver.discover()
        got = await read(driver, inventory.groups)
    assert inventory.missing == ()
    assert got.reasons == {}
    assert got.values == shown


@pytest.mark.parametrize("name", NAMES)
async def test_an_independent_server_is_read(name: str) -> None:
    """The same from a server that shares no code with the client."""
    image, shown = filled(load_profile(name), seed=len(name) + 1)
    async with (
        independent(image) as port,
        bus(port, {"name": "one", "unit": 1, "profile": name}) as driver,
    ):
        got = await read(driver, await groups_of(driver, "one"))
    assert got.reasons == {}
    assert got.values == shown


def _scan(port: int) -> dict[tuple[int, str], Any]:
    """Return what the SunSpec Alliance's own client reads, by model and point."""
    device = SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=port, timeout=5)
    device.scan()
    found: dict[tuple[int, str], Any] = {}
    for number, (model, *_) in device.models.items():
        if not isinstance(number, int):  # the same models stand there by name, too
            continue
        strings = model.groups.get("string", [])
        for prefix, group in [("", model), *((f"Str{n}", one) for n, one in enumerate(strings, 1))]:
            for point, held in group.points.items():
                name = prefix + point.removeprefix("Str") if prefix else point
                found[number, name] = held.cvalue
    device.close()
    return found


@pytest.mark.parametrize(
    ("name", "models"),
    [("inverter/sunspec-103", (1, 103)), ("battery/sunspec-802-803", (1, 802, 803))],
)
async def test_sunspec_devices_are_what_the_alliance_reads(
    name: str, models: tuple[int, ...]
) -> None:
    """The client of the SunSpec Alliance finds the same models, points and values."""
    profile = load_profile(name)
    image, shown = filled(profile, seed=5)
    async with modbus_pymodbus.serving({1: solid(image)}) as port:
        scanned = await asyncio.to_thread(_scan, port)
    assert {model for model, _ in scanned} == set(models)
    compared = {
        one: scanned[model, one] for one in shown for model in models if (model, one) in scanned
    }
    # All but the bits, which that client reads as a field.
    assert set(shown) - set(compared) == {one for one in shown if one.startswith("Evt1-")}
    assert compared == {one: _nearly(shown[one]) for one in compared}


def _nearly(value: Value) -> Any:
    return pytest.approx(value, rel=1e-9) if isinstance(value, float) else value


@pytest.mark.parametrize("name", NAMES)
def test_what_a_device_cannot_tell_is_no_value(name: str) -> None:
    """Where a register has a way to say that there is no value, it is read so."""
    for register in load_profile(name).points:
        if register.sentinel or register.type in {"float32", "string"}:
            assert register.decode(register.encode(None), 0) == (None, "not-available")
