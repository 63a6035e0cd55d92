"""The buffer's file kept open: opened, repaired, left alone while the disk fails, and full disks."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from plantroom_edge import buffer_account as account
from plantroom_edge.buffer_db import PAGE, connect, is_corrupt, why_untrusted
from plantroom_edge.buffer_ledger import Ledger
from plantroom_edge.buffer_reserve import Reserve, is_full
from plantroom_edge.buffer_salvage import finish, repair
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable
from plantroom_shared.wire import STREAMS, Record

log = logging.getLogger(__name__)

T = TypeVar("T")

_REOPEN: Final = (1.0, 10.0)
"""Seconds to leave a failing disk alone: at first, and at most."""

LOOK_FOR_SPACE: Final = 5.0
"""Seconds between two looks whether a full disk has space again."""

_KEEPS_CONNECTION: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
)

_CHECKPOINT: Final = (64, 1000)
"""Pages of the log from which on it is written back: on a full disk, and at most."""

_MAX_NOTES: Final = 256


class DamagedError(Exception):
    """The content of the file contradicts itself in a way SQLite does not see."""


class DiskFullError(Exception):
    """There is no room for these rows."""


class BufferFile:
    """One SQLite file and how it is; used from one thread only.

    Args:
        path: the file.
        clock: for leaving a failing disk alone.
        reserve: bytes to set aside for the moment when the disk is full.
    """

    def __init__(self, path: Path, clock: Clock, reserve: int) -> None:
        self.path, self.clock = path, clock
        self.reserve = Reserve(path, reserve)
        self.notes: list[Record] = []
        """What happened and is not yet in the audit."""
        self.noted = 0
        """How much of what happened is in the audit."""
        self.full_since: int | None = None
        """Since when the disk has been full, microseconds; None while it is not."""
        self.salvaged = 0
        """Rows saved from damaged files."""
        self.holding: frozenset[str] = frozenset(STREAMS)
        """Streams that hold rows, for whoever asks from another thread; all while nobody knows."""
        self._conn: sqlite3.Connection | None = None
        self._books: Ledger | None = None
        self._not_before, self._pause = 0.0, _REOPEN[0]
        self._look_at = 0.0

    # ------------------------------------------------------------ for those who use it

    def run(self, operation: Callable[[], T]) -> T:
        """Run `operation`; open the file first where it is not, repair it where it must be.

        Raises:
            Unavailable: the disk is full or fails, or the file is locked; nothing was changed.
        """
        try:
            try:
                result = self._attempt(operation)
            except (sqlite3.Error, OSError) as error:
                if not is_full(error) or not self._use_reserve():
                    raise
                result = self._attempt(operation)
            self.holding = frozenset(stream for _, stream in self.ledger.open)
        except (sqlite3.Error, OSError, DamagedError, DiskFullError, UnicodeDecodeError) as error:
            self.holding = frozenset(STREAMS)
            self._give_up(error)
            msg = f"buffer {self.path}: {error}"
            raise Unavailable(msg) from error
        return result

    def note(self, kind: str, **details: object) -> None:
        """Enter something that happened into the audit with the next commit."""
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(Record(at=max(self.clock.now_us(), 0), kind=kind, doc=details))

    def close(self) -> None:
        """Close the file; nothing is lost that was accepted."""
        self._close()

    def begin(self) -> None:
        """The file was opened: enter what belongs to this start. Runs in a transaction."""
        raise NotImplementedError

    # ------------------------------------------------------------ the connection

    @property
    def db(self) -> sqlite3.Connection:
        """The open file; OSError if it is closed."""
        if self._conn is None:
            msg = "the file is closed"
            raise OSError(msg)
        return self._conn

    @property
    def ledger(self) -> Ledger:
        """The books of the open file; OSError if it is closed."""
        if self._books is None or self._books.db is not self.db:
            self._books = Ledger(self.db, self.clock)
        return self._books

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, all of it or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            if self._books is not None:
                self._books.forget()
            raise

    def _attempt(self, operation: Callable[[], T]) -> T:
        try:
            self._open()
            self._look_for_space()
            return operation()
        except (sqlite3.DatabaseError, DamagedError, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.Error) and not is_corrupt(error):
                raise
            self._close()
            self._repair(str(error))
            self._open()
            return operation()

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
        with self.transaction():
            self.begin()
        self._pause = _REOPEN[0]
        if self.full_since is None:
            self.reserve.make()
        self._bound_log()

    def _close(self) -> None:
        if self._conn is not None:
            with contextlib.suppress(sqlite3.Error):
                self._conn.close()
        self._conn = self._books = None

    def _give_up(self, error: Exception) -> None:
        """Close the file unless the trouble is one that passes by itself.

        After a failed fsync nobody knows what the disk holds: the file is read anew, not written on.
        """
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if self._conn and (code in _KEEPS_CONNECTION or isinstance(error, DiskFullError)):
            return
        self._close()
        self._not_before = self.clock.monotonic() + self._pause
        self._pause = min(self._pause * 2, _REOPEN[1])

    def _repair(self, reason: str) -> None:
        saved = repair(self.path)
        self.salvaged += saved.rows
        said = {"file": saved.file.name, "rows": saved.rows, "epochs": saved.epochs}
        self.note("buffer.salvaged", damage=reason[:200], **said)
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

    # ------------------------------------------------------------ full disks

    def _use_reserve(self) -> bool:
        """The disk is full: give up the reserve; say whether there was one."""
        if self.full_since is None:
            self.full_since = self.clock.now_us()
            self.note("buffer.full", reserve_bytes=self.reserve.size)
            log.error(
                "the disk is full: the oldest samples are given up for new ones",
                extra={"file": str(self.path), "reserve_bytes": self.reserve.size},
            )
        self._look_at = self.clock.monotonic() + LOOK_FOR_SPACE
        had = self.reserve.release()
        self._bound_log()
        if self._conn is not None:
            with contextlib.suppress(sqlite3.Error):
                # The file may have to grow by what only the log holds; then the log is given back.
                self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return had

    def _look_for_space(self) -> None:
        if self.full_since is None or self.clock.monotonic() < self._look_at:
            return
        self._look_at = self.clock.monotonic() + LOOK_FOR_SPACE
        if not (self.reserve.may_return() and self.reserve.make()):
            return
        self.note("buffer.recovered", from_us=self.full_since, to_us=self.clock.now_us())
        log.info("the disk has space again", extra={"file": str(self.path)})
        self.full_since = None
        self._bound_log()

    def _bound_log(self) -> None:
        """Keep the log so short that the reserve has room for what only the log holds."""
        least, most = _CHECKPOINT
        pages = least
        if self.full_since is None:
            pages = min(max(self.reserve.size // 2 // PAGE, least), most)
        if self._conn is not None:
            with contextlib.suppress(sqlite3.Error):
                self._conn.execute(f"PRAGMA wal_autocheckpoint = {pages}")
