"""The profiles of SunSpec devices, held against the client of the SunSpec Alliance."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from plantroom_shared.model import Value
from plantroom_shared.profiles import load_profile
from simulators import modbus_pymodbus
from support.modbus_image import filled, solid


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
