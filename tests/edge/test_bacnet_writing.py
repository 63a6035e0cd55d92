"""Writes, clocks and figures: what a device is told, and what is said of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from bacpypes3.apdu import APDU, WritePropertyRequest
from bacpypes3.basetypes import DateTime
from bacpypes3.pdu import PDU, PDUData
from bacpypes3.primitivedata import Date, TagList, Time
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_edge.drivers import Telling, Writing
from plantroom_edge.drivers.bacnet import figures, timesync, writing
from plantroom_edge.drivers.bacnet.plan import Plan, make_plan
from plantroom_edge.drivers.bacnet.services import WHOLE
from plantroom_edge.drivers.bacnet.values import value_at
from plantroom_edge.drivers.bacnet.writing import Unfit, encode_value, encode_write, same
from plantroom_shared.clock import SystemClock
from plantroom_shared.model import Value
from support.bacnet_device import PV, Field, Request, oid, real, serving
from support.bacnet_peers import driver

PRIORITY_ARRAY = 87


def valve(**settings: Any) -> Field:
    """Return a device with one analog output, whose slots are all free."""
    device = Field(instance=4, **settings)
    device.add(1, 1, real(0), "Valve")
    device.objects[oid(1, 1)][PRIORITY_ARRAY] = [b"\0"] * 16
    return device


# ---------------------------------------------------------------- octets


@given(st.integers(0, 2**32 - 1) | st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_written_number_reads_back_as_it_was(value: float) -> None:
    """In the type of its object; a whole number may stand for an integer."""
    assert value_at(encode_value(2, value), 0)[0] == pytest.approx(value, rel=1e-6)
    if value == int(value) and 0 <= value < 2**32:
        assert value_at(encode_value(48, value), 0)[0] == value


@pytest.mark.parametrize(
    ("kind", "value", "encoded"),
    [
        (0, 1, "443f800000"), (46, 1, "55083ff0000000000000"), (45, -1, "31ff"), (45, 128, "320080"),
        (4, True, "9101"), (14, 3.0, "2103"), (40, "é", "7300c3a9"), (1, None, "00"),
        (200, True, "11"), (200, 7, "2107"), (200, -7, "31f9"), (200, 1.0, "443f800000"),
        (200, "x", "720078"),
    ],
)  # fmt: skip
def test_the_object_says_which_type_is_sent(kind: int, value: Value, encoded: str) -> None:
    """Where it does not, the value does."""
    assert encode_value(kind, value).hex() == encoded


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (4, 2, "value-out-of-range"), (14, -1, "value-out-of-range"), (45, 2**31, "value-out-of-range"),
        (48, 2**32, "value-out-of-range"), (14, 1.5, "not-an-integer"), (14, "x", "not-an-integer"),
        (14, float("nan"), "not-an-integer"), (1, float("inf"), "not-a-number"),
        (1, "x", "not-a-number"), (1, 1e300, "value-out-of-range"), (40, 1, "not-a-text"), (42, "2026-01-01", "unsupported-type"),
    ],
)  # fmt: skip
def test_what_the_type_cannot_hold_is_not_sent(kind: int, value: Value, why: str) -> None:
    """The reason is a short word."""
    with pytest.raises(Unfit, match=why):
        encode_value(kind, value)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 16) | st.none(), st.text(max_size=400))
def test_another_stack_reads_the_request(priority: int | None, text: str) -> None:
    """bacpypes3 finds object, property, priority and value of any length in the body."""
    body = encode_write((oid(40, 9), 85, WHOLE), encode_value(40, text), priority)
    request = WritePropertyRequest.decode(APDU.decode(PDU(b"\x00\x05\x01\x0f" + body)))
    assert tuple(map(int, request.objectIdentifier)) == (40, 9)
    assert request.priority == priority
    assert request.propertyValue.tagList is not None


def test_equal_is_what_a_real_can_hold() -> None:
    """A REAL rounds; states, texts and emptiness do not."""
    assert same(0.1, 0.10000000149)
    assert not same(1.0, 1.1)
    assert same(None, None)
    assert not same(None, 0)
    assert not same("1", 1)


# ---------------------------------------------------------------- a device


async def _write(device: Field, value: Value, priority: int | None = 8, **more: Any) -> Any:
    async with serving(device) as targets, driver(*targets, timeout=0.1, retries=0, **more) as bus:
        assert isinstance(bus, Writing)
        await bus.discover()
        return await bus.write("bacnet:4:analog-output:1", value, priority)


def _refusing(apdu: bytes) -> Field:
    device = valve()
    device.refuse = lambda request: apdu if request.service == 15 else None
    return device


@pytest.mark.parametrize(
    ("apdu", "reason"),
    [
        (b"\x50\x0f\x91\x02\x91\x28", "write-access-denied"),
        (b"\x50\x0f\x91\x02\x91\x25", "value-out-of-range"),
        (b"\x60\x09", "reject-unrecognized-service"),
        (b"\x71\x09", "abort-out-of-resources"),
    ],
)
async def test_a_refusal_is_the_reason(apdu: bytes, reason: str) -> None:
    """The device has seen the request, and said no."""
    written = await _write(_refusing(apdu), 5.0)
    assert (written.ok, written.reason, written.reached) == (False, reason, True)


async def test_a_device_that_says_yes_and_does_nothing_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is read back decides, after some patience."""
    monkeypatch.setattr(writing, "_PAUSE", 0.01)
    written = await _write(_refusing(b"\x20\x0f"), 5.0)
    assert (written.ok, written.reason, written.shows) == (False, "read-back", 0.0)


async def test_a_device_that_takes_its_time_is_given_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value may stand there at the second look only."""
    monkeypatch.setattr(writing, "_PAUSE", 0.01)
    device, looks = _refusing(b"\x20\x0f"), 0

    def late(request: Request) -> bool:
        nonlocal looks
        looks += request.service == 12 and request.refs[0][1] == PV
        if looks == 2:
            device.objects[oid(1, 1)][PV] = real(5)
            slots = device.objects[oid(1, 1)][PRIORITY_ARRAY]
            assert isinstance(slots, list)
            slots[7] = real(5)
        return False

    device.mute = late
    written = await _write(device, 5.0)
    assert (written.ok, written.shows) == (True, 5.0)


async def test_an_answer_that_never_comes_leaves_it_open() -> None:
    """A write without answer may have been done: `reached` stays true."""
    device = valve()
    device.mute = lambda request: request.service == 15
    written = await _write(device, 5.0)
    assert (written.ok, written.reason, written.reached) == (False, "timeout", True)


async def test_what_can_not_be_read_back_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write was confirmed, the device falls silent."""
    monkeypatch.setattr(writing, "_PAUSE", 0.01)
    device = _refusing(b"\x20\x0f")
    written_once = False

    def silent(request: Request) -> bool:
        nonlocal written_once
        written_once |= request.service == 15
        return written_once and request.service == 12

    device.mute = silent
    written = await _write(device, 5.0)
    assert (written.ok, written.reason) == (False, "read-back-timeout")


@pytest.mark.parametrize(
    ("value", "priority", "reason"),
    [
        (None, None, "no-priority-to-relinquish"),
        (5.0, 17, "no-such-priority"),
        ("warm", 8, "not-a-number"),
    ],
)
async def test_what_makes_no_sense_never_reaches_the_device(
    value: Value, priority: int | None, reason: str
) -> None:
    """It is refused here."""
    device = valve()
    written = await _write(device, value, priority)
    assert (written.ok, written.reason, written.reached) == (False, reason, False)
    assert not [request for request in device.requests if request.service == 15]


async def test_a_text_longer_than_a_request_is_not_sent() -> None:
    """Requests are one datagram, as long as the device takes."""
    device = Field(instance=4, says_max_apdu=206)
    device.add(40, 1, b"\x71\0", "Note")
    async with serving(device) as targets, driver(*targets) as bus:
        await bus.discover()
        written = await bus.write("bacnet:4:characterstring-value:1", "x" * 300, None)
        unknown = await bus.write("bacnet:4:analog-value:9", 1.0, None)
        assert await bus.held("nobody", 8) == (None, "unknown-point")
    assert (written.reason, written.reached) == ("value-too-long", False)
    assert (unknown.reason, unknown.reached) == ("unknown-point", False)


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (lambda apdu, _: [apdu[:-2]], "malformed"),
        (lambda apdu, _: [apdu[:7] + b"\x05" + apdu[8:]], "no-value"),
        (lambda apdu, _: [apdu[:-2] + b"\xc4\x00\x00\x00\x01\x3f"], "unsupported-type"),
    ],
    ids=["cut", "another object", "an object"],
)
async def test_a_slot_that_cannot_be_read_says_why(tamper: Any, reason: str) -> None:
    """What a release would have to give back is then unknown."""
    device = valve()
    async with serving(device) as targets, driver(*targets) as bus:
        await bus.discover()
        device.tamper = tamper
        assert await bus.held("bacnet:4:analog-output:1", 8) == (None, reason)


# ---------------------------------------------------------------- the time


@dataclass
class Judged:
    """A clock of a known worth."""

    state: str
    seconds: float = 0.0

    def now_us(self) -> int:
        return 1_772_000_000_123_456

    def monotonic(self) -> float:
        return self.seconds


def test_the_time_reads_in_another_stack() -> None:
    """Date with its day of the week and time with hundredths, as bacpypes3 decodes them."""
    service, body = timesync.announcement(1_772_000_000_123_456, "utc")
    moment = datetime.fromtimestamp(1_772_000_000.123456, UTC)
    said = DateTime.decode(TagList.decode(PDUData(body)))
    assert service == 9
    assert said.date == Date((moment.year - 1900, moment.month, moment.day, moment.isoweekday()))
    assert said.time == Time((moment.hour, moment.minute, moment.second, 12))
    local, body = timesync.announcement(1_772_000_000_123_456, "local")
    assert (local, len(body)) == (6, 10)


def test_only_a_clock_that_is_right_is_told() -> None:
    """At first and every so many hours; never while nobody vouches for the time."""
    clock = Judged("holdover")
    telling = timesync.TimeSync(clock, "utc", 24)
    assert telling.due("a") is None
    clock.state = "sync"
    assert telling.due("a") is not None
    assert telling.due("a") is None
    assert telling.due("b") is not None
    clock.seconds = 24 * 3600
    assert telling.due("a") is not None
    assert telling.told == 3
    assert timesync.TimeSync(clock, "off", 24).due("a") is None
    assert timesync.TimeSync(SystemClock(), "utc", 24).due("a") is None


async def test_a_device_hears_the_time_with_its_first_poll() -> None:
    """As an unconfirmed request to itself, not as a broadcast to the building."""
    device = valve()
    heard: list[bytes] = []
    take = device.datagram_received
    device.datagram_received = lambda data, addr: (  # type: ignore[method-assign] # listens in
        heard.append(data) if data[6] == 0x10 and data[7] != 8 else take(data, addr)
    )
    wanted = {"time_sync": "local", "time_sync_hours": 1}
    async with (
        serving(device) as targets,
        driver(*targets, clock=Judged("sync"), **wanted) as bus,
    ):
        [group] = (await bus.discover()).groups
        await bus.read(group)
        await bus.read(group)
        await bus.read(group)
    assert [data[:8].hex() for data in heard] == ["810a001201001006"]


# ---------------------------------------------------------------- figures and plans


async def test_figures_tell_what_was_learned_of_a_device() -> None:
    """Requests, failures, times, octets, the plan, and what to do about it."""
    device = Field(instance=4, max_apdu=300)
    for index in range(60):
        device.add(2, index, real(index))
    async with serving(device) as targets, driver(*targets, interval=5) as bus:
        [group] = (await bus.discover()).groups
        await bus.read(group)
        assert isinstance(bus, Telling)
        [shown] = bus.figures()
    assert shown.device == "bacnet:4"
    assert shown.requests == len(device.requests)
    assert 0 < shown.failures < shown.requests
    assert 0 < shown.latency_ms <= shown.latency_max_ms
    assert shown.sent_bytes > 100
    assert shown.received_bytes > 100
    assert all(line.endswith("requests every 5 s") for line in shown.plan)
    assert shown.advice[0].startswith("answers less at once than its 1476 octets: at most ")
    assert "`cov: auto` saves most of them" in shown.advice[1]


async def test_figures_of_a_device_without_rpm_and_with_losses() -> None:
    """Repeats point at the network, single reads at the device."""
    device = valve(multiple=False)
    lost = False

    def second(_: Request) -> bool:
        nonlocal lost
        lost = not lost
        return lost

    async with serving(device) as targets, driver(*targets, timeout=0.02, retries=3) as bus:
        [group] = (await bus.discover()).groups
        device.mute = second
        for _ in range(15):
            await bus.read(group)
        [shown] = bus.figures()
    assert "requests had to be repeated" in shown.advice[0]
    assert (
        shown.advice[1] == "no read-property-multiple: one request per point, and no status flags"
    )
    assert shown.plan == ("read-property x 2 requests every 5 s",)
    assert figures.figures_of([group]).device == "bacnet:4"


def _plan() -> Plan:
    return make_plan(
        [(oid(2, n), prop, WHOLE) for n in range(90) for prop in (85, 111)], 1476, multiple=True
    )


def test_a_plan_that_goes_well_grows_again() -> None:
    """Larger requests are tried after many good runs; a refusal brings the proven size back."""
    plan = _plan()
    todo = deque(plan.batches[1:])
    plan.shrink(plan.batches[0], todo)
    plan.batches = list(todo)
    small = plan.budget
    for _ in range(500):
        plan.went_well()
    assert plan.budget == small + small // 4
    trial = deque(plan.batches[1:])
    plan.shrink(plan.batches[0], trial)
    assert (plan.budget, plan.patience) == (small, 1000)
    refs = {ref for batch in trial for ref in batch.refs}
    assert len(refs) == 180


def test_a_plan_that_is_as_large_as_can_be_stays() -> None:
    """Growing ends at what the device announces."""
    plan = _plan()
    batches = plan.batches
    for _ in range(1200):
        plan.went_well()
    assert plan.batches is batches


def test_a_value_and_its_flags_stay_in_one_request() -> None:
    """Requests are cut between objects, unless one object alone is too much."""
    for batch in _plan().batches:
        assert len(batch.refs) % 2 == 0
    many = [(oid(2, 1), prop, WHOLE) for prop in range(100)]
    parts = make_plan(many, 206, multiple=True).batches
    assert [ref for batch in parts for ref in batch.refs] == many
    assert len(parts) > 3
