"""Devices that answer rubbish: their own points go bad with a reason, and nothing shifts."""

from __future__ import annotations

import random
import socket
import struct
from typing import cast

import pytest

from plantroom_edge.drivers.bacnet.link import IpLink
from plantroom_shared.model import Quality
from support.bacnet_device import (
    FLAGS,
    PV,
    Field,
    Request,
    enumerated,
    flags,
    oid,
    real,
    serving,
    text,
)
from support.bacnet_peers import by_key, driver

BAD, UNCERTAIN = int(Quality.BAD), int(Quality.UNCERTAIN)
QUICK = {"timeout": 0.05, "retries": 0}


def plant(instance: int = 1, count: int = 6) -> Field:
    device = Field(instance=instance)
    for index in range(count):
        device.add(0, index, real(index + 100 * instance), f"AI {index}")
    return device


def _shifted(apdu: bytes, request: Request) -> list[bytes]:
    """Answer for the next object, in order, as a device that has lost count."""
    device = plant()
    out = apdu[:3]
    for identifier, prop, index in request.refs:
        out += device.result((identifier + 1, prop, index))
    return [out]


def _reversed(apdu: bytes, request: Request) -> list[bytes]:
    device = plant()
    return [apdu[:3] + b"".join(device.result(ref) for ref in reversed(request.refs))]


MALFORMED = {
    "truncated": lambda apdu, _: [apdu[:-9]],
    "wrong tags": lambda apdu, _: [apdu.replace(b"\x4e", b"\x6e")],
    "huge length": lambda apdu, _: [apdu[:10] + b"\x4e\x75\xff\xff\xff\xff\xff" + apdu[12:]],
    "noise": lambda apdu, _: [apdu[:3] + random.Random(4).randbytes(700)],
    "endless": lambda apdu, _: [apdu[:3] + b"\x0c\0\0\0\x01\x1e\x29\x55\x4e" + b"\x1e" * 9000],
}
SILENT = {
    "wrong invoke id": lambda apdu, _: [apdu[:1] + bytes((apdu[1] ^ 0x55,)) + apdu[2:]],
    "wrong service": lambda apdu, _: [apdu[:2] + b"\x0f" + apdu[3:]],
    "headless": lambda apdu, _: [apdu[:2]],
    "a request instead": lambda apdu, _: [b"\x00" + apdu],
    "a simple acknowledgement": lambda apdu, _: [b"\x20" + apdu[1:3]],
}


@pytest.mark.parametrize("kind", MALFORMED)
async def test_a_malformed_answer_makes_its_points_bad(kind: str) -> None:
    """Rubbish under the right invoke id is no value, and the device counts as alive."""
    device, other = plant(1), plant(2)
    async with serving(device, other) as targets, driver(*targets, **QUICK) as bus:
        found = await bus.discover()
        device.tamper = MALFORMED[kind]
        poll, beside = [await bus.read(group) for group in found.groups]
        device.tamper = lambda apdu, _: [apdu]
        healed = await bus.read(found.groups[0])
    assert poll.alive
    assert poll.values == [None] * 6
    assert poll.quality == dict.fromkeys(range(6), (BAD, "malformed"))
    assert beside.values == [200, 201, 202, 203, 204, 205]
    assert beside.quality == {}
    assert healed.values == [100, 101, 102, 103, 104, 105]


@pytest.mark.parametrize("kind", SILENT)
async def test_an_answer_to_another_question_is_no_answer(kind: str) -> None:
    """What does not match the open request is counted, and the points say timeout."""
    device = plant()
    async with serving(device) as targets, driver(*targets, **QUICK) as bus:
        found = await bus.discover()
        device.tamper = SILENT[kind]
        poll = await bus.read(found.groups[0])
        assert bus._client is not None
        assert bus._client.ignored.total() == 1
    assert not poll.alive
    assert set(poll.quality.values()) == {(BAD, "timeout")}


async def test_rubbish_before_the_answer_does_not_spoil_it() -> None:
    """The right answer counts even when wrong ones come first, and twice counts once."""
    device = plant()
    device.tamper = lambda apdu, request: [
        b"\xff",
        *SILENT["wrong invoke id"](apdu, request),
        apdu,
        apdu[:3] + apdu[20:],
    ]
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
        poll = await bus.read(found.groups[0])
    assert poll.values == [100, 101, 102, 103, 104, 105]


async def test_answers_in_another_order_stay_with_their_points() -> None:
    """Results are matched by object and property, never by position."""
    device = plant()
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
        device.tamper = _reversed
        poll = await bus.read(found.groups[0])
    assert poll.values == [100, 101, 102, 103, 104, 105]
    assert poll.quality == {}


async def test_answers_for_other_objects_are_dropped() -> None:
    """A device that answers for its next object shifts nothing: what it left out is bad."""
    device = plant()
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
        device.tamper = _shifted
        poll = await bus.read(found.groups[0])
        assert bus._client is not None
        assert bus._client.ignored["strange-result"] > 0
    assert poll.values == [None, 101, 102, 103, 104, 105]
    assert poll.quality == {0: (BAD, "no-value")}


async def test_the_first_of_two_answers_for_one_point_counts() -> None:
    """A second value for the same property is dropped."""
    device = plant(count=2)
    liar = plant(3, count=2)
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
        device.tamper = lambda apdu, request: [apdu + b"".join(map(liar.result, request.refs))]
        poll = await bus.read(found.groups[0])
    assert poll.values == [100, 101]


async def test_a_single_answer_about_another_object_is_dropped() -> None:
    """Without RPM, too, an answer counts only for the object it names."""
    device = plant()
    device.multiple = False
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
        device.tamper = lambda apdu, _: [apdu[:7] + b"\x05" + apdu[8:]]
        poll = await bus.read(found.groups[0])
    assert poll.values == [None] * 5 + [105]
    assert set(poll.quality.values()) == {(BAD, "no-value")}


@pytest.mark.parametrize(
    ("encoded", "value", "quality"),
    [
        (real(float("nan")), None, (BAD, "nan")),
        (real(float("inf")), None, (BAD, "nan")),
        (b"\x00", None, (BAD, "null")),
        (b"\x11", True, None),
        (b"\x35\x04\xff\xff\xff\xff", -1, None),
        (b"\x25\x08" + b"\xff" * 8, 1.8446744073709552e19, None),
        (text("y" * 600), "y" * 512, None),
        (b"\xa4\x7e\x01\x01\x01", "2026-01-01", None),
        (b"\xa4\x7e\x01\x01\x01\xb4\x01\x02\x03\x00", "2026-01-01 01:02:03", None),
        (b"\x62\x01\x02", None, (BAD, "unsupported-type")),
        (object_id := b"\xc4\x00\x00\x00\x01", None, (BAD, "unsupported-type")),
        (real(1) + real(2), None, (BAD, "unsupported-type")),
        (b"", None, (BAD, "unsupported-type")),
    ],
)
async def test_every_kind_of_value_becomes_a_sample_or_a_reason(
    encoded: bytes, value: object, quality: tuple[int, str] | None
) -> None:
    """Whatever stands as present-value, the row has a plain value or says why not."""
    device = plant(count=3)
    device.objects[oid(0, 1)][PV] = encoded
    async with serving(device) as targets, driver(*targets) as bus:
        [group] = (await bus.discover()).groups
        rows = by_key(group, await bus.read(group))
    assert rows["analog-input:1"] == (value, quality)
    assert rows["analog-input:0"] == (100, None)
    assert rows["analog-input:2"] == (102, None)


@pytest.mark.parametrize(
    ("encoded", "quality"),
    [
        (flags(0x80), None),
        (flags(0x40), (BAD, "fault")),
        (flags(0x70), (BAD, "fault")),
        (flags(0x20), (UNCERTAIN, "overridden")),
        (flags(0x10), (UNCERTAIN, "out-of-service")),
        (enumerated(1), None),
        (b"\x81\x00", None),
    ],
)
async def test_status_flags_make_the_quality(
    encoded: bytes, quality: tuple[int, str] | None
) -> None:
    """Fault is bad, overridden and out-of-service are uncertain, an alarm is a good reading."""
    device = plant(count=1)
    device.objects[oid(0, 0)][FLAGS] = encoded
    async with serving(device) as targets, driver(*targets) as bus:
        [group] = (await bus.discover()).groups
        assert by_key(group, await bus.read(group)) == {"analog-input:0": (100, quality)}


async def test_status_flags_can_be_left_alone() -> None:
    """With ``status_flags: false`` they are neither asked for nor believed."""
    device = plant(count=1)
    device.objects[oid(0, 0)][FLAGS] = flags(0x40)
    async with serving(device) as targets, driver(*targets, status_flags=False) as bus:
        [group] = (await bus.discover()).groups
        poll = await bus.read(group)
    assert poll.quality == {}
    assert all(ref[1] != FLAGS for request in device.requests for ref in request.refs)


@pytest.mark.parametrize("kind", [*MALFORMED, *SILENT, "countless", "no count"])
async def test_a_device_that_cannot_be_scanned_is_missing(kind: str) -> None:
    """Discovery names it, finds its neighbour, and ends."""
    device, other = plant(1), plant(2)
    if kind == "countless":
        # It counts four thousand million objects, and has none of them.
        device.tamper = lambda apdu, _: [apdu.replace(b"\x21\x02", b"\x24\xff\xff\xff\xff")]
        device.objects.clear()
        device.objects[oid(0, 1)] = {}
        device.mute = lambda request: any((ref[2] or 0) > 0 for ref in request.refs)
    elif kind == "no count":
        device.tamper = lambda apdu, request: [
            apdu[:3] + b"".join(map(Field(instance=9).result, request.refs))
        ]
    else:
        device.tamper = (MALFORMED | SILENT)[kind]
    async with serving(device, other) as targets, driver(*targets, **QUICK) as bus:
        found = await bus.discover()
    assert [device.key for device in found.devices] == ["bacnet:2"]
    assert [target.split(" ")[0] for target in found.missing] == ["bacnet:1"]
    assert targets[0] in found.missing[0]


async def test_a_flood_of_false_devices_ends_and_is_forgotten() -> None:
    """One address is one device, whatever it calls itself; the true one is still found."""
    device = plant(77)

    def greet(apdu: bytes) -> list[bytes]:
        false = [
            apdu.replace(struct.pack(">I", oid(8, 77)), struct.pack(">I", oid(8, n)))
            for n in range(100, 300)
        ]
        return [apdu, *false]

    async with serving(device) as targets, driver(*targets, timeout=0.2) as bus:
        device.greet = lambda apdu: [apdu, *greet(apdu)]
        found = await bus.discover()
        device.greet = lambda apdu: [
            apdu.replace(struct.pack(">I", oid(8, 77)), struct.pack(">I", oid(0, 1)))
        ]
        nobody = await bus.discover()
    assert [device.key for device in found.devices] == ["bacnet:77"]
    assert [device.key for device in nobody.devices] == ["bacnet:77"]
    assert nobody.missing[0].startswith("bacnet:77: no answer to Who-Is")


async def test_datagrams_from_strangers_are_counted_and_dropped() -> None:
    """I-Ams and answers from addresses that nobody asked change nothing."""
    device = plant()
    async with serving(device) as targets, driver(*targets, **QUICK) as bus:
        found = await bus.discover()
        assert bus._client is not None
        port = cast("IpLink", bus._client.link).address[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for npdu in ("0100 1000 c402000007 2205c4 9103 00", "0100 3001 0c", ""):
                body = bytes.fromhex(npdu)
                datagram = struct.pack(">BBH", 0x81, 0x0A, len(body) + 4) + body
                stranger.sendto(datagram, ("127.0.0.1", port))
            poll = await bus.read(found.groups[0])
            while bus._client.ignored.total() < 3:
                poll = await bus.read(found.groups[0])
        again = await bus.discover()
        assert bus._client.ignored == {"uninvited": 1, "unasked": 1, "unusable": 1}
    assert poll.quality == {}
    assert again.devices == found.devices
