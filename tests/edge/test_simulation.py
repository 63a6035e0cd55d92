"""Devices made from profiles: what may be written, how they name themselves, what they refuse."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import yaml
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest

from plantroom_edge.simulation import bacnet_device, modbus_server
from plantroom_edge.simulation.image import bridged, render
from plantroom_edge.simulation.motion import Motion, example
from plantroom_shared.errors import ConfigError
from plantroom_shared.profiles import (
    AnyProfile,
    BacnetProfile,
    Profile,
    load_bacnet_profile,
    parse_any_profile,
)
from plantroom_shared.units import known_units, parse_unit
from support import bacnet_peers

REGISTERS = [
    {"id": "model", "name": "Model", "address": 0, "type": "string", "length": 4},
    {"id": "code", "name": "Code", "address": 4, "hidden": True},
    {"id": "limit", "name": "Limit", "address": 6, "write": {"min": 0, "max": 100}},
    {"id": "on", "name": "On", "address": 7, "type": "bool", "bit": 3, "write": {}},
    {"id": "low", "name": "Low", "address": 7, "bits": [0, 1]},
    {"id": "temp", "name": "T", "address": 8, "type": "int16", "scale": 0.1, "unit": "degC"},
    {"id": "energy", "name": "E", "address": 9, "type": "bcd16", "unit": "kWh", "counter": True},
    {"id": "field", "name": "F", "address": 20, "type": "bitfield16", "states": {1: "A"}},
    {"id": "relay", "name": "Relay", "space": "coil", "address": 17, "write": {}},
    {"id": "door", "name": "Door", "space": "coil", "address": 18},
]


def _profile(**more: Any) -> AnyProfile:
    head = {"profile": 1, "vendor": "V", "model": "M", "source": "S"}
    return parse_any_profile(yaml.safe_dump(head | more).encode(), "x")


@pytest.fixture
def profile() -> Profile:
    made = _profile(
        registers=REGISTERS,
        limits={"gap": 3},
        identify={
            "registers": [{"id": "model", "text": "EX-?*"}, {"id": "code", "values": [42, 43]}],
            "device_id": {"vendor": "Acme*", "product": "P?"},
        },
    )
    assert isinstance(made, Profile)
    return made


async def test_what_may_be_written_stays(profile: Profile) -> None:
    """A write changes what may be written and lasts; everything else moves on and is refused."""
    motion, now = Motion(profile), [0.0]

    def picture() -> dict[str, dict[int, int]]:
        return render(profile, motion.values(now[0]), motion.exponents)

    unit = modbus_server.unit_of(profile, picture(), picture)
    async with modbus_server.serving({5: unit}) as port:
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5)
        assert await client.connect()
        assert not (await client.write_register(6, 77, device_id=5)).isError()
        assert not (await client.write_coil(17, True, device_id=5)).isError()
        assert (await client.write_register(8, 1, device_id=5)).isError()
        assert (await client.write_coil(18, True, device_id=5)).isError()
        first = (await client.read_holding_registers(0, count=10, device_id=5)).registers
        now[0] = 1000.0
        later = (await client.read_holding_registers(0, count=10, device_id=5)).registers
        coils = (await client.read_coils(17, count=2, device_id=5)).bits[:2]
        client.close()
    assert first[6] == later[6] == 77
    assert first[8] != later[8]
    assert coils == [True, motion.values(1000.0)["door"]]


async def test_a_device_names_itself(profile: Profile) -> None:
    """It answers "read device identification", and its marks hold what the profile says."""
    motion = Motion(profile)
    values = motion.values(0)
    assert str(values["model"]).startswith("EX-1")
    assert values["code"] == 42
    unit = modbus_server.unit_of(profile, render(profile, values))
    async with modbus_server.serving({5: unit}) as port:
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5)
        assert await client.connect()
        told: Any = await client.execute(False, ReadDeviceInformationRequest(1, 0, dev_id=5))
        missing = await client.read_holding_registers(15, count=1, device_id=5)
        bridge = await client.read_holding_registers(5, count=1, device_id=5)
        client.close()
    assert told.information[0] == b"Acme"
    assert told.information[1] == b"P1"
    assert missing.isError()
    assert bridge.registers == [0]


async def test_a_port_that_is_taken(profile: Profile) -> None:
    """The error says to name another one."""
    unit = modbus_server.unit_of(profile, render(profile, {}))
    async with modbus_server.serving({1: unit}) as port:
        with pytest.raises(ConfigError, match=f"port {port} .*name another one"):
            async with modbus_server.serving({1: unit}, port=port):
                pass


def test_a_value_that_does_not_fit_is_named(profile: Profile) -> None:
    """A simulated value beyond its register is an error with its id."""
    with pytest.raises(ValueError, match=r"temp: .* does not fit int16"):
        render(profile, {"temp": 1e9})


def test_gaps_answer_only_as_far_as_they_may() -> None:
    """A hole of up to so many addresses answers 0; a longer one is refused."""
    image = {"holding": {1: 5, 4: 6, 9: 7}}
    assert bridged(image, 2) == {"holding": {1: 5, 2: 0, 3: 0, 4: 6, 9: 7}}


def test_devices_differ_by_seed_and_count_upwards(profile: Profile) -> None:
    """Two devices of a model show other values; a counter never goes down before it is full."""
    one, two = Motion(profile, 1), Motion(profile, 2)
    assert one.values(5) != two.values(5)
    counted = [one.values(seconds)["energy"] for seconds in range(0, 7200, 600)]
    assert counted == sorted(counted, key=str) or counted == sorted(counted, key=float)  # type: ignore[arg-type] # numbers
    assert counted[0] != counted[-1]
    assert example("[AB]?*") == "A1"
    assert example("*") == "SIM"


async def test_a_bacnet_device_without_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bacpypes3 is not installed, the error says how to get it."""
    monkeypatch.setitem(sys.modules, "bacpypes3.ipv4.app", None)
    profile = load_bacnet_profile("vav/sauter-asv3")
    with pytest.raises(ConfigError, match=r"pip install 'plantroom\[demo\]'"):
        async with bacnet_device.serving(profile, dict):
            pass


async def test_every_object_type_is_served_and_read() -> None:
    """Analog, binary, multi-state, whole and double: all read back as they were meant."""
    kinds: dict[str, dict[str, Any]] = {
        "analog-input": {"unit": "degC"},
        "analog-output": {"unit": "%", "write": {"min": 0, "max": 100}},
        "analog-value": {"write": {"min": 0, "max": 9}},
        "binary-input": {"states": {0: "Off", 1: "On"}},
        "binary-output": {},
        "binary-value": {"write": {}},
        "multi-state-input": {"states": {1: "A", 3: "C"}},
        "multi-state-output": {"states": {1: "A"}},
        "multi-state-value": {"states": {1: "A", 2: "B"}, "write": {}},
        "accumulator": {"unit": "kWh", "counter": True},
        "pulse-converter": {"unit": "m3"},
        "integer-value": {},
        "large-analog-value": {"unit": "Wh"},
        "positive-integer-value": {},
    }
    objects = [
        {"id": kind, "name": kind, "type": kind, "object_name": f"{kind}*"} | more
        for kind, more in kinds.items()
    ]
    profile = _profile(protocol="bacnet", match={"objects": ["accumulator"]}, objects=objects)
    assert isinstance(profile, BacnetProfile)
    values = Motion(profile).values(30)
    async with (
        bacnet_device.serving(profile, lambda: values, instance=9) as port,
        bacnet_peers.driver(f"127.0.0.1:{port}") as driver,
    ):
        inventory = await driver.discover()
        poll = await driver.read(inventory.groups[0])
    assert poll.quality == {}
    assert dict(zip([p.object_type for p in inventory.points], poll.values, strict=True)) == values
    states = {point.object_type: point.states for point in inventory.points}
    assert states["multi-state-input"] == ("A", "State 2", "C")
    assert states["binary-input"] == ("Off", "On")


def test_units_have_bacnet_names() -> None:
    """The name BACnet has for a unit is the same unit; what it has none for is no-units."""
    assert bacnet_device.bacnet_unit("degC") == "degrees-celsius"
    assert bacnet_device.bacnet_unit("") == bacnet_device.bacnet_unit("p.u.") == "no-units"
    for unit in known_units():
        name = bacnet_device.bacnet_unit(unit.symbol)
        assert name == "no-units" or parse_unit(name) == unit
