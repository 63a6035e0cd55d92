"""The driver against whole BACnet stacks that are not ours, as processes of their own."""

from __future__ import annotations

import pytest

from plantroom_edge.drivers import Poll
from plantroom_shared.model import Point, Quality
from support.bacnet_peers import by_key, driver, free_port, simulator

BAD, UNCERTAIN = int(Quality.BAD), int(Quality.UNCERTAIN)


def _points(points: tuple[Point, ...]) -> dict[str, Point]:
    return {point.key.split(":", 2)[2]: point for point in points}


@pytest.mark.parametrize(("max_apdu", "segmentation"), [(1476, True), (1476, False), (480, False)])
async def test_bacpypes3_is_read_whatever_it_can_segment(
    max_apdu: int, *, segmentation: bool
) -> None:
    """150 objects arrive complete and right from a device that answers in one datagram only."""
    spec = {"instance": 1001, "analog": 150, "segmentation": segmentation, "max_apdu": max_apdu}
    with simulator("bacnet_bacpypes3", **spec) as address:
        async with driver(address) as bus:
            found = await bus.discover()
            [group] = found.groups
            poll = await bus.read(group)
    assert found.missing == ()
    [device] = found.devices
    assert (device.key, device.name, device.address) == ("bacnet:1001", "Device-1001", address)
    assert (device.vendor, device.model) == ("Plantroom tests", "bacpypes3")
    assert device.description == "made of software"
    points = _points(found.points)
    assert len(points) == len(group.points) == 154
    for index in (0, 149):
        point = points[f"analog-input:{index}"]
        assert (point.name, point.unit) == (f"AHU-1/AI-{index:04d}", "degrees-celsius")
        assert point.description == f"{'x' * 20} {index}"
        assert point.writable is False
    rows = by_key(group, poll)
    assert [rows[f"analog-input:{index}"] for index in range(150)] == [
        (index + 0.5, None) for index in range(150)
    ]
    assert rows["analog-value:7"] == (-3.25, (UNCERTAIN, "out-of-service"))
    assert rows["multi-state-value:4"] == (2, None)


async def test_names_units_and_states_of_bacpypes3() -> None:
    """Unicode names, states and units come as the device has them."""
    with simulator("bacnet_bacpypes3", instance=5, analog=0) as address:
        async with driver(address) as bus:
            found = await bus.discover()
            rows = by_key(found.groups[0], await bus.read(found.groups[0]))
    points = _points(found.points)
    assert points["analog-value:7"].name == "Sollwert Zulüft ℃"
    assert points["analog-value:7"].unit == ""
    assert points["analog-value:7"].writable is None
    assert points["binary-input:1"].states == ("Stopped", "Running")
    assert points["binary-output:2"].states == ()
    assert points["binary-output:2"].writable is True
    assert points["multi-state-value:4"].states == ("Off", "Heating", "Cooling")
    assert rows["binary-input:1"] == (1, None)
    assert rows["binary-output:2"] == (0, None)


LEGACY = {
    "analog-input:1": (6.75, None),
    "analog-input:2": (-1.5, (BAD, "fault")),
    "analog-value:3": (None, (BAD, "nan")),
    "binary-input:4": (1, None),  # in alarm is a state of the plant, not of the reading
    "multi-state-input:5": (2, (UNCERTAIN, "out-of-service")),
    "accumulator:6": (123456789, None),
    "large-analog-value:7": (1234567.125, None),
    "positive-integer-value:8": (17, None),
}


@pytest.mark.parametrize("multiple", [True, False])
async def test_an_independent_stack_is_read_correctly(*, multiple: bool) -> None:
    """The legacy bacpypes gives values, names, units and states, with or without RPM."""
    with simulator("bacnet_legacy", instance=77, multiple=multiple) as address:
        async with driver(address) as bus:
            found = await bus.discover()
            [group] = found.groups
            poll = await bus.read(group)
    assert found.missing == ()
    assert (found.devices[0].name, found.devices[0].model) == ("Legacy plant", "bacpypes")
    points = _points(found.points)
    assert list(points) == list(LEGACY)
    assert points["analog-input:1"].name == "CHW-Supply-T"
    assert points["analog-input:1"].description == "Chilled water supply"
    assert [point.unit for point in points.values()] == [
        "degrees-celsius", "kilowatts", "percent", "", "", "kilowatt-hours", "cubic-meters", "",
    ]  # fmt: skip
    assert points["binary-input:4"].states == ("Off", "On")
    assert points["multi-state-input:5"].states == ("Summer", "Winter")
    # Without read-property-multiple the status flags are not worth twice the requests.
    flagged = {"fault", "out-of-service"}
    expected = (
        LEGACY
        if multiple
        else {
            key: (value, None if why and why[1] in flagged else why)
            for key, (value, why) in LEGACY.items()
        }
    )
    assert by_key(group, poll) == expected


async def test_a_broadcast_finds_devices() -> None:
    """A Who-Is to the broadcast address of the named network reaches the devices on its port."""
    port = free_port()
    with simulator("bacnet_bacpypes3", instance=9, analog=1, port=port):
        async with driver(f"broadcast:{port}", bind="127.0.0.2/8:0", timeout=0.3) as bus:
            found = await bus.discover()
            poll = await bus.read(found.groups[0])
    assert [device.key for device in found.devices] == ["bacnet:9"]
    assert found.missing == ()
    assert poll.values[0] == 0.5


async def test_a_dead_device_costs_the_others_nothing() -> None:
    """Live devices are found and read beside one that never answers and one that then dies."""
    dead, port = f"127.0.0.1:{free_port()}", free_port()
    second = f"127.0.0.1:{port}"
    with simulator("bacnet_bacpypes3", instance=1, analog=2) as first:
        async with driver(first, second, dead, timeout=0.2) as bus:
            before = await bus.discover()
            with simulator("bacnet_legacy", instance=2, multiple=True, port=port):
                found = await bus.discover()
                assert (await bus.read(found.groups[1])).alive
            polls: list[Poll] = [await bus.read(group) for group in found.groups]
            again = await bus.discover()
    assert [device.key for device in before.devices] == ["bacnet:1"]
    assert [device.key for device in found.devices] == ["bacnet:1", "bacnet:2"]
    assert found.missing == (f"{dead}: no answer to Who-Is",)
    assert polls[0].alive
    assert polls[0].quality == {2: (UNCERTAIN, "out-of-service")}
    assert not polls[1].alive
    assert polls[1].values == [None] * 8
    assert set(polls[1].quality.values()) == {(BAD, "timeout")}
    # It stays in the inventory, under the same keys, and is named as missing.
    assert again.points == found.points
    assert f"bacnet:2: no answer to Who-Is; it was at {second}" in again.missing
