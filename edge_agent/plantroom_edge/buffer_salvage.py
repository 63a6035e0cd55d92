"""What to do with a buffer file that cannot be trusted: save what can be read, move it aside.

Every frame proves itself by its CRC, so whatever can be read from a damaged file may be used; what
cannot be read becomes a declared gap (`Store` sees to that, as it knows which rows ought to be
there).
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from plantroom_edge import buffer_account as account
from plantroom_edge.buffer_db import (
    PAGE,
    connect,
    crc_of,
    has_our_schema,
    lenient,
    proves_frame,
)
from plantroom_edge.buffer_leaves import Row, rows_on_leaves
from plantroom_edge.files import fsync_folder
from plantroom_shared import ranges
from plantroom_shared.errors import Rejected
from plantroom_shared.ranges import Range
from plantroom_shared.wire import STREAMS, Stream, unpack

KEEP_BAD: Final = 2
"""How many damaged files are kept for a person to look at: they count against the disk."""

_LOOKUPS: Final = 1_000_000
"""Most single rows to look for behind a damaged page."""

_GUESSES: Final = 200_000
"""Most single rows to look for where nobody knows how many there were."""

_UNREADABLE: Final = (sqlite3.Error, UnicodeDecodeError)
"""What reading damage can end in."""

_FRAME: Final = "id, epoch, stream, s0, n, kind, cause, dv, accepted_us, crc, blob"
"""The columns of a frame, as they stand in the table."""


@dataclass(slots=True)
class Salvage:
    """What was saved from a damaged file."""

    file: Path
    frames: int = 0
    rows: int = 0
    epochs: int = 0
    scanned: bool = True
    """Whether the frames could be read from the first to the last."""


def repair(path: Path) -> Salvage:
    """Replace a damaged file by a new one with all that could be read of it.

    The damaged file keeps its place until the new one is complete: a power cut or a full disk in
    between costs nothing, `finish` or the next repair goes on from there.

    Raises:
        OSError, sqlite3.Error: it could not be done now.
    """
    draft = _draft(path)
    _delete(draft)
    new = connect(draft)
    try:
        report = _salvage(path, new)
    finally:
        new.close()
    report.file = _move_aside(path)
    finish(path)
    return report


def finish(path: Path) -> None:
    """Put a repaired file in its place, where a repair was cut short just before that."""
    draft = _draft(path)
    if not path.exists() and draft.exists():
        draft.rename(path)
        fsync_folder(path.parent)


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.saving")


def _delete(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)


def _move_aside(path: Path) -> Path:
    """Rename the file and its log to ``<name>.bad-<n>``; return the new name."""
    taken = _bad_files(path)
    n = 1 + max((int(item.name.rpartition("-")[2]) for item in taken), default=0)
    bad = path.with_name(f"{path.name}.bad-{n}")
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists():
        wal.rename(bad.with_name(f"{bad.name}-wal"))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    path.rename(bad)
    for old in taken[: max(0, len(taken) + 1 - KEEP_BAD)]:
        _delete(old)
    return bad


def _bad_files(path: Path) -> list[Path]:
    found = [
        item
        for item in path.parent.glob(f"{path.name}.bad-*")
        if item.name.rpartition("-")[2].isdigit()
    ]
    return sorted(found, key=lambda item: int(item.name.rpartition("-")[2]))


def _salvage(bad: Path, new: sqlite3.Connection) -> Salvage:
    """Copy every row of `bad` that can be read and proves itself into the new file."""
    report = Salvage(bad)
    with contextlib.suppress(sqlite3.Error, OSError):
        if not _schema_is_whole(bad):
            _lend_first_page(bad)
    new.execute("BEGIN IMMEDIATE")
    try:
        with contextlib.closing(lenient(sqlite3.connect(bad, isolation_level=None))) as old:
            _copy(old, new, report)
        if not report.scanned:
            _copy_leaves(bad, new, report)
    except BaseException:
        new.execute("ROLLBACK")
        raise
    new.execute("COMMIT")
    return report


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, report: Salvage) -> None:
    names: dict[int, str] = {}
    for id_, ep, boot, crc in _by_id(old, "epoch", "id, ep, boot, crc"):
        if crc == crc_of(id_, ep, boot):
            names[id_] = ep
            new.execute("INSERT OR IGNORE INTO epoch VALUES (?, ?, ?, ?)", (id_, ep, boot, crc))
    for row in _by_id(old, "frame", _FRAME, report):
        if _is_frame(row) and (row[1] in names or _name_epoch(new, names, row[1], row[10])):
            _insert(new, row, report)
    report.epochs = len(names)
    for epoch in names:
        _copy_small(old, new, epoch)
    with contextlib.suppress(*_UNREADABLE):
        rows = old.execute("SELECT name, value FROM counter").fetchall()
        new.executemany("INSERT OR REPLACE INTO counter VALUES (?, ?)", rows)


def _is_frame(row: Row) -> bool:
    """Say whether `row` (of `_FRAME`) passes its CRC."""
    return proves_frame(row[9], row[1], row[2], row[3:8], row[10])


def _insert(new: sqlite3.Connection, row: Row, report: Salvage) -> None:
    done = new.execute(f"INSERT OR IGNORE INTO frame VALUES ({','.join('?' * 11)})", row)  # noqa: S608 -- marks only
    report.frames += done.rowcount
    report.rows += row[4] if done.rowcount and row[5] == "data" else 0


def _copy_leaves(bad: Path, new: sqlite3.Connection, report: Salvage) -> None:
    """Copy the frames that a broken tree hides: those of epochs that are known, as far as still held.

    A page that was given up may keep what stood on it: such a frame passes its CRC and is still not
    to come back.
    """
    there = {row[0] for row in new.execute("SELECT id FROM frame")}
    epochs = [row[0] for row in new.execute("SELECT id FROM epoch")]
    for kind in ("gap", "data"):  # what was declared lost stays lost
        wanted = {(ep, st): _wanted(new, ep, st) for ep in epochs for st in STREAMS}
        for row in rows_on_leaves(bad, len(_FRAME.split(","))):
            if row[0] in there or row[5] != kind or row[1:3] not in wanted or not _is_frame(row):
                continue
            if ranges.intersect([(row[3], row[3] + row[4] - 1)], wanted[row[1], row[2]]):
                _insert(new, row, report)


def _wanted(db: sqlite3.Connection, epoch: int, stream: Stream) -> list[Range]:
    """Return the rows that are neither declared lost nor confirmed and no longer kept."""
    lost = "SELECT s0, s0 + n - 1 FROM frame WHERE stream=? AND epoch=? AND kind='gap'"
    _, done = account.position(db, epoch, stream)
    forgotten = ranges.subtract(done, account.retained(db, epoch, stream))
    return ranges.subtract([(1, 2**63)], [*db.execute(lost, (stream, epoch)), *forgotten])


def _name_epoch(new: sqlite3.Connection, names: dict[int, str], epoch: int, blob: bytes) -> bool:
    """Learn the name of an epoch whose own row is lost from a message that carries it."""
    try:
        ep = str(unpack(blob)["ep"])
    except (Rejected, KeyError):
        return False
    if ep in names.values():
        return False
    names[epoch] = ep
    new.execute(
        "INSERT OR IGNORE INTO epoch VALUES (?, ?, 0, ?)", (epoch, ep, crc_of(epoch, ep, 0))
    )
    return True


def _copy_small(old: sqlite3.Connection, new: sqlite3.Connection, epoch: int) -> None:
    """Copy an epoch's positions and dictionary; each row has to prove itself."""
    for stream in STREAMS:
        with contextlib.suppress(*_UNREADABLE):
            sql = (
                "SELECT epoch, stream, accepted, done, crc FROM position WHERE epoch=? AND stream=?"
            )
            row = old.execute(sql, (epoch, stream)).fetchone()
            if row and row[4] == crc_of(*row[:4]):
                new.execute("INSERT OR IGNORE INTO position VALUES (?, ?, ?, ?, ?)", row)
    for table in ("retained", "held_back"):
        with contextlib.suppress(*_UNREADABLE):
            for row in old.execute(f"SELECT * FROM {table} WHERE epoch=?", (epoch,)):  # noqa: S608 -- ours
                if len(row) == 5 and row[-1] == crc_of(*row[:-1]):
                    new.execute(f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?, ?, ?)", row)  # noqa: S608 -- ours
    for alias in range(_dictionary_size(old, new, epoch)):
        with contextlib.suppress(*_UNREADABLE):
            sql = "SELECT epoch, alias, crc, doc FROM point WHERE epoch=? AND alias=?"
            row = old.execute(sql, (epoch, alias)).fetchone()
            if row and row[2] == crc_of(epoch, alias, blob=row[3]):
                new.execute("INSERT OR IGNORE INTO point VALUES (?, ?, ?, ?)", row)
    with contextlib.suppress(*_UNREADABLE):
        sql = "SELECT epoch, key, crc, doc FROM device WHERE epoch=?"
        for row in old.execute(sql, (epoch,)):
            if row[2] == crc_of(epoch, row[1], blob=row[3]):
                new.execute("INSERT OR IGNORE INTO device VALUES (?, ?, ?, ?)", row)


def _dictionary_size(old: sqlite3.Connection, new: sqlite3.Connection, epoch: int) -> int:
    size = new.execute("SELECT coalesce(max(dv), 0) FROM frame WHERE epoch=?", (epoch,)).fetchone()
    with contextlib.suppress(*_UNREADABLE):
        most = old.execute("SELECT max(alias) + 1 FROM point WHERE epoch=?", (epoch,)).fetchone()
        return max(int(size[0]), min(most[0] or 0, _LOOKUPS))
    return min(int(size[0]), _LOOKUPS)


def _by_id(
    db: sqlite3.Connection, table: str, columns: str, report: Salvage | None = None
) -> Iterator[Row]:
    """Yield every readable row of `table`: in one scan, and past damage one by one.

    `report` learns whether the scan came to its end.
    """
    seen = 0
    select = f"SELECT {columns} FROM {table}"  # noqa: S608 -- our own names
    try:
        for row in db.execute(f"{select} ORDER BY id"):
            seen = row[0]
            yield row
    except _UNREADABLE:
        if report:
            report.scanned = False
    else:
        return
    for id_ in range(seen + 1, min(_last_id(db, table, seen), seen + _LOOKUPS) + 1):
        with contextlib.suppress(*_UNREADABLE):
            row = db.execute(f"{select} WHERE id=?", (id_,)).fetchone()
            if row:
                yield row


def _last_id(db: sqlite3.Connection, table: str, seen: int) -> int:
    """Return the highest id the table can hold, by whichever way is still readable."""
    ways: tuple[Callable[[], Any], ...] = (
        lambda: db.execute("SELECT seq FROM sqlite_sequence WHERE name=?", (table,)).fetchone()[0],
        lambda: db.execute(f"SELECT max(id) FROM {table}").fetchone()[0],  # noqa: S608 -- ours
        lambda: seen + min(8 * db.execute("PRAGMA page_count").fetchone()[0], _GUESSES),
    )
    for way in ways:
        with contextlib.suppress(*_UNREADABLE, TypeError):
            if isinstance(last := way(), int) and last >= seen:
                return last
    return seen


def _schema_is_whole(bad: Path) -> bool:
    with contextlib.closing(lenient(sqlite3.connect(bad, isolation_level=None))) as db:
        try:
            return has_our_schema(db)
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            return False


def _lend_first_page(bad: Path) -> None:
    """Give a file with a broken first page that of a new one.

    The schema is always created by the same steps, so its tables begin on the same pages in every
    file; only the size of the file differs.
    """
    with tempfile.TemporaryDirectory() as folder:
        donor = Path(folder) / "donor.db"
        db = connect(donor)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        page = bytearray(donor.read_bytes()[:PAGE])
    pages = bad.stat().st_size // PAGE
    page[28:32] = pages.to_bytes(4, "big")
    page[32:40] = bytes(8)  # no free list: nobody will write to this file
    with bad.open("r+b") as file:
        file.write(page)


def trim_evidence(path: Path, most: int) -> None:
    """Delete the oldest damaged files while all files of the buffer take more than `most` bytes."""
    for bad in _bad_files(path):
        if disk_bytes(path) <= most:
            return
        _delete(bad)


def disk_bytes(path: Path) -> int:
    """Return what all files of a buffer take on the disk: log, reserve and damaged ones included."""
    total = 0
    for item in path.parent.glob(f"{path.name}*"):
        with contextlib.suppress(OSError):
            total += item.stat().st_size
    return total
