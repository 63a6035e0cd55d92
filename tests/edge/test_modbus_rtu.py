"""Modbus RTU over pseudo-terminals: an independent server, echoes, noise, late and hostile replies."""

from __future__ import annotations

import asyncio
import os
import random
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from plantroom_edge.drivers.modbus.frames import Unfit
from plantroom_edge.drivers.modbus.pdu import read as read_request
from plantroom_edge.drivers.modbus.rtu import FLOOD, RtuFrames
from plantroom_edge.drivers.modbus.serial_port import SerialPort, SerialSettings
from plantroom_shared.profiles import load_profile
from support.modbus_bus import groups_of, read, write_profile
from support.modbus_image import Image, filled, solid
from support.modbus_rtu import Heard, Line, independent_line, line, serial_bus

IMAGE: Image = {"holding": {address: 7000 + address for address in range(40)}}
RIGHT = {f"r{address}": 7000 + address for address in range(10)}
REGISTERS = [{"id": one, "address": address} for address, one in enumerate(RIGHT)]


async def test_an_independent_server_is_read_over_a_serial_line() -> None:
    """Every point of three units on one line has the value that another stack serves."""
    names = ("meter/schneider-pm5560", "inverter/sunspec-103", "meter/carlo-gavazzi-em24")
    images, shown = {}, {}
    for unit, name in enumerate(names, start=11):
        image, shown[unit] = filled(load_profile(name), seed=unit)
        images[unit] = solid(image)
    devices = [{"name": f"u{u}", "unit": u, "profile": n} for u, n in enumerate(names, start=11)]
    async with independent_line(images) as path, serial_bus(path, *devices, timeout=10) as driver:
        inventory = await driver.discover()
        assert inventory.missing == ()
        for unit, values in shown.items():
            got = await read(driver, [g for g in inventory.groups if g.device == f"modbus:u{unit}"])
            assert got.reasons == {}
            assert got.values == {one: pytest.approx(value) for one, value in values.items()}


async def test_an_independent_server_is_written_over_a_serial_line(tmp_path: Path) -> None:
    """Coils, registers, bits and wide values arrive at another stack and are read back."""
    registers = [
        {"id": "word", "address": 0, "scale": 0.5, "write": {}},
        {"id": "wide", "address": 1, "type": "float32", "order": "CDAB", "write": {}},
        {"id": "bit", "address": 3, "type": "bool", "bit": 4, "write": {}},
        {"id": "all", "address": 3},
        {"id": "coil", "address": 2, "space": "coil", "write": {}},
    ]
    images: dict[int, Image] = {
        1: {"holding": {0: 0, 1: 0, 2: 0, 3: 0xF00F}, "coil": {2: 0}},
    }
    device = write_profile(tmp_path, registers)
    async with independent_line(images) as path, serial_bus(path, device, timeout=10) as driver:
        for one, value in (("word", 21.5), ("wide", -2.25), ("bit", True), ("coil", True)):
            written = await driver.write(f"modbus:bench:{one}", value, None)
            assert (written.ok, written.shows) == (True, value)
        got = await read(driver, await groups_of(driver, "bench"))
    assert got.good == {"word": 21.5, "wide": -2.25, "bit": True, "all": 0xF01F, "coil": True}


@pytest.mark.parametrize("echoes", [False, True])
async def test_an_adapter_that_hears_itself(tmp_path: Path, echoes: bool) -> None:
    """The echo of a request is never taken for its reply, neither of a read nor of a write."""
    registers = [*REGISTERS, {"id": "set", "address": 30, "write": {}}]
    held = {"holding": dict(IMAGE["holding"])}

    def script(heard: Heard) -> bytes:
        if heard.pdu[0] == 6:
            return heard.refuse(4)  # an echo would say that it is done
        return heard.answer(held)

    device = write_profile(tmp_path, registers)
    async with line(script, echoes=echoes) as wire, serial_bus(wire.path, device) as driver:
        got = await read(driver, await groups_of(driver, "bench"))
        written = await driver.write("modbus:bench:set", 5, None)
    assert got.good == RIGHT | {"set": 7030}
    assert (written.ok, written.reason) == (False, "exception-4")


async def test_noise_around_a_reply_is_no_harm(tmp_path: Path) -> None:
    """Bytes before and behind the frame of a reply, and its parts one by one, give its values."""
    parts: list[bytes] = []

    def script(heard: Heard) -> bytes:
        whole = b"\x00\xff\x01\x03" + heard.answer(IMAGE) + b"\x00\x01"
        parts[:] = [whole[at : at + 3] for at in range(3, len(whole), 3)]
        return whole[:3]

    device = write_profile(tmp_path, REGISTERS)

    async def dribble(wire: Line) -> None:
        while True:
            if parts:
                wire.send(parts.pop(0))
            await asyncio.sleep(0)

    async with line(script) as wire, serial_bus(wire.path, device) as driver:
        task = asyncio.create_task(dribble(wire))
        got = await read(driver, await groups_of(driver, "bench"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert got.good == RIGHT


HOSTILE: dict[str, tuple[Callable[[Heard], bytes], str]] = {
    "silence": (lambda h: b"", "timeout"),
    "a wrong checksum": (lambda h: h.answer(IMAGE)[:-1] + b"\0", "bad-reply"),
    "another unit": (lambda h: h.frame(h.answer(IMAGE)[1:-2], unit=99), "bad-reply"),
    "another function": (lambda h: h.frame(b"\x04" + h.answer(IMAGE)[2:-2]), "bad-reply"),
    "fewer registers": (
        lambda h: Heard(h.unit, h.pdu[:4] + bytes([h.count - 1])).answer(IMAGE),
        "bad-reply",
    ),
    "more registers": (
        lambda h: Heard(h.unit, h.pdu[:4] + bytes([h.count + 1])).answer(IMAGE),
        "bad-reply",
    ),
    "a byte count that lies": (lambda h: h.frame(b"\x03\xff" + bytes(18)), "bad-reply"),
    "half a reply": (lambda h: h.answer(IMAGE)[:9], "bad-reply"),
    "an exception of another function": (lambda h: h.frame(b"\x84\2"), "bad-reply"),
    "a flood": (lambda h: b"\x01\x03\x14" * 1360, "bad-reply"),
    "the request": (lambda h: h.frame(h.pdu), "bad-reply"),
}


@pytest.mark.parametrize("trick", HOSTILE)
async def test_a_wrong_reply_on_a_serial_line_is_no_value(trick: str, tmp_path: Path) -> None:
    """What does not fit the request gives bad rows with a reason, and the next right reply heals."""
    answer, reason = HOSTILE[trick]
    honest = True

    def script(heard: Heard) -> bytes:
        return heard.answer(IMAGE) if honest else answer(heard)

    device = write_profile(tmp_path, REGISTERS)
    async with line(script) as wire, serial_bus(wire.path, device, timeout=0.3) as driver:
        groups = await groups_of(driver, "bench")
        honest = False
        bad = await read(driver, groups)
        honest = True
        healed = await read(driver, groups)
    assert bad.values == dict.fromkeys(RIGHT)
    assert set(bad.reasons.values()) == {reason}
    assert healed.good == RIGHT


async def test_a_late_reply_on_a_serial_line_is_not_taken_for_the_next(tmp_path: Path) -> None:
    """A reply that comes after its request was given up is never the value of another poll."""
    late: list[bytes] = []
    dead = False

    def script(heard: Heard) -> bytes:
        answer = heard.answer(IMAGE)
        if dead:
            stale = {"holding": dict.fromkeys(range(40), 1)}
            late.append(heard.answer(stale))
            return b""
        before, late[:] = b"".join(late), []
        return before + answer

    device = write_profile(tmp_path, REGISTERS)
    async with line(script) as wire, serial_bus(wire.path, device, timeout=0.2) as driver:
        groups = await groups_of(driver, "bench")
        for _ in range(2):
            dead = True
            assert (await read(driver, groups)).good == {}
            dead = False
            assert (await read(driver, groups)).good == RIGHT


async def test_a_refused_block_on_a_serial_line_costs_only_its_points(tmp_path: Path) -> None:
    """A register that is refused is bad, learned and read around; all others keep their values."""
    table = {at: word for at, word in IMAGE["holding"].items() if at != 4}
    device = write_profile(tmp_path, REGISTERS)
    async with (
        line(lambda heard: heard.answer({"holding": table})) as wire,
        serial_bus(wire.path, device) as driver,
    ):
        groups = await groups_of(driver, "bench")
        first, second = await read(driver, groups), await read(driver, groups)
        (figures,) = driver.figures()
    good = {one: value for one, value in RIGHT.items() if one != "r4"}
    for got in (first, second):
        assert got.reasons == {"r4": "exception-2"}
        assert got.good == good
    assert figures.advice == ("unit 1 refuses holding 4: exception 2; learned",)
    assert figures.plan[0] == "holding 0-3 (4 registers, 4 points) every 5 s"


async def test_requests_keep_the_silence_between_frames(tmp_path: Path) -> None:
    """Between the last byte of a reply and the next request there are three and a half characters."""
    loop, gaps, said = asyncio.get_running_loop(), [], [float("-inf")]

    def script(heard: Heard) -> bytes:
        gaps.append(loop.time() - said[0])
        said[0] = loop.time()
        return heard.answer(IMAGE)

    device = write_profile(tmp_path, [{"id": "a", "address": 0}, {"id": "b", "address": 30}])
    async with line(script) as wire, serial_bus(wire.path, device, baud=1200) as driver:
        groups = await groups_of(driver, "bench")
        await read(driver, groups)
    assert len(gaps) == 3
    assert min(gaps) >= 3.5 * 10 / 1200


async def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    """A missing port, a file that is none and a port that another process has are named."""
    device = write_profile(tmp_path, REGISTERS)
    plain = tmp_path / "file"
    plain.touch()
    async with (
        line(lambda heard: heard.answer(IMAGE)) as wire,
        serial_bus(wire.path, device) as first,
    ):
        assert (await first.discover()).missing == ()
        for path, why in (
            (str(tmp_path / "ttyUSB9"), "No such file"),
            (str(plain), "Inappropriate ioctl"),
            (wire.path, "another program or bus has the port"),
        ):
            async with serial_bus(path, device) as driver:
                (missing,) = (await driver.discover()).missing
                assert f"no answer (unreachable: {why}" in missing
                assert f"{path}, unit 1" in missing


async def test_an_adapter_that_is_taken_out(tmp_path: Path) -> None:
    """A port that goes away ends the request under way at once; the next one finds no port."""
    wires: list[Line] = []

    def script(heard: Heard) -> bytes:
        if len(wires[0].heard) > 1:
            wires[0].hang_up()
            return b""
        return heard.answer(IMAGE)

    device = write_profile(tmp_path, REGISTERS)
    async with line(script) as wire:
        wires.append(wire)
        async with serial_bus(wire.path, device, timeout=60) as driver:
            groups = await groups_of(driver, "bench")
            async with asyncio.timeout(20):
                gone = await read(driver, groups)
                after = await read(driver, groups)
    assert set(gone.reasons.values()) == {"disconnected"}
    assert not after.alive


def test_any_bytes_are_bounded() -> None:
    """However much comes in, and whatever, little of it is kept, and a flood is no reply."""
    rng, frames = random.Random(3), RtuFrames()
    frames.take(rng.randbytes(100_000))
    assert len(frames._heard) == 0
    assert frames.give_up() == ("timeout", False)
    frames.ask(1, read_request("holding", 0, 125))
    for _ in range(FLOOD // 100):
        frames.take(bytes(100))
    with pytest.raises(Unfit):
        frames.take(bytes(100))
    assert len(frames._heard) <= FLOOD


class _Receiver:
    """Notes what a port tells."""

    def __init__(self) -> None:
        self.heard, self.lost = bytearray(), asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, error: Exception | None, /) -> None:
        self.lost.set()


async def test_a_stuck_port_takes_what_it_can() -> None:
    """What a port does not take at once follows later, in order; beyond a backlog it is dropped."""
    master, end = os.openpty()
    tty.setraw(end)
    os.set_blocking(master, False)
    port = SerialPort(os.ttyname(end), SerialSettings(), receiver := _Receiver())
    sent = bytes(range(256)) * 4
    for _ in range(400):
        port.write(sent)
    got = bytearray()
    async with asyncio.timeout(20):
        while port._waiting or not got:
            with suppress(BlockingIOError):
                got += os.read(master, 65536)
            await asyncio.sleep(0)
        with suppress(BlockingIOError):
            while data := os.read(master, 65536):
                got += data
        os.write(master, b"after")
        while receiver.heard != b"after":
            await asyncio.sleep(0)
        os.close(master)
        os.close(end)
        await receiver.lost.wait()
    assert len(got) < 400 * len(sent)
    assert bytes(got) == (sent * 400)[: len(got)]
    port.write(b"too late")
    port.abort()


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        (SerialSettings(9600, "none", 1), 0),
        (SerialSettings(19200, "even", 1), termios.PARENB),
        (SerialSettings(38400, "odd", 2), termios.PARENB | termios.PARODD | termios.CSTOPB),
    ],
)
async def test_a_port_is_set_as_configured(
    monkeypatch: pytest.MonkeyPatch, settings: SerialSettings, flags: int
) -> None:
    """Speed, parity and stop bits reach the kernel; a pseudo-terminal itself has none of them."""
    asked: list[list[Any]] = []
    monkeypatch.setattr(termios, "tcsetattr", lambda fd, when, what: asked.append(what))
    master, end = os.openpty()
    port = SerialPort(os.ttyname(end), settings, _Receiver())
    port.abort()
    os.close(master)
    os.close(end)
    (what,) = asked
    assert what[2] & (termios.PARENB | termios.PARODD | termios.CSTOPB) == flags
    assert what[4:6] == [getattr(termios, f"B{settings.baud}")] * 2
    assert what[:2] == [0, 0]


async def test_a_unit_that_stays_silent_to_the_marker_is_asked_no_more(tmp_path: Path) -> None:
    """After a lost reply one small request tells whether the unit lives; the rest is not sent."""
    dead = False
    device = write_profile(tmp_path, REGISTERS)
    async with (
        line(lambda heard: b"" if dead else heard.answer(IMAGE)) as wire,
        serial_bus(wire.path, device, timeout=0.2) as driver,
    ):
        groups = await groups_of(driver, "bench")
        dead = True
        await read(driver, groups)
        wire.heard.clear()
        assert not (await read(driver, groups)).alive
        assert [heard.count for heard in wire.heard] == [1]
