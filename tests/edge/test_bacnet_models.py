"""Device profiles on BACnet: a device that fits one gets its meaning, whatever it leaves open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from plantroom_edge.drivers import Candidate, Judging, ScanRequest
from plantroom_edge.drivers.bacnet import BacnetConfig
from plantroom_edge.drivers.bacnet.profile import catalogue
from plantroom_edge.drivers.bacnet.survey import look_around
from plantroom_edge.hints import Hint
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError
from plantroom_shared.model import Quality, Value
from support.bacnet_device import Field, enumerated, oid, real, serving, text, unsigned
from support.bacnet_peers import by_key, driver

PROFILE = """\
profile: 1
protocol: bacnet
vendor: Acme
model: AHU 7
source: "Acme AHU 7, BACnet objects, edition 3"
equip_class: Air_Handling_Unit
match:
  vendor_id: 999
  model: ["AHU 7*"]
  firmware: "2.*"
defaults:
  interval: 20
objects:
  - {id: supply, type: analog-input, instance: 1, name: Supply air temperature,
     unit: degrees-celsius, range: [-20, 80], deadband: 0.2,
     point_class: Supply_Air_Temperature_Sensor, enos: AHU/SupplyTemp}
  - {id: setpoint, type: analog-value, object_name: "*SETPT", name: Setpoint, description: Wanted,
     unit: degrees-celsius, interval: 60, write: {min: 15, max: 28},
     point_class: Supply_Air_Temperature_Setpoint}
  - {id: mode, type: multi-state-value, instance: 3, name: Mode, states: {1: "Off", 3: Auto},
     write: {}}
"""


def plant(model: str = "AHU 7 compact", firmware: str = "2.4", vendor: int = 999) -> Field:
    device = Field(instance=7)
    device.add(0, 1, real(120.0), "T1")
    device.add(0, 2, real(5.0), "T2", _117=enumerated(64))
    device.add(2, 9, real(21.0), "ZN1-SETPT", _69=real(0), _65=real(100))
    device.add(19, 3, unsigned(3), "M")
    told = {70: text(model), 44: text(firmware), 120: unsigned(vendor)}
    own = device._own
    device._own = lambda prop: told.get(prop) or own(prop)  # type: ignore[method-assign] # a product
    return device


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one profile."""
    (tmp_path / "ahu").mkdir()
    (tmp_path / "ahu" / "acme-ahu-7.yaml").write_text(PROFILE)
    return tmp_path


async def test_a_device_that_fits_a_profile_gets_its_meaning(folder: Path) -> None:
    """Classes, units, states, limits, intervals and ranges come from the profile."""
    async with serving(plant()) as targets, driver(*targets, profile_dir=folder) as bus:
        found = await bus.discover()
        polls = [(group, await bus.read(group)) for group in found.groups]
        judged = [bus.unwritable("bacnet:7:analog-value:9", value) for value in (14, 20, 29)]
    supply, other, setpoint, mode = found.points
    assert (supply.name, supply.description) == ("T1", "Supply air temperature")
    assert supply.unit == "degrees-celsius"
    assert (supply.point_class, supply.enos) == ("Supply_Air_Temperature_Sensor", "AHU/SupplyTemp")
    assert (other.unit, other.point_class) == ("degrees-fahrenheit", "")
    assert {point.equip_class for point in found.points} == {"Air_Handling_Unit"}
    assert (setpoint.description, setpoint.writable) == ("Wanted", True)
    assert (mode.states, mode.writable, supply.writable) == (("Off", "", "Auto"), True, False)
    assert found.hints == {"bacnet:7:analog-input:1": Hint(deadband=0.2)}
    assert judged == ["below-minimum", "", "above-maximum"]
    assert [group.interval for group in found.groups] == [20, 60]
    assert found.groups[1].points == ("bacnet:7:analog-value:9",)
    rows = {key: row for group, poll in polls for key, row in by_key(group, poll).items()}
    assert rows["analog-input:1"] == (120.0, (int(Quality.UNCERTAIN), "out-of-range"))
    assert rows["analog-input:2"] == (5.0, None)
    assert rows["analog-value:9"] == (21.0, None)


@pytest.mark.parametrize(
    ("device", "settings"),
    [
        (plant(model="FCU 1"), {}),
        (plant(firmware="1.9"), {}),
        (plant(vendor=5), {}),
        (plant(), {"devices": {7: {"profile": "none"}}}),
    ],
    ids="model firmware vendor configured".split(),  # noqa: SIM905 - shorter so
)
async def test_a_device_of_no_profile_stays_as_it_is(
    folder: Path, device: Field, settings: dict[str, Any]
) -> None:
    """Nothing is guessed, and a person can say that no profile fits."""
    async with serving(device) as targets, driver(*targets, profile_dir=folder, **settings) as bus:
        found = await bus.discover()
    assert {point.equip_class for point in found.points} == {""}
    assert [group.interval for group in found.groups] == [5]


async def test_a_profile_and_intervals_can_be_said(folder: Path) -> None:
    """A named profile is taken whatever the device says to be, and intervals of a person hold."""
    named = {"devices": {7: {"profile": "ahu/acme-ahu-7"}}, "interval": 8}
    async with (
        serving(plant(model="?")) as targets,
        driver(*targets, profile_dir=folder, **named) as bus,
    ):
        found = await bus.discover()
    assert found.points[0].equip_class == "Air_Handling_Unit"
    assert [group.interval for group in found.groups] == [8, 60]


async def test_a_profile_that_is_not_there_is_named(folder: Path) -> None:
    """A wrong name is an error of the configuration with the names there are."""
    named = {"devices": {7: {"profile": "ahu/nobody-knows"}}}
    async with driver("127.0.0.1:1", profile_dir=folder, **named) as bus:
        with pytest.raises(ConfigError, match=r"nobody-knows.*ahu/acme-ahu-7"):
            await bus.discover()


async def test_a_scan_names_the_profile(folder: Path) -> None:
    """What a scan finds carries the profile and what that makes of its points."""
    async with serving(plant()) as targets:
        request = ScanRequest(targets=tuple(targets), seconds=10.0, rate=500.0)
        scan = look_around(request, SystemClock(), catalogue(folder))
        found = [item async for item in scan if isinstance(item, Candidate)]
    [one] = found
    assert one.profile == "ahu/acme-ahu-7"
    assert one.points[0].point_class == "Supply_Air_Temperature_Sensor"
    assert one.evidence[0] == "what it says of itself fits the profile ahu/acme-ahu-7"
    assert "Acme" not in one.evidence[1]
    assert "(999), AHU 7 compact, firmware 2.4" in one.evidence[1]


def test_folders_are_beside_the_configuration(tmp_path: Path) -> None:
    """The folder of a person's own profiles is relative to the file that names it."""
    bus = {"name": "f", "profile_dir": "mine"}
    config = BacnetConfig.model_validate(bus, context={"folder": tmp_path})
    assert config.profile_dir == tmp_path / "mine"
    with pytest.raises(ValidationError):
        BacnetConfig.model_validate({"name": "f", "devices": {7: {"profile": 3}}})


SETPOINT, MODE = "bacnet:7:analog-value:9", "bacnet:7:multi-state-value:3"


@pytest.mark.parametrize(
    ("point", "value", "reason"),
    [
        (SETPOINT, 21, ""),
        (SETPOINT, 14.5, "below-minimum"),  # the profile's
        (SETPOINT, 25.5, "above-maximum"),  # the device's, which is lower
        (SETPOINT, 21.3, "off-step"),
        (SETPOINT, "warm", "not-a-number"),
        (SETPOINT, None, ""),
        (MODE, 3, ""),
        (MODE, 2, "no-such-state"),
        (MODE, 4, "no-such-state"),
        (MODE, 1.5, "not-an-integer"),
        ("bacnet:7:analog-input:1", 5, "write-access-denied"),
        ("bacnet:7:analog-value:8", 5, "unknown-point"),
        ("bacnet:9:analog-value:8", 5, "unknown-point"),
    ],
)
async def test_a_profile_and_the_device_say_what_a_point_takes(
    folder: Path, point: str, value: Value, reason: str
) -> None:
    """Both limits hold, states are those that have a name, and nothing refuses a release."""
    await _judged(folder, PROFILE.replace("max: 28}", "max: 28, step: 0.5}"), point, value, reason)


async def test_limits_of_a_profile_are_in_the_unit_of_the_device(folder: Path) -> None:
    """A device that is set to Fahrenheit is judged by the same temperatures."""
    for value, reason in ((59, ""), (58, "below-minimum"), (100, "above-maximum")):
        fahrenheit = {"_117": enumerated(64), "_65": real(200)}
        await _judged(folder, PROFILE, SETPOINT, value, reason, **fahrenheit)


async def _judged(
    folder: Path, profile: str, point: str, value: Value, reason: str, **more: bytes
) -> None:
    (folder / "ahu" / "acme-ahu-7.yaml").write_text(profile)
    device = plant()
    device.add(2, 9, real(21.0), "ZN1-SETPT", **({"_69": real(0), "_65": real(25)} | more))
    device.objects[oid(2, 9)][87] = [b"\0"] * 16
    async with serving(device) as targets, driver(*targets, profile_dir=folder) as bus:
        assert isinstance(bus, Judging)
        await bus.discover()
        assert bus.unwritable(point, value) == reason
        if reason:
            written = await bus.write(point, value, 13)
            assert (written.ok, written.reason, written.reached) == (False, reason, False)
    assert not [request for request in device.requests if request.service == 15]


async def test_what_an_object_takes_by_its_type() -> None:
    """Without a profile its type and its own words are all there is to go by."""
    device = Field(instance=7)
    device.add(4, 1, enumerated(0), "Fan")
    device.add(14, 2, unsigned(1), "Mode", _110=text("Off") + text("On"))
    device.add(14, 3, unsigned(1), "Stage")
    device.add(40, 4, text("all well"), "Message")
    device.add(2, 5, real(1), "Setpoint", _69=real(0), _65=real(25))
    cases: list[tuple[str, Value, str]] = [
        ("binary-output:1", True, ""), ("binary-output:1", 2, "value-out-of-range"),
        ("multi-state-output:2", 2, ""), ("multi-state-output:2", 3, "no-such-state"),
        ("multi-state-output:2", 0, "no-such-state"), ("multi-state-output:3", 9, ""),
        ("characterstring-value:4", "x", ""), ("characterstring-value:4", 1, "not-a-text"),
        ("analog-value:5", -1, "below-minimum"), ("analog-value:5", 25, ""),
    ]  # fmt: skip
    async with serving(device) as targets, driver(*targets) as bus:
        await bus.discover()
        for point, value, reason in cases:
            assert (point, bus.unwritable(f"bacnet:7:{point}", value)) == (point, reason)


async def test_what_was_in_a_slot_comes_back_whatever_limits_say() -> None:
    """A release writes what the device itself has had; only its type still counts."""
    device = Field(instance=7)
    device.add(2, 5, real(40), "Setpoint", _69=real(0), _65=real(25))
    device.refuse = lambda request: b"\x20\x0f" if request.service == 15 else None
    async with serving(device) as targets, driver(*targets) as bus:
        await bus.discover()
        point = "bacnet:7:analog-value:5"
        assert (await bus.write(point, 40.0, None)).reason == "above-maximum"
        assert (await bus.write(point, 40.0, None, back=True)).ok
        assert (await bus.write(point, "warm", None, back=True)).reason == "not-a-number"
