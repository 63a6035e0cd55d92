"""The buffer over time: retention, revival, thinning, clocks, snapshots, audit, the old schema."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from plantroom_edge import buffer_account as account
from plantroom_edge import buffer_clock, buffer_db, buffer_latest, buffer_retain
from plantroom_edge.buffer import Buffer
from plantroom_edge.buffer_db import PAGE, Frame, crc_of
from plantroom_edge.buffer_rows import encode_records, encode_rows
from plantroom_edge.buffer_store import Options, Store
from plantroom_shared import ranges
from plantroom_shared.model import Batch
from plantroom_shared.wire import MAX_ROWS, Gap, Record, Records, Samples, Stream, decode_rows
from support.edge_rows import METER, batch, counting, finding, points
from support.edge_time import T0, VirtualTime

HOUR = 3600.0
MINUTE_US = 60_000_000


@asynccontextmanager
async def opened(folder: Path, **options: object) -> AsyncIterator[Buffer]:
    options = {"commit_s": 0.001} | options
    buffer = await Buffer.open(folder / "buffer.db", **options)  # type: ignore[arg-type] # passed on
    try:
        yield buffer
    finally:
        await buffer.close()


async def everything(buffer: Buffer, stream: Stream = "tel") -> list[Frame]:
    return await buffer.next(stream, (0, 0), 10_000)


def store_at(path: Path, time_: VirtualTime, *, ep: str = "e" * 16, pages: int = 4000) -> Store:
    store = Store(path, pages * PAGE, ep, time_, Options(reserve=64 * 1024))
    store.run(lambda: store.add_points(points(4), [METER]))
    return store


# ---------------------------------------------------------------- confirmed rows


async def test_confirmed_rows_come_back_when_the_cloud_has_lost_them(tmp_path: Path) -> None:
    """Confirmed rows leave the account at once and can be held again while they are retained."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        for i in range(4):
            await buffer.append(counting(i * 10, 10))
        before = [frame.blob for frame in await everything(buffer)]
        assert await buffer.confirm(buffer.epoch, "tel", [(1, 40)]) == 40
        assert await everything(buffer) == []
        stats = await buffer.stats()
        assert (stats.held["tel"], stats.retained["tel"]) == (0, 40)
        assert await buffer.revive(buffer.epoch, "tel", [(15, 22)]) == 20
        assert [frame.blob for frame in await everything(buffer)] == before[1:3]
        (holding,) = await buffer.holdings()
        assert holding.held == {"tel": [(11, 30)]}
        assert await buffer.revive("f" * 16, "tel", [(1, 40)]) == 0
        assert await buffer.confirm(buffer.epoch, "tel", [(1, 40)]) == 20
        assert (await buffer.stats()).retained["tel"] == 40
        assert await buffer._run(lambda: account.problems(buffer._store.db)) == []


async def test_retained_rows_and_their_dictionary_survive_a_restart(tmp_path: Path) -> None:
    """What is retained outlives the process, its dictionary with it."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(2), [METER])
        await buffer.append(counting(0, 10))
        old = buffer.epoch
        await buffer.confirm(old, "tel", [(1, 10)])
    async with opened(tmp_path) as buffer:
        assert (await buffer.dictionary(old, 0))[1] == 2
        assert await buffer.revive(old, "tel", [(1, 10)]) == 10
        (frame,) = await everything(buffer)
        assert (frame.ep, frame.n) == (old, 10)


def test_retention_ends_after_its_time(tmp_path: Path) -> None:
    """Confirmed rows are deleted two days later, and the dictionary of an old epoch with them."""
    time_ = VirtualTime()
    store = store_at(tmp_path / "b.db", time_, ep="1" * 16)
    store.run(lambda: store.append([counting(0, 100)], []))
    store.close()
    store = store_at(tmp_path / "b.db", time_)
    store.run(lambda: store.confirm("1" * 16, "tel", [(1, 100)]))
    time_.seconds += 47 * HOUR
    store.run(lambda: store.append([counting(0, 1)], []))
    assert store.run(store.stats).retained["tel"] == 100
    time_.seconds += 3 * HOUR
    store.run(lambda: store.append([counting(0, 1)], []))
    assert store.run(store.stats).retained["tel"] == 0
    assert store.run(lambda: store.revive("1" * 16, "tel", [(1, 100)])) == 0
    assert store.run(lambda: store.dictionary("1" * 16, 0)) == ([], 0)
    store.close()


def test_retained_rows_are_the_first_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full buffer costs confirmed rows before any that the cloud has not got."""
    monkeypatch.setattr(buffer_retain, "_AT_ONCE", 3)
    time_ = VirtualTime()
    store = store_at(tmp_path / "b.db", time_, pages=170)
    for i in range(40):
        store.run(lambda: store.append([noise(i * 2000, 2000)], []))  # noqa: B023 -- run at once
        store.run(lambda: store.confirm(store.ep, "tel", [(1, 40_000)]))
        time_.seconds += 60
    stats = store.run(store.stats)
    assert stats.lost == {}
    assert 0 < stats.retained["tel"] < 40_000
    assert stats.held["tel"] == 40_000
    assert stats.used_bytes <= 170 * PAGE
    store.close()


def test_a_confirmed_message_that_nobody_names_is_swept(tmp_path: Path) -> None:
    """A lost list of retained rows costs the retained messages, and no row that is held."""
    time_ = VirtualTime()
    store = store_at(tmp_path / "b.db", time_)
    store.run(lambda: store.append([counting(0, 100)], []))
    store.run(lambda: store.append([counting(100, 100)], []))
    store.run(lambda: store.confirm(store.ep, "tel", [(1, 100)]))
    store.db.execute("UPDATE retained SET crc = 0")
    assert any("both held and confirmed" in said for said in account.problems(store.db))
    store._close()
    (frame,) = store.run(lambda: store.next("tel", (0, 0), 10))
    assert frame.s0 == 101
    assert store.run(lambda: account.problems(store.db)) == []
    store.close()


# ---------------------------------------------------------------- thinning


def noise(start: int, rows: int, ts: int = T0) -> Batch:
    """Return rows of four points that do not compress."""
    import zlib

    values = [zlib.crc32(b"%d" % (start + i)) / 7 for i in range(rows)]
    return batch([i % 4 for i in range(rows)], list(values), ts)


def offline(store: Store, time_: VirtualTime, minutes: int) -> None:
    """Sample for so long, a message a minute."""
    for i in range(minutes):
        rows = noise(i * 1000, 1000, time_.now_us())
        store.run(lambda: store.append([rows], []))  # noqa: B023 -- run at once
        time_.seconds += 60


def test_the_oldest_samples_are_thinned_before_any_is_dropped(tmp_path: Path) -> None:
    """A long outage leaves the newest samples whole, and of the older ones one reading a quarter."""
    time_ = VirtualTime()
    store = store_at(tmp_path / "b.db", time_, pages=400)
    offline(store, time_, 240)
    stats = store.run(store.stats)
    assert stats.lost.keys() == {"thinned_tel"}
    assert stats.giving_up == "thinned"
    assert stats.used_bytes <= 400 * PAGE
    frames = store.run(lambda: store.next("tel", (0, 0), 1000))
    assert ranges.merge((f.s0, f.last) for f in frames) == [(1, 240_000)]
    gaps = [message for f in frames if isinstance(message := decode_rows(f.blob), Gap)]
    kept = [message for f in frames if isinstance(message := decode_rows(f.blob), Samples)]
    assert {gap.gap for gap in gaps} == {"thinned"}
    assert sum(gap.n for gap in gaps) == stats.lost["thinned_tel"]
    assert all(T0 <= gap.from_us <= gap.to_us < time_.now_us() for gap in gaps)
    quarters = {message.batch.times[0] // (15 * MINUTE_US) for message in kept}
    assert len(quarters) == 17, "a quarter of an hour has no reading left"
    assert [m.batch.times[0] for m in kept[-15:]] == [
        time_.now_us() - MINUTE_US * i for i in range(15, 0, -1)
    ]
    assert len(gaps) <= 17
    store.close()


def test_what_is_dropped_after_thinning_is_one_gap(tmp_path: Path) -> None:
    """When thinned samples must go, too, they and the gaps between them become one record."""
    time_ = VirtualTime()
    store = store_at(tmp_path / "b.db", time_, pages=50)
    offline(store, time_, 240)
    stats = store.run(store.stats)
    first, *rest = store.run(lambda: store.next("tel", (0, 0), 1000))
    gap = decode_rows(first.blob)
    assert isinstance(gap, Gap)
    assert (gap.s0, gap.gap, gap.n) == (1, "quota", stats.lost["quota_tel"])
    assert (gap.from_us, gap.to_us < time_.now_us()) == (T0, True)
    assert sum(f.n for f in rest if f.cause == "quota") == 0
    lost = sum(f.n for f in (first, *rest) if f.kind == "gap")
    assert lost == sum(stats.lost.values())
    assert ranges.merge((f.s0, f.last) for f in (first, *rest)) == [(1, 240_000)]
    store.close()


def test_events_commands_and_audit_outlive_a_long_outage(tmp_path: Path) -> None:
    """While samples are thinned and dropped every other row stays."""
    time_ = VirtualTime()
    store = store_at(tmp_path / "b.db", time_, pages=400)
    for i in range(8):
        offline(store, time_, 30)
        record = Record(at=1, kind="some.thing", doc={"i": i})
        lanes: dict[Stream, list[Record]] = {"aud": [record], "cmd": [record]}
        store.run(lambda: store.append([], [finding(f"f{i}")], lanes))  # noqa: B023 -- run at once
    stats = store.run(store.stats)
    assert {name.rpartition("_")[2] for name in stats.lost} == {"tel"}
    assert [stats.held[stream] for stream in ("cmd", "evt", "aud")] == [8, 8, 8]
    store.close()


# ---------------------------------------------------------------- giving out


async def test_backlog_and_live_rows_are_told_apart(tmp_path: Path) -> None:
    """`until` ends the backlog at a mark; behind it live rows begin; no row is in both."""
    async with opened(tmp_path) as old:
        await old.add_points(points(1), [])
        await old.append(counting(0, 5))
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        await buffer.append(counting(5, 5))
        mark = buffer.mark("tel")
        await buffer.append(counting(10, 5))
        backlog = await buffer.next("tel", (0, 0), 100, until=mark)
        live = await buffer.next("tel", mark, 100)
        assert [(f.ep, f.s0) for f in backlog] == [(old.epoch, 1), (buffer.epoch, 1)]
        assert [(f.ep, f.s0) for f in live] == [(buffer.epoch, 6)]
        assert await buffer.next("tel", (0, 0), 100, until=(mark[0] - 1, 5)) == backlog[:1]


async def test_frames_say_whether_they_are_gaps(tmp_path: Path) -> None:
    """A frame names its kind and cause without being decoded."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        await buffer.append(counting(0, 5))
        await buffer.append(counting(5, 5))
        sql = "UPDATE frame SET blob = zeroblob(length(blob)) WHERE s0 = 1"
        await buffer._run(lambda: buffer._store.db.execute(sql).rowcount)
        first, second = await everything(buffer)
        assert (first.kind, first.cause) == ("gap", "corrupt")
        assert (second.kind, second.cause) == ("data", "")


async def test_records_are_rows_like_others(tmp_path: Path) -> None:
    """Audit and command results have their own numbers, splits and order."""
    async with opened(tmp_path) as buffer:
        records = [Record(at=T0, kind="x.y", doc={"i": i}) for i in range(MAX_ROWS + 3)]
        await buffer.append_records("cmd", records)
        buffer.audit("agent.start", boot=1)
        await buffer.append_records("aud", [Record(at=T0, kind="a.b")])
        found: list[Record] = []
        for frame in await everything(buffer, "cmd"):
            message = decode_rows(frame.blob)
            assert isinstance(message, Records)
            found += message.rc
        assert found == records
        kinds = [r.kind for f in await everything(buffer, "aud") for r in _records(f)]
        assert kinds == ["agent.start", "a.b"]
        assert buffer.accepted == MAX_ROWS + 3 + 2


def _records(frame: Frame) -> list[Record]:
    message = decode_rows(frame.blob)
    assert isinstance(message, Records)
    return message.rc


def test_a_record_too_big_keeps_its_kind() -> None:
    """Details that no message can hold are dropped; that it happened is told."""
    odd = Record(at=T0, kind="odd", doc={"what": object()})
    messages = list(encode_records("a" * 16, "aud", 5, [Record(at=T0, kind="good"), odd]))
    assert [(m.s0, m.n) for m in messages] == [(5, 1), (6, 1)]
    last = decode_rows(messages[1].blob)
    assert isinstance(last, Records)
    assert (last.rc[0].kind, last.rc[0].doc) == ("odd", {"dropped": "too_big"})


async def test_the_snapshot_is_the_newest_row_of_each_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What each point said last stands in the snapshot under its order number, confirmed or not."""
    monkeypatch.setattr(buffer_latest, "_FOLD_AT", 50)
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(3), [])
        assert buffer.snapshot() == (Batch(), [])
        for i in range(40):
            rows = batch([0, 1, 0], [i, i + 0.5, -i], T0 + i)
            rows.quality[2] = (2, "timeout")
            await buffer.append(rows)
        await buffer.append(batch([2], [2**70], T0))
        await buffer.confirm(buffer.epoch, "tel", [(1, 60)])
        rows, order = buffer.snapshot()
        found = dict(
            zip(rows.points, zip(order, rows.times, rows.values, strict=True), strict=True)
        )
        assert found == {0: (120, T0 + 39, -39), 1: (119, T0 + 39, 39.5), 2: (121, T0, None)}
        assert {rows.points[row]: q for row, q in rows.quality.items()} == {
            0: (2, "timeout"),
            2: (2, "overrange"),
        }


# ---------------------------------------------------------------- the clock


async def test_rows_without_a_clock_wait_for_it(tmp_path: Path) -> None:
    """Samples of an unset clock are held, not given out; then their times are put right."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        buffer.clock_state = "unset"
        for i in range(3):
            await buffer.append(batch([0, 0], [i, i + 0.5], 1_000_000 * i))
        assert await everything(buffer) == []
        assert buffer.snapshot() == (Batch(), [])
        stats = await buffer.stats()
        assert (stats.held["tel"], stats.waiting) == (6, 6)
        buffer.clock_state = "sync"
        await buffer.append(batch([0], [9.0], T0 + 9))
        assert [f.s0 for f in await everything(buffer)] == [7]
        assert await buffer.restamp(T0) == 6
        told = [decode_rows(f.blob) for f in await everything(buffer)]
        assert all(isinstance(m, Samples) for m in told)
        assert [(m.s0, m.clock, m.batch.times[0]) for m in told if isinstance(m, Samples)] == [
            (1, "sync", T0),
            (3, "sync", T0 + 1_000_000),
            (5, "sync", T0 + 2_000_000),
            (7, "sync", T0 + 9),
        ]
        assert await buffer.restamp(T0) == 0
        assert (await buffer.stats()).waiting == 0
        assert await buffer._run(lambda: account.problems(buffer._store.db)) == []


def test_only_rows_of_this_start_of_the_machine_are_shifted(tmp_path: Path) -> None:
    """Another process of the same start is put right, too; rows of an earlier start go as they are."""
    time_ = VirtualTime()
    for ep, machine in (("1" * 16, "before"), ("2" * 16, "now"), ("3" * 16, "now")):
        store = store_at(tmp_path / "b.db", time_, ep=ep)
        store._machine, store.clock_state = machine, "unset"
        store.run(lambda: store.append([batch([0], [1.0], 5)], []))  # noqa: B023 -- run at once
        if ep != "3" * 16:
            store.close()
    assert store.run(lambda: store.next("tel", (0, 0), 10)) == []
    assert store.run(lambda: store.restamp(T0)) == 2
    told = [decode_rows(f.blob) for f in store.run(lambda: store.next("tel", (0, 0), 10))]
    times = [(m.ep[0], m.clock, m.batch.times) for m in told if isinstance(m, Samples)]
    assert times == [("1", "unset", [5]), ("2", "sync", [T0 + 5]), ("3", "sync", [T0 + 5])]
    store.close()


def test_damage_among_waiting_rows_is_declared_when_they_are_released(tmp_path: Path) -> None:
    """A message that turned to rubbish while it waited becomes a gap, the others are shifted."""
    store = store_at(tmp_path / "b.db", VirtualTime())
    store.clock_state = "unset"
    for i in range(3):
        store.run(lambda: store.append([batch([0], [1.0], i)], []))  # noqa: B023 -- run at once
    store.db.execute("UPDATE frame SET blob = zeroblob(9) WHERE s0 = 2")
    assert store.run(lambda: store.restamp(T0)) == 2
    frames = store.run(lambda: store.next("tel", (0, 0), 10))
    assert [(f.s0, f.cause) for f in frames] == [(1, ""), (2, "corrupt"), (3, "")]
    store.close()


def test_a_machine_without_a_boot_id_knows_its_own_process_only(tmp_path: Path) -> None:
    """Where the system does not name its starts the epoch stands for one."""
    assert buffer_clock.machine_start("e" * 16, tmp_path / "none") == "e" * 16
    (tmp_path / "id").write_text("abc\n")
    assert buffer_clock.machine_start("e" * 16, tmp_path / "id") == "abc"


async def test_samples_read_before_the_clock_was_set_may_come_late(tmp_path: Path) -> None:
    """What was read in 1970 and arrives after the clock was set is put right, and not held back."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        buffer.clock_state = "unset"
        await buffer.append(batch([0], [1.0], 7))
        await buffer.restamp(T0)
        await buffer.append(batch([0], [2.0], 8))
        frames = [decode_rows(frame.blob) for frame in await everything(buffer)]
        told = [(m.clock, m.batch.times) for m in frames if isinstance(m, Samples)]
        assert told == [("sync", [T0 + 7]), ("holdover", [T0 + 8])]
        rows, order = buffer.snapshot()
        assert (rows.times, order) == ([T0 + 8], [2])


async def test_the_snapshot_moves_with_the_clock(tmp_path: Path) -> None:
    """After the clock is set the snapshot tells the right times."""
    async with opened(tmp_path) as buffer:
        await buffer.add_points(points(1), [])
        buffer.clock_state = "unset"
        await buffer.append(batch([0], [1.0], 7))
        await buffer.restamp(T0)
        buffer.clock_state = "sync"
        rows, order = buffer.snapshot()
        assert (rows.times, order) == ([T0 + 7], [1])


# ---------------------------------------------------------------- the first schema


def old_file(path: Path) -> None:
    """Write a buffer as the first version did: its schema, its rows, nothing retained."""
    ep = "1" * 16
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("page_size = 4096", "auto_vacuum = INCREMENTAL", "journal_mode = WAL"):
        db.execute(f"PRAGMA {pragma}")
    ((number, script), *_) = buffer_db.migrations()
    db.executescript(f"BEGIN;{script}PRAGMA user_version = {number};COMMIT;")
    db.execute("INSERT INTO epoch VALUES (1, ?, 7, ?)", (ep, crc_of(1, ep, 7)))
    db.execute("INSERT INTO counter VALUES ('boot', 7)")
    for s0 in range(101, 301, 50):
        (message,) = encode_rows(ep, s0, counting(s0, 50))
        crc = crc_of("tel", s0, 50, "data", "", 1, blob=message.blob)  # without the epoch, then
        sql = "INSERT INTO frame VALUES (NULL, 1, 'tel', ?, 50, 'data', '', 1, ?, ?, ?)"
        db.execute(sql, (s0, T0, crc, message.blob))
    row = (1, "tel", 300, "[[1,100]]")
    db.execute("INSERT INTO position VALUES (?, ?, ?, ?, ?)", (*row, crc_of(*row)))
    db.close()


@pytest.mark.parametrize("break_first_page", [False, True])
def test_a_file_of_the_first_schema_is_upgraded_in_place(
    tmp_path: Path, *, break_first_page: bool
) -> None:
    """An old buffer keeps its rows, numbers and boot count; afterwards its first page can be mended."""
    path = tmp_path / "b.db"
    old_file(path)
    store = store_at(path, VirtualTime())
    assert store.db.execute("PRAGMA user_version").fetchone() == (buffer_db.migrations()[-1][0],)
    assert not list(tmp_path.glob("*.bad-*")), "the file was not taken as it is"
    assert store.boot == 8
    if break_first_page:
        store.close()
        with path.open("r+b") as file:
            file.seek(100)
            file.write(b"\xff" * 900)
        store = store_at(path, VirtualTime(), ep="f" * 16)
        assert list(tmp_path.glob("*.bad-*"))
    frames = store.run(lambda: store.next("tel", (0, 0), 10))
    assert [(f.s0, f.n, f.kind) for f in frames] == [
        (s0, 50, "data") for s0 in (101, 151, 201, 251)
    ]
    assert store.run(lambda: store.confirm("1" * 16, "tel", [(101, 200)])) == 100
    assert store.run(lambda: store.revive("1" * 16, "tel", [(1, 300)])) == 100
    assert store.run(lambda: account.problems(store.db)) == []
    store.close()
