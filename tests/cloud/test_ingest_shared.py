"""Several ingest processes: whoever gets which message, in whatever order, the store is the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from plantroom_cloud.config import MqttSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.account import account
from plantroom_cloud.gateways.pki import CLOUDS, check_gateway_id, cloud_files
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.consumer import Ingest
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.tables import (
    DeliveryAlarm,
    EdgeRecord,
    Latest,
    Point,
    QuarantinedRow,
    SampleRow,
)
from plantroom_shared import wire
from plantroom_shared.errors import ConfigError
from plantroom_shared.model import Batch
from plantroom_shared.ranges import Range, covers, merge
from support import cloud_site as site
from support.cloud_broker import BrokerProcess, linked, open_to_others
from support.cloud_site import GATEWAY, NOW
from support.servers import as_owner, opened
from support.waiting import eventually

EPOCHS = ("00000000000000a1", "00000000000000b2")
POINTS = 12
FRAMES = 40
Row = tuple[str, int, float]
"""Point key, time and value."""


@dataclass
class Ledger:
    """What a gateway has accepted, as messages, and what must come of it."""

    seed: int
    messages: dict[tuple[str, str, int, int], tuple[str, bytes]] = field(default_factory=dict)
    """Epoch, stream, first and last number → channel and payload."""
    rows: list[Row] = field(default_factory=list)
    records: list[tuple[str, int]] = field(default_factory=list)
    acked: dict[tuple[str, str], list[Range]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Accept rows of two epochs, whose dictionaries name the points in other orders."""
        choice = random.Random(self.seed)
        for number, epoch in enumerate(EPOCHS):
            order = choice.sample(range(POINTS), POINTS)
            for a0 in range(0, POINTS, 4):
                chunk = wire.Dictionary(
                    ep=epoch, a0=a0, points=[site.point(n) for n in order[a0 : a0 + 4]]
                )
                self.messages[epoch, "inv", a0 + 1, a0 + 4] = ("inv", wire.encode(chunk))
            seq = 1
            for frame in range(FRAMES):
                batch = Batch()
                for row in range(choice.randint(1, 30)):
                    alias = choice.randrange(min(POINTS, 1 + frame))
                    at = NOW - 3_600_000_000 + number * 10**9 + (seq + row) * 1000
                    batch.append(alias, at, float(choice.randrange(10**6)))
                    key = site.point(order[alias]).key
                    self.rows.append((key, at, float(str(batch.values[-1]))))
                channel = choice.choice(["tel", "fill"])
                payload = wire.encode_samples(epoch, seq, batch)
                self.messages[epoch, "tel", seq, seq + len(batch) - 1] = (channel, payload)
                seq += len(batch)
            for seq in range(1, 11):
                record = wire.Records(
                    ep=epoch, st="aud", s0=seq, n=1, rc=[wire.Record(at=NOW, kind=f"k{seq}")]
                )
                self.messages[epoch, "aud", seq, seq] = ("aud", wire.encode(record))
                self.records.append((epoch, seq))

    def take(self, answers: Answers) -> None:
        """Note what was acknowledged."""
        for (_, epoch, stream), ranges in answers.acks.items():
            key = (epoch, stream)
            self.acked[key] = merge([*self.acked.get(key, []), *ranges])

    def pending(self) -> list[tuple[str, bytes]]:
        """Return the messages that nobody has acknowledged as a whole."""
        return [
            message
            for (epoch, stream, lo, hi), message in self.messages.items()
            if not covers(self.acked.get((epoch, stream), []), lo, hi)
        ]


async def check(database: Database, ledger: Ledger, company_id: int) -> None:
    """Compare the store with `ledger`, row by row."""
    async with as_owner(database).read() as session:
        query = select(Point.key, SampleRow.ts_us, SampleRow.value)
        query = query.join(Point, Point.id == SampleRow.point_id)
        found = [tuple(row) for row in await session.execute(query)]
        assert sorted(found) == sorted(ledger.rows)
        records = await session.execute(select(EdgeRecord.epoch, EdgeRecord.seq))
        assert sorted(map(tuple, records)) == sorted(ledger.records)
        query = select(Point.key, Latest.ts_us, Latest.value)
        query = query.join(Point, Point.id == Latest.point_id)
        newest: dict[str, Row] = {}
        for row in sorted(ledger.rows, key=lambda row: row[1]):
            newest[row[0]] = row
        assert sorted(map(tuple, await session.execute(query))) == sorted(newest.values())
        for table in (QuarantinedRow, DeliveryAlarm):
            assert (await session.execute(select(table))).all() == []
        keys = list((await session.execute(select(Point.key))).scalars())
        assert sorted(keys) == sorted(site.point(n).key for n in range(POINTS))
        for stream in ("tel", "aud"):
            books = await account(session, Scope(company_id), GATEWAY, stream)
            assert books is not None
            assert books.balanced
            assert books.stored == len(ledger.rows if stream == "tel" else ledger.records)


@pytest.mark.parametrize("seed", [1, 2])
async def test_shuffled_and_doubled_messages_over_three_processes(
    database_url: str, seed: int
) -> None:
    """Three stores, each with its own connections and memory, work on one gateway at a time."""
    choice, ledger = random.Random(seed), Ledger(seed)
    async with contextlib.AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(opened(database_url)) for _ in range(3)]
        home = await site.add_home(databases[0])
        stores = [Store(one, site.TestClock()) for one in databases]
        for _ in range(60):
            pending = ledger.pending()
            if not pending:
                break
            sent = [*pending, *choice.choices(pending, k=len(pending) // 2)]
            choice.shuffle(sent)

            async def work(store: Store, messages: list[tuple[str, bytes]]) -> None:
                while messages:
                    size = choice.randint(1, 6)
                    group, messages = messages[:size], messages[size:]
                    items = [site.incoming(*message) for message in group]
                    ledger.take(await store.store(items))

            await asyncio.gather(
                *(work(store, sent[start::3]) for start, store in enumerate(stores))
            )
        assert ledger.pending() == []
        await check(databases[0], ledger, home.company_id)


@pytest.fixture(scope="module")
def broker(mosquitto: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A running Mosquitto."""
    running = BrokerProcess(open_to_others(tmp_path_factory.mktemp("shared")), "mosquitto")
    running.start()
    yield running
    running.stop()


@contextlib.asynccontextmanager
async def running(broker: BrokerProcess, database_url: str, instance: int) -> AsyncIterator[Store]:
    """Yield the store of an ingest that shares the work as `instance`."""
    async with opened(database_url) as database:
        broker.authority.prepare((), instance)
        settings = MqttSettings(host="127.0.0.1", port=broker.port, instance=instance)
        store, stop = Store(database, site.TestClock()), asyncio.Event()
        tls = broker.authority.files(cloud_files(instance))
        ingest = Ingest(store, settings, tls, gather=0.02)
        task = asyncio.create_task(ingest.run(stop))
        try:
            async with asyncio.timeout(60):
                await ingest.ready.wait()
            yield store
        finally:
            stop.set()
            async with asyncio.timeout(60):
                await task


async def test_two_processes_on_a_shared_subscription(
    broker: BrokerProcess, database_url: str
) -> None:
    """Each takes a part of what a gateway sends, out of order and twice; one comes, one goes."""
    choice, ledger = random.Random(7), Ledger(7)
    async with opened(database_url) as database:
        home = await site.add_home(database)
    async with running(broker, database_url, 1) as one, linked(broker, GATEWAY) as link:
        async with running(broker, database_url, 2) as two:

            def acknowledged() -> bool:
                for key, ranges in link.acked.items():
                    ledger.acked[key] = merge([*ledger.acked.get(key, []), *ranges])
                return not ledger.pending()

            def answered(acks: int) -> bool:
                return acknowledged() or link.acks > acks

            for _ in range(20):
                pending = ledger.pending()
                sent = [*pending, *choice.choices(pending, k=len(pending) // 2)]
                choice.shuffle(sent)
                acks = link.acks
                for message in sent:
                    await link.send(*message)
                await eventually(partial(answered, acks), "an acknowledgement")
                if acknowledged():
                    break
            await eventually(acknowledged, "everything acknowledged")
            # One may still be at work on what the other has had again.
            for part in (one, two):
                await eventually(lambda: part.statistics.messages > 0, "a part")  # noqa: B023 -- at once
        # One is gone: the other takes everything.
        before = one.statistics.messages
        hello = wire.Hello(session=EPOCHS[0], agent="1", epochs=[wire.Holding(ep=EPOCHS[1])])
        await link.send("hello", wire.encode(hello))
        await eventually(lambda: link.resumes, "the resume")
        assert one.statistics.messages > before
    async with opened(database_url) as database:
        await check(database, ledger, home.company_id)


async def test_several_processes_need_mqtt_5(tmp_path: Path, sqlite_database: Database) -> None:
    """The embedded broker cannot share: that is said, instead of everything stored twice over."""
    embedded = BrokerProcess(open_to_others(tmp_path), "embedded")
    embedded.start()
    embedded.authority.prepare((), 3)
    settings = MqttSettings(host="127.0.0.1", port=embedded.port, instance=3)
    store = Store(sqlite_database, site.TestClock())
    ingest = Ingest(store, settings, embedded.authority.files(cloud_files(3)))
    with pytest.raises(ConfigError, match="MQTT 5"):
        async with asyncio.timeout(60):
            await ingest.run(asyncio.Event())
    embedded.stop()


def test_no_gateway_can_have_the_name_of_an_ingest() -> None:
    """Else it could read what every gateway sends."""
    for name in CLOUDS:
        with pytest.raises(ConfigError):
            check_gateway_id(name)
