"""What lies between two configurations: pure."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from plantroom_edge.config import AgentConfig, BufferConfig
from plantroom_edge.drivers.bacnet import BacnetConfig
from plantroom_edge.drivers.modbus import ModbusBus
from plantroom_edge.reconfigure import Plan, compare, devices_of, removed_devices
from plantroom_edge.starts import config_hash

names = st.text(string.ascii_lowercase, min_size=1, max_size=3)
entries = st.builds(
    lambda name, unit, interval: {
        "name": name,
        "unit": unit,
        "profile": "meter/eastron-sdm630",
        "interval": interval,
    },
    names,
    st.integers(1, 3),
    st.sampled_from([None, 1.0, 5.0]),
)
modbus = st.builds(
    lambda name, host, devices: ModbusBus(name=name, host=host, devices=tuple(devices)),
    names,
    st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    st.lists(entries, min_size=1, max_size=3, unique_by=lambda one: one["name"]),
)
bacnet = st.builds(
    lambda name, interval, devices: BacnetConfig(
        name=name, interval=interval, devices={one: {"interval": 2.0} for one in devices}
    ),
    names,
    st.sampled_from([1.0, 5.0]),
    st.sets(st.integers(1, 4), max_size=3),
)
buses = st.lists(st.one_of(modbus, bacnet), max_size=4, unique_by=lambda bus: bus.name)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    """Two configurations that have buses in common."""
    old = draw(buses)
    kept = [bus for bus in old if draw(st.booleans())]
    taken = {bus.name for bus in kept}
    return old, [*kept, *(bus for bus in draw(buses) if bus.name not in taken)]


def config(*parts: Any, **more: Any) -> AgentConfig:
    return AgentConfig(gateway="gw-test-0001", site="x", buses=parts, **more)


@given(pairs())
def test_a_plan_stops_and_starts_just_what_differs(both_ways: tuple[list[Any], list[Any]]) -> None:
    """Applying stop and start to the old buses gives the new ones; equal buses are in neither."""
    old, new = both_ways
    plan = compare(config(*old), config(*new))
    running = {bus.name: bus for bus in old if bus.name not in plan.stop}
    running |= {bus.name: bus for bus in new if bus.name in plan.start}
    assert running == {bus.name: bus for bus in new}
    both = {bus.name for bus in old if bus in new}
    assert not both & {*plan.stop, *plan.start}
    assert plan.unchanged == ({bus.name: bus for bus in old} == {bus.name: bus for bus in new})
    assert all(str(change) for change in plan.changes)
    restarted = {name.split("/")[0] for name in (change.name for change in plan.changes)}
    assert restarted == {*plan.stop, *plan.start}


@given(pairs())
def test_what_is_removed_is_named(both_ways: tuple[list[Any], list[Any]]) -> None:
    """Every device that only the old one has is in what is lost, alone or with its bus."""
    old, new = both_ways
    lost = removed_devices(compare(config(*old), config(*new)))
    after = {bus.name: bus for bus in new}
    for bus in old:
        if bus.name not in after:
            assert lost[bus.name] == set()
        elif type(after[bus.name]) is type(bus):
            gone = set(devices_of(bus)) - set(devices_of(after[bus.name]))
            assert lost.get(bus.name, set()) == gone


@given(buses)
def test_order_means_nothing(old: list[Any]) -> None:
    """The same buses in another order are the same configuration."""
    assert compare(config(*old), config(*reversed(old))).unchanged


def test_what_needs_a_new_start_is_refused_with_what_to_do() -> None:
    """Identity, folder, link and buffer cannot change in a running agent."""
    old = config()
    new = old.model_copy(
        update={
            "gateway": "gw-test-0002",
            "data": old.data / "other",
            "buffer": BufferConfig(limit_mb=5),
            "site": "y",
        }
    )
    plan = compare(old, new)
    assert [key for key, _ in plan.refused] == ["gateway", "data", "buffer"]
    assert all(instead for _, instead in plan.refused)
    assert [str(change) for change in plan.changes] == ["setting site changed: x → y"]
    assert (plan.before, plan.after) == (config_hash(old), config_hash(new))


def test_changes_are_told_in_words() -> None:
    """A person reads which key of which device becomes what."""
    devices = ({"name": "a", "unit": 1, "profile": "meter/eastron-sdm630"},)
    old = ModbusBus(name="power", host="10.0.0.1", devices=devices)
    more = ({**devices[0], "interval": 10}, {**devices[0], "name": "b", "unit": 2})
    new = ModbusBus(name="power", host="10.0.0.2", devices=more)
    plan = compare(config(old), config(new))
    assert [str(change) for change in plan.changes] == [
        "bus power changed: host: 10.0.0.1 → 10.0.0.2",
        "device power/a changed: interval: not set → 10.0",
        "device power/b added: meter/eastron-sdm630",
    ]
    other = compare(config(old), config(BacnetConfig(name="power")))
    assert [str(change) for change in other.changes] == [
        "bus power changed: driver: modbus → bacnet"
    ]
    swapped = new.model_copy(update={"devices": tuple(reversed(new.devices))})
    assert "the order of its devices" in str(compare(config(new), config(swapped)).changes[0])


def test_a_plan_as_plain_values() -> None:
    """A document has everything that a person is shown."""
    document = compare(config(), config(BacnetConfig(name="bms"))).document()
    assert document["start"] == ["bms"]
    assert document["changes"] == [
        {"what": "added", "kind": "bus", "name": "bms", "words": "bacnet"}
    ]
    assert not document["unchanged"]
    assert Plan("a", "b").document()["unchanged"]
