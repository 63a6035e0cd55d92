"""The buffer in bad times: killed, full disk, failing disk, damaged file."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from plantroom_edge import buffer_account as account
from plantroom_edge import buffer_db, buffer_salvage
from plantroom_edge.buffer import Buffer
from plantroom_edge.buffer_db import PAGE, frame_crc, why_untrusted
from plantroom_edge.buffer_file import DamagedError
from plantroom_edge.buffer_leaves import rows_on_leaves
from plantroom_edge.buffer_ledger import Ledger
from plantroom_edge.buffer_store import Store
from plantroom_shared import ranges
from plantroom_shared.errors import Unavailable
from plantroom_shared.wire import Gap, Samples, Stream, decode_rows
from support import edge_appender
from support.edge_rows import METER, counting, finding, points
from support.edge_time import VirtualTime

Row = tuple[str, int]


def store_at(path: Path, *, ep: str = "e" * 16, limit: int = 1 << 30) -> Store:
    store = Store(path, limit, ep, VirtualTime())
    store.run(lambda: store.add_points(points(1), [METER]))
    return store


def contents(store: Store, stream: Stream = "tel") -> tuple[dict[Row, object], set[Row]]:
    """Return what the store would send: rows and their values, and declared gaps."""
    rows: dict[Row, object] = {}
    gaps: set[Row] = set()
    after = (0, 0)
    while frames := store.run(lambda: store.next(stream, after, 50)):  # noqa: B023 -- run at once
        after = (frames[-1].order, frames[-1].last)
        for frame in frames:
            message = decode_rows(frame.blob)
            if isinstance(message, Samples):
                numbered = enumerate(message.batch.values, message.s0)
                rows |= {(frame.ep, seq): value for seq, value in numbered}
            elif isinstance(message, Gap):
                gaps |= {(frame.ep, seq) for seq in range(message.s0, message.s0 + message.n)}
    return rows, gaps


def drain(store: Store) -> None:
    """Confirm everything, as often as repairs on the way bring something up again."""
    for _ in range(5):
        for holding in store.run(store.holdings):
            for stream, held in holding.held.items():
                store.run(lambda: store.confirm(holding.ep, stream, held))  # noqa: B023 -- run at once
    assert all(not holding.held for holding in store.run(store.holdings))


def fill(path: Path, *, epochs: Iterable[str] = ("1" * 16, "2" * 16), frames: int = 40) -> int:
    """Write some epochs of `frames` messages of 50 rows and close; return how many rows."""
    serial = 0
    for ep in epochs:
        store = store_at(path, ep=ep)
        for _ in range(frames):
            store.run(lambda: store.append([counting(serial, 50)], []))  # noqa: B023 -- run at once
            serial += 50
        store.run(lambda: store.append([], [finding("f")]))  # noqa: B023 -- run at once
        store.close()
    return serial


# ---------------------------------------------------------------- killed


def test_a_killed_agent_loses_no_accepted_row(tmp_path: Path) -> None:
    """After SIGKILL at random moments every row that was reported accepted is there, once."""
    dice = random.Random(7)
    accepted: dict[str, int] = {}
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, edge_appender.__file__, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        lines = [child.stdout.readline()]  # it has begun
        time.sleep(dice.uniform(0.0, 0.15))
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate(timeout=60)
        for line in [*lines, *rest.splitlines(keepends=True)]:
            if line.endswith(b"\n"):
                ep, _, reached = line.decode().split()
                accepted[ep] = int(reached)
    store = store_at(tmp_path / "buffer.db")
    rows, gaps = contents(store)
    assert not gaps
    assert len(accepted) == 12
    positions = {h.ep: h for h in store.run(store.holdings)}
    for ep, last in accepted.items():
        held = positions[ep].held.get("tel", [])
        claimed = positions[ep].accepted["tel"]
        assert claimed >= last, "accepted rows are missing"
        (_, done) = account.position(store.db, _order(store, ep), "tel")
        assert ranges.merge([*held, *done]) == [(1, claimed)], "a row is in no place"
        assert ranges.intersect(held, done) == [], "a row is in two places"
        assert all(rows[ep, seq] == float(seq) for lo, hi in held for seq in range(lo, hi + 1))
    assert account.problems(store.db) == []
    store.close()


def _order(store: Store, ep: str) -> int:
    row = store.db.execute("SELECT id FROM epoch WHERE ep=?", (ep,)).fetchone()
    return int(row[0])


# ---------------------------------------------------------------- full and failing disks


async def test_a_failing_disk_is_left_alone_and_then_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After an I/O error the file is closed, left alone with growing pauses, and opened anew."""
    time_ = VirtualTime()
    buffer = await Buffer.open(tmp_path / "buffer.db", commit_s=0.001, clock=time_)
    await buffer.add_points(points(2), [METER])
    await buffer.append(counting(0, 10))
    broken = Breaking(buffer._store.db)
    monkeypatch.setattr(buffer._store, "_conn", broken)
    with pytest.raises(Unavailable, match="disk I/O error"):
        await buffer.append(counting(10, 10))
    assert broken.closed
    with pytest.raises(Unavailable, match="waiting"):
        await buffer.append(counting(10, 10))
    time_.seconds += 60
    await buffer.append(counting(10, 10))
    (frame, other) = await buffer.next("tel", (0, 0), 10)
    assert (frame.s0, frame.n, other.s0, other.n) == (1, 10, 11, 10)
    assert buffer.dictionary_size == 2
    assert (await buffer.stats()).epochs == 1
    await buffer.close()


class Breaking:
    """A connection whose disk has just died."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self.real, self.closed = real, False

    def execute(self, _sql: str, *_args: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    def close(self) -> None:
        self.closed = True
        self.real.close()


async def test_an_unusable_folder_does_not_keep_the_agent_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A buffer that cannot be opened refuses rows, says so, and works once it can be."""
    time_ = VirtualTime()
    folder = tmp_path / "away"
    with caplog.at_level(logging.ERROR):
        buffer = await Buffer.open(folder / "buffer.db", commit_s=0.001, clock=time_)
    assert "cannot be used yet" in caplog.text
    with pytest.raises(Unavailable):
        await buffer.append(counting(0, 1))
    folder.mkdir()
    time_.seconds += 60
    await buffer.add_points(points(1), [])
    await buffer.append(counting(0, 1))
    assert (await buffer.stats()).accepted["tel"] == 1
    await buffer.close()


# ---------------------------------------------------------------- damaged files


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _no_sqlite(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def _cut(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size * 2 // 3 // PAGE * PAGE + 1000)


def _break_first_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 900)


@pytest.mark.parametrize("damage", [_zero, _no_sqlite, _cut, _break_first_page])
def test_a_damaged_file_is_moved_aside_and_saved_from(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever happened to the file: the agent starts, keeps what proves itself, names the file."""
    path = tmp_path / "buffer.db"
    fill(path)
    damage(path)
    with caplog.at_level(logging.ERROR):
        store = store_at(path)
    rows, _ = contents(store)
    assert all(value == _value(row) for row, value in rows.items())
    assert caplog.records[0].__dict__["file"] == str(path)
    assert (tmp_path / "buffer.db.bad-1").exists()
    assert account.problems(store.db) == []
    store.run(lambda: store.append([counting(0, 5)], []))
    store.close()


def _value(row: Row) -> float:
    ep, seq = row
    return {"1" * 16: 0, "2" * 16: 2000}[ep] + seq - 1.0


def test_a_broken_first_page_costs_nothing(tmp_path: Path) -> None:
    """The page that describes the tables is the same in every file and is put back."""
    path = tmp_path / "buffer.db"
    total = fill(path)
    _break_first_page(path)
    store = store_at(path)
    rows, gaps = contents(store)
    assert len(rows) == total
    assert not gaps
    assert store.run(store.stats).salvaged == total + 2
    assert store.run(store.stats).accepted == {
        "cmd": 0,
        "evt": 2,
        "aud": 0,
        "tel": total,
    }


def _break_page_of(path: Path, table: str) -> None:
    """Overwrite the page where the tree of `table` begins."""
    with sqlite3.connect(path) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name=?", (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE)
        assert file.read(1) == b"\x05", "not an inner page: the table is too small for this test"
        file.seek((root - 1) * PAGE)
        file.write(bytes(PAGE))


def test_a_broken_inner_page_costs_nothing(tmp_path: Path) -> None:
    """The leaves say by themselves what stands on them."""
    path = tmp_path / "buffer.db"
    total = fill(path)
    _break_page_of(path, "frame")
    store = store_at(path)
    rows, gaps = contents(store)
    assert {row: _value(row) for row in rows} == rows
    assert len(rows) == total
    assert not gaps


def test_what_was_given_up_does_not_come_back_from_old_pages(tmp_path: Path) -> None:
    """Pages without a tree may be old: neither confirmed rows nor those declared lost return."""
    path = tmp_path / "buffer.db"
    total = fill(path, frames=200)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("DELETE FROM frame WHERE stream='tel' AND epoch=1 AND s0 <= 4000")
        Ledger(db, VirtualTime()).insert_gap(1, "tel", (1, 3000), "quota")
        Ledger(db, VirtualTime()).put_position(1, "tel", 10_000, [(3001, 4000)])
    db.close()
    _break_page_of(path, "frame")
    with path.open("r+b") as file:  # the list of free pages is lost, too
        file.seek(32)
        file.write(bytes(8))
    old = [row for row in rows_on_leaves(path, 11) if row[1] == 1 and row[3] + row[4] <= 4001]
    assert len(old) > 2, "there are no old pages to fall for"
    store = store_at(path)
    rows, gaps = contents(store)
    assert len(rows) == total - 4000
    assert gaps == {("1" * 16, seq) for seq in range(1, 3001)}
    assert store.run(store.stats).salvaged == total - 4000 + 2


def test_flipped_bytes_never_crash_lie_or_lose_silently(tmp_path: Path) -> None:
    """Random damage: every accepted row of a known epoch is there unchanged or declared lost."""
    good = tmp_path / "good.db"
    total = fill(good)
    size = good.stat().st_size
    original = good.read_bytes()
    saved = touched = 0
    for case in range(60):
        dice = random.Random(case)
        path = tmp_path / f"case{case}" / "buffer.db"
        path.parent.mkdir()
        shutil.copy(good, path)
        with path.open("r+b") as file:
            for _ in range(dice.randint(1, 4)):
                at = dice.randrange(size)
                file.seek(at)
                file.write(bytes([original[at] ^ dice.randint(1, 255)]))
                touched += 1
        store = store_at(path)
        rows, gaps = contents(store)
        assert all(value == _value(row) for row, value in rows.items())
        assert not rows.keys() & gaps
        for holding in store.run(store.holdings):
            whole = [(1, holding.accepted["tel"])] if holding.accepted["tel"] else []
            assert holding.held.get("tel", []) == whole
        assert len(rows) + len(gaps) == total
        saved += len(rows)
        contents(store, "evt")
        drain(store)
        assert account.problems(store.db) == []
        store.run(lambda: store.append([counting(0, 5)], []))  # noqa: B023 -- run at once
        store.close()
        shutil.rmtree(path.parent)
    # A flipped byte costs its own page or message, not its neighbours.
    assert 60 * total - saved <= touched * 50 * 8


def test_a_damaged_message_becomes_a_gap_while_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that fails its CRC is declared lost; those around it are sent."""
    path = tmp_path / "buffer.db"
    store = store_at(path)
    for i in range(5):
        store.run(lambda: store.append([counting(i * 50, 50)], []))  # noqa: B023 -- run at once
    sql = "UPDATE frame SET blob = zeroblob(length(blob)) WHERE s0 = 101"
    store.db.execute(sql)
    assert any("CRC" in problem for problem in account.problems(store.db))
    with caplog.at_level(logging.ERROR):
        rows, gaps = contents(store)
    assert gaps == {(store.ep, seq) for seq in range(101, 151)}
    assert len(rows) == 200
    stats = store.run(store.stats)
    assert (stats.frames_corrupt, stats.lost) == (1, {"corrupt_tel": 50})
    assert "declared lost" in caplog.text
    store.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE frame SET s0 = s0 + 1000000000 WHERE s0 = 101",
        "UPDATE frame SET n = 1000000000 WHERE s0 = 101",
        "UPDATE frame SET n = 0 WHERE s0 = 101",
        "DELETE FROM frame WHERE s0 = 101",
    ],
)
def test_false_headers_do_not_make_false_gaps(sql: str, tmp_path: Path) -> None:
    """A flipped bit in an order number costs that message and nothing else."""
    path = tmp_path / "buffer.db"
    store = store_at(path, ep="1" * 16)
    for i in range(5):
        store.run(lambda: store.append([counting(i * 50, 50)], []))  # noqa: B023 -- run at once
    store.db.execute(sql)
    store.close()
    store = store_at(path)
    rows, gaps = contents(store)
    assert gaps == {("1" * 16, seq) for seq in range(101, 151)}
    assert len(rows) == 200
    store.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE position SET accepted = 1000000000000 WHERE stream = 'tel'",
        "UPDATE position SET done = '[[1,100]]'",
        "DELETE FROM position",
        "UPDATE epoch SET ep = 'ffffffffffffffff' WHERE ep = '1111111111111111'",
        "DELETE FROM epoch",
    ],
)
def test_books_that_fail_their_crc_are_rebuilt_from_the_messages(sql: str, tmp_path: Path) -> None:
    """Positions and epochs are believed only if they prove themselves; messages say the rest."""
    path = tmp_path / "buffer.db"
    total = fill(path)
    db = sqlite3.connect(path)
    db.execute(sql)
    db.commit()
    db.close()
    store = store_at(path)
    rows, gaps = contents(store)
    assert len(rows) == total
    assert not gaps
    assert {h.ep for h in store.run(store.holdings)} == {"1" * 16, "2" * 16, "e" * 16}
    assert account.problems(store.db) == []
    store.close()


def test_a_lost_alias_keeps_its_place(tmp_path: Path) -> None:
    """Rows of the other points keep their meaning when a dictionary entry is damaged."""
    path = tmp_path / "buffer.db"
    store = Store(path, 1 << 30, "1" * 16, VirtualTime())
    store.run(lambda: store.add_points(points(4), [METER]))
    rows = counting(0, 4)
    rows.points = [0, 1, 2, 3]
    store.run(lambda: store.append([rows], []))
    store.db.execute("UPDATE point SET doc = CAST('{}' AS BLOB) WHERE alias = 1")
    store.db.execute("DELETE FROM point WHERE alias = 3")
    store.db.execute("UPDATE device SET crc = crc + 1")
    assert any("alias 1" in problem for problem in account.problems(store.db))
    store.close()
    store = store_at(path)
    saved, devices = account.dictionary(store.db, "1" * 16)
    assert [point.name for point in saved] == ["p0", "lost", "p2", "lost"]
    assert devices == {}
    store.close()


def test_damage_found_while_running_is_repaired_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The running agent salvages its own file and goes on numbering in the same epoch."""
    path = tmp_path / "buffer.db"
    store = store_at(path)
    store.run(lambda: store.append([counting(0, 50)], []))
    calls: list[int] = []

    def breaks_once() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise DamagedError
        return "done"

    assert store.run(breaks_once) == "done"
    assert (tmp_path / "buffer.db.bad-1").exists()
    store.run(lambda: store.append([counting(50, 50)], []))
    rows, gaps = contents(store)
    assert rows == {(store.ep, seq): seq - 1.0 for seq in range(1, 101)}
    assert not gaps
    store.close()


def test_messages_that_cannot_be_deleted_end_in_a_repair(tmp_path: Path) -> None:
    """A damaged message that will not go away does not keep the store in a loop."""
    store = store_at(tmp_path / "buffer.db")
    store.run(lambda: store.append([counting(0, 50)], []))
    store.run(lambda: store.append([counting(50, 50)], []))
    store.db.execute("UPDATE frame SET crc = 0 WHERE s0 = 1")
    store.db.execute("CREATE TRIGGER no BEFORE DELETE ON frame BEGIN SELECT RAISE(IGNORE); END")
    rows, gaps = contents(store)
    assert len(rows) == 50
    assert len(gaps) == 50
    store.close()


def test_only_two_damaged_files_are_kept(tmp_path: Path) -> None:
    """Damaged files are evidence, and count against the disk: the oldest goes."""
    path = tmp_path / "buffer.db"
    for _ in range(4):
        store_at(path).close()
        _no_sqlite(path)
    store_at(path).close()
    assert sorted(item.name for item in tmp_path.glob("*.bad-*")) == [
        "buffer.db.bad-3",
        "buffer.db.bad-4",
    ]


def test_a_foreign_database_is_not_taken_for_a_buffer(tmp_path: Path) -> None:
    """Somebody else's SQLite file is moved aside, not written into."""
    path = tmp_path / "buffer.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE other (x)")
    db.commit()
    db.close()
    assert why_untrusted(path) == "its tables are not those of a buffer"
    store_at(path).close()
    assert (tmp_path / "buffer.db.bad-1").exists()


def test_checking_a_huge_file_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that would take longer than its budget is left out or cut short."""
    path, good = tmp_path / "buffer.db", tmp_path / "good.db"
    fill(path)
    shutil.copy(path, good)
    with path.open("r+b") as file:  # damage that a full check finds
        file.seek(path.stat().st_size - PAGE)
        file.write(b"\xff" * 100)
    assert why_untrusted(path) != ""
    assert why_untrusted(path, budget=0.0) == ""
    monkeypatch.setattr(buffer_db, "_CHECK_RATE", math.inf)
    shutil.copy(good, path)
    assert why_untrusted(path, budget=1e-9) == ""


def test_locked_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody else holds locked is unavailable, and is left where it is."""
    path = tmp_path / "buffer.db"
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, **(k | {"timeout": 0.01})))
    store = store_at(path)
    other = real(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        store.run(lambda: store.append([counting(0, 1)], []))
    other.execute("ROLLBACK")
    store.run(lambda: store.append([counting(0, 1)], []))
    assert not list(tmp_path.glob("*.bad-*"))
    store.close()


def test_rows_that_only_the_log_holds_are_saved_too(tmp_path: Path) -> None:
    """What was committed but not yet written into the main file survives damage to that file."""
    store = store_at(tmp_path / "buffer.db", ep="1" * 16)
    for i in range(5):
        store.run(lambda: store.append([counting(i * 50, 50)], []))  # noqa: B023 -- run at once
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("buffer.db", "buffer.db-wal"):  # as a power cut would leave them
        shutil.copy(tmp_path / name, crashed / name)
    store.close()
    with (crashed / "buffer.db").open("r+b") as file:
        file.write(b"no longer a database")
    again = store_at(crashed / "buffer.db")
    rows, gaps = contents(again)
    assert len(rows) == 250
    assert not gaps
    again.close()
    assert (crashed / "buffer.db.bad-1").exists()


def test_a_repair_that_fails_is_done_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full during a repair costs nothing: the damaged file stays until it works."""
    path = tmp_path / "buffer.db"
    total = fill(path)
    _break_first_page(path)
    real = buffer_salvage._copy

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")  # noqa: EM101, TRY003 -- SQLite's words

    monkeypatch.setattr(buffer_salvage, "_copy", full)
    clock = VirtualTime()
    store = Store(path, 1 << 30, "e" * 16, clock)
    with pytest.raises(Unavailable, match="full"):
        store.run(lambda: None)
    assert not list(tmp_path.glob("*.bad-*"))
    monkeypatch.setattr(buffer_salvage, "_copy", real)
    clock.seconds += 60
    rows, gaps = contents(store)
    assert len(rows) == total
    assert not gaps
    store.close()


def test_a_repair_cut_short_at_its_last_step_is_finished(tmp_path: Path) -> None:
    """Between moving the old file away and the new one in, a crash leaves nothing behind."""
    path = tmp_path / "buffer.db"
    total = fill(path)
    path.rename(tmp_path / "buffer.db.saving")
    store = store_at(path)
    assert len(contents(store)[0]) == total
    store.close()


def test_messages_of_nobody_are_not_saved(tmp_path: Path) -> None:
    """Of messages without an epoch's row only those are kept that name an epoch of their own."""
    path = tmp_path / "buffer.db"
    fill(path, frames=2)
    db = sqlite3.connect(path)
    (blob,) = db.execute("SELECT blob FROM frame WHERE epoch=1 AND stream='tel'").fetchone()
    for epoch, content in ((98, blob), (99, b"no message")):
        crc = frame_crc(epoch, "tel", (901, 50, "data", "", 1), content)
        sql = "INSERT INTO frame VALUES (NULL, ?, 'tel', 901, 50, 'data', '', 1, 0, ?, ?)"
        db.execute(sql, (epoch, crc, content))
    db.commit()
    db.close()
    store = store_at(path)
    rows, gaps = contents(store)
    assert {ep for ep, _ in rows} == {"1" * 16, "2" * 16}
    assert len(rows) == 200
    assert not gaps
    store.close()


def test_a_file_of_a_later_version_is_saved_from(tmp_path: Path) -> None:
    """After a downgrade the rows of the newer file are taken over, the file is kept."""
    path = tmp_path / "buffer.db"
    total = fill(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    store = store_at(path)
    assert len(contents(store)[0]) == total
    assert (tmp_path / "buffer.db.bad-1").exists()
    store.close()


def test_columns_of_a_wrong_type_are_damage(tmp_path: Path) -> None:
    """A flipped bit can turn a blob into text, or hide a message from every query."""
    store = store_at(tmp_path / "buffer.db", ep="1" * 16)
    for i in range(4):
        store.run(lambda: store.append([counting(i * 50, 50)], []))  # noqa: B023 -- run at once
    store.db.execute("UPDATE frame SET blob = CAST(blob AS TEXT) WHERE s0 = 1")
    store.db.execute("UPDATE frame SET stream = 'uel' WHERE s0 = 51")
    store.db.execute("UPDATE point SET doc = CAST('{}' AS BLOB)")
    store.close()
    store = store_at(tmp_path / "buffer.db")
    rows, gaps = contents(store)
    assert gaps == {("1" * 16, seq) for seq in range(1, 101)}
    assert len(rows) == 100
    store.close()
    with pytest.raises(OSError, match="closed"):
        store.holdings()


@pytest.mark.parametrize("far", [False, True])
def test_a_message_that_slipped_into_another_epoch(tmp_path: Path, far: bool) -> None:
    """A flipped bit in a message's epoch costs its own rows; the other epoch's are as they were."""
    path = tmp_path / "buffer.db"
    total = fill(path, frames=4)
    s0, claims = (151, 2) if not far else (51, 3)  # an epoch that has such rows, and one with none
    store_at(path, ep="3" * 16).close()
    db = sqlite3.connect(path)
    db.execute("UPDATE frame SET epoch=? WHERE epoch=1 AND stream='tel' AND s0=?", (claims, s0))
    db.commit()
    db.close()
    store = store_at(path)
    rows, gaps = contents(store)
    assert gaps == {("1" * 16, seq) for seq in range(s0, s0 + 50)}
    assert len(rows) == total - 50
    store.close()


def test_a_message_that_is_there_twice_hides_no_missing_one(tmp_path: Path) -> None:
    """Rows that are held twice do not make up for rows held nowhere.

    Found as `damage` with seed 162486: the agent could not give out anything any more.
    """
    path = tmp_path / "buffer.db"
    fill(path, epochs=("1" * 16,), frames=10)
    db = sqlite3.connect(path)
    db.execute("DELETE FROM frame WHERE stream='tel' AND s0=101")
    columns = "epoch, stream, s0, n, kind, cause, dv, accepted_us, crc, blob"
    again = f"SELECT {columns} FROM frame WHERE stream='tel' AND s0=301"
    db.execute(f"INSERT INTO frame ({columns}) {again}")
    db.commit()
    db.close()
    store = store_at(path)
    rows, gaps = contents(store)
    assert gaps == {("1" * 16, seq) for seq in range(101, 151)}
    assert len(rows) == 450
    drain(store)
    store.close()


def test_check_names_damage_of_the_structure(tmp_path: Path) -> None:
    """An index that contradicts its table is found by the check of a buffer at rest."""
    path = tmp_path / "buffer.db"
    fill(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA writable_schema = ON")
    db.execute("DELETE FROM sqlite_schema WHERE name = 'frame_order'")
    db.commit()
    db.close()
    with account.reading(path) as db:
        (said,) = account.problems(db)
    assert said.startswith("structure:")
    with pytest.raises(Unavailable, match="repairs it"), account.reading(path) as db:
        account.oldest_us(db)


async def test_a_failed_migration_closes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that cannot be applied is undone as a whole and leaves the version as it was."""
    good = buffer_db.migrations()
    broken = [*good, (len(good) + 1, "CREATE TABLE a (x); CREATE TABLE a (x);")]
    monkeypatch.setattr(buffer_db, "migrations", lambda: broken)
    with pytest.raises(sqlite3.OperationalError):
        await asyncio.to_thread(buffer_db.connect, tmp_path / "b.db")
    db = sqlite3.connect(tmp_path / "b.db")
    assert db.execute("PRAGMA user_version").fetchone() == (len(good),)
    assert db.execute("SELECT count(*) FROM sqlite_schema WHERE name='a'").fetchone() == (0,)
