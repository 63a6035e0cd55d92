"""Devices with limits: the driver finds out what they can, and reads every point all the same."""

from __future__ import annotations

from typing import Any

import pytest

from plantroom_shared.model import Quality
from support.bacnet_device import (
    DESCRIPTION,
    NAME,
    PV,
    Field,
    Request,
    enumerated,
    oid,
    real,
    serving,
    text,
    unsigned,
)
from support.bacnet_peers import by_key, driver

BAD = int(Quality.BAD)
REJECT_OTHER, REJECT_SERVICE = b"\x60\x00", b"\x60\x09"
ABORT_BUFFER = b"\x71\x01"
ERROR_OBJECT = b"\x50\x0e\x91\x01\x91\x1f"


def plant(count: int = 40, **settings: Any) -> Field:
    """Return a device with `count` analog inputs whose values are their instances."""
    device = Field(**settings)
    for index in range(count):
        device.add(0, index, real(index), f"AI {index}", _117=enumerated(62))
    return device


def _few(most: int) -> object:
    """Refuse requests for more than `most` properties, as a small device does."""
    return lambda request: ABORT_BUFFER if len(request.refs) > most else None


@pytest.mark.parametrize(
    "settings",
    [
        {"max_apdu": 128, "says_max_apdu": 128},
        {"max_apdu": 206, "says_max_apdu": 1476},
        {"multiple": False},
        {"refuse": _few(1)},
        {"refuse": _few(7)},
        {"refuse": lambda r: REJECT_OTHER if r.service == 14 else None},
        {"refuse": lambda r: REJECT_OTHER if len(r.refs) > 5 else None},
        {"refuse": lambda r: b"\x3c\x0e\x00\x0e" if len(r.refs) > 5 else None},
    ],
    ids="small boasting no-rpm one-each seven-each rejects-rpm rejects-many segments".split(),  # noqa: SIM905 - shorter so
)
async def test_a_limited_device_is_read_completely(settings: dict[str, Any]) -> None:
    """Whatever a device refuses, every name, unit and value arrives in its own place."""
    device = plant(**settings)
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
        [group] = found.groups
        await bus.read(group)
        device.requests.clear()
        poll = await bus.read(group)
        second = len(device.requests)
        assert (await bus.read(group)).values == poll.values
    assert found.missing == ()
    assert [point.name for point in found.points] == [f"AI {index}" for index in range(40)]
    assert {point.unit for point in found.points} == {"degrees-celsius"}
    assert poll.values == list(range(40))
    assert poll.quality == {}
    assert len(device.requests) == 2 * second  # nothing is refused again: it has learned


async def test_one_huge_text_does_not_cut_everything_to_pieces() -> None:
    """Only the request with the text that fits nowhere is cut down; that text stays empty."""
    device = plant(60, max_apdu=480, says_max_apdu=480)
    device.objects[oid(0, 30)][DESCRIPTION] = text("x" * 1000)
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
    assert len(found.points) == 60
    assert found.points[30].name == "AI 30"
    assert found.points[30].description == ""
    assert len(device.requests) < 60


async def test_state_texts_too_long_for_one_answer_are_read_one_by_one() -> None:
    """Of a long array of texts each element is read by its index."""
    device = Field(max_apdu=480, says_max_apdu=480)
    many: list[bytes] = [text(f"state number {index}") for index in range(1, 61)]
    device.add(14, 1, unsigned(3), "Mode")
    device.objects[oid(14, 1)][110] = many
    device.add(19, 2, unsigned(1), "Solo", _110=text("only"))
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
    assert found.points[0].states == tuple(f"state number {index}" for index in range(1, 61))
    assert found.points[0].writable is True
    assert found.points[1].states == ("only",)


async def test_an_object_that_spoils_the_whole_answer_is_isolated() -> None:
    """A device that answers a batch with one error costs only the object that is gone."""
    device = plant()

    def refuse(request: Request) -> bytes | None:
        gone = {ref for ref in request.refs if ref[0] == oid(0, 17) and ref[1] == PV}
        return ERROR_OBJECT if gone else None

    async with serving(device) as targets, driver(*targets) as bus:
        [group] = (await bus.discover()).groups
        device.refuse = refuse
        rows = by_key(group, await bus.read(group))
    assert rows.pop("analog-input:17") == (None, (BAD, "error-unknown-object"))
    assert len(rows) == 39
    assert all(value == int(key.split(":")[1]) for key, (value, _) in rows.items())
    assert {why for _, why in rows.values()} == {None}


async def test_a_point_that_vanishes_is_bad_and_its_neighbours_are_not() -> None:
    """An unknown object inside an answer is one bad row."""
    device = plant(5)
    async with serving(device) as targets, driver(*targets) as bus:
        [group] = (await bus.discover()).groups
        del device.objects[oid(0, 2)]
        poll = await bus.read(group)
    assert poll.values == [0, 1, None, 3, 4]
    assert poll.quality == {2: (BAD, "error-unknown-object")}


async def test_a_device_that_loses_rpm_is_read_singly() -> None:
    """A plan made for read-property-multiple still works when the device no longer has it."""
    device = plant(8)
    async with serving(device) as targets, driver(*targets) as bus:
        [group] = (await bus.discover()).groups
        device.multiple = False
        poll = await bus.read(group)
        device.objects[oid(0, 3)].pop(PV)
        worse = await bus.read(group)
    assert poll.values == list(range(8))
    assert worse.values == [0, 1, 2, None, 4, 5, 6, 7]
    assert worse.quality == {3: (BAD, "error-unknown-property")}


async def test_other_groups_learn_that_rpm_is_gone() -> None:
    """What one plan found out about a device holds for the plans made before."""
    device = plant(4)
    async with serving(device) as targets, driver(*targets) as bus:
        [group] = (await bus.discover()).groups
        device.multiple = False
        device.revision = 2
        await bus.discover()
        device.requests.clear()
        poll = await bus.read(group)
    assert poll.values == [0, 1, 2, 3]
    assert {request.service for request in device.requests} == {12}


async def test_a_request_that_is_always_dropped_is_isolated() -> None:
    """An object whose requests get no answer ends up alone, and the rest is read."""
    device = plant(40, says_max_apdu=206)
    async with serving(device) as targets, driver(*targets, timeout=0.05, retries=0) as bus:
        [group] = (await bus.discover()).groups
        device.mute = lambda request: any(ref[0] == oid(0, 9) for ref in request.refs)
        for _ in range(40):
            poll = await bus.read(group)
            if list(poll.quality) == [9]:
                break
    assert poll.alive
    assert poll.quality == {9: (BAD, "timeout")}
    assert [value for value in poll.values if value is not None] == [
        index for index in range(40) if index != 9
    ]


async def test_a_device_that_dies_in_the_middle_keeps_what_it_said() -> None:
    """Rows that were read are good; the others say that the time was up."""
    device = plant(40, says_max_apdu=206)
    async with serving(device) as targets, driver(*targets, timeout=0.05, retries=0) as bus:
        [group] = (await bus.discover()).groups
        device.requests.clear()
        device.mute = lambda _: len(device.requests) > 2
        poll = await bus.read(group)
    assert poll.alive
    good = [row for row in range(40) if row not in poll.quality]
    assert 0 < len(good) < 40
    assert [poll.values[row] for row in good] == good
    assert set(poll.quality.values()) == {(BAD, "timeout")}


async def test_a_lost_datagram_is_sent_again() -> None:
    """A request whose first copy got lost is answered by its second."""
    device = plant(3)
    seen: set[int] = set()

    def first_copy(request: Request) -> bool:
        lost = request.invoke not in seen
        seen.add(request.invoke)
        return lost

    async with serving(device) as targets, driver(*targets, timeout=0.05) as bus:
        device.mute = first_copy
        found = await bus.discover()
        seen.clear()
        poll = await bus.read(found.groups[0])
    assert poll.values == [0, 1, 2]
    assert found.missing == ()


async def test_an_interrupted_scan_goes_on_where_it_stopped() -> None:
    """A device that falls silent in its scan is missing, and complete after the next one."""
    device = plant(60, says_max_apdu=480)
    async with serving(device) as targets, driver(*targets, timeout=0.05, retries=0) as bus:
        device.mute = lambda _: len(device.requests) > 8
        broken = await bus.discover()
        device.mute = lambda _: False
        asked = {ref for request in device.requests[:8] for ref in request.refs if ref[1] == NAME}
        device.requests.clear()
        found = await bus.discover()
        again = {ref for request in device.requests for ref in request.refs}
    assert broken.devices == ()
    assert "not wholly scanned" in broken.missing[0]
    assert [point.name for point in found.points] == [f"AI {index}" for index in range(60)]
    assert found.missing == ()
    assert asked
    assert not asked & again


async def test_a_device_that_never_tells_some_names_is_taken_without_them() -> None:
    """Only the names whose requests are dropped become type and instance; the device is read."""
    device = plant(30)
    secret = {oid(0, index) for index in (0, 1, 2, 20)}
    device.mute = lambda request: any(ref[0] in secret and ref[1] == NAME for ref in request.refs)
    async with serving(device) as targets, driver(*targets, timeout=0.03, retries=0) as bus:
        for _ in range(12):
            found = await bus.discover()
            if found.devices:
                break
    assert found.missing == ()
    assert [point.name for point in found.points] == [
        f"analog-input {index}" if oid(0, index) in secret else f"AI {index}" for index in range(30)
    ]


async def test_a_device_that_is_always_busy_is_taken_without_names() -> None:
    """A refusal that never passes does not keep the points from being read for ever."""
    device = plant(2)
    device.refuse = lambda request: (
        b"\x50\x0e\x91\x00\x91\x03" if any(ref[1] == NAME for ref in request.refs) else None
    )
    async with serving(device) as targets, driver(*targets) as bus:
        for _ in range(5):
            found = await bus.discover()
            if found.devices:
                break
    assert [point.name for point in found.points] == ["analog-input 0", "analog-input 1"]


async def test_names_that_a_device_does_not_have_are_made_up() -> None:
    """Missing and empty names become type and instance; a nameless device its number."""
    device = Field(instance=12)
    device.add(0, 3, real(1))
    device.add(48, 4, unsigned(1), "  ", _117=unsigned(95))
    device._own = lambda prop: [] if prop == 77 else Field._own(device, prop)  # type: ignore[method-assign] # a device without a name
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
    assert found.devices[0].name == "device 12"
    assert [(point.name, point.unit) for point in found.points] == [
        ("analog-input 3", ""),
        ("positive-integer-value 4", ""),
    ]


async def test_a_busy_device_is_asked_again_for_what_it_refused() -> None:
    """A refusal that may pass is not remembered as an answer."""
    device = plant(2)
    device.refuse = lambda request: (
        b"\x50\x0e\x91\x00\x91\x03" if any(ref[1] == NAME for ref in request.refs) else None
    )
    async with serving(device) as targets, driver(*targets) as bus:
        first = await bus.discover()
        device.refuse = lambda _: None
        found = await bus.discover()
    assert "not wholly scanned" in first.missing[0]
    assert [point.name for point in found.points] == ["AI 0", "AI 1"]


async def test_a_changed_database_is_scanned_afresh() -> None:
    """A new revision brings new objects, read beside the others; what is gone is bad."""
    device = plant(3)
    async with serving(device) as targets, driver(*targets) as bus:
        first = await bus.discover()
        device.requests.clear()
        same = await bus.discover()
        quiet = len(device.requests)
        device.add(0, 99, real(7), "New")
        del device.objects[oid(0, 0)]
        device.revision = 2
        changed = await bus.discover()
        polls = [await bus.read(group) for group in changed.groups]
    assert same == first
    assert same.groups[0] is changed.groups[0] is first.groups[0]
    assert quiet == 1
    assert [point.name for point in changed.points] == ["AI 1", "AI 2", "New"]
    assert [poll.values for poll in polls] == [[None, 1, 2], [7]]
    assert polls[0].quality == {0: (BAD, "error-unknown-object")}
