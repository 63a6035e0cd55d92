"""Refused rows are released once, or discarded; the account is closed at every step."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from sqlalchemy import delete, func, select

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.account import LossAccount, account
from plantroom_cloud.ingest.batch import GatewayBatch
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.quarantine.payloads import Correction, Held, shown
from plantroom_cloud.quarantine.repository import QuarantineRepository
from plantroom_cloud.quarantine.service import Conflict, Decision, QuarantineService
from plantroom_cloud.tables import (
    EdgeRecord,
    FindingRow,
    Latest,
    Outbox,
    QuarantinedRow,
    SampleRow,
    StreamRange,
    StreamTotal,
    Target,
)
from plantroom_shared import wire
from plantroom_shared.model import Batch
from support import cloud_site as site
from support.cloud_site import EPOCH, GATEWAY, NOW, Home, TestClock
from support.servers import as_owner

HOUR = 3_600_000_000
NOTHING = Correction()


class Cloud:
    """A store with a gateway, and what a person does about its quarantine."""

    def __init__(self, database: Database, home: Home) -> None:
        self.database, self.home = database, home
        self.clock = TestClock()
        self.store = Store(database, self.clock)
        self.scope = Scope(home.company_id)

    async def held(self) -> list[QuarantinedRow]:
        """Return everything that was ever refused, oldest first."""
        async with as_owner(self.database).read() as session:
            query = select(QuarantinedRow).order_by(QuarantinedRow.id)
            return list((await session.execute(query)).scalars())

    async def ids(self) -> list[int]:
        """Return the ids of everything that was ever refused."""
        return [row.id for row in await self.held()]

    async def release(
        self, row: int, correction: Correction = NOTHING, *, gateway: str = GATEWAY
    ) -> Decision:
        """Release a row in a transaction of its own."""
        async with as_owner(self.database).write() as session:
            service = QuarantineService(session, self.scope, self.clock)
            return await service.release(gateway, row, correction, "cli:ann")

    async def discard(
        self, row: int, reason: str = "broken", *, gateway: str = GATEWAY
    ) -> Decision:
        """Discard a row in a transaction of its own."""
        async with as_owner(self.database).write() as session:
            service = QuarantineService(session, self.scope, self.clock)
            return await service.discard(gateway, row, reason, "cli:ann")

    async def books(self, stream: str = "tel") -> LossAccount:
        """Return the account, which must balance."""
        async with as_owner(self.database).read() as session:
            found = await account(session, self.scope, GATEWAY, stream)
            totals = select(StreamTotal.quarantined).where(StreamTotal.stream == stream)
            counted = sum((await session.execute(totals)).scalars())
        assert found is not None
        assert found.balanced
        assert counted == found.quarantined, "the running total and the rows differ"
        return found

    async def all(self, *columns: Any) -> list[tuple[Any, ...]]:
        """Return some columns of all rows, sorted."""
        async with as_owner(self.database).read() as session:
            return sorted(tuple(row) for row in await session.execute(select(*columns)))


@pytest.fixture
async def cloud(database: Database) -> Cloud:
    """A gateway that has told its dictionary of two points."""
    made = Cloud(database, await site.add_home(database))
    await made.store.store([site.inv(site.dictionary(2))])
    return made


def rows(values: list[Any], *, at: int = NOW - HOUR, s0: int = 1, points: int = 1) -> bytes:
    """Return a ``tel`` message with these values a second apart."""
    batch = Batch()
    for row, value in enumerate(values):
        batch.append(row % points, at + row * 1_000_000, value)
    return wire.encode_samples(EPOCH, s0, batch)


async def test_future_row_is_shifted_and_stored_once(cloud: Cloud) -> None:
    """A clock that was an hour ahead: shifted back, marked, latest moved, published; asked twice."""
    async with as_owner(cloud.database).write() as session:
        session.add(Target(company_id=cloud.home.company_id, kind="enos"))
    await cloud.store.store([site.incoming("tel", rows([1.0, 2.0], at=NOW + HOUR))])
    first, second = await cloud.ids()
    before = await cloud.books()
    assert (before.accepted, before.stored, before.quarantined) == (2, 0, 2)
    with pytest.raises(Conflict, match="future_ts"):
        await cloud.release(first)
    assert await cloud.books() == before
    made = await cloud.release(first, Correction(shift_us=-HOUR))
    assert (made.state, made.stored, made.refused) == ("released", 1, 0)
    assert orjson.loads(made.note) == {"shift_us": -HOUR}
    after = await cloud.books()
    assert (after.accepted, after.stored, after.quarantined) == (2, 1, 1)
    stored = await cloud.all(SampleRow.ts_us, SampleRow.value, SampleRow.quality, SampleRow.reason)
    assert stored == [(NOW, 1.0, 1, "corrected")]
    assert await cloud.all(Latest.ts_us, Latest.value) == [(NOW, 1.0)]
    assert await cloud.all(Outbox.rows) == [(1,)]
    cloud.clock.now += 5_000_000
    assert await cloud.release(first, Correction(shift_us=-9)) == made
    assert await cloud.books() == after
    with pytest.raises(Conflict, match="was released"):
        await cloud.discard(first)
    # Once the time has come the other needs no correction, and is as good as it was sent.
    cloud.clock.now = NOW + 2 * HOUR
    await cloud.release(second)
    assert (await cloud.all(SampleRow.value, SampleRow.quality))[1] == (2.0, 0)
    assert (await cloud.books()).quarantined == 0


async def test_sent_again_after_release_is_a_duplicate(cloud: Cloud) -> None:
    """The order numbers stay dealt with: before, while and after."""
    message = site.incoming("tel", rows([1.0, 2.0, 3.0], at=NOW + HOUR))
    await cloud.store.store([message])
    (_, middle, _) = await cloud.ids()
    await cloud.release(middle, Correction(ts_us=NOW - 5))
    answers = await cloud.store.store([message])
    assert list(answers.acks.values()) == [[(1, 3)]]
    books = await cloud.books()
    assert (books.accepted, books.stored, books.quarantined, books.duplicates) == (3, 1, 2, 3)
    assert await cloud.all(SampleRow.ts_us) == [(NOW - 5,)]


async def test_value_is_replaced(cloud: Cloud) -> None:
    """A value that no point can hold takes another; a null is one."""
    payload = site.tampered(rows([1.0, 2.0]), x=[[1], {"a": 1}])
    await cloud.store.store([site.incoming("tel", payload)])
    first, second = await cloud.ids()
    with pytest.raises(Conflict, match="value"):
        await cloud.release(first, Correction(shift_us=1))
    await cloud.release(first, Correction(value=7, replace_value=True))
    await cloud.release(second, Correction(value=None, replace_value=True))
    stored = await cloud.all(SampleRow.ts_us, SampleRow.value)
    assert stored == [(NOW - HOUR, 7.0), (NOW - HOUR + 1_000_000, None)]
    await cloud.books()


async def test_dictionary_that_came_later(cloud: Cloud) -> None:
    """An alias that nobody knew is a point once its dictionary is here, not before."""
    payload = site.tampered(rows([1.0, 2.0], points=2), p=[0, 5], dv=6)
    for _ in range(8):
        await cloud.store.store([site.incoming("tel", payload)])
        cloud.clock.now += 1_000_000
    (row,) = await cloud.ids()
    with pytest.raises(Conflict, match="need_dict"):
        await cloud.release(row)
    await cloud.store.store([site.inv(site.dictionary(4, a0=2))])
    assert (await cloud.release(row)).stored == 1
    assert (await cloud.books()).quarantined == 0
    assert len(await cloud.all(SampleRow.point_id)) == 2


async def test_findings_and_records(cloud: Cloud) -> None:
    """Rows of the other streams go the same way."""
    ahead = site.finding("f-1", started=NOW + HOUR, ended=NOW + 2 * HOUR)
    await cloud.store.store([site.incoming("evt", site.findings(1, [ahead]))])
    bad = {"v": 1, "ep": EPOCH, "st": "aud", "s0": 1, "n": 1}
    record = {"at": NOW, "kind": "NO KIND", "doc": {}}
    await cloud.store.store([site.incoming("aud", wire.pack(bad | {"rc": [record]}))])
    event, audit = await cloud.ids()
    with pytest.raises(Conflict, match="only a sample"):
        await cloud.release(event, Correction(ts_us=NOW))
    await cloud.release(event, Correction(shift_us=-3 * HOUR))
    assert await cloud.all(FindingRow.started_us, FindingRow.ended_us) == [
        (NOW - 2 * HOUR, NOW - HOUR)
    ]
    assert ((await cloud.books("evt")).stored, (await cloud.books("evt")).quarantined) == (1, 0)
    with pytest.raises(Conflict, match="schema"):
        await cloud.release(audit)
    assert await cloud.all(EdgeRecord.seq) == []
    assert (await cloud.books("aud")).quarantined == 1


async def test_whole_message_is_released_row_by_row(cloud: Cloud) -> None:
    """What an older version could not read: good rows are stored, bad ones lie by themselves."""
    payload = rows([1.0, 2.0, 3.0, 4.0], at=NOW + HOUR)
    broken = site.tampered(payload, t0="soon")
    await cloud.store.store([site.incoming("tel", broken)])
    (whole,) = await cloud.held()
    assert (whole.seq, whole.n, whole.reason) == (1, 4, "schema")
    with pytest.raises(Conflict, match=r"cannot be read \(time\)"):
        await cloud.release(whole.id, Correction(shift_us=1))
    with pytest.raises(Conflict, match="shift only"):
        await cloud.release(whole.id, Correction(ts_us=NOW))
    with pytest.raises(Conflict, match="schema"):
        await cloud.release(whole.id)
    # A later version reads it: the same row with the message as it is meant.
    async with as_owner(cloud.database).write() as session:
        stored = await session.get(QuarantinedRow, whole.id)
        assert stored is not None
        stored.payload = site.tampered(payload, x=[1.0, [], 3.0, 4.0])
    made = await cloud.release(whole.id, Correction(shift_us=-HOUR))
    assert (made.stored, made.refused) == (3, 1)
    assert await cloud.release(whole.id) == made
    books = await cloud.books()
    assert (books.accepted, books.stored, books.quarantined) == (4, 3, 1)
    last = (await cloud.held())[-1]
    assert (last.seq, last.n, last.reason) == (2, 1, "value")


async def test_discarded_stays_counted(cloud: Cloud) -> None:
    """It is out of the way, and the sum still comes out; the reason is kept; it is final."""
    await cloud.store.store([site.incoming("tel", rows([1.0, 2.0], at=NOW + HOUR))])
    first, _ = await cloud.ids()
    made = await cloud.discard(first, "test\x00 bench")
    assert (made.state, made.stored, made.note) == ("discarded", 0, "test bench")
    cloud.clock.now += 1
    assert await cloud.discard(first, "again") == made
    books = await cloud.books()
    assert (books.accepted, books.quarantined, books.discarded) == (2, 2, 1)
    with pytest.raises(Conflict, match="was discarded: test bench"):
        await cloud.release(first, Correction(shift_us=-HOUR))


async def test_foreign_rows_are_not_there(cloud: Cloud) -> None:
    """Another company's gateway, another gateway of the company, a number that is none: 404."""
    await cloud.store.store([site.incoming("tel", rows([1.0], at=NOW + HOUR))])
    (row,) = await cloud.ids()
    rival = await site.add_home(cloud.database, "rival", "tower", "gw-rival-001")
    own = cloud.scope
    for cloud.scope, gateway, number in (
        (Scope(rival.company_id), GATEWAY, row),
        (Scope(rival.company_id), "gw-rival-001", row),
        (own, GATEWAY, row + 99),
    ):
        for call in (cloud.release, cloud.discard):
            with pytest.raises(NotFound):
                await call(number, gateway=gateway)


UNREADABLE = {
    b"not json": "malformed",
    b'"cannot be shown"': "malformed",
    b'{"p":0,"x":1.0,"q":null,"t":"soon"}': "malformed",
    b'{"p":0}': "malformed",
    b'{"p":0,"x":1.0,"q":null,"t":"9999999999999999999"}': "time",
    b'{"p":-1,"x":1.0,"q":null,"t":"1767222000000000"}': "alias",
    b'{"p":[1],"x":1.0,"q":null,"t":"1767222000000000"}': "alias",
    b'{"p":0,"x":1.0,"q":null,"t":"9999999999999999999999999"}': "value",
    b"\x1f\x8bdamaged": "malformed",
    wire.pack({"v": 9}): "version",
}


async def test_what_cannot_be_read_stays(cloud: Cloud) -> None:
    """Whatever lies in the quarantine, a release ends in a conflict and changes nothing."""
    await cloud.store.store([site.incoming("tel", rows([1.0], at=NOW + HOUR))])
    (row,) = await cloud.ids()
    before = await cloud.books()
    for payload, reason in UNREADABLE.items():
        async with as_owner(cloud.database).write() as session:
            held = await session.get(QuarantinedRow, row)
            assert held is not None
            held.payload = payload
        with pytest.raises(Conflict) as caught:
            await cloud.release(row)
        assert reason in str(caught.value.errors), payload
        assert await cloud.books() == before


async def test_row_that_is_stored_already_is_no_second_row(cloud: Cloud) -> None:
    """Where its place is taken the account could not close: it stays."""
    await cloud.store.store([site.incoming("tel", rows([1.0], at=NOW + HOUR))])
    (row,) = await cloud.ids()
    await cloud.store.store([site.incoming("tel", rows([5.0], at=NOW - 5, s0=2))])
    async with as_owner(cloud.database).write() as session:
        sample = (await session.execute(select(SampleRow.point_id, SampleRow.tie))).one()
        values = {"point_id": sample.point_id, "ts_us": NOW - 9, "quality": 0, "reason": ""}
        values["tie"] = sample.tie - 1  # ties count up by order number
        session.add(SampleRow(company_id=cloud.home.company_id, value=1.0, **values))
    with pytest.raises(Conflict, match="stored already"):
        await cloud.release(row, Correction(ts_us=NOW - 9))
    await cloud.books()


async def test_asked_by_many_at_once_while_rows_come_in(cloud: Cloud) -> None:
    """Releases of the same rows, discards and the ingest together: each row in one place."""
    count = 6
    await cloud.store.store([site.incoming("tel", rows([1.0] * count, at=NOW + HOUR))])
    ids = await cloud.ids()

    async def decide(row: int, *, keep: bool) -> str:
        try:
            if keep:
                return (await cloud.release(row, Correction(shift_us=-HOUR - 10_000_000))).state
            return (await cloud.discard(row)).state
        except Conflict as error:
            return error.problem_code

    async def more(s0: int) -> None:
        await cloud.store.store([site.incoming("tel", rows([2.0] * 5, s0=s0, at=NOW - HOUR))])

    jobs = [decide(row, keep=keep) for row in ids for keep in (True, False, True)]
    flood = [more(s0) for s0 in range(count + 1, count + 26, 5)]
    results = await asyncio.gather(*jobs, *flood)
    # Whoever came first decided: all the others heard the same.
    decided = [set(results[n * 3 : n * 3 + 3]) for n in range(count)]
    assert all(each in ({"released"}, {"discarded"}) for each in decided)
    books = await cloud.books()
    async with as_owner(cloud.database).read() as session:
        stored = await session.scalar(select(func.count()).select_from(SampleRow))
    assert books.discarded == books.quarantined == decided.count({"discarded"})
    assert books.stored == stored == 25 + decided.count({"released"})
    assert books.accepted == count + 25


async def test_whole_message_of_findings_is_shifted(cloud: Cloud) -> None:
    """All times of all its rows; one that has no rows cannot be."""
    payload = site.findings(1, [site.finding(f"f-{n}", started=NOW + HOUR) for n in range(2)])
    broken = site.tampered(payload, ev={})
    await cloud.store.store([site.incoming("evt", broken)])
    (row,) = await cloud.ids()
    with pytest.raises(Conflict, match="schema"):
        await cloud.release(row, Correction(shift_us=-HOUR))
    async with as_owner(cloud.database).write() as session:
        held = await session.get(QuarantinedRow, row)
        assert held is not None
        held.payload = payload
    assert (await cloud.release(row, Correction(shift_us=-HOUR))).stored == 2
    assert await cloud.all(FindingRow.started_us) == [(NOW,), (NOW,)]
    await cloud.books("evt")


async def test_rows_without_order_numbers_are_not_released(cloud: Cloud) -> None:
    """What devices stream by themselves can only be discarded."""
    await cloud.store.store([site.incoming("tel", rows([1.0], at=NOW + HOUR))])
    (row,) = await cloud.ids()
    async with as_owner(cloud.database).write() as session:
        await session.execute(delete(StreamRange))
    with pytest.raises(Conflict, match="streaming devices"):
        await cloud.release(row, Correction(shift_us=-HOUR))
    assert (await cloud.discard(row)).state == "discarded"


async def test_database_that_refuses_a_row_keeps_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is undone, and the row lies where it lay."""
    await cloud.store.store([site.incoming("tel", rows([1.0], at=NOW + HOUR))])
    (row,) = await cloud.ids()

    async def refuse(*_: object) -> None:
        raise OverflowError

    monkeypatch.setattr(GatewayBatch, "take", refuse)
    with pytest.raises(Conflict, match="the database refuses it"):
        await cloud.release(row, Correction(shift_us=-HOUR))
    assert (await cloud.books()).quarantined == 1


def test_what_is_shown_to_a_person() -> None:
    """Messages are unpacked, long lists cut; what is no JSON is shown as bytes."""

    def held(payload: bytes) -> Held:
        return Held(GATEWAY, EPOCH, "tel", 1, 30, payload)

    content = shown(held(wire.pack({"v": 1, "x": list(range(30)), "p": [1]})))
    assert content == {"v": 1, "x": [*range(20), "... 30 in all"], "p": [1]}
    assert shown(held(b"\x1f\x8bdamaged")) == {"bytes": b"\x1f\x8bdamaged".hex()}
    assert shown(held(b"{")) == {"bytes": "7b"}
    assert shown(held(b'"cannot be shown"')) == "cannot be shown"


async def test_alias_that_is_none_names_no_point(cloud: Cloud) -> None:
    """Whatever stands in the place of an alias."""
    held = Held(GATEWAY, EPOCH, "tel", 1, 1, b"")
    async with as_owner(cloud.database).read() as session:
        found = QuarantineRepository(session, cloud.scope)
        assert [await found.point(held, alias) for alias in ([1], -1, 2**40, None, True, 9)] == (
            [None] * 6
        )
        known = await found.point(held, 1)
    assert known is not None
    assert known.key == "bacnet:1:analog-input:1"
