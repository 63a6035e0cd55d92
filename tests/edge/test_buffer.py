"""The buffer in good times: what is accepted, in which order it comes out, what deletes it."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_edge import buffer as buffer_module
from plantroom_edge import buffer_account as account
from plantroom_edge import buffer_points
from plantroom_edge.buffer import Buffer
from plantroom_edge.buffer_db import PAGE, Frame
from plantroom_edge.buffer_rows import (
    clean,
    encode_dictionary,
    encode_findings,
    encode_rows,
    join,
    unfit,
)
from plantroom_edge.buffer_store import Store
from plantroom_shared import ranges
from plantroom_shared.errors import Rejected, Unavailable
from plantroom_shared.model import Batch, Finding, Point, Quality, Value
from plantroom_shared.wire import (
    MAX_ROWS,
    Dictionary,
    Findings,
    Gap,
    Samples,
    Stream,
    decode,
    decode_rows,
)
from support.edge_rows import METER, batch, counting, finding, points


@asynccontextmanager
async def opened(folder: Path, **options: object) -> AsyncIterator[Buffer]:
    options = {"commit_s": 0.001} | options
    buffer = await Buffer.open(folder / "buffer.db", **options)  # type: ignore[arg-type] # passed on
    try:
        yield buffer
    finally:
        await buffer.close()


async def everything(buffer: Buffer, stream: Stream = "tel") -> list[Frame]:
    out: list[Frame] = []
    after = (0, 0)
    while frames := await buffer.next(stream, after, 3):
        out += frames
        after = (frames[-1].order, frames[-1].last)
    return out


def values_of(frames: list[Frame]) -> list[Value]:
    out: list[Value] = []
    for frame in frames:
        rows = decode_rows(frame.blob)
        assert isinstance(rows, Samples)
        assert (rows.ep, rows.s0, rows.n, rows.dv) == (frame.ep, frame.s0, frame.n, frame.dv)
        out += rows.batch.values
    return out


def noise(start: int, rows: int) -> Batch:
    """Return rows that do not compress."""
    return batch([0] * rows, [zlib.crc32(b"%d" % (start + i)) / 7 for i in range(rows)])


async def test_rows_come_out_in_order_under_numbers_from_one(tmp_path: Path) -> None:
    """Order numbers start at 1 in every epoch and leave no hole; the frames are whole messages."""
    async with opened(tmp_path) as buffer:
        aliases = await buffer.add_points(points(3), [METER])
        assert aliases == [0, 1, 2]
        for i in range(10):
            await buffer.append(batch(aliases, [i, i + 0.5, f"text {i}"]))
        frames = await everything(buffer)
        assert values_of(frames) == [v for i in range(10) for v in (i, i + 0.5, f"text {i}")]
        assert ranges.merge((f.s0, f.last) for f in frames) == [(1, 30)]
        assert buffer.accepted == 30


async def test_a_point_that_is_another_one_has_a_further_alias(tmp_path: Path) -> None:
    """An alias never changes its meaning; who is described as before keeps the one that it has."""
    async with opened(tmp_path) as buffer:
        first, second = points(2)
        other = first.model_copy(update={"unit": "furlong"})
        assert await buffer.add_points([first, second], [METER]) == [0, 1]
        assert await buffer.add_points([other, second], [METER]) == [2, 1]
        assert await buffer.add_points([second, other, first], [METER]) == [1, 2, 2]
        assert await buffer.add_points([first], [METER]) == [3]
        (message,), size = await buffer.dictionary(buffer.epoch, 0)
        assert decode(Dictionary, message).points == [first, second, other, first]
        assert size == buffer.dictionary_size == 4


async def test_points_do_not_change_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that is another one at every look does not fill the dictionary; new points come in."""
    monkeypatch.setattr(buffer_points, "_ANYWAY", 10)
    async with opened(tmp_path) as buffer:
        (first,) = points(1)

        async def change_for_ever() -> None:
            for number in itertools.count():
                await buffer.add_points([first.model_copy(update={"unit": f"u{number}"})], [])

        with pytest.raises(Unavailable, match="changes them without end"):
            await change_for_ever()
        assert await buffer.add_points(points(2)[1:], []) == [buffer.dictionary_size - 1]


async def test_appenders_share_a_transaction(tmp_path: Path) -> None:
    """Batches handed in within the commit interval become one message."""
    async with opened(tmp_path, commit_s=0.05) as buffer:
        await buffer.add_points(points(1), [])
        await asyncio.gather(*(buffer.append(counting(i * 10, 10)) for i in range(5)))
        (frame,) = await everything(buffer)
        assert frame.n == 50


async def test_many_rows_do_not_wait_for_the_interval(tmp_path: Path) -> None:
    """From a full message on a commit starts at once, whatever the interval."""
    async with opened(tmp_path, commit_s=3600.0) as buffer:
        await buffer.add_points(points(1), [])
        async with asyncio.timeout(60):
            await buffer.append(counting(0, MAX_ROWS))


async def test_where_nothing_is_held_nobody_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is asked for frames only where there may be some; what comes later is found."""
    looks: list[str] = []
    look = Store.next

    def seen(store: Store, stream: Stream, *ask: Any) -> list[Frame]:
        looks.append(stream)
        return look(store, stream, *ask)

    monkeypatch.setattr(Store, "next", seen)
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        assert await everything(buffer, "tel") == await everything(buffer, "evt") == []
        await buffer.append(counting(0, 3))
        (frame,) = await buffer.next("tel", (0, 0), 5)
        assert await buffer.next("tel", (frame.order, frame.last), 5) == []
        await buffer.confirm(buffer.epoch, "tel", [(1, 3)])
        assert await buffer.next("tel", (0, 0), 5) == []
        assert looks == ["tel"]
        await buffer.revive(buffer.epoch, "tel", [(2, 2)])
        await buffer.append_findings([finding("f")])
        assert [one.n for one in await buffer.next("tel", (0, 0), 5)] == [3]
        assert [one.n for one in await buffer.next("evt", (0, 0), 5)] == [1]


async def test_flush_commits_what_waits(tmp_path: Path) -> None:
    """A flush does not wait for the interval either."""
    async with opened(tmp_path, commit_s=3600.0) as buffer:
        await buffer.add_points(points(1), [])
        promise = buffer.offer(counting(0, 3))
        await buffer.flush()
        assert promise.done()
        await buffer.append(Batch())
        assert (await buffer.stats()).held["tel"] == 3


async def test_flush_commits_a_note_made_during_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What begins to wait while the disk is at work is not taken for something it refuses."""
    at_work, go_on = threading.Event(), threading.Event()
    async with opened(tmp_path, commit_s=3600) as buffer:
        await buffer.add_points(points(1), [])
        await buffer.flush()
        plain = buffer._store.append

        def append(*what: Any) -> list[tuple[int, Batch]]:
            written = plain(*what)
            at_work.set()
            assert go_on.wait(60)
            return written

        monkeypatch.setattr(buffer._store, "append", append)
        buffer.offer(counting(0, 1))
        buffer._start_commit()
        assert await asyncio.to_thread(at_work.wait, 60)
        buffer.audit("agent.stop")
        flushed = asyncio.create_task(buffer.flush())
        await asyncio.sleep(0)  # it has looked, and waits for the commit
        go_on.set()
        await flushed
        assert buffer._store.notes == []
        assert buffer.accepted == sum((await buffer.stats()).accepted.values())


async def test_big_batches_are_split(tmp_path: Path) -> None:
    """No message holds more than its limit of rows or bytes."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        await buffer.append(counting(0, 2 * MAX_ROWS + 1))
        texts: list[Value] = [
            "".join(chr(33 + zlib.crc32(b"%d.%d" % (i, j)) % 90) for j in range(1000))
            for i in range(300)
        ]
        await buffer.append(batch([0] * 300, texts))
        frames = await everything(buffer)
        assert [frame.n for frame in frames[:2]] == [MAX_ROWS, MAX_ROWS]
        assert values_of(frames)[2 * MAX_ROWS + 1 :] == texts


async def test_each_start_is_an_epoch_and_old_ones_are_sent_first(tmp_path: Path) -> None:
    """After a restart numbering begins anew and the old rows come out before the new ones."""
    epochs = []
    for start in range(3):
        async with opened(tmp_path) as buffer:
            await buffer.add_points(points(1), [])
            await buffer.append(counting(start * 10, 10))
            epochs.append(buffer.epoch)
            assert buffer.boot == start + 1
    async with opened(tmp_path) as buffer:
        frames = await everything(buffer)
        assert [frame.ep for frame in frames] == epochs
        assert values_of(frames) == [float(i) for i in range(30)]
        assert [h.ep for h in await buffer.holdings()] == [*epochs, buffer.epoch]


async def test_numbers_are_not_reused_after_the_queue_has_drained(tmp_path: Path) -> None:
    """An empty buffer goes on counting where it was."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        await buffer.append(counting(0, 10))
        assert await buffer.confirm(buffer.epoch, "tel", [(1, 10)]) == 10
        assert await everything(buffer) == []
        await buffer.append(counting(10, 10))
        (frame,) = await everything(buffer)
        assert frame.s0 == 11
        (holding,) = await buffer.holdings()
        assert holding.accepted == {"cmd": 0, "evt": 0, "aud": 0, "tel": 20}
        assert holding.held == {"tel": [(11, 20)]}


async def test_confirm_deletes_whole_messages_only(tmp_path: Path) -> None:
    """A message of which a part is acked stays, and is counted as held, as a whole."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        for i in range(3):
            await buffer.append(counting(i * 10, 10))
        assert await buffer.confirm(buffer.epoch, "tel", [(5, 25)]) == 10
        (holding,) = await buffer.holdings()
        assert holding.held == {"tel": [(1, 10), (21, 30)]}
        assert await buffer.confirm(buffer.epoch, "evt", [(1, 30)]) == 0
        assert await buffer.confirm("f" * 16, "tel", [(1, 30)]) == 0


async def test_findings_have_numbers_of_their_own(tmp_path: Path) -> None:
    """Findings and samples are two streams that do not disturb each other."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        await asyncio.gather(
            buffer.append_findings([finding("a"), finding("b")]), buffer.append(counting(0, 5))
        )
        (frame,) = await everything(buffer, "evt")
        message = decode_rows(frame.blob)
        assert isinstance(message, Findings)
        assert [entry.id for entry in message.ev] == ["a", "b"]
        assert (frame.s0, frame.n, frame.dv) == (1, 2, 0)
        stats = await buffer.stats()
        assert stats.held == stats.accepted == {"cmd": 0, "evt": 2, "aud": 0, "tel": 5}


async def test_dictionary_only_grows(tmp_path: Path) -> None:
    """A point keeps its alias; only new ones get new aliases."""
    async with opened(tmp_path) as buffer:
        some = points(5)
        assert await buffer.add_points(some[:2], [METER]) == [0, 1]
        assert await buffer.add_points([some[3], some[1], some[2], some[3]], []) == [2, 1, 3, 2]
        assert buffer.dictionary_size == 4
        (blob,), size = await buffer.dictionary(buffer.epoch, 1)
        chunk = decode(Dictionary, blob)
        assert (chunk.a0, size) == (1, 4)
        assert [point.key for point in chunk.points] == [some[i].key for i in (1, 3, 2)]
        assert chunk.devices == [METER]
        assert await buffer.dictionary("f" * 16, 0) == ([], 0)


async def test_old_dictionaries_live_as_long_as_their_rows(tmp_path: Path) -> None:
    """An earlier epoch's dictionary can be sent until its last row is confirmed."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(3), [METER])
        await buffer.append(counting(0, 5))
        old = buffer.epoch
    async with opened(tmp_path, retain_s=0.0) as buffer:
        (blob,), size = await buffer.dictionary(old, 0)
        chunk = decode(Dictionary, blob)
        assert (chunk.points, chunk.devices, size) == (points(3), [METER], 3)
        assert await buffer.confirm(old, "tel", [(1, 5)]) == 5
        assert await buffer.dictionary(old, 0) == ([], 0)
        assert (await buffer.stats()).accepted["tel"] == 5


async def test_the_limit_turns_the_oldest_samples_into_one_gap(tmp_path: Path) -> None:
    """Over its limit the buffer declares the oldest samples lost, in one gap, and keeps findings."""
    limit = 128 * PAGE
    async with opened(tmp_path, limit_bytes=limit) as buffer:
        await buffer.add_points(points(1), [])
        await buffer.append_findings([finding("kept")])
        for i in range(100):
            await buffer.append(noise(i * 1000, 1000))
        stats = await buffer.stats()
        assert stats.used_bytes <= limit
        first, *rest = await everything(buffer)
        gap = decode_rows(first.blob)
        assert isinstance(gap, Gap)
        assert (gap.s0, gap.gap) == (1, "quota")
        assert gap.n == stats.lost["quota_tel"]
        assert gap.n + sum(frame.n for frame in rest) == 100_000
        assert values_of(rest)[-1] == noise(99_000, 1000).values[-1]
        assert len(await everything(buffer, "evt")) == 1


async def test_a_gap_is_acked_like_data_and_in_parts(tmp_path: Path) -> None:
    """What the cloud knows of a gap goes from it; the rest stays declared."""
    async with opened(tmp_path, limit_bytes=64 * PAGE) as buffer:
        await buffer.add_points(points(1), [])
        for i in range(60):
            await buffer.append(noise(i * 1000, 1000))
        gap = (await everything(buffer))[0]
        await buffer.confirm(buffer.epoch, "tel", [(101, 200)])
        first, second, *_ = await everything(buffer)
        assert (first.s0, first.last, second.s0, second.last) == (1, 100, 201, gap.last)
        await buffer.confirm(buffer.epoch, "tel", [(1, gap.last)])
        assert (await everything(buffer))[0].s0 == gap.last + 1


async def test_a_flood_of_findings_stays_in_its_share(tmp_path: Path) -> None:
    """Findings beyond their share cost the oldest findings, declared, and no sample."""
    async with opened(tmp_path, limit_bytes=400 * PAGE) as buffer:
        await buffer.add_points(points(1), [])
        await buffer.append(noise(0, 500))
        for i in range(300):
            evidence = {"blob": noise(i, 60).values}
            await buffer.append_findings([finding(f"f{i}", evidence=evidence)])
        stats = await buffer.stats()
        assert 0 < stats.lost["quota_evt"] < 300
        assert (stats.held["tel"], stats.held["evt"]) == (500, 300)
        assert [name for name in stats.lost if name.endswith("tel")] == []
        last = decode_rows((await everything(buffer, "evt"))[-1].blob)
        assert isinstance(last, Findings)
        assert last.ev[-1].id == "f299"


async def test_samples_cannot_take_what_belongs_to_findings(tmp_path: Path) -> None:
    """However many samples come, findings keep their room: none is given up."""
    async with opened(tmp_path, limit_bytes=400 * PAGE) as buffer:
        await buffer.add_points(points(1), [])
        for i in range(80):
            await buffer.append(noise(i * 4000, 4000))
            await buffer.append_findings([finding(f"f{i}")])
        stats = await buffer.stats()
        assert stats.lost.keys() == {"quota_tel"}
        assert len(await everything(buffer, "evt")) == 80


async def test_the_file_shrinks_after_a_long_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that are no longer needed are given back to the disk."""
    monkeypatch.setattr("plantroom_edge.buffer_store._VACUUM_ABOVE", 64)
    async with opened(tmp_path, retain_s=0.0) as buffer:
        await buffer.add_points(points(1), [])
        for i in range(8):
            await buffer.append(noise(i * 100_000, 60_000))
        before = (tmp_path / "buffer.db").stat().st_size
        for frame in await everything(buffer):
            await buffer.confirm(frame.ep, "tel", [(frame.s0, frame.last)])
    assert (tmp_path / "buffer.db").stat().st_size < before / 2


async def test_one_value_that_cannot_travel_costs_no_other(tmp_path: Path) -> None:
    """A value that JSON cannot hold becomes a bad row between its good neighbours."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        await buffer.append(batch([0] * 4, [1.0, 2**70, "\ud800", 4.0]))
        (frame,) = await everything(buffer)
        rows = decode_rows(frame.blob)
        assert isinstance(rows, Samples)
        assert rows.batch.values == [1.0, None, None, 4.0]
        assert rows.batch.quality == {1: (2, "overrange"), 2: (2, "text")}


async def test_a_finding_too_big_loses_its_evidence_only(tmp_path: Path) -> None:
    """An event whose evidence does not fit is sent without it; its neighbours keep theirs."""
    async with opened(tmp_path) as buffer:
        big = finding("big", evidence={"values": noise(0, 40_000).values})
        odd = finding("odd", evidence={"what": object()})
        await buffer.append_findings([finding("a", evidence={"x": 1}), big, odd, finding("z")])
        found: list[Finding] = []
        for frame in await everything(buffer, "evt"):
            message = decode_rows(frame.blob)
            assert isinstance(message, Findings)
            found += message.ev
        assert [(entry.id, entry.evidence) for entry in found] == [
            ("a", {"x": 1}),
            ("big", {"dropped": "too_big"}),
            ("odd", {"dropped": "too_big"}),
            ("z", {}),
        ]


async def test_rows_beyond_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk cannot keep up, rows are refused and counted rather than piled up."""
    monkeypatch.setattr(buffer_module, "MAX_WAITING", 100)
    async with opened(tmp_path, commit_s=3600.0) as buffer:
        await buffer.add_points(points(1), [])
        first = buffer.offer(counting(0, 90))
        with pytest.raises(Unavailable, match="slower"):
            await buffer.append(counting(90, 20))
        assert buffer.refused == 20
        await buffer.flush()
        await first
        assert (await buffer.stats()).accepted["tel"] == 90


async def test_a_defect_in_a_batch_leaves_nobody_waiting(tmp_path: Path) -> None:
    """An append that fails for whatever reason raises; the next one works."""
    async with opened(tmp_path, commit_s=0.001) as buffer:
        with pytest.raises((ValueError, TypeError, IndexError)):
            await buffer.append(Batch([0, 0], [], []))
        assert buffer.refused == 2
        await buffer.append(counting(0, 2))
        assert (await buffer.stats()).accepted["tel"] == 2


async def test_changed_tells_of_news(tmp_path: Path) -> None:
    """Whoever sends is woken by new rows and by new points."""
    async with opened(tmp_path, commit_s=0.001) as buffer:
        await buffer.add_points(points(1), [])
        assert buffer.changed.is_set()
        buffer.changed.clear()
        await buffer.append(counting(0, 1))
        assert buffer.changed.is_set()


async def test_many_drained_epochs_are_forgotten_but_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that restarts for ever keeps a short list of epochs and a true total."""
    monkeypatch.setattr("plantroom_edge.buffer_store._KEEP_EPOCHS", 2)
    for i in range(6):
        async with opened(tmp_path, retain_s=0.0) as buffer:
            await buffer.add_points(points(1), [])
            await buffer.append(counting(i, 1))
            await buffer.confirm(buffer.epoch, "tel", [(1, 1)])
    async with opened(tmp_path, retain_s=0.0) as buffer:
        stats = await buffer.stats()
        assert stats.epochs == 3
        assert stats.accepted["tel"] == 6


async def test_accounts_of_very_many_epochs_stay_within_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more epochs than a message holds the oldest and the present one are named."""
    monkeypatch.setattr(account, "MAX_EPOCHS", 3)
    epochs = []
    for i in range(5):
        async with opened(tmp_path) as buffer:
            await buffer.add_points(points(1), [])
            await buffer.append(counting(i, 1))
            epochs.append(buffer.epoch)
    async with opened(tmp_path) as buffer:
        named = [holding.ep for holding in await buffer.holdings()]
        assert named == [*epochs[:2], buffer.epoch]


def test_the_schema_is_whole_and_in_order(tmp_path: Path) -> None:
    """A new file carries the number of the latest step, WAL and full sync."""
    from plantroom_edge.buffer_db import connect, migrations

    steps = [number for number, _ in migrations()]
    assert steps == list(range(1, len(steps) + 1))
    db = connect(tmp_path / "b.db")
    assert db.execute("PRAGMA user_version").fetchone() == (steps[-1],)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    db.close()
    assert isinstance(sqlite3.connect(tmp_path / "b.db"), sqlite3.Connection)


@given(st.lists(st.integers(0, 4500), max_size=6))
def test_joining_keeps_every_row_in_place(sizes: list[int]) -> None:
    """Joined batches hold the same rows in the same order, with their quality, within the limit."""
    batches, start = [], 0
    for size in sizes:
        one = counting(start, size)
        one.quality |= {row: (int(Quality.BAD), str(start + row)) for row in range(0, size, 7)}
        batches.append(one)
        start += size
    expected = {
        int(reason): (code, reason) for one in batches for code, reason in one.quality.values()
    }
    seen: list[Value] = []
    marked: dict[int, tuple[int, str]] = {}
    for one in join(batches):
        assert 1 <= len(one) <= MAX_ROWS
        assert len(one.points) == len(one.times) == len(one.values)
        marked |= {len(seen) + row: entry for row, entry in one.quality.items()}
        seen += one.values
    assert seen == [float(i) for i in range(start)]
    assert marked == expected


@given(
    st.one_of(
        st.floats(allow_nan=True),
        st.integers(),
        st.booleans(),
        st.none(),
        st.text(st.characters()),
        st.builds(lambda n: "x" * n, st.integers(4090, 4100)),
        st.binary(max_size=3),
        st.lists(st.integers(), max_size=2),
    )
)
def test_what_is_called_fit_can_be_stored_by_the_cloud(value: Value) -> None:
    """After cleaning every value travels and no row is refused by the decoder."""
    rows = batch([0, 0], [value, 1.0])
    clean(rows)
    (message,) = encode_rows("a" * 16, 1, rows)
    decoded = decode_rows(message.blob)
    assert isinstance(decoded, Samples)
    assert decoded.bad_rows == {}
    assert decoded.batch.values == [None if unfit(value) else value, 1.0]


def test_long_dictionaries_are_cut_into_messages() -> None:
    """Chunks follow each other without a hole, each small enough; a monstrous point loses states."""
    many = [
        Point(key=f"k{i}", device="d", name=str(zlib.crc32(b"%d" % i)) * 40) for i in range(4100)
    ]
    monster = Point(
        key="m",
        device="d",
        name="m",
        states=tuple(str(zlib.crc32(b"%d" % i)) * 20 for i in range(60_000)),
    )
    known = [Point(key=f"sent{i}", device="d", name="sent before") for i in range(5)]
    everything = [*known, *many, monster]
    chunks = [decode(Dictionary, blob) for blob in encode_dictionary("a" * 16, 5, everything, {})]
    at = 5
    for chunk in chunks:
        assert chunk.a0 == at
        at += len(chunk.points)
    assert at == 5 + 4101
    assert chunks[-1].points[-1].states == ()


def test_more_findings_than_a_message_holds_are_split() -> None:
    """Thousands of findings become several messages, numbered on."""
    found = [finding(f"f{i}") for i in range(MAX_ROWS + 5)]
    messages = list(encode_findings("a" * 16, 1, found))
    assert sum(message.n for message in messages) == MAX_ROWS + 5
    assert messages[-1].s0 + messages[-1].n == MAX_ROWS + 6


def test_a_single_row_too_big_for_a_message_goes_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a row that no message could hold costs nothing but its own value."""
    from plantroom_shared.wire import encode_samples as real

    def strict(ep: str, s0: int, rows: Batch, **_: object) -> bytes:
        if rows.values[0] == "huge":
            msg = "too big"
            raise Rejected(msg, reason="too_big")
        return real(ep, s0, rows)

    monkeypatch.setattr("plantroom_edge.buffer_rows.encode_samples", strict)
    (message,) = encode_rows("a" * 16, 1, batch([0], ["huge"]))
    decoded = decode_rows(message.blob)
    assert isinstance(decoded, Samples)
    assert decoded.batch.quality == {0: (2, "too_big")}
