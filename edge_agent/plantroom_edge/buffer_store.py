"""The buffer's file in use: everything that runs on the buffer's one thread."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from plantroom_edge import buffer_account as account
from plantroom_edge.buffer_db import Frame, connect, crc_of, is_corrupt, why_untrusted
from plantroom_edge.buffer_ledger import STREAMS, Ledger, is_proven
from plantroom_edge.buffer_rows import encode_dictionary, encode_findings, encode_rows, join
from plantroom_edge.buffer_salvage import finish, repair
from plantroom_shared import ranges
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch, Device, Finding, Point
from plantroom_shared.ranges import Range
from plantroom_shared.wire import Holding, Stream

log = logging.getLogger(__name__)

T = TypeVar("T")

_KEEP_EPOCHS: Final = 256
"""Drained epochs that are remembered one by one; older ones live on in the counters."""

_VACUUM_ABOVE: Final = 1024
"""Free pages from which on the file is shortened, a little at a time."""

_REOPEN: Final = (1.0, 30.0)
"""Seconds to leave a failing disk alone: at first, and at most."""

_KEEPS_CONNECTION: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
)


class DamagedError(Exception):
    """The content of the file contradicts itself in a way SQLite does not see."""


class Store:
    """The buffer's file and the current epoch in it; used from one thread only.

    Args:
        path: the file.
        limit: bytes the file's content may take.
        ep: this start's epoch.
        clock: for the time of acceptance, and for leaving a failing disk alone.
    """

    def __init__(self, path: Path, limit: int, ep: str, clock: Clock) -> None:
        self.path, self.limit, self.ep, self.clock = path, limit, ep, clock
        self.boot = 0
        self._conn: sqlite3.Connection | None = None
        self._order = 0
        self._points: list[Point] = []
        self._aliases: dict[str, int] = {}
        self._devices: dict[str, Device] = {}
        self._accepted: dict[Stream, int] = {"tel": 0, "evt": 0}
        self._salvaged = 0
        self._not_before, self._pause = 0.0, _REOPEN[0]

    # ------------------------------------------------------------ the connection

    def run(self, operation: Callable[[], T]) -> T:
        """Run `operation`; open the file first where it is not, repair it where it must be.

        Raises:
            Unavailable: the disk is full or fails, or the file is locked; nothing was changed.
        """
        try:
            try:
                self._open()
                return operation()
            except (sqlite3.DatabaseError, DamagedError, UnicodeDecodeError) as error:
                if isinstance(error, sqlite3.Error) and not is_corrupt(error):
                    raise
                self._close()
                self._repair(str(error))
                self._open()
                return operation()
        except (sqlite3.Error, OSError, DamagedError, UnicodeDecodeError) as error:
            self._give_up(error)
            msg = f"buffer {self.path}: {error}"
            raise Unavailable(msg) from error

    def _give_up(self, error: Exception) -> None:
        """Close the file unless the trouble is one that passes by itself.

        After a failed fsync nobody knows what the disk holds: the file is read anew, not written on.
        """
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _KEEPS_CONNECTION and self._conn:
            return
        self._close()
        self._not_before = self.clock.monotonic() + self._pause
        self._pause = min(self._pause * 2, _REOPEN[1])

    @property
    def _db(self) -> sqlite3.Connection:
        if self._conn is None:
            msg = "the file is closed"
            raise OSError(msg)
        return self._conn

    def _open(self) -> None:
        if self._conn is not None:
            return
        if self.clock.monotonic() < self._not_before:
            # Not a failure of its own, which `run` would take for a reason to wait still longer.
            msg = (
                f"buffer {self.path}: the disk failed a moment ago; waiting before the next attempt"
            )
            raise Unavailable(msg)
        finish(self.path)
        if reason := why_untrusted(self.path):
            self._repair(reason)
        self._conn = connect(self.path)
        if account.unproven_epochs(self._conn):
            msg = "an epoch fails its CRC"
            raise DamagedError(msg)
        with self._transaction():
            self._begin_epoch()
            self._heal_all()
            self._ledger.prune(self._order, _KEEP_EPOCHS)
        self._pause = _REOPEN[0]

    def _close(self) -> None:
        if self._conn is not None:
            with contextlib.suppress(sqlite3.Error):
                self._conn.close()
        self._conn = None

    def close(self) -> None:
        """Close the file; nothing is lost that was accepted."""
        self._close()

    def _repair(self, reason: str) -> None:
        saved = repair(self.path)
        self._salvaged += saved.rows
        log.error(
            "the buffer file was damaged: what could be read was saved,"
            " the rest will be declared lost",
            extra={
                "file": str(self.path),
                "damage": reason,
                "moved_to": str(saved.file),
                "rows_saved": saved.rows,
                "epochs": saved.epochs,
            },
        )

    @property
    def _ledger(self) -> Ledger:
        return Ledger(self._db, self.clock)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    # ------------------------------------------------------------ the epoch

    def _begin_epoch(self) -> None:
        """Enter the current epoch and its dictionary, where the file does not have them yet."""
        row = self._db.execute("SELECT id FROM epoch WHERE ep=?", (self.ep,)).fetchone()
        if row is None:
            boot = self.boot or 1 + account.counter(self._db, "boot")
            sql = "INSERT INTO epoch (ep, boot, crc) VALUES (?, ?, 0)"
            order = self._db.execute(sql, (self.ep, boot)).lastrowid or 0
            sql = "UPDATE epoch SET crc=? WHERE id=?"
            self._db.execute(sql, (crc_of(order, self.ep, boot), order))
            self._db.execute("INSERT OR REPLACE INTO counter VALUES ('boot', ?)", (boot,))
            self.boot, row = boot, (order,)
        self._order = int(row[0])
        self._write_dictionary(0, self._points, list(self._devices.values()))
        for stream, accepted in self._accepted.items():
            known, done = account.position(self._db, self._order, stream)
            self._ledger.put_position(self._order, stream, max(known, accepted), done)

    def _heal_all(self) -> None:
        lost = 0
        self._ledger.drop_strays()
        for (epoch,) in self._db.execute("SELECT id FROM epoch").fetchall():
            for stream in STREAMS:
                lost += self._ledger.heal(epoch, stream)
        if lost:
            log.error(
                "buffered rows are damaged beyond reading and are declared lost",
                extra={"file": str(self.path), "rows": lost},
            )

    def add_points(self, points: Sequence[Point], devices: Sequence[Device]) -> list[int]:
        """Extend the dictionary of the current epoch; return the aliases of `points`."""
        new: dict[str, Point] = {}
        for point in points:
            if point.key not in self._aliases:
                new.setdefault(point.key, point)
        added = list(new.values())
        first = len(self._points)
        with self._transaction():
            self._write_dictionary(first, added, devices)
        self._points += added
        self._aliases |= {point.key: first + i for i, point in enumerate(added)}
        self._devices |= {device.key: device for device in devices}
        return [self._aliases[point.key] for point in points]

    def _write_dictionary(
        self, first: int, points: Sequence[Point], devices: Sequence[Device]
    ) -> None:
        epoch = self._order
        docs = [(first + i, point.model_dump_json().encode()) for i, point in enumerate(points)]
        self._db.executemany(
            "INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?)",
            [(epoch, alias, crc_of(epoch, alias, blob=doc), doc) for alias, doc in docs],
        )
        named = [(device.key, device.model_dump_json().encode()) for device in devices]
        self._db.executemany(
            "INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?)",
            [(epoch, key, crc_of(epoch, key, blob=doc), doc) for key, doc in named],
        )

    @property
    def dictionary_size(self) -> int:
        """How many aliases the current epoch has."""
        return len(self._points)

    # ------------------------------------------------------------ accepting

    def append(self, batches: Sequence[Batch], findings: Sequence[Finding]) -> None:
        """Accept rows: when this returns they are on the disk, under order numbers of their own."""
        with self._transaction():
            accepted: dict[Stream, int] = {
                "tel": self._append_samples(batches),
                "evt": self._append_findings(findings),
            }
            self._ledger.evict(self.limit)
        self._accepted = accepted

    def _append_samples(self, batches: Sequence[Batch]) -> int:
        accepted, done = account.position(self._db, self._order, "tel")
        before = accepted
        for batch in join(batches):
            for message in encode_rows(self.ep, accepted + 1, batch):
                self._ledger.insert(self._order, "tel", message)
            accepted += len(batch)
        if accepted != before:
            self._ledger.put_position(self._order, "tel", accepted, done)
        return accepted

    def _append_findings(self, findings: Sequence[Finding]) -> int:
        accepted, done = account.position(self._db, self._order, "evt")
        if findings:
            for message in encode_findings(self.ep, accepted + 1, findings):
                self._ledger.insert(self._order, "evt", message)
            accepted += len(findings)
            self._ledger.put_position(self._order, "evt", accepted, done)
        return accepted

    # ------------------------------------------------------------ giving out

    def next(self, stream: Stream, after: tuple[int, int], limit: int) -> list[Frame]:
        """Return the oldest frames behind `after`: (epoch's place in order, row number)."""
        sql = (
            "SELECT f.id, f.s0, f.n, f.kind, f.cause, f.dv, f.crc, f.blob, e.ep, f.epoch"
            " FROM frame f INDEXED BY frame_order JOIN epoch e ON e.id = f.epoch"
            " WHERE f.stream=? AND f.epoch >= ? AND (f.epoch > ? OR f.s0 + f.n - 1 > ?)"
            " ORDER BY f.epoch, f.s0 LIMIT ?"
        )
        for _ in range(3):
            rows = self._db.execute(sql, (stream, after[0], *after, limit)).fetchall()
            if all(is_proven(stream, row) for row in rows):
                return [
                    Frame(ep, order, stream, s0, n, dv, blob)
                    for _, s0, n, _, _, dv, _, blob, ep, order in rows
                ]
            with self._transaction():
                self._ledger.drop_unproven(stream, rows)
                self._heal_all()
        msg = "messages that fail their CRC cannot be deleted"
        raise DamagedError(msg)

    def confirm(self, ep: str, stream: Stream, acked: Sequence[Range]) -> int:
        """Delete what the cloud has committed; return how many rows that were."""
        row = self._db.execute("SELECT id FROM epoch WHERE ep=?", (ep,)).fetchone()
        if row is None:
            return 0
        (epoch,) = row
        with self._transaction():
            gone = self._ledger.delete_covered(epoch, stream, ranges.merge(acked))
            if gone and epoch != self._order and account.is_drained(self._db, epoch):
                self._ledger.drop_dictionary(epoch)
        if account.free_pages(self._db) > _VACUUM_ABOVE:
            # As a script: `execute` would step once, and each step gives back one page.
            self._db.executescript("PRAGMA incremental_vacuum(512)")
        return ranges.count(gone)

    def dictionary(self, ep: str, a0: int) -> tuple[list[bytes], int]:
        """Return the messages that bring `ep`'s dictionary from alias `a0` on, and its size."""
        if ep == self.ep:
            points, devices = self._points, self._devices
        else:
            points, devices = account.dictionary(self._db, ep)
        return list(encode_dictionary(ep, a0, points[a0:], devices)), len(points)

    def holdings(self) -> list[Holding]:
        """Return what each epoch accepted and still holds."""
        return account.holdings(self._db)

    def stats(self) -> account.Stats:
        """Return the buffer's figures."""
        return account.stats(self._db, limit=self.limit, salvaged=self._salvaged)
