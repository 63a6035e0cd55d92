"""Writing points over Modbus: the right function, exact values, limits, and what is read back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from plantroom_edge.drivers import Judging, Writing
from plantroom_shared.model import Value
from plantroom_shared.profiles import Register, RegisterWrite
from simulators.modbus_scripted import Request, scripted
from support.modbus_bus import bus, groups_of, independent, read, write_profile
from support.modbus_image import Image
from support.modbus_writable import ALL, Writable

REGISTERS: list[dict[str, Any]] = [
    {"id": "setpoint", "address": 0, "type": "int16", "scale": 0.5, "offset": -10,
     "write": {"min": -5, "max": 60, "step": 0.5}},
    {"id": "power", "address": 1, "type": "int32", "order": "CDAB", "write": {}},
    {"id": "ratio", "address": 3, "type": "float32", "write": {"max": 100}},
    {"id": "energy", "address": 5, "type": "uint64", "order": "EFGHABCD", "write": {}},
    {"id": "scaled", "address": 9, "type": "int16", "sf": "factor", "write": {}},
    {"id": "factor", "address": 10, "type": "int16", "hidden": True},
    {"id": "on", "address": 11, "type": "bool", "bit": 9, "write": {}},
    {"id": "mode", "address": 11, "bits": [4, 6], "write": {"min": 0, "max": 5}},
    {"id": "label", "address": 12, "type": "string", "length": 3, "write": {}},
    {"id": "digits", "address": 15, "type": "bcd16", "write": {}},
    {"id": "guarded", "address": 16, "sentinel": [0xFFFF], "range": [0, 1000], "write": {}},
    {"id": "relay", "address": 7, "space": "coil", "write": {}},
    {"id": "fixed", "address": 17},
    {"id": "gone", "address": 90, "write": {}},
]  # fmt: skip


def _image() -> Image:
    return {
        "holding": dict.fromkeys(range(20), 0) | {10: 0xFFFE, 11: 0x8001},
        "coil": {7: 0},
    }


@pytest.mark.parametrize(
    ("point", "value", "functions", "words"),
    [
        ("setpoint", 21.5, [6, 3], {0: 63}),
        ("setpoint", -5, [6, 3], {0: 10}),
        ("power", -2, [16, 3], {1: 0xFFFE, 2: 0xFFFF}),
        ("ratio", 12.5, [16, 3], {3: 0x4148, 4: 0}),
        ("ratio", 21.3, [16, 3], {3: 0x41AA, 4: 0x6666}),
        ("energy", 1 << 40, [16, 3], {8: 0x0100}),
        ("scaled", 1.25, [3, 6, 3, 3], {9: 125}),
        ("on", True, [22, 3], {11: 0x8201}),
        ("mode", 5, [22, 3], {11: 0x8051}),
        ("label", "ABC", [16, 3], {12: 0x4142, 13: 0x4300, 14: 0}),
        ("digits", 1234, [6, 3], {15: 0x1234}),
        ("guarded", 1000, [6, 3], {16: 1000}),
        ("relay", True, [5, 1], {}),
    ],
)
async def test_a_value_arrives_and_is_read_back(
    tmp_path: Path, point: str, value: Value, functions: list[int], words: dict[int, int]
) -> None:
    """Each kind of value is written by one right request, touches nothing else, and shows."""
    device = Writable(_image())
    profile = write_profile(tmp_path, REGISTERS)
    async with scripted(device) as server, bus(server.port, profile) as driver:
        assert isinstance(driver, Writing)
        written = await driver.write(f"modbus:bench:{point}", value, None)
        held = await driver.held(f"modbus:bench:{point}", None)
    assert (written.ok, written.reason, written.reached) == (True, "", True)
    close = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
    assert (written.shows, held[0]) == (close, close)
    assert [function for function, _ in device.asked][: len(functions)] == functions
    assert device.image["holding"] == _image()["holding"] | words
    assert device.image["coil"] == {7: int(point == "relay")}


@pytest.mark.parametrize(
    ("point", "value", "reason"),
    [
        ("setpoint", 60.5, "above-maximum"),
        ("setpoint", -5.5, "below-minimum"),
        ("setpoint", 21.25, "off-step"),
        ("setpoint", float("nan"), "wrong-type"),
        ("setpoint", "warm", "wrong-type"),
        ("setpoint", None, "wrong-type"),
        ("power", 1.5, "not-representable"),
        ("power", 1 << 31, "not-representable"),
        ("energy", -1, "not-representable"),
        ("ratio", 1e40, "above-maximum"),
        ("scaled", 1.255, "not-representable"),
        ("scaled", 400, "not-representable"),
        ("on", 2, "wrong-type"),
        ("mode", 6, "above-maximum"),
        ("label", "ABCDEFG", "not-representable"),
        ("label", 5, "wrong-type"),
        ("digits", 10_000, "not-representable"),
        ("guarded", 1001, "not-representable"),
        ("guarded", 65535, "not-representable"),
        ("relay", 5, "wrong-type"),
        ("fixed", 1, "write-access-denied"),
    ],
)
async def test_what_must_not_or_cannot_be_written_never_leaves(
    tmp_path: Path, point: str, value: Value, reason: str
) -> None:
    """Beyond limits, of the wrong type, not exact, not allowed: refused before any write is sent."""
    device = Writable(_image())
    profile = write_profile(tmp_path, REGISTERS)
    async with scripted(device) as server, bus(server.port, profile) as driver:
        written = await driver.write(f"modbus:bench:{point}", value, None)
    assert (written.ok, written.reason, written.reached) == (False, reason, False)
    assert {function for function, _ in device.asked} <= {3}


@pytest.mark.parametrize(
    ("point", "value", "lacks", "functions"),
    [
        ("setpoint", 5, {6}, [6, 16, 3, 16, 3]),
        ("relay", True, {5}, [5, 15, 1, 15, 1]),
        ("on", True, {22}, [22, 3, 6, 3, 3, 6, 3]),
        ("on", True, {22, 6}, [22, 3, 6, 16, 3, 3, 16, 3]),
    ],
)
async def test_a_device_without_a_function_is_written_by_another(
    tmp_path: Path, point: str, value: Value, lacks: set[int], functions: list[int]
) -> None:
    """A function that the device does not know is replaced, and not tried a second time."""
    device = Writable(_image(), knows=ALL - lacks)
    profile = write_profile(tmp_path, REGISTERS)
    async with scripted(device) as server, bus(server.port, profile) as driver:
        for _ in range(2):
            assert (await driver.write(f"modbus:bench:{point}", value, None)).ok
    assert [function for function, _ in device.asked] == functions
    assert device.image["holding"][11] in {0x8001, 0x8201}


async def test_a_refused_write_says_so(tmp_path: Path) -> None:
    """The exception of the device is the reason, and nothing is read back."""
    device = Writable(_image())
    async with (
        scripted(device) as server,
        bus(server.port, write_profile(tmp_path, REGISTERS)) as driver,
    ):
        written = await driver.write("modbus:bench:gone", 1, None)
        held = await driver.held("modbus:bench:gone", None)
    assert (written.ok, written.reason, written.reached) == (False, "exception-2", True)
    assert held == (None, "exception-2")


async def test_bits_of_a_register_that_cannot_be_read_are_not_written(tmp_path: Path) -> None:
    """Without the other bits of the register, nothing is written over them."""
    device = Writable({"holding": {0: 0}, "coil": {}}, knows=ALL - {22})
    async with (
        scripted(device) as server,
        bus(server.port, write_profile(tmp_path, REGISTERS)) as driver,
    ):
        written = await driver.write("modbus:bench:on", True, None)
    assert (written.ok, written.reason, written.reached) == (False, "exception-2", False)
    assert 6 not in {function for function, _ in device.asked}


async def test_a_device_that_only_says_so(tmp_path: Path) -> None:
    """A write that is confirmed but does not show is no success, and what shows is told."""
    device = Writable(_image(), deaf={6})
    async with (
        scripted(device) as server,
        bus(server.port, write_profile(tmp_path, REGISTERS)) as driver,
    ):
        written = await driver.write("modbus:bench:setpoint", 21.5, None)
    assert (written.ok, written.reason, written.shows) == (False, "read-back", -10)


async def test_a_write_without_an_answer_is_open(tmp_path: Path) -> None:
    """After a time-out the write may have been done: what then shows is told, not called done."""
    device = Writable(_image(), mute={6, 22})
    async with (
        scripted(device) as server,
        bus(server.port, write_profile(tmp_path, REGISTERS), timeout=0.2) as driver,
    ):
        word = await driver.write("modbus:bench:setpoint", 21.5, None)
        bit = await driver.write("modbus:bench:on", True, None)
    assert (word.ok, word.reason, word.reached, word.shows) == (False, "timeout", True, 21.5)
    assert (bit.ok, bit.reason, bit.reached, bit.shows) == (False, "timeout", True, True)


async def test_nobody_there_has_not_been_reached(tmp_path: Path) -> None:
    """Where no connection can be had, the device cannot have seen the write."""
    async with scripted(lambda request: b"") as server:
        port = server.port
    async with bus(port, write_profile(tmp_path, REGISTERS)) as driver:
        for point in ("setpoint", "scaled", "on"):
            written = await driver.write(f"modbus:bench:{point}", 1, None)
            assert (written.ok, written.reason, written.reached) == (False, "unreachable", False)
        assert await driver.held("modbus:bench:scaled", None) == (None, "unreachable")


async def test_a_lying_confirmation_is_not_believed(tmp_path: Path) -> None:
    """A reply that repeats another value than was written is no confirmation."""
    device = Writable(_image())

    def script(request: Request) -> bytes:
        reply = device(request)
        return reply[:-1] + bytes([reply[-1] ^ 1]) if request.function == 6 else reply

    async with (
        scripted(script) as server,
        bus(server.port, write_profile(tmp_path, REGISTERS)) as driver,
    ):
        written = await driver.write("modbus:bench:setpoint", 21.5, None)
    assert (written.ok, written.reason) == (False, "bad-reply")


async def test_a_silent_or_short_read_back_is_no_success(tmp_path: Path) -> None:
    """A write is not done before the device shows it."""
    device, trick = Writable(_image()), [b""]

    def script(request: Request) -> bytes:
        reply = device(request)
        return reply if request.function == 6 else trick[0] or request.frame(b"\3\0")

    async with (
        scripted(script) as server,
        bus(server.port, write_profile(tmp_path, REGISTERS), timeout=0.2) as driver,
    ):
        short = await driver.write("modbus:bench:setpoint", 21.5, None)
        scaled = await driver.write("modbus:bench:scaled", 1, None)
    assert (short.ok, short.reason) == (False, "read-back-short-reply")
    assert (scaled.ok, scaled.reason, scaled.reached) == (False, "short-reply", False)


async def test_a_scale_factor_that_is_none_stops_a_write(tmp_path: Path) -> None:
    """Without a usable power of ten nobody knows what to write."""
    device = Writable(_image())
    device.image["holding"][10] = 0x8000
    async with (
        scripted(device) as server,
        bus(server.port, write_profile(tmp_path, REGISTERS)) as driver,
    ):
        written = await driver.write("modbus:bench:scaled", 1, None)
    assert (written.ok, written.reason, written.reached) == (False, "not-representable", False)


async def test_a_write_to_all_at_once_is_refused(tmp_path: Path) -> None:
    """Unit 0 is every device behind a gateway: it is never written."""
    device = write_profile(tmp_path, REGISTERS) | {"unit": 0}
    async with bus(1, device) as driver:
        written = await driver.write("modbus:bench:setpoint", 5, None)
    assert (written.ok, written.reason, written.reached) == (False, "broadcast", False)


async def test_a_write_comes_before_polls(tmp_path: Path) -> None:
    """With many polls waiting for the line, a write is sent next."""
    device = Writable(_image())
    registers = [
        *REGISTERS,
        *({"id": f"s{at}", "address": at, "interval": 10 + at} for at in range(20)),
    ]
    async with (
        scripted(device) as server,
        bus(server.port, write_profile(tmp_path, registers)) as driver,
        asyncio.timeout(20),
    ):
        groups = (await driver.discover()).groups
        device.asked.clear()
        polls = [asyncio.create_task(driver.read(group)) for group in groups]
        await asyncio.sleep(0)
        assert (await driver.write("modbus:bench:setpoint", 5, None)).ok
        await asyncio.gather(*polls)
    assert [function for function, _ in device.asked].index(6) <= 1


async def test_an_independent_server_takes_writes(tmp_path: Path) -> None:
    """What is written to another stack is there for a plain poll."""
    wanted: dict[str, Value] = {
        "setpoint": 30.5, "power": -70_000, "ratio": -1.5, "mode": 3, "on": True, "relay": True,
    }  # fmt: skip
    async with (
        independent(_image()) as port,
        bus(port, write_profile(tmp_path, REGISTERS)) as driver,
    ):
        for point, value in wanted.items():
            written = await driver.write(f"modbus:bench:{point}", value, None)
            assert (written.ok, written.shows) == (True, value)
        got = await read(driver, await groups_of(driver, "bench"))
    assert {one: got.good[one] for one in wanted} == wanted


def test_points_say_whether_they_can_be_written() -> None:
    """Inputs, hidden registers and whole bitfields are never writable; limits are in order."""
    good: dict[str, Any] = {"id": "a", "name": "a", "address": 0, "write": {"min": 0, "max": 1}}
    assert Register.model_validate(good).write == RegisterWrite(min=0, max=1)
    for wrong, what in (
        ({"space": "input"}, "remove `write`"),
        ({"hidden": True}, "remove `write`"),
        ({"type": "bitfield16"}, "add a bool"),
        ({"type": "uint32", "bits": [0, 3]}, "cannot be written alone"),
        ({"write": {"min": 2, "max": 1}}, "must not be above"),
        ({"bits": [3, 2]}, "from 0 to 15"),
        ({"type": "int16", "bits": [0, 1]}, "has `bits`"),
        ({"order": "EFGHABCD"}, "64-bit"),
        ({"encoding": "latin-1"}, "has an `encoding`"),
        ({"type": "bitfield16", "write": None, "scale": 2}, "not scaled"),
    ):
        with pytest.raises(ValidationError, match=what):
            Register.model_validate(good | wrong)


# ---------------------------------------------------------------- what a point takes


@pytest.mark.parametrize(
    ("point", "value", "reason"),
    [
        ("setpoint", 21.5, ""),
        ("setpoint", 60.5, "above-maximum"),
        ("setpoint", 21.25, "off-step"),
        ("setpoint", None, "wrong-type"),
        ("power", 1.5, "not-representable"),
        ("scaled", 1.255, ""),  # only the device knows its scale factor
        ("mode", 5, ""),
        ("mode", 6, "above-maximum"),
        ("state", 3, ""),
        ("state", 2, "no-such-state"),
        ("label", "ABCDEFG", "not-representable"),
        ("guarded", 1001, "not-representable"),
        ("fixed", 1, "write-access-denied"),
        ("nowhere", 1, "no-such-point"),
    ],
)
async def test_what_a_point_takes_is_known_without_asking(
    tmp_path: Path, point: str, value: Value, reason: str
) -> None:
    """Type, limits, step, states and exactness are judged from the profile alone."""
    states = {"id": "state", "address": 18, "states": {1: "On", 3: "Auto"}, "write": {}}
    async with bus(1, write_profile(tmp_path, [*REGISTERS, states])) as driver:
        assert isinstance(driver, Judging)
        assert driver.unwritable(f"modbus:bench:{point}", value) == reason


async def test_nothing_is_taken_by_all_at_once(tmp_path: Path) -> None:
    """Unit 0 is every device behind a gateway."""
    async with bus(1, write_profile(tmp_path, REGISTERS) | {"unit": 0}) as driver:
        assert driver.unwritable("modbus:bench:setpoint", 5) == "broadcast"


@pytest.mark.parametrize(("point", "words"), [("setpoint", {0: 200}), ("guarded", {16: 2000})])
async def test_what_was_there_comes_back_whatever_limits_say(
    tmp_path: Path, point: str, words: dict[int, int]
) -> None:
    """A former value beyond limits or range is held, unwritable as a command, and given back all the same."""
    image = _image()
    image["holding"] |= words
    device, key = Writable(image), f"modbus:bench:{point}"
    async with (
        scripted(device) as server,
        bus(server.port, write_profile(tmp_path, REGISTERS)) as driver,
    ):
        former, why = await driver.held(key, None)
        assert (why, driver.unwritable(key, former) != "") == ("", True)
        assert (await driver.write(key, 5, None)).ok
        assert not (await driver.write(key, former, None)).ok
        assert (await driver.write(key, former, None, back=True)).ok
        assert not (await driver.write(key, "warm", None, back=True)).ok
    assert device.image["holding"] == image["holding"] | words


async def test_a_closed_bus_is_not_opened_again(tmp_path: Path) -> None:
    """Who still holds a driver whose bus was stopped reaches nobody with it."""
    device = Writable(_image())
    async with scripted(device) as server:
        async with bus(server.port, write_profile(tmp_path, REGISTERS)) as driver:
            assert (await driver.held("modbus:bench:setpoint", None)) == (-10, "")
        written = await driver.write("modbus:bench:setpoint", 5, None)
    assert (written.ok, written.reached) == (False, False)
