"""The store's contract, on SQLite and on PostgreSQL: once, in any order, and nobody pays for another."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from sqlalchemy import delete, func, select, text, update

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.account import LossAccount, account
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.batch import Memory
from plantroom_cloud.ingest.memory import Dictionaries, Patience
from plantroom_cloud.ingest.rows import AHEAD_US, MAX_ALIAS
from plantroom_cloud.ingest.store import Item, Store
from plantroom_cloud.tables import (
    Counter,
    Device,
    DictionaryEntry,
    FindingRow,
    GapRecord,
    Gateway,
    Latest,
    Outbox,
    Point,
    QuarantinedRow,
    SampleRow,
    StreamMessage,
    StreamRange,
    Target,
)
from plantroom_shared import model, wire
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch, Quality
from support import cloud_site as site
from support.cloud_site import EPOCH, GATEWAY, NOW, Home, TestClock, incoming, inv, tel
from support.servers import as_owner

OTHER = "00000000000000bb"


@pytest.fixture
async def home(database: Database) -> Home:
    """One company with one gateway."""
    return await site.add_home(database)


@pytest.fixture
def store(database: Database) -> Store:
    """A store whose clock stands still."""
    return Store(database, TestClock())


async def rows_of(database: Database, table: type[Any]) -> Sequence[Any]:
    """Return all rows of `table`."""
    async with as_owner(database).read() as session:
        return (await session.execute(select(table))).scalars().all()


async def values(database: Database) -> list[float | None]:
    """Return all stored values, by time."""
    async with as_owner(database).read() as session:
        query = select(SampleRow.value).order_by(SampleRow.ts_us, SampleRow.tie)
        return list((await session.execute(query)).scalars())


async def ranges(database: Database, epoch: str = EPOCH) -> list[tuple[int, int]]:
    """Return the watermark of the samples of `epoch`."""
    found = await rows_of(database, StreamRange)
    return sorted((row.lo, row.hi) for row in found if row.epoch == epoch and row.stream == "tel")


async def books(database: Database, home: Home, stream: str = "tel") -> LossAccount:
    """Return the gateway's loss account."""
    async with as_owner(database).read() as session:
        found = await account(session, Scope(home.company_id), GATEWAY, stream)
    assert found is not None
    return found


async def taken(store: Store, *items: Item) -> Answers:
    """Store `items` together."""
    return await store.store(items)


async def counters(database: Database) -> dict[str, int]:
    """Return what has been counted for the company."""
    return {
        row.name.removesuffix(f"/{GATEWAY}"): row.value for row in await rows_of(database, Counter)
    }


class TestSamples:
    """Rows of the stream ``tel``."""

    async def test_rows_are_stored_and_acknowledged(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """What is acknowledged stands in the database with value, time and company."""
        answers = await taken(store, inv(site.dictionary(2)), tel(1, 4, points=2))
        assert answers.acks == {
            (GATEWAY, EPOCH, "inv"): [(1, 2)],
            (GATEWAY, EPOCH, "tel"): [(1, 4)],
        }
        found = await rows_of(database, SampleRow)
        assert sorted(row.value for row in found) == [1, 2, 3, 4]
        assert {row.company_id for row in found} == {home.company_id}
        assert min(row.ts_us for row in found) == NOW - 3_600_000_000 + 1000
        assert len({row.point_id for row in found}) == 2

    async def test_a_message_that_comes_again_is_only_counted_and_acknowledged(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Nothing is stored twice, and the lost ack is sent again."""
        await taken(store, inv(site.dictionary(1)), tel(1, 5))
        answers = await taken(store, tel(1, 5), tel(1, 5))
        assert answers.acks == {(GATEWAY, EPOCH, "tel"): [(1, 5)]}
        assert await values(database) == [1, 2, 3, 4, 5]
        assert (await books(database, home)).duplicates == 10

    async def test_overlap_stores_only_what_is_new(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Rows 3..8 after 1..5 add 6..8, within one transaction and across two."""
        await taken(store, inv(site.dictionary(1)), tel(1, 5), tel(3, 6))
        answers = await taken(store, tel(7, 4))
        assert await values(database) == list(range(1, 11))
        assert await ranges(database) == [(1, 10)]
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(1, 10)], "cumulative: it heals lost acks"
        assert (await books(database, home)).duplicates == 5

    async def test_order_does_not_matter(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Later rows may come first; the ranges say what is missing until it comes."""
        await taken(store, inv(site.dictionary(1)), tel(21, 10))
        await taken(store, tel(1, 10))
        assert await ranges(database) == [(1, 10), (21, 30)]
        await taken(store, tel(11, 10))
        assert await ranges(database) == [(1, 30)]
        assert await values(database) == list(range(1, 31))

    async def test_epochs_do_not_mix(self, database: Database, store: Store, home: Home) -> None:
        """The same order numbers of another process start are other rows."""
        await taken(store, inv(site.dictionary(1)), inv(site.dictionary(1, epoch=OTHER)))
        await taken(store, tel(1, 3), tel(1, 3, epoch=OTHER))
        assert await values(database) == [1, 1, 2, 2, 3, 3]
        assert await ranges(database) == await ranges(database, OTHER) == [(1, 3)]

    async def test_every_kind_of_value(self, database: Database, store: Store, home: Home) -> None:
        """Truth becomes 0 and 1, long integers keep every digit as text, texts stay texts."""
        sent = [True, False, 2**53 + 1, -(2**60), 2**64 - 1, "auto\x00matic", None, 7, 1.5, 2**53]
        await taken(store, inv(site.dictionary(1)), tel(1, 10, values=sent))
        async with as_owner(database).read() as session:
            query = select(SampleRow.value, SampleRow.text).order_by(SampleRow.ts_us)
            found = [tuple(row) for row in await session.execute(query)]
        assert found == [
            (1.0, None),
            (0.0, None),
            (float(2**53 + 1), "9007199254740993"),
            (float(-(2**60)), "-1152921504606846976"),
            (float(2**64 - 1), "18446744073709551615"),
            (None, "auto\ufffdmatic"),
            (None, None),
            (7.0, None),
            (1.5, None),
            (float(2**53), None),
        ]

    async def test_quality_is_kept(self, database: Database, store: Store, home: Home) -> None:
        """A bad sample is data: it is stored with its reason."""
        rows = Batch()
        rows.append(0, NOW - 2000, None, Quality.BAD, "timeout")
        rows.append(0, NOW - 1000, 4.0, Quality.UNCERTAIN, "stale\x00")
        rows.append(0, NOW, 5.0)
        await taken(
            store, inv(site.dictionary(1)), incoming("tel", wire.encode_samples(EPOCH, 1, rows))
        )
        found = sorted(await rows_of(database, SampleRow), key=lambda row: row.ts_us)
        assert [(row.quality, row.reason) for row in found] == [
            (2, "timeout"),
            (1, "stale\ufffd"),
            (0, ""),
        ]

    async def test_latest_only_moves_forward(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Old rows that come late are stored and leave the latest value alone."""
        await taken(store, inv(site.dictionary(2)), tel(11, 4, points=2))
        await taken(store, tel(1, 4, points=2))
        latest = await rows_of(database, Latest)
        assert sorted(row.value for row in latest) == [13, 14]
        await taken(store, tel(101, 2, points=2))
        assert sorted(row.value for row in await rows_of(database, Latest)) == [101, 102]

    async def test_same_moment_keeps_the_later_row(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Two rows of one point and microsecond are two samples; the later one is the latest."""
        rows = Batch()
        rows.append(0, NOW, 1.0)
        rows.append(0, NOW, 2.0)
        await taken(
            store, inv(site.dictionary(1)), incoming("tel", wire.encode_samples(EPOCH, 1, rows))
        )
        assert sorted(row.value for row in await rows_of(database, SampleRow)) == [1.0, 2.0]
        assert [row.value for row in await rows_of(database, Latest)] == [2.0]

    async def test_second_belt_counts_rows_that_are_there_already(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Should the watermark be lost, the samples' key still keeps every row single."""
        await taken(store, inv(site.dictionary(1)), tel(1, 5))
        async with as_owner(database).write() as session:
            await session.execute(delete(StreamRange))
        await taken(store, tel(1, 5))
        assert await values(database) == [1, 2, 3, 4, 5]
        found = await books(database, home)
        assert (found.stored, found.duplicates) == (5, 5)

    async def test_outbox_is_filled_where_a_target_stands(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """New rows, and only those, wait for every enabled target of the company."""
        await taken(store, inv(site.dictionary(1)), tel(1, 2))
        assert await rows_of(database, Outbox) == []
        async with as_owner(database).write() as session:
            session.add(Target(company_id=home.company_id, kind="enos"))
            session.add(Target(company_id=home.company_id, kind="other", enabled=False))
        await taken(store, tel(1, 4, values=[True, "x", 3, 2**60]))
        (row,) = await rows_of(database, Outbox)
        (point,) = await rows_of(database, Point)
        at = NOW - 3_600_000_000
        assert (row.kind, row.gateway_id, row.rows, row.company_id) == (
            "enos",
            GATEWAY,
            2,
            home.company_id,
        )
        assert orjson.loads(row.samples) == {
            "p": [point.id] * 2,
            "t": [at + 3000, at + 4000],
            "v": [3, 2**60],
            "q": [0, 0],
            "e": EPOCH,
            "b": [1],
        }


class TestQuarantine:
    """Bad rows and bad messages."""

    @pytest.mark.parametrize(
        "case",
        [
            ("x", {"a": 1}, "value"),
            ("x", [[]], "value"),
            ("x", "y" * 5000, "text_too_long"),
            ("p", -1, "alias"),
            ("p", "0", "alias"),
            ("p", MAX_ALIAS, "alias"),
            ("p", 2**53, "alias"),
            ("p", None, "alias"),
        ],
    )
    async def test_one_bad_row_costs_no_other(
        self, database: Database, store: Store, home: Home, case: tuple[str, Any, str]
    ) -> None:
        """The row goes to the quarantine as it was sent; the rest is stored, all is acked."""
        column, bad, reason = case
        payload = site.samples(1, 1000)
        cells = wire.unpack(payload)[column]
        cells[499] = bad
        item = incoming("tel", site.tampered(payload, **{column: cells}))
        answers = await taken(store, inv(site.dictionary(1)), item)
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(1, 1000)]
        stored = await values(database)
        assert stored == [*range(1, 500), *range(501, 1001)]
        (row,) = await rows_of(database, QuarantinedRow)
        assert (row.seq, row.n, row.reason, row.stream) == (500, 1, reason, "tel")
        assert orjson.loads(row.payload)[column] == bad
        found = await books(database, home)
        assert (found.stored, found.quarantined, found.accepted) == (999, 1, 1000)
        assert found.balanced

    async def test_a_lost_time_costs_what_hangs_on_it_and_no_more(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Times are sums: where one step is unreadable, later rows are quarantined, not shifted."""
        payload = site.samples(1, 10)
        steps = wire.unpack(payload)["dt"]
        steps[6] = "soon"
        item = incoming("tel", site.tampered(payload, dt=steps))
        await taken(store, inv(site.dictionary(1)), item)
        assert await values(database) == [1, 2, 3, 4, 5, 6]
        assert [row.reason for row in await rows_of(database, QuarantinedRow)] == ["time"] * 4

    async def test_impossible_times(self, database: Database, store: Store, home: Home) -> None:
        """A row from the future, or from before 2020, is quarantined by itself."""
        rows = Batch()
        for at in (NOW, NOW + AHEAD_US, NOW + AHEAD_US + 1, 0, NOW):
            rows.append(0, at, float(at))
        await taken(
            store, inv(site.dictionary(1)), incoming("tel", wire.encode_samples(EPOCH, 1, rows))
        )
        refused = await rows_of(database, QuarantinedRow)
        assert [(row.seq, row.reason) for row in refused] == [(3, "future_ts"), (4, "time")]
        assert len(await values(database)) == 3

    async def test_a_message_with_a_readable_head_is_quarantined_whole(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Columns that do not fit: kept as one, acknowledged, so that the stream goes on."""
        payload = site.tampered(site.samples(11, 10), x=[1, 2, 3])
        answers = await taken(store, inv(site.dictionary(1)), incoming("tel", payload), tel(21, 5))
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(11, 25)]
        (row,) = await rows_of(database, QuarantinedRow)
        assert (row.seq, row.n, row.reason, row.payload) == (11, 10, "schema", payload)
        assert (await books(database, home)).quarantined == 10

    async def test_overlap_with_an_unreadable_message(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Rows already stored do not go to the quarantine as well."""
        await taken(store, inv(site.dictionary(1)), tel(5, 2))
        payload = site.tampered(site.samples(1, 10), q=[])
        await taken(store, incoming("tel", payload))
        refused = await rows_of(database, QuarantinedRow)
        assert sorted((row.seq, row.n) for row in refused) == [(1, 4), (7, 4)]
        assert (await books(database, home)).balanced

    async def test_messages_without_a_head_are_counted(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """They cannot be acknowledged; the company sees how many of which kind there were."""
        answers = await taken(
            store,
            incoming("tel", b"rubbish"),
            incoming("tel", b"more rubbish"),
            incoming("hello", wire.pack({"v": 2})),
            incoming("other", b""),
        )
        assert answers == Answers()
        assert await counters(database) == {
            "ingest.malformed": 2,
            "ingest.version": 1,
            "ingest.topic": 1,
        }
        await taken(store, incoming("inv", b"rubbish"))
        assert (await counters(database))["ingest.malformed"] == 3

    async def test_what_only_the_database_refuses_is_set_aside_alone(
        self, database: Database, store: Store, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If one message brings out an error in storing, its neighbours are stored all the same."""
        from plantroom_cloud.ingest import batch, rows

        real = rows.sample_rows

        def broken(message: wire.Samples, *rest: Any) -> Any:
            if message.s0 == 6:
                raise OverflowError
            return real(message, *rest)

        monkeypatch.setattr(batch, "sample_rows", broken)
        answers = await taken(store, inv(site.dictionary(1)), tel(1, 5), tel(6, 5), tel(11, 5))
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(1, 15)]
        assert await values(database) == [*range(1, 6), *range(11, 16)]
        (row,) = await rows_of(database, QuarantinedRow)
        assert (row.seq, row.n, row.reason) == (6, 5, "store")

    async def test_what_cannot_even_be_set_aside_is_dropped_unanswered(
        self, store: Store, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then the edge keeps it; the others are answered."""
        from plantroom_cloud.ingest.streams import StreamRepository

        real = StreamRepository.close

        async def broken(self: StreamRepository, stream: Any, *rest: Any) -> None:
            if any(lo <= 6 <= hi for lo, hi in stream.ranges):
                raise OverflowError
            await real(self, stream, *rest)

        monkeypatch.setattr(StreamRepository, "close", broken)
        answers = await taken(store, inv(site.dictionary(1)), tel(1, 4), tel(6, 2))
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(1, 4)]


class TestDictionaries:
    """Aliases, points and devices."""

    async def test_points_come_into_being(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Devices and points are stored with all the gateway knows of them."""
        described = site.point(
            0,
            unit="degrees-celsius",
            description="Supply\x00air",
            object_type="analog-input",
            states=("off", "on"),
            writable=False,
            equip_class="AHU",
            enos="AHU/supply",
        )
        message = wire.Dictionary(
            ep=EPOCH,
            a0=0,
            points=[described],
            devices=[model.Device(key="bacnet:1", name="AHU 1", protocol="bacnet", vendor="V")],
        )
        await taken(store, inv(message))
        (device,) = await rows_of(database, Device)
        (point,) = await rows_of(database, Point)
        assert (device.name, device.vendor, device.site_id) == ("AHU 1", "V", home.site_id)
        assert (point.device_id, point.unit, point.description) == (
            device.id,
            "degrees-celsius",
            "Supply\ufffdair",
        )
        assert point.states == ["off", "on"]
        assert point.writable is False
        assert point.hints == {"equip_class": "AHU", "enos": "AHU/supply"}
        assert (point.company_id, point.changed_us) == (home.company_id, NOW)

    async def test_only_a_real_change_is_a_change(self, database: Database, home: Home) -> None:
        """A new epoch with the same description leaves `changed_us` alone; the id never changes."""
        clock = TestClock()
        store = Store(database, clock)
        await taken(store, inv(site.dictionary(2)))
        before = {row.key: row.id for row in await rows_of(database, Point)}
        clock.now += 1000
        renamed = site.dictionary(2, epoch=OTHER).model_copy(
            update={"points": [site.point(0), site.point(1, name="New name")]}
        )
        await taken(store, inv(renamed))
        points = {row.key: row for row in await rows_of(database, Point)}
        assert {key: row.id for key, row in points.items()} == before
        assert [points[site.point(n).key].changed_us for n in (0, 1)] == [NOW, NOW + 1000]
        assert points[site.point(1).key].name == "New name"

    async def test_a_point_may_change_within_an_epoch(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """A further alias of its key says what it is now; a chunk that comes twice changes nothing back."""
        first = site.dictionary(2)
        later = site.dictionary(1, a0=2).model_copy(
            update={"points": [site.point(0, unit="degrees-fahrenheit")]}
        )
        await taken(store, inv(first), inv(later), inv(first))
        answers = await taken(store, tel(1, 6, points=3))
        assert answers.nacks == []
        rows = {row.id: row for row in await rows_of(database, Point)}
        assert sorted(row.unit for row in rows.values()) == ["", "degrees-fahrenheit"]
        (changed,) = (row.id for row in rows.values() if row.unit)
        assert sum(row.point_id == changed for row in await rows_of(database, SampleRow)) == 4

    async def test_a_former_start_changes_no_point(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Its dictionary may come after that of the start that runs; only what is new is taken of it."""
        now = site.dictionary(1).model_copy(update={"points": [site.point(0, unit="percent")]})
        epochs = [wire.Holding(ep=OTHER), wire.Holding(ep=EPOCH)]
        hello = wire.Hello(session=OTHER, agent="1", epochs=epochs)
        await taken(store, incoming("hello", wire.encode(hello)), inv(now))
        await taken(store, inv(site.dictionary(2, epoch=OTHER)))
        assert sorted(row.unit for row in await rows_of(database, Point)) == ["", "percent"]

    async def test_device_may_come_after_its_points(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Until it is described it goes by its key."""
        message = site.dictionary(1).model_copy(update={"devices": []})
        await taken(store, inv(message))
        (device,) = await rows_of(database, Device)
        assert (device.key, device.name, device.protocol) == ("bacnet:1", "bacnet:1", "bacnet")
        await taken(store, inv(site.dictionary(1)))
        (device,) = await rows_of(database, Device)
        assert device.name == "AHU 1"

    async def test_dictionary_grows_as_a_prefix(self, store: Store, home: Home) -> None:
        """Chunks that follow one another, or overlap, are taken; one that leaves a hole is not."""
        answers = await taken(store, inv(site.dictionary(3)), inv(site.dictionary(3, a0=2)))
        assert answers.acks[GATEWAY, EPOCH, "inv"] == [(1, 5)]
        answers = await taken(store, inv(site.dictionary(2, a0=7)))
        assert answers.acks == {}
        ((_, nack),) = answers.nacks
        assert (nack.st, nack.nack, nack.have) == ("inv", "need_dict", 5)

    async def test_another_point_at_a_known_alias_is_a_fork(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """It is refused and counted, and nothing of it is believed."""
        await taken(store, inv(site.dictionary(3)))
        answers = await taken(store, inv(site.dictionary(3, a0=1, first=7)))
        ((_, nack),) = answers.nacks
        assert (nack.nack, nack.s0, nack.have) == ("fork", 1, 3)
        assert await counters(database) == {"ingest.dictionary_fork": 1}
        assert len(await rows_of(database, Point)) == 3

    async def test_no_epoch_has_so_many_points(
        self, database: Database, store: Store, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A gateway cannot fill the database with names."""
        from plantroom_cloud.ingest import batch

        monkeypatch.setattr(batch, "MAX_ALIAS", 4)
        answers = await taken(store, inv(site.dictionary(3)), inv(site.dictionary(2, a0=3)))
        ((_, nack),) = answers.nacks
        assert nack.nack == "schema"
        assert len(await rows_of(database, Point)) == 3

    async def test_unknown_alias_asks_for_the_dictionary(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """The message is neither stored nor acknowledged until its points are known."""
        await taken(store, inv(site.dictionary(2)))
        answers = await taken(store, tel(1, 4, points=4))
        assert answers.acks == {}
        ((gateway, nack),) = answers.nacks
        assert (gateway, nack.st, nack.nack, nack.s0, nack.have) == (
            GATEWAY,
            "tel",
            "need_dict",
            1,
            2,
        )
        assert await values(database) == []
        answers = await taken(store, inv(site.dictionary(2, a0=2)), tel(1, 4, points=4))
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(1, 4)]
        assert await values(database) == [1, 2, 3, 4]

    async def test_an_alias_beyond_the_messages_own_dictionary_is_damaged_at_once(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Nobody asks for what cannot be: the row is quarantined and the stream goes on."""
        payload = site.samples(1, 5)
        item = incoming("tel", site.tampered(payload, p=[0, 0, 77, 0, 0]))
        answers = await taken(store, inv(site.dictionary(1)), item)
        assert answers.nacks == []
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(1, 5)]
        assert await values(database) == [1, 2, 4, 5]
        assert [row.reason for row in await rows_of(database, QuarantinedRow)] == ["alias"]

    async def test_an_alias_that_never_is_explained_does_not_block_the_stream(
        self, database: Database, home: Home
    ) -> None:
        """After some requests in vain, and seconds, the row is taken for damaged."""
        clock = TestClock()
        store = Store(database, clock)
        payload = site.samples(1, 5)
        item = incoming("tel", site.tampered(payload, p=[0, 0, 77, 0, 0], dv=78))
        await taken(store, inv(site.dictionary(1)))
        for _ in range(7):  # often enough, but another process may be storing the dictionary now
            assert len((await taken(store, item)).nacks) == 1
        clock.now += 5_000_000
        answers = await taken(store, item)
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(1, 5)]
        assert await values(database) == [1, 2, 4, 5]
        assert [row.reason for row in await rows_of(database, QuarantinedRow)] == ["alias"]

    async def test_two_processes_share_a_dictionary(self, database: Database, home: Home) -> None:
        """What one ingest has learned, another reads from the database."""
        one, two = Store(database, TestClock()), Store(database, TestClock())
        await taken(one, inv(site.dictionary(2)))
        assert (await taken(two, tel(1, 2, points=2))).nacks == []
        await taken(two, inv(site.dictionary(2, a0=2)))
        assert (await taken(one, tel(3, 4, points=4))).nacks == []


class TestGapsAndFindings:
    """The other rows."""

    async def test_gap_is_declared_and_acknowledged(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Lost rows stand with range, number and cause, and the account balances."""
        gap = wire.encode(wire.Gap(ep=EPOCH, st="tel", s0=3, n=6, gap="quota\x00"))
        await taken(store, inv(site.dictionary(1)), tel(1, 4))
        answers = await taken(store, incoming("tel", gap), incoming("tel", gap))
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(1, 8)]
        (row,) = await rows_of(database, GapRecord)
        assert (row.lo, row.hi, row.cause) == (5, 8, "quota"), "rows that are here are not lost"
        found = await books(database, home)
        assert (found.accepted, found.stored, found.gaps, found.balanced) == (8, 4, 4, True)

    async def test_a_gap_of_a_billion_rows_is_one_record(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Its size costs nothing."""
        gap = wire.encode(wire.Gap(ep=EPOCH, st="tel", s0=1, n=2**31, gap="disk"))
        await taken(store, incoming("tel", gap))
        assert (await books(database, home)).gaps == 2**31

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    async def test_end_of_a_finding_completes_it_in_any_order(
        self, database: Database, store: Store, home: Home, order: tuple[int, int]
    ) -> None:
        """Start and end are two rows of the stream and one finding."""
        parts = [
            incoming("evt", site.findings(1, [site.finding("f1", score=2.0)])),
            incoming("evt", site.findings(2, [site.finding("f1", score=3.0, ended=NOW)])),
        ]
        for index in order:
            await taken(store, parts[index])
        (row,) = await rows_of(database, FindingRow)
        assert (row.id, row.score, row.ended_us) == ("f1", 3.0, NOW)
        assert (row.site_id, row.points, row.evidence) == (
            home.site_id,
            ["bacnet:1:analog-input:0"],
            {"spe": 4.5},
        )
        found = await books(database, home, "evt")
        assert (found.accepted, found.stored, found.balanced) == (2, 2, True)

    async def test_one_bad_finding_costs_no_other(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Each finding is checked by itself, whatever is wrong with it."""
        deep: Any = {}
        for _ in range(100):
            deep = {"d": deep}
        payload = site.findings(1, [site.finding(f"f{n}") for n in range(7)])
        rows = wire.unpack(payload)["ev"]
        rows[1] = {"id": "no more than this"}
        rows[2]["started"] = NOW + AHEAD_US + 1
        rows[3]["ended"] = 5
        rows[4]["evidence"] = deep
        rows[5]["started"] = 2e18  # a whole number that a database holds, some day in 65000
        answers = await taken(store, incoming("evt", site.tampered(payload, ev=rows)))
        assert answers.acks[GATEWAY, EPOCH, "evt"] == [(1, 7)]
        assert sorted(row.id for row in await rows_of(database, FindingRow)) == ["f0", "f6"]
        refused = await rows_of(database, QuarantinedRow)
        assert [row.reason for row in sorted(refused, key=lambda row: row.seq)] == [
            "schema",
            "future_ts",
            "time",
            "nesting",
            "future_ts",
        ]
        assert orjson.loads(refused[0].payload) == {"id": "no more than this"}

    async def test_findings_that_cannot_even_be_shown(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """A score that is no number, or nesting beyond what can be written again, harms nobody."""
        payload = site.findings(1, [site.finding(f"f{n}") for n in range(3)])
        rows = wire.unpack(payload)["ev"]
        rows[0]["score"] = "inf"
        text = orjson.dumps(wire.unpack(payload) | {"ev": rows})
        depth = b'{"d":' * 400 + b"0" + b"}" * 400
        last = text.rindex(b'"evidence":') + len(b'"evidence":')
        text = text[:last] + depth + text[text.index(b"}", last) + 1 :]
        await taken(store, incoming("evt", gzip.compress(text)))
        assert [row.id for row in await rows_of(database, FindingRow)] == ["f1"]
        refused = sorted(await rows_of(database, QuarantinedRow), key=lambda row: row.seq)
        assert [(row.seq, row.reason) for row in refused] == [(1, "value"), (3, "nesting")]
        assert refused[1].payload == b'"cannot be shown"'


class TestHelloAndState:
    """What a gateway says of itself."""

    async def test_hello_is_answered_with_what_is_known(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Ranges and dictionary lengths of the epochs it names, and no others."""
        await taken(store, inv(site.dictionary(3)), tel(1, 5), tel(11, 2))
        await taken(store, incoming("evt", site.findings(1, [site.finding("f")])))
        hello = wire.Hello(
            session=OTHER,
            agent="1.2.3",
            epochs=[
                wire.Holding(ep=EPOCH, accepted={"tel": 20}, held={"tel": [(6, 20)]}),
                wire.Holding(ep=OTHER),
            ],
        )
        answers = await taken(store, incoming("hello", wire.encode(hello)))
        ((gateway, resume),) = answers.resumes
        assert (gateway, resume.session, resume.time) == (GATEWAY, OTHER, NOW)
        assert resume.epochs == [
            wire.Known(ep=EPOCH, ranges={"tel": [(1, 5), (11, 12)], "evt": [(1, 1)]}, dictionary=3),
            wire.Known(ep=OTHER),
        ]
        (row,) = await rows_of(database, Gateway)
        assert (row.online, row.seen_us, row.agent_version) == (True, NOW, "1.2.3")

    async def test_hello_and_rows_in_one_batch(self, store: Store, home: Home) -> None:
        """The answer counts what came with it."""
        hello = wire.Hello(session=OTHER, agent="1", epochs=[wire.Holding(ep=EPOCH)])
        answers = await taken(
            store, incoming("hello", wire.encode(hello)), inv(site.dictionary(1)), tel(1, 3)
        )
        ((_, resume),) = answers.resumes
        assert resume.epochs == [wire.Known(ep=EPOCH, ranges={"tel": [(1, 3)]}, dictionary=1)]

    async def test_account_follows_the_reports(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Accepted is the gateway's word; on the edge is what it holds and we have not."""
        await taken(store, inv(site.dictionary(1)), tel(1, 5))
        holding = wire.Holding(ep=EPOCH, accepted={"tel": 30}, held={"tel": [(4, 30)]})
        state = wire.State(online=True, epochs=[holding], counters={"polls": 12.0})
        await taken(store, incoming("state", wire.encode(state)))
        found = await books(database, home)
        assert (found.accepted, found.stored, found.on_edge) == (30, 5, 25)
        assert found.balanced
        assert found.as_of_us == NOW
        (row,) = await rows_of(database, Gateway)
        assert row.report == {"polls": 12.0}
        await taken(store, tel(31, 2))
        found = await books(database, home)
        assert (found.accepted, found.on_edge, found.balanced) == (32, 25, True)

    async def test_account_shows_rows_that_nobody_has(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """If the gateway holds less than is missing here, the account does not balance."""
        await taken(store, inv(site.dictionary(1)), tel(1, 5))
        holding = wire.Holding(ep=EPOCH, accepted={"tel": 30}, held={"tel": [(8, 30)]})
        await taken(
            store, incoming("state", wire.encode(wire.State(online=True, epochs=[holding])))
        )
        found = await books(database, home)
        assert (found.accepted, found.stored + found.on_edge, found.balanced) == (30, 28, False)

    async def test_the_will_says_offline_and_nothing_else(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """What the gateway has reported before stays."""
        holding = wire.Holding(ep=EPOCH, accepted={"tel": 3}, held={"tel": [(1, 3)]})
        state = wire.State(online=True, epochs=[holding], counters={"polls": 12.0})
        await taken(store, incoming("state", wire.encode(state)))
        await taken(store, incoming("state", wire.encode(wire.State(online=False))))
        (row,) = await rows_of(database, Gateway)
        assert (row.online, row.report, row.seen_us) == (False, {"polls": 12.0}, NOW)
        assert (await books(database, home)).on_edge == 3

    async def test_reports_are_bounded(self, database: Database, store: Store, home: Home) -> None:
        """Thousands of counters with long names and backward ranges do no harm."""
        holding = wire.Holding(
            ep=EPOCH, accepted={"tel": 3}, held={"tel": [(3, 1), (0, 2), (2, 3)]}
        )
        state = wire.State(
            online=True,
            epochs=[holding, holding],
            counters={f"{n:05d}" + "c" * 500 for n in range(2000)}
            and {f"{n:05d}" + "c" * 500: 1.0 for n in range(2000)},
        )
        await taken(store, incoming("state", wire.encode(state)))
        (row,) = await rows_of(database, Gateway)
        assert len(row.report) == 200
        assert (await books(database, home)).on_edge == 2

    async def test_unknown_gateway_is_not_answered(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """It belongs to no company: nothing is stored, nothing is said, it is counted."""
        stranger = "gw-stranger-9"
        answers = await taken(store, inv(site.dictionary(1), stranger), tel(1, 2, gateway=stranger))
        assert answers == Answers()
        assert store.statistics.strangers == {stranger: 2}
        assert await rows_of(database, SampleRow) == []
        await taken(store, *(tel(1, 1, gateway=f"gw-many-{n:06d}") for n in range(1100)))
        assert len(store.statistics.strangers) <= 1001
        assert sum(store.statistics.strangers.values()) == 1102


class TestCompanies:
    """Two companies in one batch."""

    async def test_each_companys_rows_are_its_own(self, database: Database, store: Store) -> None:
        """Gateways that send the same keys in one batch fill their own companies' tables."""
        names = ("gw-one-0001", "gw-two-0002")
        homes = [
            await site.add_home(database, company, "tower", gateway)
            for company, gateway in zip(("one", "two"), names, strict=True)
        ]
        items = [inv(site.dictionary(1), name) for name in names]
        items += [tel(1, 3, gateway=name) for name in names]
        answers = await taken(store, *items)
        assert {key[0] for key in answers.acks} == set(names)
        for home in homes:
            async with as_owner(database).read() as session:
                query = select(func.count()).where(SampleRow.company_id == home.company_id)
                assert await session.scalar(query) == 3
                points = (
                    await session.execute(
                        select(Point.id).where(Point.company_id == home.company_id)
                    )
                ).scalars()
                own = set(points)
                query = select(SampleRow.point_id).where(SampleRow.company_id == home.company_id)
                assert set((await session.execute(query)).scalars()) == own

    async def test_account_of_another_company_is_nobodys(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Who asks with another scope learns nothing, not even that the gateway exists."""
        async with as_owner(database).read() as session:
            assert await account(session, Scope(home.company_id + 1), GATEWAY) is None


class TestTrouble:
    """A database that is away, busy or older than it should be."""

    async def test_a_database_that_is_away_stores_and_answers_nothing(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """The caller is told to try again, and afterwards everything is there once."""
        await taken(store, inv(site.dictionary(1)))
        async with as_owner(database).write() as session:
            await session.execute(text("ALTER TABLE sample RENAME TO sample_away"))
        with pytest.raises(Unavailable):
            await taken(store, tel(1, 5))
        async with as_owner(database).write() as session:
            await session.execute(text("ALTER TABLE sample_away RENAME TO sample"))
        await taken(store, tel(1, 5))
        assert await values(database) == [1, 2, 3, 4, 5]
        assert (await books(database, home)).duplicates == 0

    async def test_database_that_goes_away_while_messages_are_tried_singly(
        self, store: Store, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then nothing is given up: the caller is told to try all of it again."""
        real, calls = store._attempt, 0

        def going_away_at(when: int) -> None:
            async def attempt(items: Sequence[Item]) -> Answers:
                nonlocal calls
                calls += 1
                if calls == when:
                    msg = "away"
                    raise Unavailable(msg)
                raise OverflowError

            monkeypatch.setattr(store, "_attempt", attempt)

        for when in (2, 3):
            calls = 0
            going_away_at(when)
            with pytest.raises(Unavailable):
                await taken(store, tel(1, 1))
        monkeypatch.setattr(store, "_attempt", real)
        assert len((await taken(store, inv(site.dictionary(1)))).acks) == 1

    async def test_memory_of_epochs_and_requests_is_bounded(
        self, database: Database, home: Home
    ) -> None:
        """Old epochs are forgotten and read again where they are needed."""
        store = Store(database, TestClock())
        memory = Memory(TestClock(), Dictionaries(most=1), Patience(most=1))
        store._memory = memory
        await taken(store, inv(site.dictionary(1)), inv(site.dictionary(1, epoch=OTHER)))
        for seq in range(1, 4):
            await taken(store, tel(seq, 1), tel(seq, 1, epoch=OTHER))
        assert len(memory.dictionaries._known) == 1
        assert await values(database) == [1, 1, 2, 2, 3, 3]
        for seq in (11, 12):
            await taken(store, tel(seq, 9, points=9))
        assert len(memory.patience._asked) == 1

    async def test_parallel_writers_of_one_stream(self, database: Database, home: Home) -> None:
        """Several ingest processes given the same messages store each row once."""
        stores = [Store(database, TestClock()) for _ in range(4)]
        await taken(stores[0], inv(site.dictionary(1)))
        messages = [tel(1 + 10 * n, 15) for n in range(20)]
        await asyncio.gather(
            *(
                one.store(messages[start::2] + messages[1 - start :: 2])
                for one, start in zip(stores, (0, 1, 0, 1), strict=True)
            )
        )
        assert await values(database) == list(range(1, 206))
        assert await ranges(database) == [(1, 205)]
        assert (await books(database, home)).stored == 205

    async def test_restored_backup_is_filled_up_again(self, database: Database, home: Home) -> None:
        """The same process sees a lower watermark; what is sent again is stored once."""
        store = Store(database, TestClock())
        await taken(store, inv(site.dictionary(1)), tel(1, 10))
        async with as_owner(database).write() as session:
            await session.execute(delete(SampleRow).where(SampleRow.value > 6))
            await session.execute(delete(StreamMessage))
            await session.execute(update(StreamRange).values(hi=6))
        hello = wire.Hello(
            session=OTHER, agent="1", epochs=[wire.Holding(ep=EPOCH, accepted={"tel": 10})]
        )
        answers = await taken(store, incoming("hello", wire.encode(hello)))
        assert answers.resumes[0][1].epochs[0].ranges == {"tel": [(1, 6)]}
        await taken(store, tel(1, 10))
        assert await values(database) == list(range(1, 11))

    async def test_dictionary_of_a_restored_backup_is_not_remembered(
        self, database: Database, home: Home
    ) -> None:
        """What a process has read before a restore is never believed after it."""
        store = Store(database, TestClock())
        await taken(store, inv(site.dictionary(1)))
        async with as_owner(database).read() as session:
            before = await session.scalar(select(Gateway.dictionary_stamp))
        await taken(store, inv(site.dictionary(1, a0=1)), tel(1, 2, points=2))
        # The backup: alias 1 is unknown again, and its point gets another id when it comes back.
        async with as_owner(database).write() as session:
            lost = select(Point.id).where(Point.key == site.point(1).key)
            await session.execute(delete(DictionaryEntry).where(DictionaryEntry.alias == 1))
            for table in (SampleRow, Latest):
                await session.execute(delete(table).where(table.point_id.in_(lost)))
            await session.execute(delete(Point).where(Point.key == site.point(1).key))
            await session.execute(delete(StreamRange))
            await session.execute(delete(StreamMessage))
            await session.execute(update(Gateway).values(dictionary_stamp=before))
        answers = await taken(store, tel(1, 2, points=2))
        assert [(nack.nack, nack.have) for _, nack in answers.nacks] == [("need_dict", 1)]
        await taken(store, inv(site.dictionary(1, a0=1)), tel(1, 2, points=2))
        found = await rows_of(database, SampleRow)
        points = {row.key: row.id for row in await rows_of(database, Point)}
        assert {row.value: row.point_id for row in found} == {
            1.0: points[site.point(1).key],
            2.0: points[site.point(0).key],
        }
