"""The buffer's file: opening it, its numbered schema, and the checks that every row carries."""

from __future__ import annotations

import contextlib
import sqlite3
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from plantroom_edge.files import fsync_folder
from plantroom_shared.wire import Stream

PAGE: Final = 4096
CACHE_KIB: Final = 512
"""SQLite's own cache: a commit takes a few dozen pages; its default is two megabytes for years."""
LOG_LIMIT: Final = 8 * 1024 * 1024
"""Bytes that the log may take beside the file; what the buffer may take beyond its quota."""

CHECK_BUDGET: Final = 5.0
"""Seconds that checking the structure of the file may take at start."""

_CHECK_RATE: Final = 100e6
"""Bytes that a modest card reads in a second."""

_CORRUPT_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MAGIC: Final = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Frame:
    """A message ready for the wire: rows ``s0 .. s0 + n - 1`` of a stream of an epoch."""

    ep: str
    order: int
    """Where its epoch stands in the order of starts."""
    stream: Stream
    s0: int
    n: int
    dv: int
    """How many aliases a reader must know."""
    blob: bytes
    kind: str = "data"
    """``data``, or ``gap`` where the rows are lost."""
    cause: str = ""
    """Of a gap: ``quota``, ``thinned`` or ``corrupt``."""

    @property
    def last(self) -> int:
        """The order number of its last row."""
        return self.s0 + self.n - 1


def crc_of(*header: object, blob: object = b"") -> int:
    """Return the CRC-32 of a row: its header fields, then its blob.

    A flipped bit can change the very type of a column: what is no blob gets a CRC nothing has.
    """
    if not isinstance(blob, bytes):
        return -1
    return zlib.crc32(blob, zlib.crc32("|".join(map(str, header)).encode()))


def frame_crc(epoch: int, stream: str, header: Sequence[object], blob: object) -> int:
    """Return the CRC of a frame row; its `header` is (s0, n, kind, cause, dv)."""
    return crc_of(epoch, stream, *header, blob=blob)


def proves_frame(
    crc: object, epoch: int, stream: str, header: Sequence[object], blob: object
) -> bool:
    """Say whether `crc` is that of a frame row, or the one files had while it left out the epoch."""
    return crc == frame_crc(epoch, stream, header, blob) or crc == crc_of(
        stream, *header, blob=blob
    )


def is_corrupt(error: sqlite3.Error) -> bool:
    """Say whether `error` means that the file's content can no longer be trusted."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT_CODES


def lenient(db: sqlite3.Connection) -> sqlite3.Connection:
    """Let `db` read damaged text as text with marks in it, which then fails its CRC."""
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return db


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the file for its one writer, with the schema brought up to date.

    Raises:
        sqlite3.Error: it cannot be opened; `is_corrupt` tells whether it is the content.
    """
    fresh = not path.exists()
    db = lenient(sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0))
    try:
        # Order matters: the page layout is fixed with the first page written, and switching to
        # WAL writes it.
        db.execute(f"PRAGMA page_size = {PAGE}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        db.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
        db.execute("PRAGMA cell_size_check = ON")
        _migrate(db)
    except BaseException:
        db.close()
        raise
    if fresh:
        fsync_folder(path.parent)
    return db


def _migrate(db: sqlite3.Connection) -> None:
    """Apply the numbered SQL files that the file has not seen yet, each in one transaction."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    for number, script in migrations():
        if number > version:
            db.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


def migrations() -> list[tuple[int, str]]:
    """Return the schema's steps: number and SQL, lowest first."""
    folder = resources.files("plantroom_edge") / "schema"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return [(int(name[:3]), (folder / name).read_text(encoding="utf-8")) for name in names]


def has_our_schema(db: sqlite3.Connection) -> bool:
    """Say whether the file's tables are word for word those of its version; an empty file's are."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > migrations()[-1][0]:
        return False
    with contextlib.closing(sqlite3.connect(":memory:")) as model:
        for number, script in migrations():
            if number <= version:
                model.executescript(script)
        return _schema(db) == _schema(model)


def _schema(db: sqlite3.Connection) -> set[tuple[Any, ...]]:
    return set(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"))


def why_untrusted(path: Path, *, budget: float = CHECK_BUDGET) -> str:
    """Say why the file cannot be trusted; the empty text if it can, or is not there yet.

    Looks at the structure only, for `budget` seconds at most: what the rows hold is proven by
    their own CRCs when they are read.
    """
    if not path.exists() or path.stat().st_size == 0:
        return ""
    # A power cut in the first transaction leaves half a page and a journal that undoes it.
    undone = path.with_name(f"{path.name}-journal").exists()
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC and not undone:
            return "it is no SQLite file"
    try:
        return _check(path, budget)
    except sqlite3.DatabaseError as error:
        # SQLITE_ERROR: "unsupported file format" and the like; there is no fault in our SQL.
        if is_corrupt(error) or error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
            return str(error)
        raise
    except UnicodeDecodeError:  # sqlite3 words its complaint with the damaged text
        return "its text is damaged"


def _check(path: Path, budget: float) -> str:
    # Older SQLite reads the whole tree in one step that nothing interrupts: then size decides.
    fits = path.stat().st_size <= budget * _CHECK_RATE
    deadline = time.monotonic() + budget
    db = lenient(sqlite3.connect(path, isolation_level=None))
    try:
        db.set_progress_handler(lambda: time.monotonic() > deadline, 1000)
        try:
            ours = has_our_schema(db)
            verdict = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0]) if fits else "ok"
        except sqlite3.OperationalError as error:
            # Interrupted by the handler: nothing wrong was found in the time there is.
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return ""
            raise
    finally:
        db.close()
    if verdict != "ok":
        return verdict
    return "" if ours else "its tables are not those of a buffer"
