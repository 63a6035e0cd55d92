"""Sparkplug nodes: births, data, deaths, lost messages, and what becomes of them in both databases."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from plantroom_cloud import streaming
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.account import account
from plantroom_cloud.ingest.messages import Refused
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.streaming.devices import Memory
from plantroom_cloud.streaming.session import ASK_AGAIN_US, ASK_LEAST_US, Session
from plantroom_cloud.streaming.sparkplug import Birth, NodeMessage
from plantroom_cloud.tables import Gateway
from plantroom_shared import sparkplug
from plantroom_shared.sparkplug import DataType, Metric, Payload
from support.cloud_site import NOW, Home, TestClock, add_home
from support.servers import as_owner
from support.streaming import (
    GROUP,
    MS,
    NODE,
    Shelf,
    add_streaming,
    double,
    nbirth,
    ndeath,
    payload,
    sent,
    told,
)

POWER = "sparkplug:/power"


@pytest.fixture
async def home(database: Database) -> Home:
    """A site with a Sparkplug node."""
    place = await add_home(database)
    await add_streaming(database, place, NODE, group=GROUP)
    return place


@pytest.fixture
async def shelf(database: Database, home: Home) -> Shelf:
    """A store for that site."""
    return Shelf(database, Store(database, TestClock()))


def clock_of(shelf: Shelf) -> TestClock:
    """Return the clock of the store."""
    found = shelf.store._memory.clock
    assert isinstance(found, TestClock)
    return found


def asked(answers: Any) -> bool:
    """Say whether the node, and only it, is asked for a rebirth."""
    for topic, command in answers.commands:
        assert topic == f"spBv1.0/{GROUP}/NCMD/{NODE}"
        (metric,) = sparkplug.decode(command).metrics
        assert (metric.name, metric.value) == (sparkplug.REBIRTH, ("boolean", True))
    return len(answers.commands) == 1


async def test_a_birth_makes_points_and_data_alludes_to_them(shelf: Shelf) -> None:
    """Aliases and types of the birth hold for what follows, of the node and of its devices."""
    answers = await shelf.take(
        nbirth(double("power", 1.0, alias=7)),
        told("DBIRTH", payload(1, double("flow", 2.0, alias=8)), "pump"),
        told("NDATA", payload(2, Metric(alias=7, timestamp=MS + 1, value=("double", 3.0)))),
        told("DDATA", payload(3, Metric(alias=8, timestamp=MS + 1, value=("double", 4.0))), "pump"),
    )
    assert answers.commands == []
    assert [(row.point, row.ts_us - NOW, row.value) for row in await shelf.samples()] == [
        (POWER, 0, 1.0),
        (POWER, 1000, 3.0),
        ("sparkplug:pump/flow", 0, 2.0),
        ("sparkplug:pump/flow", 1000, 4.0),
    ]
    points = await shelf.points()
    assert points[POWER].object_type == "Double"
    assert points[POWER].device_id != points["sparkplug:pump/flow"].device_id
    node = await shelf.device(NODE)
    assert node.online
    assert node.report == {"devices": 1, "devices_dead": 0, "lost": 0}


async def test_births_outlive_the_process(shelf: Shelf) -> None:
    """Another process understands the aliases of a birth that it has never seen."""
    await shelf.take(nbirth(double("power", 1.0, alias=7)))
    again = Shelf(shelf.database, Store(shelf.database, TestClock()))
    data = told("NDATA", payload(1, Metric(alias=7, timestamp=MS + 1, value=("double", 2.0))))
    assert (await again.take(data)).commands == []
    assert [row.value for row in await shelf.samples()] == [1.0, 2.0]


async def test_a_birth_elsewhere_replaces_what_is_remembered(shelf: Shelf) -> None:
    """Two processes share a node: the one that did not see the new birth reads it."""
    other = Shelf(shelf.database, Store(shelf.database, TestClock()))
    await shelf.take(nbirth(double("power", 1.0, alias=7)))
    await other.take(nbirth(double("flow", 2.0, alias=7), bd_seq=1))
    await shelf.take(
        told("NDATA", payload(1, Metric(alias=7, timestamp=MS + 1, value=("double", 3.0))))
    )
    assert await shelf.latest() == {POWER: 1.0, "sparkplug:/flow": 3.0}


@pytest.mark.parametrize(
    ("datatype", "value", "stored"),
    [
        (1, ("int", 0xFB), -5.0),
        (1, ("int", 0xFFFF_FFFB), -5.0),
        (2, ("int", 0xFFFE), -2.0),
        (3, ("int", 0x8000_0000), -(2.0**31)),
        (3, ("long", 2**64 - 9), -9.0),
        (4, ("long", 2**63), str(-(2**63))),
        (5, ("int", 255), 255.0),
        (6, ("int", 65535), 65535.0),
        (7, ("int", 2**32 - 1), 2.0**32 - 1),
        (7, ("long", 2**32 - 1), 2.0**32 - 1),
        (8, ("long", 2**64 - 1), str(2**64 - 1)),
        (9, ("double", 0.5), 0.5),
        (11, ("boolean", True), 1.0),
        (12, ("string", "on"), "on"),
        (13, ("long", MS), float(MS)),
        (14, ("string", "text"), "text"),
        (15, ("string", "0-0"), "0-0"),
        (10, ("double", float("nan")), None),
    ],
)
async def test_every_data_type(
    sqlite_database: Database, datatype: int, value: Any, stored: Any
) -> None:
    """Each of them comes out as what it is; what is no number has no value."""
    home = await add_home(sqlite_database)
    await add_streaming(sqlite_database, home, NODE, group=GROUP)
    shelf = Shelf(sqlite_database, Store(sqlite_database, TestClock()))
    await shelf.take(nbirth(Metric(name="m", datatype=datatype, timestamp=MS, value=value)))
    (row,) = await shelf.samples()
    assert row.value == stored
    assert (row.quality, row.reason) == ((2, "not-finite") if stored is None else (0, ""))


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (Metric(name="m", datatype=1, timestamp=MS, value=("int", 300)), "value"),
        (Metric(name="m", datatype=5, timestamp=MS, value=("int", 256)), "value"),
        (Metric(name="m", datatype=10, timestamp=MS, value=("string", "1")), "datatype"),
        (Metric(name="m", datatype=99, timestamp=MS, value=("int", 1)), "datatype"),
        (Metric(name="m", timestamp=MS, value=("int", 1)), "datatype"),
        (Metric(alias=5, timestamp=MS, value=("int", 1)), "alias"),
        (Metric(timestamp=MS, value=("int", 1)), "alias"),
        (
            Metric(name="m", datatype=12, timestamp=MS, value=("string", "x" * 5000)),
            "text_too_long",
        ),
        (Metric(name="m" * 1001, datatype=12, timestamp=MS, value=("string", "")), "name"),
        (double("m", 1.0, timestamp=0), "time"),
        (double("m", 1.0, timestamp=2**64 - 1), "future_ts"),
    ],
)
async def test_a_poison_metric_costs_only_itself(
    sqlite_database: Database, metric: Metric, reason: str
) -> None:
    """It lies in the quarantine as it was sent; its neighbours are stored."""
    home = await add_home(sqlite_database)
    await add_streaming(sqlite_database, home, NODE, group=GROUP)
    shelf = Shelf(sqlite_database, Store(sqlite_database, TestClock()))
    message = nbirth(double("a", 1.0), metric, double("b", 2.0))
    assert isinstance(message, NodeMessage)
    await shelf.take(message, message)
    assert [row.value for row in await shelf.samples()] == [1.0, 2.0]
    assert await shelf.refused() == [(reason, message.content.metrics[2].raw)]


async def test_what_is_no_sample_is_counted(shelf: Shelf) -> None:
    """Bytes, data sets, templates and transient metrics make no points; controls are not counted."""
    await shelf.take(
        nbirth(
            *(
                Metric(
                    name=f"u{number}", datatype=number, timestamp=MS, value=("bytes", b"\xff\x00")
                )
                for number in sparkplug.UNSUPPORTED
            ),
            double("t", 1.0, is_transient=True),
            double("power", 2.0),
            Metric(name=sparkplug.REBIRTH, datatype=11, timestamp=MS, value=("boolean", False)),
        )
    )
    assert [row.value for row in await shelf.samples()] == [2.0]
    counters = await shelf.counters()
    assert counters["sparkplug_unsupported"] == len(sparkplug.UNSUPPORTED)
    assert counters["sparkplug_transient"] == 1
    assert list(await shelf.points()) == [POWER]


async def test_null_and_quality_and_unit(shelf: Shelf) -> None:
    """Null is a bad sample; the properties say what a value is worth and in which unit it is."""
    told_bad = {"Quality": ("int", 0)}
    await shelf.take(
        nbirth(
            Metric(name="a", datatype=10, timestamp=MS, is_null=True),
            double("b", 1.0, properties=told_bad | {"engUnit": ("string", "kW")}),
            double("c", 1.0, properties={"Quality": ("int", 500)}),
            double("d", 1.0, properties={"Quality": ("int", 192)}),
            double("e", 1.0, properties={"Quality": ("string", "good")}, timestamp=None),
        )
    )
    found = {row.point[-1]: (row.value, row.quality, row.reason) for row in await shelf.samples()}
    assert found == {
        "a": (None, 2, "null"),
        "b": (1.0, 2, "quality-0"),
        "c": (1.0, 1, "quality-500"),
        "d": (1.0, 0, ""),
        "e": (1.0, 0, ""),
    }
    assert (await shelf.points())["sparkplug:/b"].unit == "kW"


async def test_history_never_becomes_the_latest_value(shelf: Shelf) -> None:
    """Even if it is of a later moment."""
    await shelf.take(
        nbirth(double("power", 1.0)),
        told("NDATA", payload(1, double("power", 2.0, timestamp=MS + 5, is_historical=True))),
    )
    assert [row.value for row in await shelf.samples()] == [1.0, 2.0]
    assert await shelf.latest() == {POWER: 1.0}


async def test_the_same_message_again_stores_nothing(shelf: Shelf, home: Home) -> None:
    """And the account balances."""
    birth = nbirth(double("power", 1.0), Metric(alias=3))
    await shelf.take(birth)
    await shelf.take(birth)
    assert len(await shelf.samples()) == 1
    async with as_owner(shelf.database).read() as session:
        books = await account(session, Scope(home.company_id), NODE)
    assert books is not None
    assert (books.accepted, books.stored, books.quarantined, books.duplicates) == (2, 1, 1, 2)
    assert books.balanced


async def test_a_missing_number_asks_for_a_rebirth(shelf: Shelf) -> None:
    """Once; the node's birth settles it, and the loss is counted."""
    await shelf.take(nbirth(double("power", 1.0)))
    gap = told("NDATA", payload(3, double("power", 2.0, timestamp=MS + 3)))
    assert asked(await shelf.take(gap))
    assert not asked(await shelf.take(told("NDATA", payload(4, double("power", 2.5)))))
    assert not asked(await shelf.take(nbirth(double("power", 3.0, timestamp=MS + 9), bd_seq=1)))
    assert (await shelf.device(NODE)).report["lost"] == 2
    assert (await shelf.counters())["sparkplug_rebirths"] == 1


async def test_an_overtaken_message_is_not_missing(shelf: Shelf) -> None:
    """Where several processes share the work there is time for it to come."""
    shelf.store.reorder_us = 2_000_000
    clock = clock_of(shelf)
    await shelf.take(nbirth(double("power", 1.0)))
    assert not asked(await shelf.take(told("NDATA", payload(2))))
    assert not asked(await shelf.take(told("NDATA", payload(1))))
    clock.now += 3_000_000
    assert not asked(await shelf.take(told("NDATA", payload(3))))
    assert not asked(await shelf.take(told("NDATA", payload(5))))
    clock.now += 3_000_000
    assert asked(await shelf.take(told("NDATA", payload(6))))


async def test_data_before_a_birth_asks_for_one(shelf: Shelf) -> None:
    """What can be understood without it is stored."""
    data = payload(9, double("power", 1.0), Metric(alias=1, timestamp=MS, value=("int", 1)))
    assert asked(await shelf.take(told("NDATA", data)))
    assert [row.value for row in await shelf.samples()] == [1.0]
    await shelf.take(nbirth(double("power", 1.0)))
    clock_of(shelf).now += 3 * ASK_AGAIN_US
    assert asked(await shelf.take(told("DDATA", payload(1, double("flow", 2.0)), "pump")))


async def test_only_the_death_of_the_present_birth_counts(shelf: Shelf) -> None:
    """The will of an older connection may come after the new birth."""
    await shelf.take(nbirth(bd_seq=4), told("DBIRTH", payload(1), "pump"))
    await shelf.take(ndeath(3), told("NDEATH", Payload(timestamp=MS)))
    assert (await shelf.device(NODE)).online
    await shelf.take(ndeath(4))
    node = await shelf.device(NODE)
    assert not node.online
    assert node.report == {"devices": 1, "devices_dead": 1, "lost": 0}
    assert (await shelf.counters())["sparkplug_old_death"] == 2


async def test_a_device_dies_alone(shelf: Shelf) -> None:
    """Its node stays, and counts it; its next birth brings it back."""
    await shelf.take(
        nbirth(), told("DBIRTH", payload(1), "pump"), told("DDEATH", payload(2), "pump")
    )
    node = await shelf.device(NODE)
    assert (node.online, node.report["devices_dead"]) == (True, 1)
    await shelf.take(told("DBIRTH", payload(3), "pump"))
    assert (await shelf.device(NODE)).report["devices_dead"] == 0


async def test_a_node_speaks_in_its_group_only(shelf: Shelf) -> None:
    """And a JSON message of it is none."""
    other = told("NBIRTH", payload(0, double("power", 1.0)), group="Plant 8")
    await shelf.take(other, sent({"point": "a", "value": 1}, NODE))
    assert await shelf.samples() == []
    counters = await shelf.counters()
    assert (counters["group"], counters["protocol"]) == (1, 1)
    assert not (await shelf.device(NODE)).online


async def test_rubbish_is_quarantined(shelf: Shelf) -> None:
    """A payload that is none costs nothing else."""
    topic = sparkplug.build(GROUP, "NDATA", NODE)
    rubbish, huge = streaming.read(topic, b"\xff\xff"), streaming.read(topic, bytes(200_000))
    await shelf.take(nbirth(double("power", 1.0)), rubbish, huge)
    assert [reason for reason, _ in await shelf.refused()] == ["malformed", "too_big"]
    assert len(await shelf.samples()) == 1


@pytest.mark.parametrize(
    "topic",
    [
        "spBv1.0",
        "spBv1.0/STATE/host",
        f"spBv1.0/g/NCMD/{NODE}",
        f"spBv1.0/g/DBIRTH/{NODE}",
        f"spBv1.0/g/NBIRTH/{NODE}/d",
        "spBv1.0/g/NBIRTH/Node One",
        f"spBv1.0//NBIRTH/{NODE}",
        f"spBv1.0/g/DDATA/{NODE}/{'d' * 129}",
    ],
)
def test_topics_that_are_none(topic: str) -> None:
    """Nobody's."""
    assert streaming.read(topic, b"") == Refused("", "topic")


async def test_a_message_that_the_database_refuses_is_set_aside(shelf: Shelf) -> None:
    """Its bytes are kept, and its kind is named."""
    message = nbirth(double("power", 1.0))
    assert isinstance(message, NodeMessage)
    aside = message.set_aside("store")
    assert (aside.channel, aside.reason) == ("NBIRTH", "store")
    await shelf.take(aside)
    assert await shelf.refused() == [("store", message.payload)]


def test_a_birth_is_kept_as_it_was() -> None:
    """Metrics without an alias, and aliases as large as they may be."""
    birth = Birth.of([double("a", 1.0, alias=2**64 - 1), double("b", 1.0), Metric(name="")])
    again = Birth.load(birth.dump())
    assert again == birth
    assert again.names == {2**64 - 1: "a"}
    assert again.types == {"a": 10, "b": 10}


def test_a_node_that_cannot_be_helped_is_asked_more_and_more_seldom() -> None:
    """From ten seconds to five minutes; after a long silence from the beginning."""
    session, now, asks = Session(), NOW, list[int]()
    for _ in range(4000):
        if session.needs_rebirth(now, 0, unknown=True):
            asks.append(now)
        now += 1_000_000
    pauses = [(b - a) // 1_000_000 for a, b in itertools.pairwise(asks)]
    assert pauses[:6] == [10, 20, 40, 80, 160, 300]
    assert set(pauses[5:]) == {300}
    assert not session.needs_rebirth(now, 0, unknown=False)
    now += 3 * ASK_LEAST_US
    assert session.needs_rebirth(now, 0, unknown=True)
    assert session.needs_rebirth(now + ASK_AGAIN_US, 0, unknown=True)


def test_numbers_of_a_session() -> None:
    """They go round at 256; repetitions and what came too late change nothing."""
    session = Session()
    session.number(5, NOW)
    assert session == Session()
    session.born(255, None)
    assert session.expected == 0
    for seq in (0, 0, None, 3, 1, 2):
        session.number(seq, NOW)
    assert (session.expected, session.missing) == (4, {})
    assert session.died(9)
    assert Session.load(session.dump()) == session


def test_what_is_remembered_is_bounded() -> None:
    """The device that was silent longest is forgotten first."""
    memory = Memory(most=2)
    for name in "abc":
        memory.learn(name, {}, {f"{device}": (1, Birth()) for device in range(5)})
    assert list(memory.points) == ["b", "c"]
    assert len(memory.births) == 8


async def test_the_row_of_a_node_is_a_gateway(shelf: Shelf, home: Home) -> None:
    """Everything behind the store finds it where it finds every gateway."""
    await shelf.take(nbirth(double("power", 1.0)))
    point = (await shelf.points())[POWER]
    assert (point.gateway_id, point.site_id) == (NODE, home.site_id)
    async with as_owner(shelf.database).read() as session:
        assert await session.get(Gateway, NODE) is not None


async def test_an_empty_birth_time_is_the_arrival(shelf: Shelf) -> None:
    """A node without a clock tells no times at all."""
    await shelf.take(told("NBIRTH", Payload(seq=0, metrics=[double("power", 1.0, timestamp=None)])))
    assert [row.ts_us for row in await shelf.samples()] == [NOW]


def test_data_types_of_ours() -> None:
    """Every type has its name."""
    assert {int(kind) for kind in DataType} | set(sparkplug.UNSUPPORTED) == set(range(35))
