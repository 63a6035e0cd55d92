"""Scanning for Modbus devices: what is found, what it costs the bus, and how it ends."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import yaml

from plantroom_edge.config import load
from plantroom_edge.drivers import Candidate, Progress, ScanRequest, drivers
from plantroom_edge.drivers.modbus import ModbusBus
from plantroom_edge.drivers.modbus import scanning as scan_module
from plantroom_edge.drivers.modbus.connection import Connection
from plantroom_edge.drivers.modbus.driver import ModbusDriver
from plantroom_edge.drivers.modbus.guess_tells import tells
from plantroom_edge.drivers.modbus.opening import open_connection
from plantroom_edge.drivers.modbus.pdu import Fault
from plantroom_edge.drivers.modbus.scan_line import Pace, TimeIsUp
from plantroom_edge.drivers.modbus.scanning import STRANGER, UNITS
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError
from plantroom_shared.profiles import Profile, load_profile
from support import sunspec_device
from support.modbus_bus import read
from support.modbus_image import Image, solid
from support.modbus_plant import Plant, standing
from support.modbus_plausible import plausible

NAMES = [one.name for one in scan_module._known_profiles()]
METER = plausible(load_profile("meter/schneider-pm5560"))
SPARE: Image = {"holding": {7: 1}}
READS = {1, 2, 3, 4, 0x2B}


async def run(
    *targets: str, rate: float = 2000, seconds: float = 20, units: tuple[int, ...] = (), **more: Any
) -> tuple[list[Candidate], list[Progress]]:
    """Scan and return what was found and told."""
    request = ScanRequest(targets=targets, rate=rate, seconds=seconds, units=units)
    found: list[Candidate] = []
    told: list[Progress] = []
    async with (
        asyncio.timeout(30),
        aclosing(scan_module.scan(request, SystemClock(), **more)) as events,
    ):
        async for event in events:
            if isinstance(event, Candidate):
                found.append(event)
            else:
                told.append(event)
    return found, told


def at(plant: Plant) -> str:
    """Return a plant as a target."""
    return f"127.0.0.1:{plant.port}"


def harmless(plant: Plant) -> bool:
    """Return whether nothing but reads has come."""
    return {pdu[0] for _, pdu in plant.pdus} <= READS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gaps", [False, True])
async def test_every_profile_is_guessed_or_abstained_from(name: str, gaps: bool) -> None:
    """A device of a shipped profile is proposed as what it is, or nothing is, with the reason.

    A SunSpec device needs no profile: it is proposed as such.
    """
    image = plausible(load_profile(name), seed=len(name))
    plant = Plant({1: image if gaps else solid(image)}, any_unit=True)
    async with standing(plant):
        (found,), _ = await run(at(plant))
    right = {"sunspec"} if "sunspec" in name else {name}
    assert found.profile in right | {""}
    assert (found.confidence >= 0.5) == bool(found.profile)
    assert found.evidence
    assert harmless(plant)
    assert plant.connections == 1


@pytest.mark.parametrize(
    ("name", "least"), [("meter/schneider-pm5560", 0.9), ("inverter/sunspec-103", 1.0)]
)
async def test_what_names_itself_is_sure(name: str, least: float) -> None:
    """A nameplate, or a chain of models, makes sure, and stands in the evidence."""
    profile = load_profile(name)
    plant = Plant({1: solid(plausible(profile))}, any_unit=True)
    async with standing(plant):
        (found,), _ = await run(at(plant))
    assert found.confidence >= least
    evidence = "\n".join(found.evidence)
    assert ("holding 49 reads 'PowerLogic PM5560'" in evidence) == ("pm5560" in name)
    assert ("model 103 at 40070" in evidence) == ("sunspec" in name)


async def test_what_is_found_loads_and_is_read(tmp_path: Path) -> None:
    """The configuration made from the candidates is accepted, and the points are good."""
    sunspec = sunspec_device.image([sunspec_device.model(number) for number in (1, 103, 160)])
    plant = Plant({1: solid(METER), 3: sunspec})
    async with standing(plant):
        found, _ = await run(at(plant))
        assert [one.profile for one in found] == ["meter/schneider-pm5560", "sunspec"]
        assert found[0].bus == found[1].bus
        bus = {"name": "found", **found[0].bus, "devices": [one.entry for one in found]}
        file = tmp_path / "plantroom.yaml"
        file.write_text(yaml.safe_dump({"gateway": "gw-tower-0001", "site": "x", "buses": [bus]}))
        (config,) = load(file).buses
        assert isinstance(config, ModbusBus)
        driver = ModbusDriver(config, SystemClock())
        try:
            inventory = await driver.discover()
            got = await read(driver, inventory.groups)
        finally:
            await driver.close()
    assert inventory.missing == ()
    assert got.reasons == {}
    assert [device.key for device in inventory.devices] == [one.device.key for one in found]
    assert {point.key for one in found for point in one.points} == {
        point.key for point in inventory.points
    }


async def test_what_a_device_calls_itself_decides() -> None:
    """The identification of function 43 proposes a profile where the registers say little."""
    image = plausible(load_profile("meter/carlo-gavazzi-em24"))
    identity = {0: b"Carlo Gavazzi", 1: b"EM24-DIN", 2: b"V1.2", 5: b"EM24-E1"}
    plant = Plant({1: image}, any_unit=True, identity=identity)
    async with standing(plant):
        (found,), _ = await run(at(plant))
    assert found.profile == "meter/carlo-gavazzi-em24"
    assert found.confidence > 0.9
    assert {"vendor is 'Carlo Gavazzi'", "model is 'EM24-E1'"} <= set(found.evidence)


async def test_an_unknown_device_is_found_without_a_profile() -> None:
    """What fits nothing is told with what it says of itself, and nothing is proposed."""
    identity = {0: b"Nobody Ltd", 1: b"Thing 7", 2: b"1"}
    plant = Plant({1: SPARE}, any_unit=True, identity=identity)
    async with standing(plant):
        (found,), _ = await run(at(plant))
    assert (found.profile, found.confidence, found.points) == ("", 0.0, ())
    assert (found.device.vendor, found.device.model) == ("Nobody Ltd", "Thing 7")
    assert "profile" not in found.entry
    assert found.evidence[:2] == ("vendor is 'Nobody Ltd'", "product is 'Thing 7'")


async def test_a_device_that_hangs_up_on_the_identification_is_asked_on() -> None:
    """One more connection is made, and the identification is not asked for again."""
    plant = Plant({1: solid(METER), 2: solid(METER)}, hangs_up=True)
    async with standing(plant):
        found, _ = await run(at(plant), units=(1, 2))
    assert [one.profile for one in found] == ["meter/schneider-pm5560"] * 2
    assert plant.connections == 2
    assert [pdu[0] for _, pdu in plant.pdus].count(0x2B) == 1


async def test_units_behind_a_gateway_are_found() -> None:
    """Every usual unit id is tried; whoever lives is one candidate, with a name of its own."""
    plant = Plant({4: SPARE, 9: SPARE, 101: SPARE, 60: SPARE})
    async with standing(plant):
        found, _ = await run(at(plant))
        more, _ = await run(at(plant), units=(60,))
    assert [one.entry["unit"] for one in found] == [4, 9, 101]
    assert len({one.device.key for one in found}) == 3
    assert [one.entry["unit"] for one in more] == [60]


async def test_a_device_that_heeds_no_unit_id_is_one_device() -> None:
    """Whoever answers an id that nobody has is not found a second time."""
    plant = Plant({1: SPARE}, any_unit=True)
    async with standing(plant):
        found, _ = await run(at(plant))
    assert [one.entry["unit"] for one in found] == [1]
    assert {unit for unit, _ in plant.pdus} == {1, STRANGER}


async def test_a_device_of_its_own_is_asked_at_255_only_if_1_is_silent() -> None:
    """Unit 255 is the same device as unit 1 where both answer."""
    both, other = Plant({1: SPARE, 255: SPARE}), Plant({255: SPARE})
    async with standing(both, other):
        found, _ = await run(at(both))
        assert [one.entry["unit"] for one in found] == [1]
        found, _ = await run(at(other))
    assert [one.entry["unit"] for one in found] == [255]


async def test_a_unit_that_is_silent_where_it_has_nothing_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A device that gives no exception for an address it has not is asked for its first ones."""
    monkeypatch.setattr(scan_module, "TIMEOUT", 0.1)

    class Shy(Plant):
        def reply(self, unit: int, pdu: bytes) -> bytes:
            answer = super().reply(unit, pdu)
            return b"" if answer[:1] > b"\x80" else answer

    plant = Shy({1: {"input": {0: 1, 1: 2}}}, gateway=False)
    async with standing(plant):
        found, _ = await run(at(plant), units=(1,))
    assert [one.entry["unit"] for one in found] == [1]
    assert "it stopped answering while it was asked" in found[0].evidence


async def test_a_host_that_accepts_and_says_nothing_costs_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It gets a request for each unit id and two more for the likeliest, over one connection."""
    monkeypatch.setattr(scan_module, "TIMEOUT", 0.02)
    plant = Plant({1: SPARE}, mute_after=0)
    async with standing(plant):
        found, told = await run(at(plant))
    assert found == []
    assert plant.connections == 1
    assert len(plant.pdus) <= len(UNITS) + 4
    assert "accepts connections, but no unit answers" in told[-2].now


@pytest.mark.parametrize(
    "flood",
    [b"\xff" * 4096, b"\0\x01\0\0\0\x03\x01\x83\x02" * 400, b"\0\x63\0\0\0\x03\x01\x83\x02" * 400],
)
async def test_a_host_that_floods_is_left(flood: bytes) -> None:
    """Rubbish, or replies without end, cost the host its connection, and nobody else anything."""
    bad, good = Plant(flood=flood), Plant({1: solid(METER)}, any_unit=True)
    async with standing(bad, good):
        found, _ = await run(at(bad), at(good))
    assert "meter/schneider-pm5560" in {one.profile for one in found}
    assert bad.connections <= 2
    assert len(bad.pdus) <= 2


@pytest.mark.parametrize(
    "answer", [b"\x03\x04\0\0", b"\x03\x02\0\0\0\0", b"\x04\x04\0\0\0\0", b"\x83"]
)
async def test_a_reply_that_fits_nothing_ends_the_host(answer: bytes) -> None:
    """A reply with another function or length than asked for is not taken for data."""

    class Liar(Plant):
        def reply(self, unit: int, pdu: bytes) -> bytes:
            return answer

    plant = Liar()
    async with standing(plant):
        found, told = await run(at(plant))
    assert found == []
    assert "speaks no Modbus (bad-reply)" in told[-2].now
    assert len(plant.pdus) == 1


async def test_half_a_reply_ends_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after half a reply would be misread: the line is not used again."""
    monkeypatch.setattr(scan_module, "TIMEOUT", 0.1)

    plant = Plant()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plant.connections += 1
        head = await reader.readexactly(12)
        writer.write(head[:5] + b"\x07\x01")
        while await reader.read(100):
            plant.pdus.append((0, b"\x03"))
        writer.close()

    plant.serve = serve  # type: ignore[method-assign] # a host of its own kind
    async with standing(plant):
        _, told = await run(at(plant))
    assert "(timeout)" in told[-2].now
    assert plant.pdus == []


async def test_a_late_answer_is_not_taken_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that was given up on is recognised by its number and thrown away."""
    monkeypatch.setattr(scan_module, "TIMEOUT", 0.2)
    plant = Plant({1: solid(METER)}, late=5, gateway=False)
    async with standing(plant):
        (found,), _ = await run(at(plant), units=(1,))
    assert found.profile == "meter/schneider-pm5560" or "stopped answering" in found.evidence[-1]
    assert plant.connections == 1


async def test_a_host_that_does_not_accept_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is not tried again, and counts as a request."""
    opened: list[tuple[str, int]] = []
    connect = asyncio.open_connection

    async def counted(*where: Any, **more: Any) -> Any:
        opened.append(where[:2])
        return await connect(*where, **more)

    monkeypatch.setattr(asyncio, "open_connection", counted)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found, told = await run(f"127.0.0.1:{port}", f"127.0.0.1:{port}")
    assert found == []
    assert opened == [("127.0.0.1", port)]
    assert (told[-1].done, told[-1].of) == (1, 1)


async def test_the_rate_holds_over_all_hosts() -> None:
    """However many hosts answer at once, no more requests come than the rate allows in the time."""
    plants = [Plant({1: solid(METER)}) for _ in range(6)]
    async with standing(*plants):
        found, told = await run(*(at(plant) for plant in plants), rate=60, seconds=0.8)
    asked = sum(len(plant.pdus) + plant.connections for plant in plants)
    assert 10 <= asked <= 49
    assert any("the time is up" in one.now for one in told)
    assert all(harmless(plant) for plant in plants)
    assert {one.profile for one in found} <= {"", "meter/schneider-pm5560"}


async def test_a_scan_ends_with_what_it_has() -> None:
    """A unit that was found, but not recognised in time, is told as such."""
    plant = Plant({1: solid(METER)})
    async with standing(plant):
        (found,), _ = await run(at(plant), rate=20, seconds=0.3)
    assert found.profile == ""
    assert found.evidence == ("the time was up before it was recognised",)
    assert len(plant.pdus) <= 6


async def test_one_request_is_in_flight_on_a_host() -> None:
    """The ports of one address are asked one after the other."""
    plants: list[Plant] = []
    together: list[int] = []

    class Watching(Plant):
        def reply(self, unit: int, pdu: bytes) -> bytes:
            together.append(sum(plant.open for plant in plants))
            return super().reply(unit, pdu)

    plants += [Watching({1: SPARE}, any_unit=True) for _ in range(2)]
    async with standing(*plants):
        found, _ = await run(*(at(plant) for plant in plants))
    assert len(found) == 2
    assert set(together) == {1}


async def test_a_scan_that_is_left_closes_everything() -> None:
    """Whoever stops listening ends the scan: no connection stays open."""
    plants = [Plant({1: solid(METER)}) for _ in range(3)]
    async with standing(*plants), asyncio.timeout(20):
        request = ScanRequest(targets=tuple(at(plant) for plant in plants), rate=2000)
        async with aclosing(scan_module.scan(request, SystemClock())) as events:
            async for event in events:
                if isinstance(event, Candidate):
                    break
        while any(plant.open for plant in plants):
            await asyncio.sleep(0)


async def test_a_scan_without_a_place_to_look_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without targets the neighbours that the system knows are asked; without any, nobody."""
    monkeypatch.setattr("plantroom_edge.drivers.modbus.scan_targets._ARP", tmp_path / "none")
    assert await run() == ([], [])


async def test_a_failure_of_the_scan_itself_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect does not look like an empty plant."""

    async def broken(*_args: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(scan_module._Run, "_place", broken)
    with pytest.raises(RuntimeError):
        await run("127.0.0.1:1")


async def test_the_driver_offers_the_scan() -> None:
    """The registry's entry scans: what commissioning calls."""
    plant = Plant({1: SPARE}, any_unit=True)
    scan = drivers.get("modbus").scan
    assert scan is not None
    async with standing(plant), asyncio.timeout(20):
        events = [one async for one in scan(ScanRequest((at(plant),), rate=1000), SystemClock())]
    assert [one.entry["unit"] for one in events if isinstance(one, Candidate)] == [1]
    assert events[0] == Progress(0, 1, f"{at(plant)}, unit 1")
    assert events[-1] == Progress(1, 1, "127.0.0.1")


async def test_a_broken_sunspec_device_is_found_without_a_profile() -> None:
    """A marker with nothing behind it that can be read is told, and not proposed."""
    plant = Plant({1: {"holding": {40000: 0x5375, 40001: 0x6E53}}}, any_unit=True)
    async with standing(plant):
        (found,), _ = await run(at(plant))
    assert found.profile == ""
    assert found.evidence == ("it is marked as a SunSpec device, but: none of its models is known",)


async def test_a_scan_ends_though_a_host_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a library does, nobody waits for a scan much longer than it was given."""

    async def forever(_line: Any) -> bool:
        await asyncio.Event().wait()
        return False

    monkeypatch.setattr("plantroom_edge.drivers.modbus.scan_line.Line.open", forever)
    assert await run("127.0.0.1:1", seconds=0.05) == ([], [])


async def test_a_broken_profile_costs_no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that does not load is left out, the others are tried."""
    monkeypatch.setattr(scan_module, "list_profiles", lambda: ["meter/none", NAMES[-1]])
    known = scan_module._known_profiles.__wrapped__()
    assert [one.name for one in known] == [NAMES[-1]]


async def test_coils_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that is told by a coil reads it, and takes the bit from the reply."""
    head = {"profile": 1, "vendor": "Acme", "model": "Relay AB12", "source": "this test"}
    name = {"id": "model", "name": "Model", "address": 3, "type": "string", "length": 4}
    coil = {"id": "on", "name": "Model on", "space": "coil", "address": 1, "type": "bool"}
    profile = Profile.model_validate(head | {"registers": [name, coil]})
    relay = tells("relay/acme-ab12", profile)
    relay = dataclasses.replace(relay, ranged=(profile.by_id["on"],))
    monkeypatch.setattr(scan_module, "_known_profiles", lambda: (relay,))
    words = dict(enumerate([0x4142, 0x3132, 0, 0], 3))
    plant = Plant({1: {"holding": words, "coil": {1: 1}}}, any_unit=True)
    async with standing(plant):
        (found,), _ = await run(at(plant))
    assert found.profile == "relay/acme-ab12"
    assert 1 in {pdu[0] for _, pdu in plant.pdus}
    assert "no address that it should have is refused" in found.evidence


# ---------------------------------------------------------------- serial ports


async def test_a_serial_port_is_walked_with_one_short_read_each() -> None:
    """Each id gets one read of two registers; who answers is examined."""
    plant = Plant({5: solid(METER)}, gateway=True)
    opened: list[Any] = []
    async with standing(plant):

        def open_serial(keys_of_bus: Any) -> Connection:
            opened.append(dict(keys_of_bus))
            keys = {"host": "127.0.0.1", "port": plant.port, "timeout": 2.0}
            device = {"name": "unknown", "profile": "sunspec"}
            bus = ModbusBus.model_validate(
                {"name": "scan", "driver": "modbus", **keys, "devices": [device]}
            )
            return open_connection(bus, SystemClock())

        found, told = await run("/dev/ttyUSB0:19200,even", open_serial=open_serial)
    assert opened == [
        {
            "driver": "modbus",
            "transport": "rtu",
            "serial": "/dev/ttyUSB0",
            "baud": 19200,
            "parity": "even",
        }
    ]
    assert [(one.entry["unit"], one.profile) for one in found] == [(5, "meter/schneider-pm5560")]
    assert found[0].bus == opened[0]
    others = [(unit, pdu) for unit, pdu in plant.pdus if unit != 5]
    assert len(others) == len({unit for unit, _ in others})
    assert {pdu[-2:] for _, pdu in others} == {b"\0\x02"}
    assert told[-1].now == "/dev/ttyUSB0"


async def test_a_serial_port_that_nobody_can_open_is_told() -> None:
    """Where there is no way to a serial port, the target is refused, not ignored."""
    with pytest.raises(ConfigError, match="serial ports cannot be scanned"):
        await run("/dev/ttyUSB0")


async def test_a_serial_port_without_a_device_ends() -> None:
    """A port that answers nothing yields nothing."""

    class Nothing:
        async def ask(self, *_place: Any) -> Fault:
            return Fault("timeout")

        def close(self) -> None:
            """Nothing is open."""

    found, _ = await run("/dev/ttyS1", open_serial=lambda _bus: Nothing())
    assert found == []


# ---------------------------------------------------------------- the pace


async def test_the_pace_ends_with_the_time() -> None:
    """No request is given a turn that comes after the end."""
    now = [0.0]
    pace = Pace(10, 1.0, lambda: now[0])
    turns = 0
    while pace.left:
        now[0] = pace._next
        try:
            await pace.turn()
        except TimeIsUp:
            break
        turns += 1
    assert turns in {10, 11}  # the last one at the very end
    assert turns == pace.requests
