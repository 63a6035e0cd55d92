"""Devices that answer wrongly: never a value that is not the register's, never an exception."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from plantroom_edge.drivers.modbus.connection import MUTE, STALE
from simulators.modbus_scripted import Request, Reset, scripted
from support.modbus_bus import bus, groups_of, read, write_profile

IMAGE = {"holding": {address: 7000 + address for address in range(20)}}
RIGHT = {f"r{address}": 7000 + address for address in range(10)}
REGISTERS = [{"id": one, "address": address} for address, one in enumerate(RIGHT)]


def _words(request: Request, count: int) -> bytes:
    return struct.pack(f">{count}H", *range(count))


def _pdu(request: Request, count: int, said: int) -> bytes:
    return bytes([request.function, said]) + _words(request, count)


HOSTILE: dict[str, tuple[Callable[[Request], bytes], str]] = {
    "silence": (lambda r: b"", "timeout"),
    "the transaction of another request": (
        lambda r: r.frame(_pdu(r, r.count, 2 * r.count), tid=r.tid + 1),
        "bad-reply",
    ),
    "the transaction of the request before": (
        lambda r: r.frame(_pdu(r, r.count, 2 * r.count), tid=r.tid - 1 or 64000),
        "bad-reply",
    ),
    "no transaction": (lambda r: r.frame(_pdu(r, r.count, 2 * r.count), tid=0), "bad-reply"),
    "another unit": (lambda r: r.frame(_pdu(r, r.count, 2 * r.count), unit=99), "bad-reply"),
    "another function": (
        lambda r: r.frame(b"\x04" + _pdu(r, r.count, 2 * r.count)[1:]),
        "bad-reply",
    ),
    "a function that is no read": (lambda r: r.frame(b"\x10\0\0\0\1"), "bad-reply"),
    "an exception of another function": (lambda r: r.frame(b"\x84\2"), "bad-reply"),
    "an exception without a code": (lambda r: r.frame(b"\x83"), "bad-reply"),
    "fewer registers": (lambda r: r.frame(_pdu(r, r.count - 1, 2 * r.count - 2)), "short-reply"),
    "more registers": (lambda r: r.frame(_pdu(r, r.count + 1, 2 * r.count + 2)), "short-reply"),
    "no registers": (lambda r: r.frame(_pdu(r, 0, 0)), "short-reply"),
    "half a register": (
        lambda r: r.frame(bytes([3, 2 * r.count - 1]) + _words(r, r.count)[:-1]),
        "short-reply",
    ),
    "a byte count above the data": (
        lambda r: r.frame(_pdu(r, r.count - 1, 2 * r.count)),
        "bad-reply",
    ),
    "a byte count below the data": (lambda r: r.frame(_pdu(r, r.count, 2)), "bad-reply"),
    "a length below the data": (
        lambda r: struct.pack(">HHHB", r.tid, 0, 5, r.unit) + _pdu(r, r.count, 2 * r.count),
        "bad-reply",
    ),
    "a length above the data": (
        lambda r: struct.pack(">HHHB", r.tid, 0, 99, r.unit) + _pdu(r, r.count, 2 * r.count),
        "timeout",
    ),
    "another protocol": (
        lambda r: struct.pack(">HHHB", r.tid, 7, 5, r.unit) + b"\3\2\0\1",
        "bad-reply",
    ),
    "half a reply": (lambda r: r.answer(IMAGE)[:-3], "timeout"),
    "garbage": (lambda r: b"HTTP/1.1 400 Bad Request\r\n\r\n", "bad-reply"),
    "a flood": (lambda r: b"\xff" * 200_000, "bad-reply"),
    "the same reply twice": (lambda r: 2 * r.answer(IMAGE), "bad-reply"),
    "nothing but zeros": (lambda r: bytes(24), "bad-reply"),
}


@pytest.mark.parametrize("trick", HOSTILE)
async def test_a_wrong_reply_is_no_value(trick: str, tmp_path: Path) -> None:
    """What does not fit the request gives bad rows with a reason, and the next right reply heals."""
    answer, reason = HOSTILE[trick]
    honest = True

    def script(request: Request) -> bytes:
        return request.answer(IMAGE) if honest else answer(request)

    device = write_profile(tmp_path, REGISTERS)
    async with scripted(script) as server, bus(server.port, device, timeout=0.4) as driver:
        groups = await groups_of(driver, "bench")
        honest = False
        bad = await read(driver, groups)
        honest = True
        healed = await read(driver, groups)
    assert bad.values == dict.fromkeys(RIGHT)
    assert set(bad.reasons.values()) == {reason}
    assert len(bad.reasons) == len(RIGHT)
    assert bad.alive is (reason == "short-reply")
    assert healed.good == RIGHT


async def test_a_reset_is_bad_rows_and_a_new_connection(tmp_path: Path) -> None:
    """A connection that is reset under a request ends it at once; the next read opens another."""
    resets = 2

    def script(request: Request) -> bytes:
        nonlocal resets
        resets -= 1
        if resets >= 0:
            raise Reset
        return request.answer(IMAGE)

    device = write_profile(tmp_path, REGISTERS)
    # The first request is that of `discover`; without the reset it would take an hour.
    async with scripted(script) as server, bus(server.port, device, timeout=60) as driver:
        inventory = await driver.discover()
        bad = await read(driver, inventory.groups)
        good = await read(driver, inventory.groups)
    assert "disconnected" in inventory.missing[0]
    assert set(bad.reasons.values()) == {"disconnected"}
    assert not bad.alive
    assert good.good == RIGHT
    assert server.connections == 3


async def test_a_late_reply_is_not_taken_for_the_next(tmp_path: Path) -> None:
    """A reply that comes after its request was given up never answers another request."""
    waiting: list[bytes] = []
    late = {"holding": dict.fromkeys(range(20), 1)}

    def script(request: Request) -> bytes:
        if not waiting:
            waiting.append(request.answer(late))
            return b""
        return waiting[0] + request.answer(IMAGE)

    device = write_profile(tmp_path, REGISTERS)
    async with scripted(script) as server, bus(server.port, device, timeout=0.4) as driver:
        inventory = await driver.discover()
        got = await read(driver, inventory.groups)
    assert "timeout" in inventory.missing[0]
    assert got.good == RIGHT


@pytest.mark.parametrize("sent", [0, 5, 9])
async def test_half_a_reply_ends_the_connection(tmp_path: Path, sent: int) -> None:
    """After part of a reply the rest may still come, so the next request goes over a new connection.

    Without any part, the connection stays: other units share it.
    """
    whole = False

    def script(request: Request) -> bytes:
        return request.answer(IMAGE) if whole else request.answer(IMAGE)[:sent]

    device = write_profile(tmp_path, REGISTERS)
    async with scripted(script) as server, bus(server.port, device, timeout=0.2) as driver:
        groups = await groups_of(driver, "bench")
        whole = True
        shown = await read(driver, groups)
    assert shown.good == RIGHT
    assert server.connections == (2 if sent else 1)


async def test_a_device_one_answer_behind_gives_no_values(tmp_path: Path) -> None:
    """Replies that each belong to the request before are all refused."""
    before = [b""]

    def script(request: Request) -> bytes:
        before.append(request.answer({"holding": {a: len(before) for a in range(20)}}))
        return before[-2]

    device = write_profile(tmp_path, REGISTERS)
    async with scripted(script) as server, bus(server.port, device, timeout=0.1) as driver:
        groups = await groups_of(driver, "bench")
        for _ in range(3):
            shown = await read(driver, groups)
            assert set(shown.values.values()) == {None}
            assert not shown.alive


async def test_any_byte_of_the_header_counts(tmp_path: Path) -> None:
    """With any one bit of the header, function or byte count turned, there is no wrong value."""
    rng = random.Random(11)
    flips = [(byte, 1 << rng.randrange(8)) for byte in range(9) for _ in range(3)]
    turn = iter(flips)

    def script(request: Request) -> bytes:
        reply = bytearray(request.answer(IMAGE))
        byte, mask = next(turn)
        reply[byte] ^= mask
        return bytes(reply)

    device = write_profile(tmp_path, REGISTERS)
    async with scripted(script) as server, bus(server.port, device, timeout=0.05) as driver:
        groups = await groups_of(driver, "bench")
        for _ in flips[1:]:
            shown = await read(driver, groups)
            assert shown.good == {}


async def test_a_dribble_ends_with_the_time_out(tmp_path: Path) -> None:
    """Who sends a byte now and then, for ever, has as long as for a reply, not longer."""
    bytes_sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal bytes_sent
        head = await reader.readexactly(12)
        reply = head[:4] + b"\0\xfd" + head[6:8] + b"\xfa"
        with suppress(ConnectionError):
            for at in range(10_000):
                writer.write(reply[at : at + 1] or b"\0")
                await writer.drain()
                bytes_sent += 1
                await asyncio.sleep(0.02)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    device = write_profile(tmp_path, REGISTERS)
    async with server, bus(port, device, timeout=0.3) as driver, asyncio.timeout(20):
        inventory = await driver.discover()
    assert "timeout" in inventory.missing[0]
    assert 0 < bytes_sent < 250


async def test_a_connection_that_nobody_remembers_is_made_anew(tmp_path: Path) -> None:
    """After some requests without a byte in return, from any unit, the next one connects anew."""
    mute = 1

    def script(request: Request) -> bytes:
        return b"" if server.connections <= mute else request.answer(IMAGE)

    device = write_profile(tmp_path, REGISTERS)
    async with (
        scripted(script) as server,
        bus(server.port, device, timeout=0.1) as driver,
        asyncio.timeout(20),
    ):
        (group,) = await groups_of(driver, "bench")
        for _ in range(MUTE - 1):
            assert not (await driver.read(group)).alive
        assert (await read(driver, [group])).good == RIGHT
    assert server.connections == 2


async def test_a_connection_lost_in_a_pause_costs_no_value(tmp_path: Path) -> None:
    """Where a connection turns out to be gone after a rest, a poll is made over a new one."""
    gone = False

    def script(request: Request) -> bytes:
        if gone and server.connections == 1:
            raise Reset
        return request.answer(IMAGE)

    device = write_profile(tmp_path, REGISTERS)
    async with scripted(script) as server, bus(server.port, device, timeout=20) as driver:
        groups = await groups_of(driver, "bench")
        link = driver._connection._link
        assert link is not None
        gone, link.heard_at = True, link.heard_at - 1.5 * STALE
        assert (await read(driver, groups)).good == RIGHT
    assert server.connections == 2


async def test_replies_to_nobody_are_nobodys(tmp_path: Path) -> None:
    """What is sent without having been asked for ends the connection, and is never a value."""
    stale = {"holding": dict.fromkeys(range(20), 1)}
    writers: list[asyncio.StreamWriter] = []
    device = write_profile(tmp_path, REGISTERS)
    async with (
        scripted(lambda request: request.answer(IMAGE)) as server,
        bus(server.port, device, timeout=5) as driver,
        asyncio.timeout(20),
    ):
        (group,) = await groups_of(driver, "bench")
        for tid in range(1, 6):
            writers[:] = server.serving.values()
            request = Request(tid, 1, 3, 0, 10)
            writers[0].write(request.answer(stale) * 50)
            await writers[0].drain()
            while not writers[0].transport.is_closing() and server.serving:
                await asyncio.sleep(0)
            assert (await read(driver, [group])).good == RIGHT
    assert server.connections == 6


async def test_many_hostile_replies_cost_their_unit_only(tmp_path: Path) -> None:
    """While one unit answers with rubbish of every kind, the one beside it is always right."""
    rng = random.Random(8)
    device = write_profile(tmp_path, REGISTERS)
    devices = [{**device, "name": f"u{unit}", "unit": unit} for unit in (1, 2)]

    def script(request: Request) -> bytes:
        if request.unit == 2:
            return request.answer(IMAGE)
        reply = bytearray(request.answer(IMAGE))
        for _ in range(rng.randrange(1, 4)):
            reply[rng.randrange(9)] = rng.randrange(256)
        return bytes(reply) + rng.randbytes(rng.choice((0, 0, 3, 3000)))

    async with (
        scripted(script) as server,
        bus(server.port, *devices, timeout=0.2) as driver,
        asyncio.timeout(60),
    ):
        bad, good = (await driver.discover()).groups
        for _ in range(300):
            await driver.read(bad)
            poll = await driver.read(good)
            assert poll.values == list(RIGHT.values())
            assert poll.quality == {}
