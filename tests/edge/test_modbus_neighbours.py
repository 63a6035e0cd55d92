"""Honest units on one connection with hostile ones: what those do costs only themselves."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from plantroom_edge.drivers import PollGroup
from plantroom_edge.drivers.modbus import pdu
from plantroom_edge.drivers.modbus.connection import Connection
from plantroom_edge.drivers.modbus.driver import ModbusDriver
from plantroom_edge.drivers.modbus.link import Link
from plantroom_edge.drivers.modbus.wires import TcpWire
from simulators.modbus_scripted import Request, Reset, Script, Scripted, scripted
from support.modbus_bus import SteppedClock, bus, read, write_profile

IMAGE = {"holding": {address: 7000 + address for address in range(20)}}
RIGHT = {f"r{address}": 7000 + address for address in range(10)}
REGISTERS = [{"id": one, "address": address} for address, one in enumerate(RIGHT)]


def _pdu(request: Request, count: int, said: int) -> bytes:
    return bytes([request.function, said]) + struct.pack(f">{count}H", *range(count))


HONEST, CULPRIT = 1, 2


def _two_units(folder: Path) -> list[dict[str, Any]]:
    device = write_profile(folder, REGISTERS)
    return [{**device, "name": f"u{unit}", "unit": unit} for unit in (HONEST, CULPRIT)]


@asynccontextmanager
async def neighbours(
    script: Script, folder: Path, **options: Any
) -> AsyncIterator[tuple[Scripted, ModbusDriver, PollGroup, PollGroup]]:
    """Yield a gateway that answers by `script`, its driver, and the groups of the honest unit and the other."""
    async with (
        scripted(script) as server,
        bus(server.port, *_two_units(folder), **options) as driver,
        asyncio.timeout(30),
    ):
        good, bad = (await driver.discover()).groups
        yield server, driver, good, bad


def _right(request: Request) -> bytes:
    return request.answer(IMAGE)


def _half_header(request: Request) -> bytes:
    """A reply, and behind it the beginning of one that will never come."""
    return request.answer(IMAGE) + struct.pack(">HHH", request.tid + 1, 0, 200)


WAITED_FOR = {"a reply that is shorter than it says", "nothing", "half a frame"}
"""Tricks that nobody can tell from a slow reply."""


def _timeout(trick: str) -> float:
    return 0.8 if trick in WAITED_FOR else 10.0


BEHIND: dict[str, Callable[[Request], bytes]] = {
    "octets behind its reply": lambda r: _right(r) + b"\x2a\x2a\x2a",
    "zeros behind its reply": lambda r: _right(r) + bytes(7),
    "the beginning of another reply": _half_header,
    "the same reply again": lambda r: 2 * _right(r),
    "a reply that is longer than it says": lambda r: (
        struct.pack(">HHHB", r.tid, 0, 5, r.unit) + _pdu(r, 2, 2) + b"\0\0"
    ),
    "a reply that is shorter than it says": lambda r: (
        struct.pack(">HHHB", r.tid, 0, 99, r.unit) + _pdu(r, r.count, 2 * r.count)
    ),
    "another unit's name": lambda r: r.frame(_pdu(r, r.count, 2 * r.count), unit=HONEST),
    "a byte count that lies": lambda r: r.frame(_pdu(r, r.count, 99)),
    "a flood": lambda r: b"\xff" * 100_000,
    "nothing": lambda r: b"",
}


@pytest.mark.parametrize("trick", BEHIND)
async def test_what_a_unit_leaves_in_the_stream_costs_only_itself(
    trick: str, tmp_path: Path
) -> None:
    """However the unit asked before has left the connection, the next one gives its values."""
    hostile = False

    def script(request: Request) -> bytes:
        if hostile and request.unit == CULPRIT:
            return BEHIND[trick](request)
        return request.answer(IMAGE)

    async with neighbours(script, tmp_path, timeout=_timeout(trick)) as (
        _server,
        driver,
        good,
        bad,
    ):
        hostile = True
        for _ in range(8):
            await driver.read(bad)
            poll = await driver.read(good)
            assert poll.values == list(RIGHT.values())
            assert poll.quality == {}
        assert driver._connection.patience.record(HONEST).failures == 0


LATE: dict[str, Callable[[Request], bytes]] = {
    "a frame of nobody's": lambda r: r.frame(b"\3\2\0\1", tid=r.tid ^ 0x5555) + _right(r),
    "rubbish": lambda r: b"\xde\xad\xbe\xef" * 10 + _right(r),
    "half a frame": lambda r: struct.pack(">HHHB", r.tid, 0, 250, r.unit) + _right(r),
    "a reply of another unit's": lambda r: r.frame(b"\3\2\0\1", unit=CULPRIT),
    "a reply that says nothing": lambda r: r.frame(b"\3\x63\0\1"),
}


@pytest.mark.parametrize("trick", LATE)
async def test_rubbish_that_comes_in_the_turn_of_another_costs_it_nothing(
    trick: str, tmp_path: Path
) -> None:
    """What stands before a reply because of the unit asked before: the poll is made once more."""
    late = False

    def script(request: Request) -> bytes:
        nonlocal late
        if late and request.unit == HONEST:
            late = False
            return LATE[trick](request)
        return request.answer(IMAGE)

    async with neighbours(script, tmp_path, timeout=_timeout(trick)) as (
        _server,
        driver,
        good,
        bad,
    ):
        for _ in range(3):
            await driver.read(bad)
            late = True
            poll = await driver.read(good)
            assert not late
            assert poll.values == list(RIGHT.values())
            assert poll.quality == {}


async def test_a_gateway_that_hangs_up_over_a_unit_costs_only_that(tmp_path: Path) -> None:
    """Where the connection ends in the turn of the next unit, that is asked over another one."""
    reset = False

    def script(request: Request) -> bytes:
        nonlocal reset
        if reset and request.unit == HONEST:
            reset = False
            raise Reset
        return request.answer(IMAGE)

    async with neighbours(script, tmp_path, timeout=20) as (server, driver, good, bad):
        await driver.read(bad)
        reset = True
        poll = await driver.read(good)
    assert not reset
    assert poll.values == list(RIGHT.values())
    assert server.connections == 2


async def test_a_whole_frame_of_rubbish_costs_no_connection(tmp_path: Path) -> None:
    """A unit behind a gateway that frames well may say anything: nobody has to connect anew."""
    tricks: tuple[Callable[[Request], bytes], ...] = (
        lambda r: r.frame(b"\x04\2\0\1"),
        lambda r: r.frame(b"\3\x63\0\1"),
        lambda r: r.frame(b"\3\2\0\1", unit=77),
        lambda r: r.frame(b"\x83\2\2"),
    )
    trick, hostile = 0, False

    def script(request: Request) -> bytes:
        if hostile and request.unit == CULPRIT:
            return tricks[trick](request)
        return request.answer(IMAGE)

    async with neighbours(script, tmp_path, timeout=5) as (server, driver, good, bad):
        hostile = True
        for trick in range(len(tricks)):  # noqa: B007 -- the script looks at it
            shown = await read(driver, [bad])
            assert set(shown.reasons.values()) == {"bad-reply"}
            assert (await read(driver, [good])).good == RIGHT
    assert server.connections == 1


async def test_who_is_rubbish_itself_is_asked_twice_once(tmp_path: Path) -> None:
    """Only a unit that was well may have been spoilt by others: one in trouble is not asked again."""
    hostile = False

    def script(request: Request) -> bytes:
        if hostile and request.unit == CULPRIT:
            return request.frame(b"\3\x63\0\1")
        return request.answer(IMAGE)

    async with neighbours(script, tmp_path, timeout=5) as (server, driver, good, bad):
        hostile = True
        counts = []
        for _ in range(3):
            await driver.read(good)
            server.requests.clear()
            assert not (await driver.read(bad)).alive
            counts.append(len(server.requests))
    assert counts == [2, 1, 1]


async def test_a_write_is_never_made_twice(tmp_path: Path) -> None:
    """Where rubbish stands before the answer to a write, it stays open what became of it."""
    spoil = False

    def script(request: Request) -> bytes:
        if spoil and request.function == 6:
            return b"\xde\xad\xbe\xef" * 4
        return request.answer(IMAGE) if request.function < 5 else request.frame(b"\x86\1")

    async with neighbours(script, tmp_path, timeout=5) as (server, driver, good, bad):
        for group in (bad, good):
            await driver.read(group)
        spoil = True
        server.requests.clear()
        async with driver._connection.urgent() as ask:
            reply = await ask(HONEST, pdu.write_register(3, 7))
    assert reply == pdu.Fault("bad-reply")
    assert [request.function for request in server.requests] == [6]


async def test_a_poll_for_which_there_was_no_time_says_so(tmp_path: Path) -> None:
    """A unit that is left alone for the sake of others was not asked: nobody learns from that."""
    clock, dead = SteppedClock(), False

    def script(request: Request) -> bytes:
        return b"" if dead and request.unit == CULPRIT else request.answer(IMAGE)

    async with neighbours(script, tmp_path, timeout=0.1, clock=clock) as (
        server,
        driver,
        good,
        bad,
    ):
        dead, asked = True, []
        for _ in range(5):
            await driver.read(good)
            server.requests.clear()
            poll = await driver.read(bad)
            assert not poll.alive
            assert poll.asked is bool(server.requests)
            asked.append(poll.asked)
            clock.seconds += 0.01
    assert asked[0]
    assert not asked[-1]


async def test_where_no_other_connection_is_to_be_had_the_first_word_counts(
    tmp_path: Path,
) -> None:
    """A gateway that hangs up and then takes nobody leaves the reason why the request was lost."""
    away = False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(12)
                tid, unit, function, address, count = struct.unpack(">H4xBBHH", head)
                if away:
                    server.close()
                    break
                writer.write(Request(tid, unit, function, address, count).answer(IMAGE))
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    devices = _two_units(tmp_path)
    async with server, bus(port, *devices, timeout=5) as driver, asyncio.timeout(30):
        good, bad = (await driver.discover()).groups
        await driver.read(bad)
        away = True
        lost = await read(driver, [good])
        after = await read(driver, [good])
    assert set(lost.reasons.values()) == {"disconnected"}
    assert set(after.reasons.values()) == {"unreachable"}


class _SlowWire(TcpWire):
    """Connecting takes half a second by the clock of the test."""

    clock = SteppedClock()

    async def open(self, link: Link) -> None:
        """Connect `link`."""
        await super().open(link)
        self.clock.seconds += 0.5


async def test_connecting_anew_is_paid_by_who_made_that_necessary() -> None:
    """What a new connection takes after rubbish is put down to the unit that was asked last."""
    hostile = False

    def script(request: Request) -> bytes:
        if hostile and request.unit == CULPRIT:
            return b"\xff" * 500
        return request.answer(IMAGE)

    async with scripted(script) as server, asyncio.timeout(30):
        wire = _SlowWire("127.0.0.1", server.port)
        connection = Connection(wire, 5.0, clock=wire.clock)
        for unit in (HONEST, CULPRIT, HONEST):
            await connection.ask(unit, "holding", 0, 10)
        hostile, patience = True, connection.patience
        await connection.ask(CULPRIT, "holding", 0, 10)
        before = patience.record(CULPRIT).spare
        assert isinstance(await connection.ask(HONEST, "holding", 0, 10), bytes)
        assert patience.record(CULPRIT).spare == pytest.approx(before - 0.5, abs=0.1)
        assert patience.record(HONEST).failures == 0
        connection.close()
