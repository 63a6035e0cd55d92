"""Full and failing disks: polling goes on, nothing is lost in silence, and it heals by itself."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from plantroom_edge import buffer_account as account
from plantroom_edge import buffer_reserve
from plantroom_edge.buffer import Buffer
from plantroom_edge.buffer_reserve import Reserve, is_full
from plantroom_edge.buffer_store import Options, Store
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch
from plantroom_shared.wire import Record, Records, decode_rows
from support.edge_rows import batch, counting, finding, points
from support.edge_time import VirtualTime


def noise(start: int, rows: int) -> Batch:
    """Return rows that do not compress."""
    return batch([0] * rows, [zlib.crc32(b"%d" % (start + i)) / 7 for i in range(rows)])


async def audit_of(buffer: Buffer) -> list[Record]:
    await buffer.flush()
    found: list[Record] = []
    for frame in await buffer.next("aud", (0, 0), 1000):
        message = decode_rows(frame.blob)
        assert isinstance(message, Records)
        found += message.rc
    return found


class Disk:
    """A disk of so many pages for the buffer: SQLite itself says when it is full."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def fill(self) -> None:
        self.store.db.execute("PRAGMA max_page_count = 1").fetchall()

    def empty(self) -> None:
        self.store.db.execute("PRAGMA max_page_count = 1000000000").fetchall()


async def test_on_a_full_disk_old_samples_make_room_for_new_ones(tmp_path: Path) -> None:
    """Not a byte more: new rows are accepted into the room of the oldest, which are declared."""
    time_ = VirtualTime()
    buffer = await Buffer.open(tmp_path / "b.db", commit_s=0.001, clock=time_)
    await buffer.add_points(points(1), [])
    for i in range(60):
        await buffer.append(noise(i * 1000, 1000))
    size = account.used_bytes(buffer._store.db)
    disk = Disk(buffer._store)
    await buffer._run(disk.fill)
    for i in range(60, 120):
        await buffer.append(noise(i * 1000, 1000))
        await buffer.append_findings([finding(f"f{i}")])
    stats = await buffer.stats()
    assert (buffer.refused, stats.held["tel"], stats.held["evt"]) == (0, 120_000, 60)
    assert stats.lost["quota_tel"] > 0
    assert (stats.full_since_us, stats.reserve_bytes) == (time_.now_us(), 0)
    assert account.used_bytes(buffer._store.db) <= size
    await buffer._run(disk.empty)
    time_.seconds += 10
    await buffer.append(noise(0, 1000))
    stats = await buffer.stats()
    assert stats.full_since_us is None
    assert stats.reserve_bytes > 0
    assert [r.kind for r in await audit_of(buffer)] == ["buffer.full", "buffer.recovered"]
    await buffer.close()


async def test_where_nothing_can_be_given_up_rows_are_refused_and_counted(tmp_path: Path) -> None:
    """A full disk and an empty buffer: no row is claimed accepted, and the audit says how many."""
    time_ = VirtualTime()
    buffer = await Buffer.open(tmp_path / "b.db", commit_s=0.001, clock=time_)
    await buffer.add_points(points(1), [])
    disk = Disk(buffer._store)
    await buffer._run(disk.fill)
    begin = time_.now_us()
    for i in range(3):
        with pytest.raises(Unavailable, match="full"):
            await buffer.append(noise(i * 2000, 2000))
        assert "full" in buffer.problem
        time_.seconds += 1
    assert (buffer.refused, buffer.accepted) == (6000, 0)
    await buffer._run(disk.empty)
    time_.seconds += 10
    await buffer.append(noise(0, 2000))
    assert buffer.problem == ""
    (told,) = [r for r in await audit_of(buffer) if r.kind == "buffer.refused"]
    assert told.doc["rows"] == 6000
    assert (told.doc["from_us"], told.doc["to_us"]) == (begin, begin + 2_000_000)
    assert "full" in told.doc["why"]
    assert (await buffer.stats()).accepted["tel"] == 2000
    await buffer.close()


async def test_findings_get_in_where_samples_do_not(tmp_path: Path) -> None:
    """Rows of one commit do not share the fate of the samples among them."""
    time_ = VirtualTime()
    buffer = await Buffer.open(tmp_path / "b.db", commit_s=3600, clock=time_)
    await buffer.add_points(points(1), [])
    buffer._store.full_since, buffer._store._look_at = time_.now_us(), 1e9
    samples = buffer.offer(counting(0, 100))
    found = buffer._enqueue(1, lambda waiting: waiting.findings.append(finding("f")))
    await buffer.flush()
    assert isinstance(samples.exception(), Unavailable)
    assert found.result() is None
    stats = await buffer.stats()
    assert (stats.accepted["tel"], stats.accepted["evt"], buffer.refused) == (0, 1, 100)
    await buffer.close()


async def test_audit_waits_for_a_disk_that_fails(tmp_path: Path) -> None:
    """What happened while nothing could be written is written later, with its own time."""
    time_ = VirtualTime()
    folder = tmp_path / "away"
    buffer = await Buffer.open(folder / "b.db", commit_s=0.001, clock=time_)
    buffer.audit("clock.step", by_us=5)
    await buffer.flush()
    with pytest.raises(Unavailable):
        await buffer.append(counting(0, 1))
    told_at = time_.now_us()
    folder.mkdir()
    time_.seconds += 60
    await buffer.append(counting(0, 1))
    kinds = {r.kind: r for r in await audit_of(buffer)}
    assert kinds.keys() == {"clock.step", "buffer.refused"}
    assert kinds["clock.step"].at == told_at
    await buffer.close()


# ---------------------------------------------------------------- a real full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder in which little more than a megabyte fits: a disk of its own, or a limit on files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        ).returncode
    )
    yield folder
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


CHILD = """
    import asyncio, resource, sys
    from pathlib import Path
    from plantroom_edge import buffer_file, buffer_account
    from plantroom_edge.buffer import Buffer
    from plantroom_shared.errors import Unavailable
    from support.edge_rows import points
    from test_buffer_full import noise
    buffer_file.LOOK_FOR_SPACE = 0.0

    async def main(folder):
        limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        if sys.argv[2] == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, limit[1]))
        else:
            (folder / "ballast").write_bytes(bytes(1 << 20))
        buffer = await Buffer.open(folder / "b.db", limit_bytes=64 << 20, commit_s=0.001)
        await buffer.add_points(points(1), [])
        accepted = refused = 0
        for i in range(250):
            try:
                await buffer.append(noise(i * 1000, 1000))
                accepted += 1000
            except Unavailable:
                refused += 1000
        stats = await buffer.stats()
        print(accepted, refused, stats.accepted["tel"], stats.held["tel"], stats.full_since_us is not None)
        (folder / "ballast").unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        await buffer.append(noise(0, 1000))
        stats = await buffer.stats()
        print(stats.full_since_us is None, stats.reserve_bytes > 0, buffer.refused == refused)
        print(await buffer._run(lambda: buffer_account.problems(buffer._store.db)))
        await buffer.close()

    asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_real_disk_fills_and_recovers(small_disk: Path) -> None:
    """A disk without a byte left costs declared or refused rows only, and heals when it has space."""
    how = "mount" if os.path.ismount(small_disk) else "limit"
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(small_disk), how],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(here), str(here.parent)))},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts, after, problems = done.stdout.splitlines()
    accepted, refused, claimed, held, full = counts.split()
    assert int(accepted) + int(refused) == 250_000
    assert accepted == claimed == held
    assert (int(accepted) > 100_000, full) == (True, "True")
    assert after == "True True True"
    assert problems == "[]"


# ---------------------------------------------------------------- the reserve


def test_the_reserve_is_real_space(tmp_path: Path) -> None:
    """The reserve takes blocks, follows its size, and is given up at once."""
    reserve = Reserve(tmp_path / "b.db", 300_000)
    assert reserve.make()
    assert reserve.make()
    assert reserve.file.stat().st_blocks * 512 >= 300_000
    smaller = Reserve(tmp_path / "b.db", 100_000)
    assert smaller.make()
    assert smaller.size == 100_000
    assert smaller.release()
    assert not smaller.release()
    assert smaller.size == 0


def test_a_reserve_that_cannot_be_made_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without space, or on a disk that fails, there is no reserve and no error."""
    reserve = Reserve(tmp_path / "b.db", 300_000)
    monkeypatch.setattr(buffer_reserve, "free_bytes", lambda _: 100_000)
    assert not reserve.make()
    assert not reserve.may_return()
    monkeypatch.setattr(buffer_reserve, "free_bytes", lambda _: 1 << 30)

    def refuses(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuses)
    assert not reserve.make()
    assert not reserve.file.exists()
    nowhere = Reserve(tmp_path / "away" / "b.db", 300_000)
    monkeypatch.setattr(buffer_reserve, "free_bytes", os.statvfs)
    assert not nowhere.may_return()


def test_what_counts_as_full() -> None:
    """No space and no quota are a full disk; a failing one is not."""
    assert is_full(OSError(errno.ENOSPC, ""))
    assert is_full(OSError(errno.EDQUOT, ""))
    assert not is_full(OSError(errno.EIO, ""))
    assert not is_full(ValueError())
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert is_full(error)
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    assert not is_full(error)


@pytest.mark.parametrize("what", ["commit", "confirm", "revive", "restamp"])
def test_after_an_io_error_nothing_is_claimed(
    what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An fsync that fails leaves the account as it was on the disk, for every kind of change."""
    time_ = VirtualTime()
    store = Store(tmp_path / "b.db", 1 << 24, "e" * 16, time_, Options())
    store.run(lambda: store.append([counting(0, 10)], []))
    store.run(lambda: store.confirm(store.ep, "tel", [(1, 5)]))
    store.clock_state = "unset"
    store.run(lambda: store.append([counting(10, 10)], []))
    before = store.run(store.holdings)
    changes = {
        "commit": lambda: store.append([counting(20, 10)], []),
        "confirm": lambda: store.confirm(store.ep, "tel", [(1, 10)]),
        "revive": lambda: store.revive(store.ep, "tel", [(1, 10)]),
        "restamp": lambda: store.restamp(5),
    }
    store._conn = _Failing(store.db)  # type: ignore[assignment] # a connection as far as it is used
    store._books = None
    with pytest.raises(Unavailable, match="disk I/O error"):
        store.run(changes[what])
    with pytest.raises(Unavailable, match="a moment ago"):
        store.run(store.holdings)
    time_.seconds += 60
    assert store.run(store.holdings) == before
    assert store.run(store.stats).waiting == 10
    store.run(changes[what])
    assert account.problems(store.db) == []
    store.close()


class _Failing:
    """A connection whose disk fails when it is to commit."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self.real = real

    def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
        if sql == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self.real.execute(sql, *args)  # type: ignore[arg-type] # passed on

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)


def test_rows_that_keep_coming_do_not_put_off_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is well again is found well, however often it is asked for in between."""
    clock = VirtualTime()
    store = Store(tmp_path / "b.db", 1 << 22, "e" * 16, clock)

    def fails(_path: Path) -> sqlite3.Connection:
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr("plantroom_edge.buffer_file.connect", fails)
        with pytest.raises(Unavailable):
            store.run(store.holdings)
    refused = 0
    while clock.seconds < 10.0:
        clock.seconds += 0.25
        try:
            store.run(store.holdings)
        except Unavailable:
            refused += 1
        else:
            break
    assert clock.seconds == 1.0
    assert refused == 3
    store.close()


def test_a_file_cut_off_in_its_first_transaction_is_not_damaged(tmp_path: Path) -> None:
    """The journal beside it undoes the half page: nothing is moved aside."""
    path = tmp_path / "b.db"
    script = textwrap.dedent(
        f"""
        import os, sqlite3
        db = sqlite3.connect({str(path)!r}, isolation_level=None)
        db.execute("PRAGMA cache_size=1")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (zeroblob(200000))")
        os._exit(0)
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert path.with_name("b.db-journal").exists()
    with path.open("r+b") as file:
        file.write(bytes(512))
    store = Store(path, 1 << 22, "e" * 16, VirtualTime())
    assert store.run(store.holdings)
    assert store.salvaged == 0
    assert not list(tmp_path.glob("*.bad-*"))
    store.close()
