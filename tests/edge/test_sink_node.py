"""Sparkplug B out: the node by itself."""

from __future__ import annotations

from typing import Any

import pytest

from plantroom_edge.sinks.sparkplug_node import Node
from plantroom_shared import sparkplug
from plantroom_shared.sparkplug import Metric, Payload
from support.edge_points import DEVICES, GROUP, NODE, NOW, POINTS, batch, point


def read(messages: list[tuple[str, bytes]]) -> list[tuple[str, Payload]]:
    """Return each message's kind and device, and its payload."""
    return [(topic.split("/", 2)[2], sparkplug.decode(data)) for topic, data in messages]


def brief(metric: Metric) -> tuple[str, int | None, Any]:
    """Return what a metric says."""
    return metric.name, metric.alias, metric.value[1] if metric.value else None


@pytest.fixture
def node() -> Node:
    """A node with three points on two devices."""
    made = Node(GROUP, NODE)
    made.describe(POINTS, [0, 1, 2], DEVICES)
    return made


def test_births_tell_everything(node: Node) -> None:
    """The node first, then its devices with names, aliases, units, types and the last values."""
    node.connect()
    node.note(batch((0, 5, 1450.0), (1, 5, True), (0, 3, 1.0)))
    (first, own), (second, fan), (third, pump) = read(node.births(NOW))
    assert [first, second, third] == [
        f"NBIRTH/{NODE}",
        f"DBIRTH/{NODE}/modbus:fan",
        f"DBIRTH/{NODE}/modbus:pump",
    ]
    assert [payload.seq for payload in (own, fan, pump)] == [0, 1, 2]
    assert [brief(metric) for metric in own.metrics] == [
        (sparkplug.BD_SEQ, None, 1),
        (sparkplug.REBIRTH, None, False),
    ]
    assert [brief(metric) for metric in fan.metrics] == [("flow", 2, None)]
    assert fan.metrics[0].is_null
    assert fan.metrics[0].properties["Quality"] == ("int", 0)
    assert [brief(metric) for metric in pump.metrics] == [
        ("speed", 0, 1450.0),
        ("running", 1, True),
    ]
    assert [metric.datatype for metric in pump.metrics] == [10, 11]
    assert pump.metrics[0].timestamp == NOW // 1000 + 5
    assert pump.metrics[0].properties == {
        "displayName": ("string", "Speed"),
        "engUnit": ("string", "rpm"),
        "Quality": ("int", 192),
    }


def test_a_point_that_has_changed_is_born_again(node: Node) -> None:
    """A further alias takes the place of the one before; what waits under that one is in another unit."""
    node.births(NOW)
    speed = POINTS[0].model_copy(update={"unit": "Hz"})
    node.describe([speed, *POINTS[1:]], [3, 1, 2], DEVICES)
    rows = batch((0, 1, 1450.0), (3, 2, 24.2))
    node.note(rows)
    (first, born), (second, told) = read(node.data(rows, NOW))
    assert [first, second] == [f"DBIRTH/{NODE}/modbus:pump", f"DDATA/{NODE}/modbus:pump"]
    assert sorted(brief(metric) for metric in born.metrics) == [
        ("running", 1, None),
        ("speed", 3, 24.2),
    ]
    assert [brief(metric) for metric in told.metrics] == [("", 3, 24.2)]


def test_data_alludes_to_the_birth(node: Node) -> None:
    """Only aliases, a message per device, numbered on; what is bad is null."""
    node.births(NOW)
    rows = batch((0, 1, 2.0), (2, 1, None), (9, 1, 1.0), bad=(1,))
    node.note(rows)
    (first, pump), (second, fan) = read(node.data(rows, NOW))
    assert [first, second] == [f"DDATA/{NODE}/modbus:pump", f"DDATA/{NODE}/modbus:fan"]
    assert (pump.seq, fan.seq) == (3, 4)
    assert [brief(metric) for metric in pump.metrics] == [("", 0, 2.0)]
    (metric,) = fan.metrics
    assert (metric.is_null, metric.properties) == (True, {"Quality": ("int", 0)})


def test_a_point_of_another_type_is_born_again(node: Node) -> None:
    """And what still waits in the old type is null, since nobody could read it."""
    node.births(NOW)
    rows = batch((0, 1, 1.0), (0, 2, "off"))
    node.note(rows)
    (birth, born), (data, told) = read(node.data(rows, NOW))
    assert (birth, data) == (f"DBIRTH/{NODE}/modbus:pump", f"DDATA/{NODE}/modbus:pump")
    assert born.metrics[0].datatype == sparkplug.DataType.STRING
    assert [brief(metric)[2] for metric in told.metrics] == [None, "off"]


def test_a_new_point_makes_its_device_be_born_again(node: Node) -> None:
    """The same points told again change nothing."""
    node.births(NOW)
    node.describe(POINTS, [0, 1, 2], DEVICES)
    assert [kind for kind, _ in read(node.data(batch((0, 1, 1.0)), NOW))] == [
        f"DDATA/{NODE}/modbus:pump"
    ]
    node.describe([point("torque")], [3], DEVICES)
    kinds = [kind for kind, _ in read(node.data(batch((3, 1, 1.0), (2, 1, 1.0)), NOW))]
    assert [kind.split("/")[0] for kind in kinds] == ["DBIRTH", "DDATA", "DDATA"]


def test_two_devices_never_share_an_id() -> None:
    """Even where their keys differ only in what cannot stand in a topic."""
    node = Node(GROUP, NODE)
    node.describe([point("x", "a/b"), point("x", "a+b")], [0, 1], [])
    kinds = [kind for kind, _ in read(node.births(NOW))]
    assert kinds[1:] == [f"DBIRTH/{NODE}/a_b", f"DBIRTH/{NODE}/a_b_2"]


def test_numbers_go_round(node: Node) -> None:
    """At 256, of messages as of connections; large batches are cut."""
    node.births(NOW)
    seqs = [
        payload.seq for n in range(300) for _, payload in read(node.data(batch((0, n, 1.0)), NOW))
    ]
    assert seqs == [(3 + n) % 256 for n in range(300)]
    for _ in range(256):
        node.connect()
    assert read([node.death(NOW)])[0][1].metrics[0].value == ("long", 0)
    cut = read(node.data(batch(*((0, n, 1.0) for n in range(1001))), NOW, historical=True))
    assert [len(payload.metrics) for _, payload in cut] == [500, 500, 1]
    assert all(metric.is_historical for _, payload in cut for metric in payload.metrics)
