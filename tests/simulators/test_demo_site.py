"""The simulated site as a process, read by clients that share no code with its servers."""

from __future__ import annotations

import signal
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sunspec2.modbus.client as sunspec
from pyModbusTCP.client import ModbusClient

from demo.site.catalogue import PLANT, bacnet_entries, catalogue
from demo.site.entry import Entry
from demo.site.manifest import agent_config
from demo.site.modbus_devices import site_devices
from plantroom_edge.drivers import drivers
from plantroom_shared.registers import decode
from support.site_bacnet import (
    ACTIVE_TEXT,
    DESCRIPTION,
    INACTIVE_TEXT,
    MAX_APDU,
    NAME,
    OBJECT_LIST,
    PRESENT_VALUE,
    STATE_TEXT,
    STATUS_FLAGS,
    UNITS,
    BacnetError,
    RawClient,
)
from support.site_process import SECONDS, SiteProcess, running_site
from support.waiting import wait_until

SEED = 7
NO_UNITS = 95


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteProcess]:
    """The office building, running."""
    with running_site(tmp_path_factory.mktemp("site"), "--seed", str(SEED)) as running:
        yield running


def _of(instance: int) -> list[Entry]:
    return [entry for entry in bacnet_entries(SEED) if entry.device == f"bacnet:{instance}"]


def _values(site: SiteProcess, instance: int, *only: str) -> dict[str, float]:
    """Return present values of a BACnet device by signal: all of them, or `only` some at once."""
    found: dict[str, float] = {}
    with RawClient(site.bacnet(instance)) as client:
        entries = [one for one in _of(instance) if not only or one.signal in only]
        for at in range(0, len(entries), 20):
            part = entries[at : at + 20]
            wanted = [((e.object_type, e.instance), [PRESENT_VALUE]) for e in part]
            for entry, read in zip(part, client.read_many(wanted), strict=True):
                found[entry.signal] = read[PRESENT_VALUE]
    return found


def _approach(site: SiteProcess) -> float:
    """Return by how much chiller 1's condenser is warmer than its water, middle of three reads."""
    reads = [_values(site, PLANT) for _ in range(3)]
    return statistics.median(v["chiller-1.t_cond"] - v["chiller-1.t_cwr"] for v in reads)


def _registers(
    site: SiteProcess, device: str, ids: list[str], *, inputs: bool = False
) -> dict[str, Any]:
    """Return raw values of registers that one block covers, by an independent client."""
    port, unit = site.modbus(device)
    known = next(one for one in site_devices() if one.name == device).profile.by_id
    rows = [known[name] for name in ids]
    first = min(row.address for row in rows)
    count = max(row.address + row.words for row in rows) - first
    client = ModbusClient("127.0.0.1", port, unit, auto_open=True, timeout=SECONDS)
    read = client.read_input_registers if inputs else client.read_holding_registers
    words = read(first, count)
    client.close()
    assert words is not None, client.last_error_as_txt
    return {
        row.id: decode(
            words[row.address - first : row.address - first + row.words],
            row.type,
            row.order,
            length=row.length,
        )
        for row in rows
    }


def test_every_bacnet_device_answers_a_unicast_who_is(site: SiteProcess) -> None:
    """Each device of the manifest says I-Am to whoever asks it, under its own instance."""
    devices = site.manifest["bacnet"]
    assert len(devices) >= 8
    for device in devices:
        with RawClient(site.bacnet(device["instance"])) as client:
            assert client.who_is() == device["instance"]
            assert client.read(("device", device["instance"]), NAME) == device["name"]


def test_object_lists_are_the_catalogue(site: SiteProcess) -> None:
    """Every device lists itself and exactly the objects that the catalogue names."""
    found = 0
    for device in site.manifest["bacnet"]:
        instance = device["instance"]
        with RawClient(site.bacnet(instance)) as client:
            listed = client.read(("device", instance), OBJECT_LIST)
        expected = {(entry.object_type, entry.instance) for entry in _of(instance)}
        assert len(listed) == len(set(listed))
        assert set(listed) == expected | {("device", instance)}
        found += len(expected)
    assert found >= 420


@pytest.mark.parametrize("instance", [1001, 1102, 1201, 1303, 1401])
def test_objects_carry_their_texts(site: SiteProcess, instance: int) -> None:
    """Names, descriptions, units and state texts are those of the catalogue, gaps included."""
    props = [NAME, DESCRIPTION, UNITS, INACTIVE_TEXT, ACTIVE_TEXT, STATE_TEXT, STATUS_FLAGS]
    with RawClient(site.bacnet(instance)) as client:
        for entry in _of(instance):
            (read,) = client.read_many([((entry.object_type, entry.instance), props)])
            assert read[NAME] == entry.name
            assert read.get(DESCRIPTION, "") == entry.description
            assert not any(read[STATUS_FLAGS])
            if entry.object_type.startswith("analog"):
                assert (read[UNITS] == NO_UNITS) == (not entry.unit)
            elif entry.object_type.startswith("binary"):
                assert (read[INACTIVE_TEXT], read[ACTIVE_TEXT]) == entry.states
            else:
                assert tuple(read[STATE_TEXT]) == entry.states


def test_small_controllers_refuse_what_does_not_fit(site: SiteProcess) -> None:
    """A box controller takes 480-byte APDUs and aborts a longer answer; a short one is given."""
    entries = _of(1301)
    with RawClient(site.bacnet(1301)) as client:
        assert client.read(("device", 1301), MAX_APDU) == 480
        objects = [(entry.object_type, entry.instance) for entry in entries]
        with pytest.raises(BacnetError):
            client.read_many([(one, [NAME, DESCRIPTION, UNITS, STATUS_FLAGS]) for one in objects])
        assert len(client.read_many([(one, [PRESENT_VALUE]) for one in objects])) == len(entries)


def test_values_move_and_set_points_stand(site: SiteProcess) -> None:
    """Temperatures, flows and loads move within a second or so; set-points and states do not."""
    first = _values(site, PLANT)
    moving = {"chiller-1.t_cond", "chiller-2.load", "plant.flow_chw", "plant.energy"}

    def moved() -> bool:
        return all(_values(site, PLANT)[name] != first[name] for name in moving)

    wait_until(moved, "the plant moves")
    later = _values(site, PLANT)
    for name in ("chiller-1.sp_chws", "chiller-1.on", "plant.sp_dp", "chwp-1.trip"):
        assert later[name] == first[name]


def test_one_request_is_one_instant(site: SiteProcess) -> None:
    """Values read together fit together: load = flow x ΔT, header = sum of the chillers."""
    flows = ("chiller-1.flow_chw", "chiller-2.flow_chw", "plant.flow_chw")
    values = _values(site, PLANT, *flows, "plant.t_chwr", "plant.t_chws", "plant.load")
    flow = values["chiller-1.flow_chw"] + values["chiller-2.flow_chw"]
    drop = values["plant.t_chwr"] - values["plant.t_chws"]
    assert values["plant.flow_chw"] == pytest.approx(flow, rel=0.01)
    assert values["plant.load"] * 3.5169 == pytest.approx(4.187 * flow * drop, rel=0.02)


def test_american_units_are_converted(site: SiteProcess) -> None:
    """AHU 2 speaks °F and cubic feet of the same air that the weather station has in °C."""
    wait_until(
        lambda: (
            _values(site, 1102)["ahu-2.t_oa"]
            == pytest.approx(32 + 1.8 * _values(site, 1401)["weather.t_oa"], abs=1.0)
        ),
        "both outdoor temperatures agree",
    )
    boxes = [_values(site, 1300 + n)[f"vav-2-{n:02d}.flow"] for n in range(1, 9)]
    assert _values(site, 1102)["ahu-2.flow"] == pytest.approx(2.1189 * sum(boxes), rel=0.2)


def test_revenue_meter_is_consistent(site: SiteProcess) -> None:
    """Read in one block, the three phases of the main meter sum to its total, and energy grows."""
    ids = [f"active-power-{phase}" for phase in ("a", "b", "c", "total")]
    read = _registers(site, "main-meter", ids)
    assert sum(read[name] for name in ids[:3]) == pytest.approx(read["active-power-total"])
    (before,) = _registers(site, "main-meter", ["active-energy-delivered"]).values()
    wait_until(
        lambda: (
            next(iter(_registers(site, "main-meter", ["active-energy-delivered"]).values()))
            > before
        ),
        "the meter counts",
    )


def test_two_meters_share_a_gateway(site: SiteProcess) -> None:
    """Behind one port, unit 11 has input registers big-endian, unit 12 words swapped."""
    assert site.modbus("plant-meter")[0] == site.modbus("floors-meter")[0]
    plant = _registers(site, "plant-meter", ["l1-voltage", "l1-active-power"], inputs=True)
    floors = _registers(site, "floors-meter", ["l1-voltage", "active-power"])
    assert plant["l1-voltage"] == pytest.approx(230, abs=5)
    assert 3_000 < plant["l1-active-power"] < 40_000
    assert floors["l1-voltage"] == pytest.approx(2300, abs=50)
    assert 200_000 < floors["active-power"] < 1_500_000


def test_modbus_refuses_like_a_device(site: SiteProcess) -> None:
    """A hole answers exception 2, a unit that is not there 11, and nothing can be written."""
    port, unit = site.modbus("main-meter")
    client = ModbusClient("127.0.0.1", port, unit, auto_open=True, timeout=SECONDS)
    assert client.read_holding_registers(10_000, 4) is None
    assert client.last_except == 2
    assert client.read_holding_registers(2_999, 125) is None
    assert client.last_except == 2
    assert client.write_single_register(2_999, 1) is False
    assert client.last_except == 2
    client.unit_id = 77
    assert client.read_holding_registers(2_999, 4) is None
    assert client.last_except == 11
    client.close()


@pytest.mark.parametrize(
    ("name", "models"), [("pv-inverter", {1, 103}), ("battery", {1, 802, 803})]
)
def test_sunspec_client_finds_the_models(site: SiteProcess, name: str, models: set[int]) -> None:
    """The SunSpec Alliance's own client scans both devices and scales their values."""
    port, unit = site.modbus(name)
    device = sunspec.SunSpecModbusClientDeviceTCP(slave_id=unit, ipaddr="127.0.0.1", ipport=port)
    device.scan()
    found = {model for model in device.models if isinstance(model, int)}
    common = device.common[0]
    assert found == models
    assert common.SN.cvalue
    if name == "battery":
        bank, strings = device.models[802][0], device.models[803][0]
        assert 10 <= bank.SoC.cvalue <= 95
        assert bank.W.cvalue == pytest.approx(bank.V.cvalue * bank.A.cvalue, rel=0.02, abs=200)
        assert strings.NStr.value == 3
        assert len(strings.groups["string"]) == 3
    else:
        inverter = device.models[103][0]
        assert 20_000 < inverter.W.cvalue < 100_000
        assert inverter.DCW.cvalue > inverter.W.cvalue
        assert inverter.TmpOt.cvalue is None
    device.close()


def test_manifest_names_the_watched_machine_and_the_truth(site: SiteProcess) -> None:
    """The watched keys are chiller 1's own, and every mappable key has its EnOS point."""
    entries = {entry.key: entry for entry in catalogue(SEED)}
    watched = site.manifest["watch"]["chiller-1"]
    assert {entries[key].equipment for key in watched} == {"chiller-1"}
    assert len(watched) >= 8
    mappable = {row["key"]: row["enos"] for row in site.manifest["mappable"]}
    assert mappable == {key: entry.enos for key, entry in entries.items() if entry.enos}
    assert site.manifest["points"] == len(entries) >= 550


def test_agent_understands_its_configuration(site: SiteProcess) -> None:
    """Every bus of the rendered configuration is valid for the driver it names."""
    buses = agent_config(site.manifest)["buses"]
    assert [bus["driver"] for bus in buses] == ["bacnet", *["modbus"] * 4]
    for bus in buses:
        drivers.get(bus["driver"]).config.model_validate(bus)


def test_fault_can_be_planted_and_healed(site: SiteProcess) -> None:
    """On command the condenser of chiller 1 fouls, and on command it is clean again."""
    clean = _approach(site)
    site.tell("nonsense")
    site.tell("fault on")
    wait_until(lambda: _approach(site) > clean + 0.7, "the fault shows")
    site.tell("fault off")
    wait_until(lambda: _approach(site) < clean + 0.4, "the fault is gone")


@pytest.mark.parametrize("how", ["quit", "eof", "SIGTERM"])
def test_site_ends_cleanly(tmp_path: Path, how: str) -> None:
    """It ends with code 0 when told to, when its standard input closes, and on SIGTERM."""
    with running_site(tmp_path, "--start", "14:30", "--speed", "60") as running:
        if how == "quit":
            running.tell("quit")
        elif how == "eof":
            assert running.process.stdin is not None
            running.process.stdin.close()
        else:
            running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(SECONDS) == 0
        assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
