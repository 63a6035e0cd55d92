"""Audit and command results, backlog and snapshots: the streams and channels beside live samples."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from plantroom_cloud import worker
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.account import LossAccount, account
from plantroom_cloud.ingest import upkeep
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.documents import MAX_DOC
from plantroom_cloud.ingest.messages import Incoming, RecordRows, Unreadable, read
from plantroom_cloud.ingest.rows import AHEAD_US, tie, tie_base
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.ingest.upkeep import prune
from plantroom_cloud.tables import (
    Counter,
    EdgeRecord,
    GatewayEpoch,
    Latest,
    QuarantinedRow,
    SampleRow,
    StreamMessage,
    StreamRange,
)
from plantroom_shared import topics, wire
from plantroom_shared.model import Batch
from support import cloud_site as site
from support.cloud_site import EPOCH, GATEWAY, NOW, Home, TestClock, incoming, inv, tel
from support.servers import as_owner
from support.waiting import eventually

DAY_US = 86_400_000_000


@pytest.fixture
async def home(database: Database) -> Home:
    """One company with one gateway."""
    return await site.add_home(database)


@pytest.fixture
def store(database: Database) -> Store:
    """A store whose clock stands still."""
    return Store(database, TestClock())


def records(s0: int, n: int, *, stream: str = "aud", rows: Sequence[Any] = ()) -> bytes:
    """Return a message of `n` records from `s0` on, each naming its number."""
    made = [
        {"at": NOW + seq, "kind": "agent.start", "doc": {"n": seq}} for seq in range(s0, s0 + n)
    ]
    return wire.pack({"v": 1, "ep": EPOCH, "st": stream, "s0": s0, "n": n, "rc": rows or made})


async def rows_of(database: Database, table: type[Any], order: Any = None) -> Sequence[Any]:
    """Return all rows of `table`."""
    async with as_owner(database).read() as session:
        query = select(table) if order is None else select(table).order_by(order)
        return (await session.execute(query)).scalars().all()


async def books(database: Database, home: Home, stream: str) -> LossAccount:
    """Return the gateway's account of `stream`."""
    async with as_owner(database).read() as session:
        found = await account(session, Scope(home.company_id), GATEWAY, stream)
    assert found is not None
    return found


async def counted(database: Database, name: str) -> int:
    """Return what was counted for the gateway under `name`."""
    found = {row.name: int(row.value) for row in await rows_of(database, Counter)}
    return found.get(f"ingest.{name}/{GATEWAY}", 0)


class TestRecords:
    """Rows of ``aud`` and ``cmd``."""

    @pytest.mark.parametrize("stream", ["aud", "cmd"])
    async def test_records_are_stored_once_in_their_stream(
        self, database: Database, store: Store, home: Home, stream: str
    ) -> None:
        """Overlap, order and repetition make no difference; the account balances."""
        for s0, n in ((4, 3), (1, 3), (2, 4), (4, 3)):
            answers = await store.store([incoming(stream, records(s0, n, stream=stream))])
        assert answers.acks == {(GATEWAY, EPOCH, stream): [(1, 6)]}
        found = await rows_of(database, EdgeRecord, EdgeRecord.seq)
        assert [(row.seq, row.at_us, row.kind, row.doc, row.stream) for row in found] == [
            (seq, NOW + seq, "agent.start", {"n": seq}, stream) for seq in range(1, 7)
        ]
        assert {row.company_id for row in found} == {home.company_id}
        account_ = await books(database, home, stream)
        assert (account_.stored, account_.duplicates, account_.balanced) == (6, 7, True)

    async def test_streams_do_not_mix(self, database: Database, store: Store, home: Home) -> None:
        """The same number is another row in another stream; a stream keeps to its channel."""
        await store.store([incoming(name, records(1, 1, stream=name)) for name in ("aud", "cmd")])
        assert {row.stream for row in await rows_of(database, EdgeRecord)} == {"aud", "cmd"}
        answers = await store.store([incoming("cmd", records(9, 1, stream="aud"))])
        assert answers == Answers()
        assert await counted(database, "schema") == 1

    async def test_one_bad_record_costs_no_other(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Each is checked by itself; any time is taken, for a clock may not be set yet."""
        deep: Any = {}
        for _ in range(100):
            deep = {"d": deep}
        rows: list[Any] = [
            {"at": 0, "kind": "agent.start", "doc": {}},
            {"at": NOW, "kind": "Not A Kind"},
            {"at": NOW, "kind": "deep", "doc": deep},
            {"at": NOW, "kind": "big", "doc": {"x": "y" * MAX_DOC}},
            {"at": 2**63 - 1, "kind": "late", "doc": {"zero": "\x00"}},
            "no record at all",
        ]
        answers = await store.store([incoming("aud", records(1, 6, rows=rows))])
        assert answers.acks[GATEWAY, EPOCH, "aud"] == [(1, 6)]
        found = await rows_of(database, EdgeRecord, EdgeRecord.seq)
        assert [(row.seq, row.at_us) for row in found] == [(1, 0), (5, 2**63 - 1)]
        refused = await rows_of(database, QuarantinedRow, QuarantinedRow.seq)
        assert [(row.seq, row.reason) for row in refused] == [
            (2, "schema"),
            (3, "nesting"),
            (4, "too_big"),
            (6, "schema"),
        ]
        assert orjson.loads(refused[3].payload) == "no record at all"
        assert (await books(database, home, "aud")).balanced

    async def test_rows_that_do_not_fit_the_head_are_quarantined_whole(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """The stream goes on behind them."""
        payload = site.tampered(records(1, 3), rc=[])
        answers = await store.store([incoming("aud", payload), incoming("aud", records(4, 1))])
        assert answers.acks[GATEWAY, EPOCH, "aud"] == [(1, 4)]
        (row,) = await rows_of(database, QuarantinedRow)
        assert (row.seq, row.n, row.reason) == (1, 3, "schema")

    async def test_second_belt(self, database: Database, store: Store, home: Home) -> None:
        """Should the watermark be lost, the records' key still keeps every row single."""
        await store.store([incoming("aud", records(1, 3))])
        async with as_owner(database).write() as session:
            for row in await rows_of(database, StreamMessage):
                await session.delete(row)
            for row in await rows_of(database, StreamRange):
                await session.delete(row)
        await store.store([incoming("aud", records(1, 4))])
        assert len(await rows_of(database, EdgeRecord)) == 4
        found = await books(database, home, "aud")
        assert (found.stored, found.duplicates) == (4, 3)


class TestBacklog:
    """Samples on ``fill``."""

    async def test_fill_is_tel_by_another_way(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """One stream, one watermark; what comes by both ways is stored once."""
        fill = incoming("fill", site.samples(1, 5))
        answers = await store.store([inv(site.dictionary(1)), fill, tel(6, 2), tel(1, 5)])
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(1, 7)]
        found = await books(database, home, "tel")
        assert (found.stored, found.duplicates, found.balanced) == (7, 5, True)
        assert await counted(database, "backlog") == 5

    async def test_gap_and_dictionary_request_on_fill(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """They speak of the stream ``tel``, too."""
        gap = wire.encode(wire.Gap(ep=EPOCH, st="tel", s0=1, n=2, gap="quota"))
        answers = await store.store([incoming("fill", gap), incoming("fill", site.samples(3, 1))])
        assert answers.acks == {(GATEWAY, EPOCH, "tel"): [(1, 2)]}
        assert [(nack.st, nack.s0) for _, nack in answers.nacks] == [("tel", 3)]

    async def test_only_samples_have_a_backlog(self, store: Store, home: Home) -> None:
        """Findings on ``fill`` are refused."""
        found = incoming("fill", site.findings(1, [site.finding("f")]))
        assert (await store.store([found])).acks == {}


class TestSnapshot:
    """What points say now."""

    def snapshot(self, *rows: tuple[int, int, float, int]) -> Any:
        """Return a snapshot of (alias, time, value, order number)."""
        batch = Batch()
        for alias, ts, value, _ in rows:
            batch.append(alias, ts, value)
        return incoming("now", wire.encode_snapshot(EPOCH, batch, [row[3] for row in rows]))

    async def test_it_moves_latest_and_is_never_stored(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Latest is right at once; the account knows nothing of it; the row itself comes later."""
        await store.store([inv(site.dictionary(2)), tel(1, 2, points=2)])
        answers = await store.store([self.snapshot((0, NOW, 50.0, 90), (1, NOW, 51.0, 91))])
        assert answers.acks == {}
        assert answers.nacks == []
        latest = await rows_of(database, Latest)
        assert sorted(row.value for row in latest) == [50.0, 51.0]
        assert sorted(row.tie for row in latest) == [tie(tie_base(EPOCH), n) for n in (90, 91)]
        assert len(await rows_of(database, SampleRow)) == 2
        found = await books(database, home, "tel")
        assert (found.accepted, found.stored, found.balanced) == (2, 2, True)

    async def test_it_never_goes_back(self, database: Database, store: Store, home: Home) -> None:
        """Old values and lower numbers of the same moment change nothing, in one batch or two."""
        await store.store([inv(site.dictionary(1)), self.snapshot((0, NOW, 2.0, 8))])
        await store.store([self.snapshot((0, NOW, 1.0, 7)), self.snapshot((0, NOW - 1, 0.0, 9))])
        (row,) = await rows_of(database, Latest)
        assert row.value == 2.0

    async def test_unknown_and_impossible_rows_are_ignored(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """The others count; the dictionary is asked for, as no row waits for it."""
        snapshot = self.snapshot(
            (0, NOW, 1.0, 1), (7, NOW, 2.0, 2), (0, NOW + AHEAD_US + 1, 3.0, 3)
        )
        answers = await store.store([inv(site.dictionary(1)), snapshot])
        ((_, nack),) = answers.nacks
        assert (nack.st, nack.nack, nack.s0, nack.have) == ("tel", "need_dict", 0, 1)
        assert [row.value for row in await rows_of(database, Latest)] == [1.0]
        payload = site.tampered(snapshot.payload, s=["x", 2, 3])
        await store.store([incoming("now", payload), incoming("now", b"rubbish")])
        assert [row.value for row in await rows_of(database, Latest)] == [1.0]
        assert await rows_of(database, QuarantinedRow) == []


async def test_upkeep_forgets_in_time(database: Database, store: Store, home: Home) -> None:
    """Digests are kept for a week; the epoch that runs is never forgotten."""
    hello = wire.Hello(session=EPOCH, agent="1", epochs=[wire.Holding(ep=EPOCH)])
    old = wire.Hello(session=EPOCH, agent="1", epochs=[wire.Holding(ep="0" * 16)])
    await store.store([incoming("hello", wire.encode(item)) for item in (old, hello)])
    await store.store([incoming("aud", records(1, 3))])
    for days, digests, epochs in ((6, 1, 2), (8, 0, 2), (401, 0, 1)):
        await prune(database, NOW + days * DAY_US)
        assert len(await rows_of(database, StreamMessage)) == digests
        assert len(await rows_of(database, GatewayEpoch)) == epochs


async def test_upkeep_is_a_job_of_the_worker(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It begins at once, and says what it has done where it has done something."""
    assert worker.JOBS["delivery"] == upkeep.__name__
    await site.add_home(sqlite_database)
    clock = TestClock()
    await Store(sqlite_database, clock).store([incoming("aud", records(1, 3))])
    clock.now += 8 * DAY_US
    with caplog.at_level("INFO", logger=upkeep.__name__):
        job = asyncio.create_task(upkeep.run(sqlite_database, CloudSettings(), clock))
        await eventually(lambda: caplog.records, "the first round")
    job.cancel()
    await asyncio.wait((job,))
    assert await rows_of(sqlite_database, StreamMessage) == []


class TestReading:
    """Bytes to messages."""

    def test_digest_tells_rows_apart_and_nothing_else(self) -> None:
        """The same rows in another wrapping are the same; other rows are others."""
        one = read(topics.up(GATEWAY, "aud"), records(1, 2))
        again = wire.pack(dict(reversed(wire.unpack(records(1, 2)).items())) | {"later": 1})
        two = read(topics.up(GATEWAY, "aud"), again)
        other = read(topics.up(GATEWAY, "aud"), records(3, 2))
        assert isinstance(one, Incoming)
        assert isinstance(two, Incoming)
        assert isinstance(other, Incoming)
        assert one.digest == two.digest != other.digest
        assert isinstance(one.content, RecordRows)

    def test_a_message_set_aside_keeps_its_digest(self) -> None:
        """So that its repetition is known for what it is."""
        item = incoming("fill", site.samples(1, 2))
        assert isinstance(item, Incoming)
        aside = item.set_aside("store")
        assert isinstance(aside, Incoming)
        assert isinstance(aside.content, Unreadable)
        assert (aside.digest, aside.stream, aside.channel) == (item.digest, "tel", "fill")

    @settings(max_examples=200, deadline=None)
    @given(
        channel=st.sampled_from(topics.UP_CHANNELS),
        document=st.dictionaries(
            st.sampled_from(
                ["v", "ep", "st", "s0", "n", "rc", "ev", "t0", "p", "dt", "x", "q", "s"]
            ),
            st.one_of(
                st.sampled_from([1, 2, EPOCH, "aud", "cmd", "tel", "evt", [], {}, None, [[0, 1]]]),
                st.integers(),
                st.lists(st.one_of(st.integers(0, 3), st.floats(allow_nan=False), st.none())),
            ),
        ),
    )
    def test_nothing_raises(self, channel: str, document: dict[str, Any]) -> None:
        """Whatever a gateway sends is a message or a counted refusal."""
        try:
            payload = wire.pack(document)
        except (TypeError, ValueError):  # an integer that JSON of ours cannot hold
            return
        item = read(topics.up(GATEWAY, channel), payload)
        assert item.gateway == GATEWAY
