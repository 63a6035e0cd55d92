"""The ingest on real brokers: a gateway's messages become rows, and only committed rows are acked."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiomqtt
import pytest
from sqlalchemy import func, select

from plantroom_cloud.config import MqttSettings
from plantroom_cloud.db import Database
from plantroom_cloud.gateways.pki import TlsFiles
from plantroom_cloud.ingest import consumer, messages
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.consumer import Ingest
from plantroom_cloud.ingest.store import Item, Store
from plantroom_cloud.tables import Counter, QuarantinedRow, SampleRow
from plantroom_shared import cancelling, topics, wire
from plantroom_shared.errors import ConfigError, Unavailable
from support import cloud_ingest_child
from support import cloud_site as site
from support.cloud_broker import BrokerProcess, Link, linked, open_to_others
from support.cloud_site import EPOCH, GATEWAY
from support.servers import as_owner
from support.waiting import eventually

TEL = (GATEWAY, EPOCH, "tel")


class FlakyStore(Store):
    """A store whose database can be away; remembers what it was asked."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, site.TestClock())
        self.away, self.attempts = False, 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def store(self, items: Sequence[Item]) -> Answers:
        """Store, unless away; wait while the gate is closed."""
        self.attempts += 1
        await self.gate.wait()
        if self.away:
            msg = "away for a test"
            raise Unavailable(msg)
        return await super().store(items)


@pytest.fixture
def store(sqlite_database: Database) -> FlakyStore:
    """A store on SQLite."""
    return FlakyStore(sqlite_database)


@contextlib.asynccontextmanager
async def running(
    broker: BrokerProcess, store: Store, version: str = "auto"
) -> AsyncIterator[Ingest]:
    """Yield an ingest that is connected to `broker`, and stop it in order."""
    settings = MqttSettings(host="127.0.0.1", port=broker.port, version=version)
    tls, stop = broker.authority.files("cloud"), asyncio.Event()
    ingest = Ingest(store, settings, tls, gather=0.02)
    task = asyncio.create_task(ingest.run(stop))
    try:
        async with asyncio.timeout(60):
            await ingest.ready.wait()
        yield ingest
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await task


@pytest.fixture
async def ingest(broker: BrokerProcess, store: FlakyStore) -> AsyncIterator[Ingest]:
    """An ingest at work for one company with one gateway."""
    await site.add_home(store._database)
    async with running(broker, store) as at_work:
        yield at_work


@pytest.fixture
async def link(broker: BrokerProcess, ingest: Ingest) -> AsyncIterator[Link]:
    """The gateway, connected."""
    async with linked(broker, GATEWAY) as connected:
        yield connected


async def stored(database: Database) -> list[float | None]:
    """Return all stored values in the order of time."""
    async with as_owner(database).read() as session:
        query = select(SampleRow.value).order_by(SampleRow.ts_us, SampleRow.tie)
        return list((await session.execute(query)).scalars())


async def test_from_hello_to_ack(link: Link, sqlite_database: Database) -> None:
    """A gateway says hello, sends dictionary, samples, findings, a gap and its state."""
    hello = wire.Hello(session=EPOCH, agent="1", epochs=[wire.Holding(ep=EPOCH)])
    await link.send("hello", wire.encode(hello))
    await eventually(lambda: link.resumes, "the resume")
    assert link.resumes[0].epochs == [wire.Known(ep=EPOCH)]
    await link.send("tel", site.samples(1, 3))
    await eventually(lambda: link.nacks, "the request for the dictionary")
    assert (link.nacks[0].nack, link.nacks[0].have) == ("need_dict", 0)
    await link.send("inv", wire.encode(site.dictionary(1)))
    await link.until_acked(EPOCH, "inv", (1, 1))
    for payload in (site.samples(1, 3), site.samples(7, 2), site.samples(2, 4)):
        await link.send("tel", payload)
    await link.until_acked(EPOCH, "tel", (1, 5), (7, 8))
    await link.send("tel", wire.encode(wire.Gap(ep=EPOCH, st="tel", s0=6, n=1, gap="quota")))
    await link.until_acked(EPOCH, "tel", (1, 8))
    await link.send("evt", site.findings(1, [site.finding("f")]))
    await link.until_acked(EPOCH, "evt", (1, 1))
    assert await stored(sqlite_database) == [1, 2, 3, 4, 5, 7, 8]


async def test_hostile_messages_cost_nobody_anything(
    link: Link, ingest: Ingest, broker: BrokerProcess, sqlite_database: Database
) -> None:
    """Rubbish, bombs, unknown channels and strangers are counted; good messages pass between them."""
    rubbish = [
        ("tel", b"", "malformed"),
        ("tel", bytes(wire.MAX_WIRE + 1), "too_big"),
        ("evt", gzip.compress(b" " * (wire.MAX_PLAIN + 1)), "too_big"),
        ("inv", gzip.compress(b"[" * 100_000), "malformed"),
        ("hello", wire.pack({"v": 9}), "version"),
        ("state", wire.pack({"v": 1}), "schema"),
        ("other", b"", "topic"),
    ]
    await link.send("inv", wire.encode(site.dictionary(1)))
    for number, (channel, payload, _) in enumerate(rubbish):
        await link.send(channel, payload)
        await link.send("tel", site.samples(1 + number, 1))
    bad = wire.expand_points(wire.unpack(site.samples(8, 3))["p"], 3)
    bad[1] = "x"
    await link.send("tel", site.tampered(site.samples(8, 3), p=bad))
    async with linked(broker, "gw-stranger-9") as stranger:
        await stranger.send("tel", site.samples(1, 3))
        await link.until_acked(EPOCH, "tel", (1, 10))
        await eventually(lambda: ingest._store.statistics.strangers, "the stranger's message")
        assert stranger.acked == {}
    assert await stored(sqlite_database) == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    async with as_owner(sqlite_database).read() as session:
        query = select(Counter.name, Counter.value)
        counts = {name: value async for name, value in await session.stream(query)}
        assert await session.scalar(select(func.count()).select_from(QuarantinedRow)) == 1
    assert counts == {
        f"ingest.{reason}/{GATEWAY}": 2 if reason in {"malformed", "too_big"} else 1
        for reason in ("malformed", "too_big", "version", "schema", "topic", "quarantined")
    }


async def test_no_ack_while_the_database_is_away(
    link: Link, store: FlakyStore, sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again until it works; only then the gateway hears of it. One line says so."""
    await link.send("inv", wire.encode(site.dictionary(1)))
    await link.until_acked(EPOCH, "inv", (1, 1))
    caplog.set_level(logging.INFO, logger="plantroom_cloud.supervise")
    store.away, before = True, store.attempts
    await link.send("tel", site.samples(1, 3))
    await eventually(lambda: store.attempts > before + 2, "a third attempt")
    assert (EPOCH, "tel") not in link.acked
    store.away = False
    await link.until_acked(EPOCH, "tel", (1, 3))
    assert await stored(sqlite_database) == [1, 2, 3]
    assert [record.message for record in caplog.records] == ["trouble, trying again", "recovered"]


async def test_slow_database_slows_the_broker_down(
    link: Link, ingest: Ingest, store: FlakyStore, broker: BrokerProcess
) -> None:
    """What is not stored yet is not acknowledged to the broker either: memory stays bounded."""
    await link.send("inv", wire.encode(site.dictionary(1)))
    await link.until_acked(EPOCH, "inv", (1, 1))
    store.gate.clear()
    number = 3 * consumer.IN_FLIGHT
    for seq in range(1, number + 1):
        await link.send("tel", site.samples(seq, 1))
    limit = consumer.IN_FLIGHT + consumer.GROUP
    assert ingest.lanes[0].queue.qsize() <= limit
    store.gate.set()
    await link.until_acked(EPOCH, "tel", (1, number))


async def test_stopping_finishes_what_has_been_read(
    broker: BrokerProcess, store: FlakyStore, sqlite_database: Database
) -> None:
    """Messages in the queue are stored and acknowledged before the ingest ends."""
    await site.add_home(sqlite_database)
    async with linked(broker, GATEWAY) as link:
        async with running(broker, store) as ingest:
            await link.send("inv", wire.encode(site.dictionary(1)))
            await link.until_acked(EPOCH, "inv", (1, 1))
            store.gate.clear()
            for seq in range(1, 11):
                await link.send("tel", site.samples(seq, 1))
            await eventually(lambda: ingest.lanes[0].queue._unfinished_tasks >= 10, "arrival")  # type: ignore[attr-defined]
            asyncio.get_running_loop().call_later(0.05, store.gate.set)
        await link.until_acked(EPOCH, "tel", (1, 10))
    assert await stored(sqlite_database) == list(range(1, 11))


async def test_stopping_without_a_database_acknowledges_nothing(
    broker: BrokerProcess, store: FlakyStore, sqlite_database: Database
) -> None:
    """It gives up in order; the edge still has everything."""
    await site.add_home(sqlite_database)
    async with linked(broker, GATEWAY) as link:
        async with running(broker, store):
            await link.send("inv", wire.encode(site.dictionary(1)))
            await link.until_acked(EPOCH, "inv", (1, 1))
            store.away, before = True, store.attempts
            await link.send("tel", site.samples(1, 1))
            await eventually(lambda: store.attempts > before, "an attempt")
        assert (EPOCH, "tel") not in link.acked
    assert await stored(sqlite_database) == []


async def test_a_stop_that_a_library_swallows_is_a_stop(
    broker: BrokerProcess, store: FlakyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database call that ends in the moment in which it is cancelled keeps no ingest alive."""
    asked = asyncio.Event()

    async def deaf(_: Sequence[Item]) -> Answers:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return Answers()

    monkeypatch.setattr(cancelling, "AGAIN", 0.5)
    monkeypatch.setattr(consumer, "_DRAIN", 0.01)
    monkeypatch.setattr(store, "store", deaf)
    await site.add_home(store._database)
    async with linked(broker, GATEWAY) as link, running(broker, store):
        await link.send("inv", wire.encode(site.dictionary(1)))
        async with asyncio.timeout(60):
            await asked.wait()


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_broker_killed_and_back(
    kind: str, mosquitto: Path, store: FlakyStore, sqlite_database: Database, tmp_path: Path
) -> None:
    """The ingest connects again by itself; what the gateway sends again is stored once."""
    await site.add_home(sqlite_database)
    broker = BrokerProcess(open_to_others(tmp_path), kind)
    broker.start()
    async with running(broker, store) as ingest:
        async with linked(broker, GATEWAY) as link:
            await link.send("inv", wire.encode(site.dictionary(1)))
            await link.send("tel", site.samples(1, 3))
            await link.until_acked(EPOCH, "tel", (1, 3))
        broker.kill()
        await eventually(lambda: not ingest.ready.is_set(), "the loss of the connection")
        broker.start()
        async with asyncio.timeout(60):
            await ingest.ready.wait()
        async with linked(broker, GATEWAY) as link:
            await link.send("tel", site.samples(1, 5))
            await link.until_acked(EPOCH, "tel", (1, 5))
    broker.stop()
    assert await stored(sqlite_database) == [1, 2, 3, 4, 5]


async def test_version_is_found_out(
    broker: BrokerProcess, store: FlakyStore, sqlite_database: Database
) -> None:
    """MQTT 5 where the broker speaks it, else 3.1.1; each can be demanded."""
    five = aiomqtt.ProtocolVersion.V5
    spoken = five if broker.engine == "mosquitto" else aiomqtt.ProtocolVersion.V311
    async with running(broker, store) as ingest:
        assert ingest._version is spoken
    async with running(broker, store, "3.1.1") as ingest:
        assert ingest._version is aiomqtt.ProtocolVersion.V311
    if broker.engine == "mosquitto":
        async with running(broker, store, "5") as ingest:
            assert ingest._version is five


async def test_a_message_that_finds_a_bug_is_counted(
    link: Link, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even then the next message is read."""
    real = messages.read

    def broken(topic: str, payload: bytes) -> Item:
        if payload == b"bug":
            raise ZeroDivisionError
        return real(topic, payload)

    monkeypatch.setattr(consumer, "read", broken)
    await link.send("tel", b"bug")
    await link.send("inv", wire.encode(site.dictionary(1)))
    await link.until_acked(EPOCH, "inv", (1, 1))
    async with as_owner(sqlite_database).read() as session:
        names = (await session.execute(select(Counter.name))).scalars().all()
    assert names == [f"ingest.error/{GATEWAY}"]


async def test_a_bug_in_storing_ends_the_ingest_with_its_error(
    broker: BrokerProcess, sqlite_database: Database
) -> None:
    """Whoever runs it starts it again; it does not sit there connected and deaf."""

    class Broken(FlakyStore):
        async def store(self, items: Sequence[Item]) -> Answers:
            raise ZeroDivisionError

    async def live() -> None:
        async with (
            running(broker, Broken(sqlite_database)) as ingest,
            linked(broker, GATEWAY) as it,
        ):
            await it.send("tel", site.samples(1, 1))
            await eventually(lambda: not ingest.ready.is_set(), "the end of the ingest")

    with pytest.raises(ZeroDivisionError):
        await live()


async def test_missing_certificate_is_a_configuration_error(
    broker: BrokerProcess, store: FlakyStore, tmp_path: Path
) -> None:
    """It says what to do."""
    missing = TlsFiles(tmp_path / "ca.pem", tmp_path / "a.pem", tmp_path / "a.key")
    ingest = Ingest(store, MqttSettings(port=broker.port), missing)
    with pytest.raises(ConfigError, match="plantroom-cloud broker"):
        await ingest.run(asyncio.Event())


@pytest.mark.faults
async def test_killed_between_commit_and_ack(
    broker: BrokerProcess, database: Database, database_url: str
) -> None:
    """An ingest that dies with the commit done and nothing said loses nothing, doubles nothing."""
    await site.add_home(database)
    async with linked(broker, GATEWAY) as link:
        for life in (1, 2):
            await _live_and_die(broker, link, database_url, life)
        async with running(broker, Store(database, site.TestClock())):
            await _send_until_acked(link)
    assert await stored(database) == list(range(1, 101))


async def _live_and_die(broker: BrokerProcess, link: Link, url: str, transactions: int) -> None:
    """Let an ingest process store so many transactions, and die before it can say so."""
    command = [cloud_ingest_child.__file__, str(broker.config), url, str(transactions)]
    with subprocess.Popen([sys.executable, *command]) as process:
        while process.poll() is None:
            await link.send("inv", wire.encode(site.dictionary(1)))
            for seq in range(1, 101, 10):
                await link.send("tel", site.samples(seq, 10))
            await asyncio.sleep(0.05)
        assert process.returncode == -9


async def _send_until_acked(link: Link) -> None:
    await link.send("inv", wire.encode(site.dictionary(1)))
    for seq in range(1, 101, 10):
        await link.send("tel", site.samples(seq, 10))
    await link.until_acked(EPOCH, "tel", (1, 100))


def test_topics_of_the_answers() -> None:
    """Answers go to the gateway's own subtree, where alone it may read."""
    assert topics.down(GATEWAY, "ack") == f"sv1/{GATEWAY}/down/ack"
