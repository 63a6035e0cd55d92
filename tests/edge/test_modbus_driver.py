"""The Modbus driver over sockets: types, dead units, points."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from plantroom_edge.drivers import drivers
from plantroom_edge.drivers.modbus import ModbusBus
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError
from plantroom_shared.model import Quality
from plantroom_shared.profiles import load_profile
from simulators.modbus_scripted import Request, scripted
from support.modbus_bus import bus, groups_of, independent, read, write_profile
from support.modbus_image import Image, filled, solid

WIDE = [{"id": f"r{address}", "address": address} for address in range(100)]
TABLE: Image = {"holding": {address: 5 * address for address in range(100)}}
SHOWN = {f"r{address}": 5 * address for address in range(100)}


async def test_mixed_types_and_orders_of_an_independent_server(tmp_path: Path) -> None:
    """Every type in every space and order is read as another implementation wrote it.

    The words are written out by hand, from the definition of the types.
    """
    registers = [
        {"id": "u16", "address": 0},
        {"id": "i16", "address": 1, "type": "int16"},
        {"id": "i16-swapped", "address": 2, "type": "int16", "order": "BADC"},
        {"id": "u32", "address": 4, "type": "uint32"},
        {"id": "i32-words", "address": 6, "type": "int32", "order": "CDAB", "scale": 0.1},
        {"id": "u32-bytes", "address": 8, "type": "uint32", "order": "BADC"},
        {"id": "u32-little", "address": 10, "type": "uint32", "order": "DCBA"},
        {"id": "f32", "address": 20, "type": "float32", "space": "input"},
        {"id": "f32-words", "address": 22, "type": "float32", "space": "input", "order": "CDAB"},
        {"id": "f64", "address": 24, "type": "float64", "space": "input"},
        {"id": "i64", "address": 30, "type": "int64", "space": "input"},
        {"id": "u64-little", "address": 34, "type": "uint64", "space": "input", "order": "DCBA"},
        {"id": "text", "address": 40, "type": "string", "length": 3},
        {"id": "text-swapped", "address": 43, "type": "string", "length": 2, "order": "BADC"},
        {"id": "bcd", "address": 46, "type": "bcd32"},
        {"id": "bit-0", "address": 48, "type": "bool", "bit": 0},
        {"id": "bit-15", "address": 48, "type": "bool", "bit": 15},
        {"id": "bit-1", "address": 48, "type": "bool", "bit": 1},
        {"id": "word", "address": 48},
        {"id": "coil-on", "space": "coil", "address": 3},
        {"id": "coil-off", "space": "coil", "address": 4},
        {"id": "input-on", "space": "discrete", "address": 17},
    ]
    words = {
        0: [65535, 0x8000, 0xFEFF],
        4: [0x0001, 0x0002, 0xFFFF, 0x0000, 0x2211, 0x4433, 0x4433, 0x2211],
        40: [0x4142, 0x4300, 0x5A5A, 0x4241, 0x4443],
        46: [0x1234, 0x5678, 0x8001],
    }
    inputs = {
        20: [0x4148, 0x0000, 0x0000, 0x4148, 0xC000, 0x0000, 0x0000, 0x0000],
        30: [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE, 0x0100, 0x0000, 0x0000, 0x0000],
    }
    image: Image = {
        "holding": {at + i: word for at, run in words.items() for i, word in enumerate(run)},
        "input": {at + i: word for at, run in inputs.items() for i, word in enumerate(run)},
        "coil": {3: 1, 4: 0},
        "discrete": {17: 1},
    }
    device = write_profile(tmp_path, registers)
    async with independent(image) as port, bus(port, device) as driver:
        shown = await read(driver, await groups_of(driver, "bench"))
    assert shown.reasons == {}
    assert shown.values == {
        "u16": 65535,
        "i16": -32768,
        "i16-swapped": -2,
        "u32": 65538,
        "i32-words": 6553.5,
        "u32-bytes": 0x11223344,
        "u32-little": 0x11223344,
        "f32": 12.5,
        "f32-words": 12.5,
        "f64": -2.0,
        "i64": -2,
        "u64-little": 1,
        "text": "ABC",
        "text-swapped": "ABCD",
        "bcd": 12345678,
        "bit-0": True,
        "bit-15": True,
        "bit-1": False,
        "word": 0x8001,
        "coil-on": True,
        "coil-off": False,
        "input-on": True,
    }


async def test_a_block_is_one_request(tmp_path: Path) -> None:
    """A hundred registers in a row are one request."""
    async with (
        scripted(lambda request: request.answer(TABLE)) as server,
        bus(server.port, write_profile(tmp_path, WIDE)) as driver,
    ):
        groups = await groups_of(driver, "bench")
        server.asked()
        shown = await read(driver, groups)
    assert shown.good == SHOWN
    assert server.asked() == [(0, 100)]


async def test_a_silent_unit_costs_one_timeout(tmp_path: Path) -> None:
    """After the first block without an answer, the others of that unit are not asked for."""
    registers = [{"id": f"r{at}", "address": at} for at in (0, 30, 60, 90)]
    silent = False

    def script(request: Request) -> bytes:
        return b"" if silent or request.address == 30 else request.answer(TABLE)

    async with (
        scripted(script) as server,
        bus(server.port, write_profile(tmp_path, registers), timeout=0.3) as driver,
    ):
        groups = await groups_of(driver, "bench")
        server.asked()
        partly = await read(driver, groups)
        assert server.asked() == [(0, 1), (30, 1)]
        # What comes behind the block that is never answered gets its turn.
        turned = await read(driver, groups)
        assert server.asked() == [(60, 1), (90, 1), (0, 1), (30, 1)]
        silent = True
        dead = await read(driver, groups)
        assert len(server.asked()) == 1
    assert partly.alive
    assert partly.good == {"r0": 0}
    assert set(partly.reasons.values()) == {"timeout"}
    assert turned.good == {"r0": 0, "r60": 300, "r90": 450}
    assert not dead.alive
    assert dead.reasons == dict.fromkeys(dead.values, "timeout")


@pytest.mark.parametrize("code", [10, 11])
async def test_a_gateway_that_cannot_reach_a_unit_is_no_answer_of_it(
    tmp_path: Path, code: int
) -> None:
    """Gateway exceptions mean that the unit is dead, without waiting for a timeout."""
    device = write_profile(tmp_path, WIDE)
    async with (
        scripted(lambda request: request.refuse(code)) as server,
        bus(server.port, device) as driver,
    ):
        inventory = await driver.discover()
        shown = await read(driver, inventory.groups)
    assert f"exception-{code}" in inventory.missing[0]
    assert not shown.alive
    assert shown.reasons == dict.fromkeys(SHOWN, f"exception-{code}")


async def test_a_dead_unit_among_others(tmp_path: Path) -> None:
    """Behind one gateway, a unit without an answer is missing and bad, and the others are right."""
    device = write_profile(tmp_path, WIDE)
    devices = [{**device, "name": f"unit-{unit}", "unit": unit} for unit in range(1, 6)]

    def script(request: Request) -> bytes:
        if request.unit == 3:
            return b""
        table = {at: word + request.unit for at, word in TABLE["holding"].items()}
        return request.answer({"holding": table})

    async with scripted(script) as server, bus(server.port, *devices, timeout=1.5) as driver:
        inventory = await driver.discover()
        polls = await asyncio.gather(*(driver.read(group) for group in inventory.groups))
    assert len(inventory.points) == 500
    assert [text.split()[0] for text in inventory.missing] == ["unit-3"]
    assert f"127.0.0.1:{server.port}, unit 3, test/bench" in inventory.missing[0]
    assert server.connections == 1
    for unit, poll in enumerate(polls, start=1):
        assert poll.alive is (unit != 3)
        assert bool(poll.quality) is (unit == 3)
        if unit != 3:
            assert poll.values == [5 * at + unit for at in range(100)]


async def test_a_missing_unit_is_looked_for_again(tmp_path: Path) -> None:
    """Each discover asks only the units that have not answered yet."""
    device = write_profile(tmp_path, WIDE)
    devices = [{**device, "name": f"unit-{unit}", "unit": unit} for unit in (1, 2)]
    dead = {2}

    def script(request: Request) -> bytes:
        return request.refuse(11) if request.unit in dead else request.answer(TABLE)

    async with scripted(script) as server, bus(server.port, *devices) as driver:
        assert len((await driver.discover()).missing) == 1
        server.asked()
        dead.clear()
        assert (await driver.discover()).missing == ()
        assert [request.unit for request in server.requests] == [2]
        server.asked()
        await driver.discover()
        assert server.asked() == []


async def test_nobody_there_is_bad_rows_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no server, all units are unreachable after one attempt that they share."""
    loop = asyncio.get_running_loop()
    connect, attempts = loop.create_connection, 0

    async def counted(*args: Any, **keys: Any) -> Any:
        nonlocal attempts
        attempts += 1
        return await connect(*args, **keys)

    monkeypatch.setattr(loop, "create_connection", counted)
    device = write_profile(tmp_path, WIDE)
    devices = [{**device, "name": f"unit-{unit}", "unit": unit} for unit in range(1, 6)]
    async with scripted(lambda request: b"") as server:
        port = server.port
    async with bus(port, *devices) as driver:
        inventory = await driver.discover()
        assert attempts == 1
        polls = await asyncio.gather(*(driver.read(group) for group in inventory.groups))
    assert attempts == 2
    assert len(inventory.missing) == 5
    for poll in polls:
        assert not poll.alive
        assert poll.quality == dict.fromkeys(range(100), (Quality.BAD, "unreachable"))


async def test_a_host_name_that_is_none_is_unreachable(tmp_path: Path) -> None:
    """A name that cannot be looked up is a unit that is missing, not an exception."""
    config = ModbusBus(
        name="field", host="a..b", devices=(write_profile(tmp_path, WIDE),), timeout=0.5
    )
    driver = drivers.get("modbus").open(config, SystemClock())
    inventory = await driver.discover()
    await driver.close()
    assert "unreachable" in inventory.missing[0]


async def test_the_wrong_device_is_named() -> None:
    """A device whose model ids are not those of its profile is missing, with what it holds."""
    image, _ = filled(load_profile("inverter/sunspec-103"), seed=3)
    image["holding"][40070] = 101
    device = {"name": "pv", "unit": 1, "profile": "inverter/sunspec-103"}
    async with (
        scripted(lambda request: request.answer(solid(image))) as server,
        bus(server.port, device) as driver,
    ):
        wrong = (await driver.discover()).missing
        image["holding"][40070] = 103
        right = (await driver.discover()).missing
    assert len(wrong) == 1
    assert "is no Inverter model 103: Model 103 ID at 40070 is 101, not 103" in wrong[0]
    assert right == ()


async def test_a_device_without_the_models_is_named() -> None:
    """A device that refuses the registers which would say what it is, is missing too."""
    device = {"name": "pv", "unit": 1, "profile": "inverter/sunspec-103"}
    async with (
        scripted(lambda request: request.answer(TABLE)) as server,
        bus(server.port, device) as driver,
    ):
        missing = (await driver.discover()).missing
    assert "is no Inverter model 103: SunS at 40000 is exception-2" in missing[0]


async def test_a_short_reply_to_the_probe_is_no_model(tmp_path: Path) -> None:
    """A probe whose reply has the wrong length proves nothing."""
    device = write_profile(tmp_path, [{"id": "model", "address": 0, "expect": 1}])
    async with (
        scripted(lambda r: r.frame(bytes([3, 4, 0, 1, 0, 1]))) as server,
        bus(server.port, device) as driver,
    ):
        missing = (await driver.discover()).missing
    assert "is no Bench: model at 0 is None, not 1" in missing[0]


async def test_a_scale_factor_that_is_none_makes_its_points_bad(tmp_path: Path) -> None:
    """Points are bad where their scale factor is refused or says nonsense, and only these."""
    registers = [
        {"id": "plain", "address": 0},
        {"id": "scaled", "address": 1, "sf": "factor"},
        {"id": "other", "address": 2, "sf": "refused"},
        {"id": "factor", "address": 10, "type": "int16", "hidden": True},
        {"id": "refused", "address": 60, "type": "int16", "hidden": True},
        {"id": "gone", "address": 90, "type": "float32"},
    ]
    image: Image = {"holding": {0: 7, 1: 12345, 2: 5, 10: 0x8000}}
    async with (
        scripted(lambda request: request.answer(solid(image))) as server,
        bus(server.port, write_profile(tmp_path, registers)) as driver,
    ):
        groups = await groups_of(driver, "bench")
        assert len(groups[0].points) == 4
        bad = await read(driver, groups)
        image["holding"][10] = 0xFFFE
        good = await read(driver, groups)
    refused = {"other": "exception-2", "gone": "exception-2"}
    assert bad.reasons == refused | {"scaled": "bad-scale-factor"}
    assert good.reasons == refused
    assert bad.good == {"plain": 7}
    assert good.good == {"plain": 7, "scaled": 123.45}


async def test_values_are_judged(tmp_path: Path) -> None:
    """Sentinels and NaN are bad without a value; out of range is uncertain and keeps it."""
    registers = [
        {"id": "gone", "address": 0, "type": "int16", "sentinel": [0x8000]},
        {"id": "nan", "address": 1, "type": "float32"},
        {"id": "endless", "address": 3, "type": "float32"},
        {"id": "far", "address": 5, "range": [0, 100]},
        {"id": "digits", "address": 6, "type": "bcd16"},
        {"id": "empty", "address": 7, "type": "string", "length": 2},
        {"id": "power", "address": 9, "type": "int16", "scale": 0.1, "offset": 5},
    ]
    words = [0x8000, 0x7FC0, 0, 0x7F80, 0, 101, 0x00A1, 0, 0x4142, 0xFFFF]
    image: Image = {"holding": dict(enumerate(words))}
    async with (
        scripted(lambda request: request.answer(image)) as server,
        bus(server.port, write_profile(tmp_path, registers)) as driver,
    ):
        groups = await groups_of(driver, "bench")
        poll = await driver.read(groups[0])
    bad, uncertain = int(Quality.BAD), int(Quality.UNCERTAIN)
    assert poll.values == [None, None, None, 101, None, None, 4.9]
    assert poll.quality == {
        0: (bad, "not-available"),
        1: (bad, "not-available"),
        2: (bad, "not-finite"),
        3: (uncertain, "out-of-range"),
        4: (bad, "not-a-number"),
        5: (bad, "not-available"),
    }


async def test_points_say_what_the_profile_says() -> None:
    """Devices and points carry vendor, unit, states, classes and the thing-model point."""
    device = {"name": "bess", "unit": 1, "profile": "battery/sunspec-802-803", "interval": 2}
    async with bus(1, device, timeout=0.1) as driver:
        inventory = await driver.discover()
    (found,) = inventory.devices
    points = {point.key: point for point in inventory.points}
    soc, state = points["modbus:bess:SoC"], points["modbus:bess:State"]
    assert (found.key, found.name, found.protocol) == ("modbus:bess", "bess", "modbus")
    assert (found.vendor, found.address) == ("SunSpec", "127.0.0.1:1, unit 1")
    assert (soc.name, soc.unit, soc.object_type) == ("State of Charge", "%", "holding")
    assert soc.enos == "EnOS_Solar_RE_BS/BS.Soc"
    assert {point.equip_class for point in inventory.points} == {"Battery"}
    assert state.states[:3] == ("Disconnected", "Initializing", "Connected")
    assert points["modbus:bess:Str2A"].point_class == "Current_Sensor"
    assert {group.interval for group in inventory.groups} == {2, 60}
    assert "modbus:bess:802-SoC_SF" not in points


def test_wrong_configuration_is_refused(tmp_path: Path) -> None:
    """A name twice, a unit beyond 255, a key that is not known: each is named."""
    good = {"name": "a", "unit": 1, "profile": "meter/schneider-pm5560"}
    for devices, what in (
        ([good, good], "a stand twice"),
        ([{**good, "unit": 256}], "unit"),
        ([{**good, "adress": 1}], "adress"),
        ([{**good, "name": "a:b"}], "name"),
        ([], "devices"),
    ):
        with pytest.raises(ValidationError, match=what):
            ModbusBus.model_validate({"name": "f", "host": "h", "devices": devices})
    config = ModbusBus.model_validate(
        {"name": "f", "host": "h", "devices": [{**good, "profile": "meter/nobody-knows"}]}
    )
    with pytest.raises(ConfigError, match=r"no profile 'meter/nobody-knows'.*schneider-pm5560"):
        drivers.get("modbus").open(config, SystemClock())
