"""What a scan learns of a device, by how many requests, and how it goes on where it stopped."""

from __future__ import annotations

import pytest

from plantroom_edge.drivers.bacnet.facts import left_out
from plantroom_edge.drivers.bacnet.values import ObjectId
from plantroom_edge.hints import Hint
from plantroom_shared.model import Quality
from support.bacnet_device import (
    Field,
    Request,
    enumerated,
    flags,
    object_value,
    oid,
    real,
    serving,
    text,
    unsigned,
)
from support.bacnet_peers import by_key, driver
from support.edge_time import VirtualTime

LIST, COV, LOW, HIGH, ARRAY, RELIABILITY = 76, 22, 69, 65, 87, 103
BAD, UNCERTAIN = int(Quality.BAD), int(Quality.UNCERTAIN)
ABORTS = {
    "segmentation-not-supported": b"\x71\x04",
    "buffer-overflow": b"\x71\x01",
    "apdu-too-long": b"\x71\x0b",
    "an error": b"\x50\x0e\x91\x02\x91\x20",
    "a reject": b"\x60\x00",
}


def plant(count: int = 40, **settings: object) -> Field:
    device = Field(**settings)  # type: ignore[arg-type] # knobs of many kinds
    for index in range(count):
        device.add(0, index, real(index), f"AI {index}", _117=enumerated(62))
    return device


def _asks_whole_list(request: Request) -> bool:
    return any(prop == LIST and index is None for _, prop, index in request.refs)


async def test_a_short_object_list_is_read_in_one_piece() -> None:
    """A device whose list fits an answer is asked once for it."""
    device = plant(100)
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
    assert len(found.points) == 100
    lists = [one for one in device.requests if any(ref[1] == LIST for ref in one.refs)]
    assert len(lists) == 2  # its length, then all of it
    assert len(device.requests) <= 14


@pytest.mark.parametrize("why", ABORTS)
async def test_a_list_that_is_refused_is_read_by_index(why: str) -> None:
    """Whatever a device says when its list is too long, each object is asked for by number."""
    device = plant(40)
    device.refuse = lambda request: ABORTS[why] if _asks_whole_list(request) else None
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
    assert [point.name for point in found.points] == [f"AI {index}" for index in range(40)]
    assert found.missing == ()


async def test_a_list_that_was_cut_off_is_read_by_index() -> None:
    """A list shorter than its length is not believed."""
    device = plant(40)
    whole = device._own

    def cut(prop: int) -> bytes | list[bytes] | int:
        found = whole(prop)
        return found[:10] if prop == LIST and isinstance(found, list) and cutting else found

    cutting = False

    def note(request: Request) -> bool:
        nonlocal cutting
        cutting = _asks_whole_list(request)
        return False

    device.mute, device._own = note, cut  # type: ignore[method-assign] # a device with a short buffer
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
    assert len(found.points) == 40


async def test_ten_thousand_objects_are_scanned_over_several_discoveries() -> None:
    """A huge device that takes no segments is read in bounded bites, and no name twice."""
    device = plant(10_000)
    whole, listed = device._own, device._own(LIST)
    device._own = lambda prop: listed if prop == LIST else whole(prop)  # type: ignore[method-assign] # quicker
    bites: list[int] = []
    async with serving(device) as targets, driver(*targets, timeout=0.2, retries=0) as bus:
        for _ in range(30):
            device.requests.clear()
            device.mute = lambda _: len(device.requests) > 500  # it is slow: a bite at a time
            found = await bus.discover()
            bites.append(len(device.requests))
            if not found.missing:
                break
            assert "not wholly scanned yet" in found.missing[0]
    assert len(found.points) == 10_000
    assert found.points[9_999].name == "AI 9999"
    assert len(bites) > 2
    assert sum(bites) < 2_000


async def test_details_are_asked_where_a_type_has_them() -> None:
    """Limits, COV increments and priority arrays are learned, and not sought where none are."""
    device = Field()
    for index in range(30):
        device.add(2, index, real(index), f"AV {index}", _22=real(0.5), _69=real(-5), _65=real(50))
        device.add(48, index, unsigned(index), f"PIV {index}")
    device.objects[oid(2, 29)][ARRAY] = [b"\x00"] * 16
    device.objects[oid(2, 7)][ARRAY] = [b"\x00"] * 16
    device.objects[oid(2, 3)][ARRAY] = [b"\x00"] * 16
    device.objects[oid(2, 5)] |= {LOW: real(float("inf")), HIGH: real(3.4e38), COV: real(-1)}
    device.objects[oid(2, 6)] |= {LOW: real(9), HIGH: real(9), COV: text("x")}
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
        judged = [bus.unwritable("bacnet:1:analog-value:20", value) for value in (-6, 0, 51)]
        free = [bus.unwritable("bacnet:1:analog-value:5", value) for value in (-6, 0, 51)]
    writable = {point.key for point in found.points if point.writable}
    assert writable == {f"bacnet:1:analog-value:{index}" for index in (3, 7, 29)}
    assert judged == ["below-minimum", "", "above-maximum"]
    assert free == ["", "", ""]
    assert found.hints["bacnet:1:analog-value:20"] == Hint(increment=0.5)
    assert {"bacnet:1:analog-value:5", "bacnet:1:analog-value:6"}.isdisjoint(found.hints)
    asked = {ref for one in device.requests for ref in one.refs}
    assert len([ref for ref in asked if ref[0] >> 22 == 48 and ref[1] == COV]) == 4


async def test_object_types_beyond_the_basics() -> None:
    """Loops have output units, texts are texts, lights are percent; plans and logs are left out."""
    device = Field()
    device.add(12, 1, real(40), "Loop", _82=enumerated(98))
    device.add(40, 2, text("all well"), "Message")
    device.add(54, 3, real(75), "Light")
    device.add(21, 4, enumerated(0), "Smoke")
    device.add(17, 5, real(0), "Plan")
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
        rows = by_key(found.groups[0], await bus.read(found.groups[0]))
    units = {point.object_type: point.unit for point in found.points}
    assert units == {
        "loop": "percent", "characterstring-value": "", "lighting-output": "percent",
        "life-safety-point": "",
    }  # fmt: skip
    assert rows["characterstring-value:2"] == ("all well", None)
    assert rows["lighting-output:3"] == (75, None)


@pytest.mark.parametrize(
    ("scale", "value"),
    [
        (b"\x0c\x3e\x80\x00\x00", 1750.0),  # a factor of 0.25
        (b"\x19\x02", 700_000),  # ten to the 2
        (b"\x19\xff", 700.0),  # ten to the -1
        (b"\x0c\x7f\xc0\x00\x00", 7000),  # no number
        (b"\x19\x7f", 7000),  # nobody means ten to the 127
        (b"\x2c\x3e\x80\x00\x00", 7000),  # neither of the two choices
        (b"\x44\x3e\x80\x00\x00", 7000),  # no choice at all
    ],
)
async def test_an_accumulator_counts_in_its_unit(scale: bytes, value: float) -> None:
    """What one count is worth comes from the device; a scale without sense is none."""
    device = Field()
    device.add(23, 1, unsigned(7000), "Energy", _117=enumerated(19), _187=scale)
    device.add(23, 2, b"\x00", "Empty", _187=scale)
    async with serving(device) as targets, driver(*targets) as bus:
        [group] = (await bus.discover()).groups
        poll = await bus.read(group)
    assert poll.values == [pytest.approx(value), None]


def test_what_is_left_out_is_told_with_the_reason() -> None:
    """A person sees why an object is no point."""
    listed = [ObjectId(oid(kind, 1)) for kind in (0, 8, 17, 20, 20, 200)]
    assert left_out(listed) == (
        "1 x schedule: a plan, no value",
        "2 x trend-log: history, no value",
        "1 x object type 200: not known",
    )


async def test_a_device_that_is_scanned_afresh_keeps_its_points_meanwhile() -> None:
    """While a changed device is read anew, what it had stays in the inventory."""
    device = plant(30, says_max_apdu=480)
    async with serving(device) as targets, driver(*targets, timeout=0.05, retries=0) as bus:
        before = await bus.discover()
        device.revision = 2
        device.add(0, 99, real(1), "New")
        device.requests.clear()
        device.mute = lambda _: len(device.requests) > 3
        halfway = await bus.discover()
        device.mute = lambda _: False
        after = await bus.discover()
    assert halfway.points == before.points
    assert "not wholly scanned yet" in halfway.missing[0]
    assert [point.name for point in after.points[-1:]] == ["New"]
    assert [len(group.points) for group in after.groups] == [30, 1]


# ---------------------------------------------------------------- quality


async def test_a_fault_is_told_with_its_reason() -> None:
    """Reliability is asked once for a point in fault, not with every poll, and not for others."""
    device, clock = plant(20), VirtualTime()
    device.objects[oid(0, 3)] |= {111: flags(0x40), RELIABILITY: enumerated(1)}
    device.objects[oid(0, 4)] |= {111: flags(0x40)}
    async with serving(device) as targets, driver(*targets, clock=clock) as bus:
        [group] = (await bus.discover()).groups
        device.requests.clear()
        polls = [await bus.read(group) for _ in range(3)]
        asked = [ref for one in device.requests for ref in one.refs if ref[1] == RELIABILITY]
        device.objects[oid(0, 3)][RELIABILITY] = enumerated(12)
        clock.seconds += 61
        later = await bus.read(group)
        device.objects[oid(0, 3)][111] = flags(0)
        well = await bus.read(group)
        device.objects[oid(0, 3)] |= {111: flags(0x40), RELIABILITY: enumerated(0)}
        again = await bus.read(group)
    assert all(poll.quality == {3: (BAD, "fault-no-sensor"), 4: (BAD, "fault")} for poll in polls)
    assert asked == [(oid(0, 3), RELIABILITY, None), (oid(0, 4), RELIABILITY, None)]
    assert later.quality[3] == (BAD, "fault-communication-failure")
    assert well.quality == {4: (BAD, "fault")}
    assert again.quality[3] == (BAD, "fault")


async def test_reliability_can_be_left_alone() -> None:
    """Where the configuration says so, a fault stays a fault and costs no request."""
    device = plant(3)
    device.objects[oid(0, 1)] |= {111: flags(0x40), RELIABILITY: enumerated(1)}
    async with serving(device) as targets, driver(*targets, reliability=False) as bus:
        [group] = (await bus.discover()).groups
        device.requests.clear()
        poll = await bus.read(group)
    assert poll.quality == {1: (BAD, "fault")}
    assert len(device.requests) == 1


async def test_who_commands_a_point_is_asked_slowly() -> None:
    """A point that a person commands is uncertain; twenty arrays are read with a poll at most."""
    device, clock = Field(), VirtualTime()
    for index in range(50):
        device.add(1, index, real(index), f"AO {index}")
        array = [b"\x00"] * 16
        array[{0: 7, 1: 5, 2: 9}.get(index, 15)] = real(1)
        device.objects[oid(1, index)][ARRAY] = array
    device.objects[oid(1, 3)][ARRAY] = [b"\x00"]
    async with (
        serving(device) as targets,
        driver(*targets, clock=clock, priority_array=True) as bus,
    ):
        [group] = (await bus.discover()).groups
        per_poll = []
        for _ in range(4):
            device.requests.clear()
            poll = await bus.read(group)
            refs = [ref for one in device.requests for ref in one.refs]
            per_poll.append(sum(ref[1] == ARRAY for ref in refs))
        device.objects[oid(1, 0)][ARRAY] = [b"\x00"] * 16
        clock.seconds += 61
        released = await bus.read(group)
    assert per_poll == [20, 20, 10, 0]
    assert poll.quality == {0: (UNCERTAIN, "commanded-8")}
    assert released.quality == {}


async def test_a_device_that_does_not_answer_about_doubts_is_read_all_the_same() -> None:
    """Values stand though nobody says why one of them is in fault."""
    device, clock = plant(3), VirtualTime()
    device.objects[oid(0, 1)] |= {111: flags(0x40)}
    settings = {"clock": clock, "timeout": 0.05, "retries": 0}
    async with serving(device) as targets, driver(*targets, **settings) as bus:
        [group] = (await bus.discover()).groups
        device.mute = lambda request: any(ref[1] == RELIABILITY for ref in request.refs)
        polls = [await bus.read(group) for _ in range(2)]
        silent = [one for one in device.requests if device.mute(one)]
    assert all(poll.values == [0, 1, 2] and poll.alive for poll in polls)
    assert all(poll.quality == {1: (BAD, "fault")} for poll in polls)
    assert len(silent) == 1


async def test_the_same_object_listed_twice_is_one_point() -> None:
    """A list that repeats itself, or holds no objects, makes no double points."""
    device = plant(2)
    whole = device._own
    own = [object_value(oid(0, 0)), object_value(oid(0, 0)), unsigned(5), object_value(oid(0, 1))]
    device._own = lambda prop: own if prop == LIST else whole(prop)  # type: ignore[method-assign] # a sloppy device
    async with serving(device) as targets, driver(*targets) as bus:
        found = await bus.discover()
    assert [point.name for point in found.points] == ["AI 0", "AI 1"]
