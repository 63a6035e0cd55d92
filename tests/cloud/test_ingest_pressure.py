"""Back-pressure: what is held is bounded, gateways are told to go slower, and to go on."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.config import MqttSettings
from plantroom_cloud.db import Database
from plantroom_cloud.ingest import consumer, pressure
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.consumer import GROUP, IN_FLIGHT, Ingest
from plantroom_cloud.ingest.pressure import Pressure, Room, weight
from plantroom_cloud.ingest.store import Item, Store
from plantroom_shared import wire
from support import cloud_site as site
from support.cloud_broker import BrokerProcess, linked, open_to_others
from support.cloud_site import EPOCH, GATEWAY
from support.waiting import eventually

SOUTH = "gw-south-0002"


class TestPressure:
    """Who is told what, and when."""

    def test_nobody_is_told_while_storing_keeps_up(self) -> None:
        """A second of waiting is none."""
        measure = Pressure(32)
        measure.arrived(GATEWAY, 0.0)
        assert measure.flows(1.9) == []
        measure.stored(1, 1.9, 1.9)
        assert measure.flows(2.0) == []

    def test_senders_are_told_once_a_second_and_everyone_is_let_go(self) -> None:
        """Only whose messages wait; the longer the wait, the longer the pause."""
        measure = Pressure(32)
        for name in (GATEWAY, SOUTH, ""):
            measure.arrived(name, 0.0)
        assert measure.flows(0.1) == []
        assert dict(measure.flows(3.0)) == {
            name: wire.Flow(pause_ms=1500, window=1) for name in (GATEWAY, SOUTH)
        }
        measure.arrived(GATEWAY, 3.1)
        assert measure.flows(3.9) == []
        assert dict(measure.flows(4.0)) == {
            name: wire.Flow(pause_ms=2000, window=1) for name in (GATEWAY, SOUTH)
        }
        measure.stored(3, 2.5, 4.5)
        measure.stored(1, 2.5, 7.0)
        assert measure.flows(7.1) == [(GATEWAY, wire.Flow(pause_ms=1250, window=1))]
        measure.arrived(GATEWAY, 8.0)
        assert measure.flows(60.0) == [(GATEWAY, wire.Flow(pause_ms=10_000, window=1))]
        measure.stored(1, 0.1, 60.1)
        assert measure.flows(60.2) == [(SOUTH, wire.Flow())], "not twice within a second"
        assert measure.flows(61.0) == [(GATEWAY, wire.Flow())]
        assert measure.flows(62.0) == []

    def test_a_slow_group_counts_when_it_is_over(self) -> None:
        """A database that takes long for little is slow, though nothing waits behind it."""
        measure = Pressure(32)
        measure.arrived(GATEWAY, 0.0)
        measure.stored(1, 3.0, 3.0)
        measure.arrived(SOUTH, 3.5)
        assert [name for name, _ in measure.flows(3.6)] == [GATEWAY, SOUTH]
        measure.stored(1, 0.1, 3.7)
        assert dict(measure.flows(4.7)) == {GATEWAY: wire.Flow(), SOUTH: wire.Flow()}

    def test_groups_shrink_and_grow_with_the_database(self) -> None:
        """So that no ack waits for a long transaction."""
        measure, sizes = Pressure(8), list[int]()
        for took in (3.0, 3.0, 3.0, 3.0, 1.0, 0.1, 0.1, 0.1, 0.1):
            measure.arrived(GATEWAY, 0.0)
            measure.stored(1, took, 1.0)
            sizes.append(measure.group)
        assert sizes == [4, 2, 1, 1, 1, 2, 4, 8, 8]

    def test_a_large_fleet_is_let_go_bit_by_bit_and_remembered_in_bounds(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not all come at once; a list of gateways never grows without end."""
        monkeypatch.setattr(pressure, "_MOST", 120)
        measure = Pressure(32)
        for number in range(300):
            measure.arrived(f"gw-{number:06d}", 0.0)
        assert len(measure.flows(3.0)) == 300
        measure.stored(300, 0.1, 5.0)
        assert [len(measure.flows(10.0)) for _ in range(4)] == [50, 50, 20, 0], "not all at once"


class TestRoom:
    """Memory of what is decoded."""

    async def test_one_has_always_room_others_wait(self) -> None:
        """A message larger than all the room passes alone."""
        room = Room(10)
        await room.enter(100)
        second = asyncio.create_task(room.enter(5))
        third = asyncio.create_task(asyncio.sleep(0))
        await third
        assert not second.done()
        room.leave(100)
        await second
        assert room.used == 5

    @given(st.binary(max_size=300))
    def test_weight_of_anything_is_a_number(self, payload: bytes) -> None:
        """Rubbish weighs what it is."""
        assert weight(payload) >= len(payload)

    def test_weight_of_a_bomb_is_bounded(self) -> None:
        """It is never inflated further than a message may be."""
        bomb = gzip.compress(b"[" * 300_000_000, 1)
        assert weight(bomb) <= len(bomb) + 20 * wire.MAX_PLAIN
        assert weight(site.samples(1, 1000)) < consumer.DECODED / IN_FLIGHT


class SlowStore(Store):
    """A store that stores a group only when it is let; remembers how much it was given."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, site.TestClock())
        self.turn = asyncio.Semaphore(0)
        self.groups: list[int] = []

    async def store(self, items: Sequence[Item]) -> Answers:
        """Store when it is our turn."""
        self.groups.append(len(items))
        await self.turn.acquire()
        return await super().store(items)


@pytest.fixture(scope="module")
def broker(mosquitto: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A running Mosquitto."""
    running = BrokerProcess(open_to_others(tmp_path_factory.mktemp("pressure")), "mosquitto")
    running.start()
    yield running
    running.stop()


@contextlib.asynccontextmanager
async def running(broker: BrokerProcess, store: Store) -> AsyncIterator[Ingest]:
    """Yield a connected ingest, and end it at once."""
    settings = MqttSettings(host="127.0.0.1", port=broker.port)
    ingest = Ingest(store, settings, broker.authority.files("cloud"), gather=0.02)
    stop = asyncio.Event()
    task = asyncio.create_task(ingest.run(stop))
    try:
        async with asyncio.timeout(60):
            await ingest.ready.wait()
        yield ingest
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await task


async def test_slow_database_holds_the_gateways_back_and_nothing_piles_up(
    broker: BrokerProcess, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is sent, a bounded number of messages is held; all is stored in the end."""
    monkeypatch.setattr(pressure, "SLOW", 0.4)
    monkeypatch.setattr(pressure, "EASY", 0.3)
    monkeypatch.setattr(pressure, "AGAIN", 0.2)
    monkeypatch.setattr(consumer, "_TICK", 0.02)
    await site.add_home(sqlite_database)
    store = SlowStore(sqlite_database)
    sent, rows = 400, 50
    async with running(broker, store) as ingest, linked(broker, GATEWAY) as link:
        await link.send("inv", wire.encode(site.dictionary(1)))
        for number in range(sent):
            await link.send("tel", site.samples(1 + number * rows, rows))
        waiting = ingest.lanes[0].pressure._waiting
        await eventually(lambda: len(waiting) >= IN_FLIGHT, "a full window")
        await eventually(lambda: link.flows, "the request to go slower")
        assert link.flows[0].window == 1
        assert link.flows[0].pause_ms >= 500
        # The broker keeps the rest: it has no acknowledgement of these, and sends no more.
        assert len(waiting) == IN_FLIGHT
        assert ingest._room.used <= consumer.DECODED
        for _ in range(sent):
            store.turn.release()
        await link.until_acked(EPOCH, "tel", (1, sent * rows))
        await eventually(lambda: link.flows[-1] == wire.Flow(), "the word to go on")
        assert max(store.groups) <= GROUP
        await eventually(lambda: ingest._room.used == 0, "the room given back")


async def test_what_a_lost_connection_was_about_to_hand_over_gives_its_room_back(
    sqlite_database: Database, mosquitto: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that dies while the queue is full leaves nothing counted."""
    own = BrokerProcess(open_to_others(tmp_path), "mosquitto")
    own.start()
    await site.add_home(sqlite_database)
    store = SlowStore(sqlite_database)
    async with running(own, store) as ingest:
        vars(ingest.lanes[0].queue)["_maxsize"] = 4  # so that handing over has to wait
        async with linked(own, GATEWAY) as link:
            for number in range(2 * IN_FLIGHT):
                await link.send("tel", site.samples(1 + number, 1))
            await eventually(ingest.lanes[0].queue.full, "a full queue")
            own.kill()
            monkeypatch.setattr(pressure, "SLOW", 0.0)  # it is noticed when something is to be said
            await eventually(lambda: not ingest.ready.is_set(), "the end of the connection")
        own.start()
        for _ in range(4 * IN_FLIGHT):
            store.turn.release()
        await eventually(lambda: ingest._room.used == 0, "the room given back")
        await eventually(lambda: not ingest.lanes[0].pressure._waiting, "nobody waiting")
    own.stop()
