"""What a Modbus bus can run over, and what it says of its units."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from plantroom_edge.drivers import Telling, drivers
from plantroom_edge.drivers.modbus import ModbusBus
from plantroom_edge.drivers.modbus.driver import ModbusDriver
from plantroom_edge.drivers.modbus.serial_port import SerialSettings
from plantroom_edge.drivers.modbus.wires import SerialWire
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError
from plantroom_shared.model import Value
from simulators.modbus_scripted import Request, Scripted, scripted
from support.modbus_bus import SteppedClock, bus, groups_of, read, write_profile
from support.modbus_image import Image
from support.modbus_rtu import Heard

IMAGE: Image = {"holding": {address: 7000 + address for address in range(40)}}
RIGHT = {f"r{address}": 7000 + address for address in range(10)}
REGISTERS = [{"id": one, "address": address} for address, one in enumerate(RIGHT)]


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({}, "host: where is it"),
        ({"transport": "rtu"}, "serial: which port"),
        ({"transport": "rtu", "serial": "ttyUSB0"}, "serial"),
        ({"transport": "rtu", "serial": "/dev/ttyUSB0", "host": "h"}, "rtu-over-tcp"),
        ({"transport": "rtu", "serial": "/dev/ttyUSB0", "baud": 9601}, "baud"),
        ({"host": "h", "baud": 9600}, "baud: only for a serial port"),
        ({"host": "h", "transport": "tls"}, "`ca`, `cert` and `key`"),
        ({"host": "h", "tls": {"ca": "ca.pem"}}, "transport: tls"),
        ({"host": "h", "transport": "udp"}, "transport"),
    ],
)
def test_a_transport_that_cannot_be_is_refused(keys: dict[str, Any], what: str) -> None:
    """Each transport needs its own keys and takes no other's; the error says which to write."""
    device = {"name": "a", "unit": 1, "profile": "meter/schneider-pm5560"}
    with pytest.raises(ValidationError, match=what):
        ModbusBus.model_validate({"name": "f", "devices": [device]} | keys)


@pytest.mark.parametrize("transport", ["rtu", "rtu-over-tcp"])
@pytest.mark.parametrize(("unit", "why"), [(0, "nobody answers"), (248, "reserved")])
def test_a_serial_line_has_units_1_to_247(transport: str, unit: int, why: str) -> None:
    """Broadcast and reserved ids are refused where the frames are those of a serial line."""
    where = {"serial": "/dev/ttyS1"} if transport == "rtu" else {"host": "h"}
    device = {"name": "a", "unit": unit, "profile": "meter/schneider-pm5560"}
    with pytest.raises(ValidationError, match=why):
        ModbusBus.model_validate(
            {"name": "f", "transport": transport, "devices": [device], **where}
        )


def test_defaults_are_those_of_the_field() -> None:
    """TCP on 502, TLS on 802, serial lines with 9600 baud 8N1."""
    device = {"name": "a", "profile": "meter/schneider-pm5560"}
    base = {"name": "f", "devices": [device]}
    plain = ModbusBus.model_validate(base | {"host": "h"})
    secure = ModbusBus.model_validate(base | {"host": "h", "transport": "tls", "tls": {"ca": "x"}})
    line = ModbusBus.model_validate(base | {"transport": "rtu", "serial": "/dev/ttyS1"})
    assert (plain.transport, plain.port, secure.port) == ("tcp", 502, 802)
    assert (line.baud, line.parity, line.stop_bits) == (9600, "none", 1)


@pytest.mark.parametrize(
    ("settings", "silence", "frame"),
    [
        (SerialSettings(9600, "none", 1), 3.5 * 10 / 9600, 8 * 10 / 9600),
        (SerialSettings(19200, "even", 1), 3.5 * 11 / 19200, 8 * 11 / 19200),
        (SerialSettings(115200, "odd", 2), 0.00175, 8 * 12 / 115200),
    ],
)
def test_times_on_a_serial_line(settings: SerialSettings, silence: float, frame: float) -> None:
    """The silence is 3.5 characters, but never shorter than above 19200 baud."""
    wire = SerialWire("/dev/ttyS1", settings)
    assert wire.silence == pytest.approx(silence)
    assert wire.seconds(8) == pytest.approx(frame)


# ---------------------------------------------------------------- TLS


class _Certificates:
    """An authority, a device's certificate and one for the gateway, as files."""

    def __init__(self, folder: Path, name: str = "127.0.0.1") -> None:
        self.authority = trustme.CA()
        self.ca, self.pem = folder / "ca.pem", folder / "gateway.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.authority.issue_cert("gateway").private_key_and_cert_chain_pem.write_to_path(self.pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.authority.configure_trust(self.context)
        self.authority.issue_cert(name).configure_cert(self.context)


async def _serve_tls(running: Scripted, context: ssl.SSLContext) -> asyncio.Server:
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0, ssl=context)
    running.port = server.sockets[0].getsockname()[1]
    return server


@pytest.mark.parametrize(
    ("name", "keys", "good"),
    [
        ("127.0.0.1", {}, True),
        ("meter.example", {}, False),
        ("meter.example", {"server_name": "meter.example"}, True),
        ("meter.example", {"check_name": False}, True),
        ("127.0.0.1", {"cert": None}, False),
    ],
)
async def test_modbus_security(tmp_path: Path, name: str, keys: dict[str, Any], good: bool) -> None:
    """With certificates on both ends, values come; with the wrong name or none, nothing does."""
    files = _Certificates(tmp_path, name)
    running = Scripted(lambda request: request.answer(IMAGE))
    server = await _serve_tls(running, files.context)
    tls = {"ca": files.ca, "cert": files.pem} | keys
    device = write_profile(tmp_path, REGISTERS)
    async with (
        server,
        bus(running.port, device, transport="tls", tls=tls, timeout=5) as driver,
        asyncio.timeout(30),
    ):
        inventory = await driver.discover()
        got = await read(driver, inventory.groups)
    assert got.good == (RIGHT if good else {})
    assert bool(inventory.missing) is not good


async def test_a_device_of_another_authority_is_not_read(tmp_path: Path) -> None:
    """A certificate that the authority has not signed is no device of ours, and that is said."""
    files, others = _Certificates(tmp_path), trustme.CA()
    others.issue_cert("127.0.0.1").configure_cert(
        context := ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    )
    running = Scripted(lambda request: request.answer(IMAGE))
    server = await _serve_tls(running, context)
    device, tls = write_profile(tmp_path, REGISTERS), {"ca": files.ca, "cert": files.pem}
    async with server, bus(running.port, device, transport="tls", tls=tls) as driver:
        (missing,) = (await driver.discover()).missing
    assert "unreachable" in missing
    assert running.connections == 0


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    """A CA or a key that cannot be used is named at the start, with its key."""
    files = _Certificates(tmp_path)
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("rubbish")
    device = write_profile(tmp_path, REGISTERS)
    for tls, key in (
        ({"ca": tmp_path / "none"}, "tls.ca"),
        ({"ca": rubbish}, "tls.ca"),
        ({"ca": files.ca, "cert": rubbish}, "tls.cert"),
    ):
        config = ModbusBus.model_validate(
            {"name": "f", "host": "h", "transport": "tls", "tls": tls, "devices": [device]}
        )
        with pytest.raises(ConfigError, match=key):
            drivers.get("modbus").open(config, SystemClock())


# ---------------------------------------------------------------- RTU over TCP


async def test_serial_frames_over_tcp(tmp_path: Path) -> None:
    """A serial device server that passes frames on as they are is read like a serial line."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                data = await reader.readexactly(8)
                writer.write(Heard(data[0], data[1:-2]).answer(IMAGE))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    device = write_profile(tmp_path, REGISTERS)
    async with server, bus(port, device, transport="rtu-over-tcp", pause=0.01) as driver:
        got = await read(driver, await groups_of(driver, "bench"))
    assert got.good == RIGHT


# ---------------------------------------------------------------- dead units


async def test_a_dead_unit_of_ten_costs_the_others_nothing(tmp_path: Path) -> None:
    """While one unit does not answer, the others are read every time, and it is asked rarely.

    A round of polls each half second, as long as the time-out; then the unit comes back.
    """
    clock, dead = SteppedClock(), {7}

    def script(request: Request) -> bytes:
        return b"" if request.unit in dead else request.answer(IMAGE)

    device = write_profile(tmp_path, REGISTERS)
    devices = [{**device, "name": f"u{unit}", "unit": unit} for unit in range(1, 11)]
    async with (
        scripted(script) as server,
        bus(server.port, *devices, clock=clock, timeout=0.5) as driver,
        asyncio.timeout(60),
    ):
        inventory = await driver.discover()
        server.requests.clear()
        for _ in range(80):
            clock.seconds += 0.5
            polls = await asyncio.gather(*(driver.read(group) for group in inventory.groups))
            assert [poll.alive for poll in polls] == [unit != 7 for unit in range(1, 11)]
            assert all(not poll.quality for poll in polls if poll.alive)
        asked = [request.unit for request in server.requests]
        assert len(asked) == 9 * 80 + asked.count(7)
        assert 2 <= asked.count(7) <= 12
        assert server.connections == 1
        dead.clear()
        rounds = 0
        while not (await driver.read(inventory.groups[6])).alive:
            clock.seconds += 0.5
            rounds += 1
    assert rounds < 100


async def test_half_of_the_units_may_die_at_once(tmp_path: Path) -> None:
    """Where five of ten stop answering, the five others go on without a poll lost."""
    clock, dead = SteppedClock(), set[int]()

    def script(request: Request) -> bytes:
        return request.refuse(11) if request.unit in dead else request.answer(IMAGE)

    device = write_profile(tmp_path, REGISTERS)
    devices = [{**device, "name": f"u{unit}", "unit": unit} for unit in range(1, 11)]
    async with (
        scripted(script) as server,
        bus(server.port, *devices, clock=clock, timeout=0.5) as driver,
        asyncio.timeout(60),
    ):
        groups = (await driver.discover()).groups
        dead |= {1, 3, 5, 7, 9}
        for _ in range(100):
            clock.seconds += 0.5
            polls = await asyncio.gather(*(driver.read(group) for group in groups))
            assert [poll.alive for poll in polls] == [False, True] * 5
        figures = driver.figures()
    assert figures[0].advice[0].startswith("unit 1 gives no answer (exception-11) to the last ")
    assert figures[1].advice == ()


# ---------------------------------------------------------------- what is told


async def test_figures_and_plan_of_a_unit(tmp_path: Path) -> None:
    """Requests, bytes and times are counted by unit, and the plan is told in lines."""
    registers = [
        {"id": "a", "address": 0, "interval": 60},
        {"id": "b", "address": 3},
        {"id": "c", "address": 4, "type": "float32"},
        {"id": "on", "space": "coil", "address": 2},
    ]
    image: Image = {"holding": dict.fromkeys(range(10), 0), "coil": {2: 1}}
    async with (
        scripted(lambda request: request.answer(image)) as server,
        bus(server.port, write_profile(tmp_path, registers)) as driver,
    ):
        assert isinstance(driver, Telling)
        await read(driver, await groups_of(driver, "bench"))
        (figures,) = driver.figures()
    assert figures.device == "modbus:bench"
    assert (figures.requests, figures.failures, figures.advice) == (4, 0, ())
    assert figures.plan == (
        "coil 2 (1 bit, 1 point) every 5 s",
        "holding 3-5 (3 registers, 2 points) every 5 s",
        "holding 0 (1 register, 1 point) every 60 s",
    )
    assert figures.sent_bytes > 0
    assert figures.received_bytes == 11 + 11 + 15 + 10
    assert 0 < figures.latency_ms <= figures.latency_max_ms


async def test_advice_for_slow_and_lossy_units(tmp_path: Path) -> None:
    """Answers close to the time-out, lost requests and refused gaps are told with what to do."""
    clock = SteppedClock()
    lost = [0]

    def script(request: Request) -> bytes:
        if request.unit == 1:
            clock.seconds += 0.9
        lost[0] += request.unit == 2
        if request.unit == 2 and lost[0] % 20 == 0:
            return request.refuse(11)
        if request.unit == 3 and 5 in request.addresses:
            return request.refuse(2)
        return request.answer(IMAGE)

    gapped = [{"id": "a", "address": 4}, {"id": "b", "address": 6}]
    device = write_profile(tmp_path, gapped)
    devices = [{**device, "name": f"u{unit}", "unit": unit} for unit in (1, 2, 3)]
    async with (
        scripted(script) as server,
        bus(server.port, *devices, clock=clock, timeout=1.0) as driver,
    ):
        groups = (await driver.discover()).groups
        for _ in range(62):
            for group in groups:
                await driver.read(group)
        slow, lossy, gap = (one.advice for one in driver.figures())
    assert slow == ("unit 1 takes up to 900 ms of 1000 ms to answer: raise `timeout` of the bus",)
    assert lossy[0].startswith("unit 2 loses ")
    assert gap == ("unit 3 refuses what lies before holding 6; it is not read along; learned",)


class _Gate:
    """Wants the rows that a test names, and notes what it was shown."""

    needed: Sequence[int] = ()

    def __init__(self, *rows: int) -> None:
        self.rows, self.raws, self.bad = rows, [], {}  # type: ignore[var-annotated] # of one poll

    def changed(self, raws: Sequence[Value], bad: Mapping[int, tuple[int, str]]) -> Sequence[int]:
        self.raws, self.bad = list(raws), dict(bad)
        return self.rows


async def test_a_gate_sees_raw_values_and_spares_the_rest(tmp_path: Path) -> None:
    """Only what the gate wants is scaled; where 0 of it is not 0 of the unit, it sees the value."""
    registers = [
        {"id": "a", "address": 0, "scale": 0.1},
        {"id": "b", "address": 1, "scale": 0.5, "offset": 3},
        {"id": "c", "address": 2, "sf": "factor"},
        {"id": "d", "address": 30, "sf": "factor"},
        {"id": "e", "address": 4},
        {"id": "factor", "address": 5, "type": "int16", "hidden": True},
    ]
    image: Image = {"holding": {0: 200, 1: 9, 2: 77, 3: 0, 4: 5, 5: 0xFFFF}}
    async with (
        scripted(lambda request: request.answer(image)) as server,
        bus(server.port, write_profile(tmp_path, registers)) as driver,
    ):
        (group,) = await groups_of(driver, "bench")
        await driver.read(group)
        gate = _Gate(1, 2, 3, 4)
        poll = await driver.read(replace(group, gate=gate))
    assert group.steps == (0.1, 1.0, 1.0, 1.0, 1.0)
    assert gate.raws == [200, 7.5, 7.7, None, 5]
    assert gate.bad == {3: (2, "exception-2")}
    assert poll.rows == (1, 2, 3, 4)
    assert poll.values == [None, 7.5, 7.7, None, 5]
    assert poll.quality == gate.bad


async def test_bits_bitfields_and_long_orders_of_a_device(tmp_path: Path) -> None:
    """Parts of one register, texts of bits and 64-bit halves come out of one request."""
    registers: list[dict[str, Any]] = [
        {"id": "whole", "address": 0},
        {"id": "low", "address": 0, "bits": [0, 3]},
        {"id": "high", "address": 0, "bits": [8, 15], "scale": 0.5},
        {"id": "flag", "address": 0, "type": "bool", "bit": 15},
        {"id": "alarms", "address": 1, "type": "bitfield16", "states": {0: "Fire", 2: "Door"}},
        {"id": "field", "address": 1, "type": "bitfield16"},
        {"id": "energy", "address": 2, "type": "uint64", "order": "EFGHABCD"},
        {"id": "power", "address": 6, "type": "float64", "order": "CDABGHEF"},
        {"id": "serial", "address": 10, "type": "bcd64"},
        {"id": "name", "address": 14, "type": "string", "length": 2, "encoding": "utf-16"},
    ]
    words = [0x9A05, 0x0015, 2, 3, 0, 1, 0, 0x4000, 0, 0, 0, 0, 0x1234, 0x5678, 0x00E4, 0x20AC]
    image: Image = {"holding": dict(enumerate(words))}
    async with (
        scripted(lambda request: request.answer(image)) as server,
        bus(server.port, write_profile(tmp_path, registers)) as driver,
    ):
        groups = await groups_of(driver, "bench")
        server.asked()
        got = await read(driver, groups)
        assert server.asked() == [(0, 16)]
    assert got.reasons == {}
    assert got.values == {
        "whole": 0x9A05,
        "low": 5,
        "high": 77.0,
        "flag": True,
        "alarms": "Fire, Door, bit 4",
        "field": 21,
        "energy": (1 << 32) + (2 << 16) + 3,
        "power": 2.0,
        "serial": 12345678,
        "name": "ä€",
    }


async def test_a_cancelled_poll_leaves_the_line_in_order(tmp_path: Path) -> None:
    """The reply to a request whose caller has gone is never given to the next one."""
    held: list[bytes] = []

    def script(request: Request) -> bytes:
        if not held and request.count == 10:
            held.append(request.answer({"holding": dict.fromkeys(range(40), 1)}))
            return b""
        return b"".join(held) + request.answer(IMAGE)

    async with (
        scripted(script) as server,
        bus(server.port, write_profile(tmp_path, REGISTERS), timeout=5) as driver,
        asyncio.timeout(20),
    ):
        (group,) = await groups_of(driver, "bench")
        task = asyncio.create_task(driver.read(group))
        while not held:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await read(driver, [group])).good == RIGHT
    assert isinstance(driver, ModbusDriver)
