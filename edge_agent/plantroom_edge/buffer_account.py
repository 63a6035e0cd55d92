"""Reading the buffer's books: accepted, held, confirmed, lost. Nothing here writes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from plantroom_edge.buffer_db import PAGE, crc_of, frame_crc, lenient
from plantroom_shared import ranges
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Device, Point
from plantroom_shared.ranges import Range
from plantroom_shared.wire import Holding

MAX_GAP: Final = 2**31
"""Most rows one gap message can declare."""

MAX_EPOCHS: Final = 1000
"""Most epochs in one account: the hello has to fit into a message."""

_RECENT: Final = 16
"""Drained epochs that still stand in the account, so that the cloud learns how they ended."""


@dataclass(slots=True)
class Stats:
    """The buffer's figures; rows by stream."""

    accepted: dict[str, int] = field(default_factory=dict)
    """Ever, over all epochs."""
    held: dict[str, int] = field(default_factory=dict)
    """Still in the file, declared gaps included."""
    lost: dict[str, int] = field(default_factory=dict)
    """Declared lost, by ``cause_stream``."""
    frames: int = 0
    epochs: int = 0
    used_bytes: int = 0
    limit_bytes: int = 0
    salvaged: int = 0
    """Rows saved from a damaged file since the start of the process."""
    frames_corrupt: int = 0

    def document(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return asdict(self)


def pragma(db: sqlite3.Connection, name: str) -> int:
    """Return a number that SQLite keeps about the file."""
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def free_pages(db: sqlite3.Connection) -> int:
    """Return how many pages of the file hold nothing."""
    return pragma(db, "freelist_count")


def used_bytes(db: sqlite3.Connection) -> int:
    """Return the bytes of the file that hold something."""
    return (pragma(db, "page_count") - free_pages(db)) * PAGE


def counter(db: sqlite3.Connection, name: str) -> int:
    """Return a lifetime count."""
    row = db.execute("SELECT value FROM counter WHERE name=?", (name,)).fetchone()
    return int(row[0]) if row else 0


def unproven_epochs(db: sqlite3.Connection) -> int:
    """Return how many epochs have a row that fails its CRC, or frames but no row at all."""
    rows = db.execute("SELECT id, ep, boot, crc FROM epoch").fetchall()
    proven = {row[0] for row in rows if row[3] == crc_of(*row[:3])}
    used = {row[0] for row in db.execute("SELECT DISTINCT epoch FROM frame")}
    return len((used | {row[0] for row in rows}) - proven)


def position(db: sqlite3.Connection, epoch: int, stream: str) -> tuple[int, list[Range]]:
    """Return how far `stream` got and what of it is confirmed; (0, []) if nobody knows."""
    return proven_position(db, epoch, stream) or (0, [])


def proven_position(
    db: sqlite3.Connection, epoch: int, stream: str
) -> tuple[int, list[Range]] | None:
    """Return how far `stream` got and what of it is confirmed; None if its row fails its CRC."""
    sql = "SELECT epoch, stream, accepted, done, crc FROM position WHERE epoch=? AND stream=?"
    row = db.execute(sql, (epoch, stream)).fetchone()
    if row is None or row[4] != crc_of(*row[:4]):
        return None
    return int(row[2]), [(lo, hi) for lo, hi in orjson.loads(row[3])]


def held(db: sqlite3.Connection, epoch: int, stream: str) -> list[Range]:
    """Return the rows that frames hold."""
    # Runs of neighbours are found in SQL: a long outage leaves a hundred thousand frames.
    sql = """
        SELECT min(s0), max(s0 + n - 1) FROM (
            SELECT s0, n, s0 + n - sum(n) OVER (ORDER BY s0) AS run
            FROM frame INDEXED BY frame_order WHERE stream=? AND epoch=?
        ) GROUP BY run
    """
    return ranges.merge((lo, hi) for lo, hi in db.execute(sql, (stream, epoch)))


_ANY: Final = "SELECT 1 FROM frame WHERE stream IN ('evt', 'tel') AND epoch=? LIMIT 1"


def is_drained(db: sqlite3.Connection, epoch: int) -> bool:
    """Say whether no frame of `epoch` is left."""
    return db.execute(_ANY, (epoch,)).fetchone() is None


def holdings(db: sqlite3.Connection) -> list[Holding]:
    """Return what the epochs accepted and hold: the newest one last.

    Epochs that hold something come before drained ones where there are too many for a message.
    """
    with_frames = {row[0] for row in db.execute("SELECT DISTINCT epoch FROM frame")}
    epochs = db.execute("SELECT id, ep FROM epoch ORDER BY id").fetchall()
    recent = {id_ for id_, _ in epochs[-_RECENT:]}
    wanted = [row for row in epochs if row[0] in with_frames or row[0] in recent]
    if len(wanted) > MAX_EPOCHS:
        wanted = [*wanted[: MAX_EPOCHS - 1], wanted[-1]]
    return [_holding(db, id_, ep) for id_, ep in wanted]


def _holding(db: sqlite3.Connection, epoch: int, ep: str) -> Holding:
    spans = {stream: held(db, epoch, stream) for stream in ("tel", "evt")}
    accepted = {stream: position(db, epoch, stream)[0] for stream in ("tel", "evt")}
    return Holding.model_validate(
        {"ep": ep, "accepted": accepted, "held": {k: v for k, v in spans.items() if v}}
    )


def dictionary(db: sqlite3.Connection, ep: str) -> tuple[list[Point], dict[str, Device]]:
    """Return the points of an epoch in the order of their aliases, and its devices.

    An alias whose row is damaged stands for a point called ``lost``: the others keep their places.
    """
    row = db.execute("SELECT id FROM epoch WHERE ep=?", (ep,)).fetchone()
    if row is None:
        return [], {}
    (epoch,) = row
    good: dict[int, Point] = {}
    for alias, crc, doc in db.execute("SELECT alias, crc, doc FROM point WHERE epoch=?", (epoch,)):
        if crc == crc_of(epoch, alias, blob=doc):
            good[alias] = Point.model_validate_json(doc)
    sql = "SELECT coalesce(max(dv), 0) FROM frame WHERE stream='tel' AND epoch=?"
    (needed,) = db.execute(sql, (epoch,)).fetchone()
    size = max(needed, max(good, default=-1) + 1)
    points = [good.get(alias) or _lost(ep, alias) for alias in range(size)]
    return points, _devices(db, epoch)


def _lost(ep: str, alias: int) -> Point:
    return Point(key=f"lost:{ep}:{alias}", device=f"lost:{ep}", name="lost")


def _devices(db: sqlite3.Connection, epoch: int) -> dict[str, Device]:
    out: dict[str, Device] = {}
    for key, crc, doc in db.execute("SELECT key, crc, doc FROM device WHERE epoch=?", (epoch,)):
        if crc == crc_of(epoch, key, blob=doc):
            out[key] = Device.model_validate_json(doc)
    return out


def stats(db: sqlite3.Connection, *, limit: int = 0, salvaged: int = 0) -> Stats:
    """Return the figures of the file."""
    rows = db.execute("SELECT stream, count(*), sum(n) FROM frame GROUP BY stream").fetchall()
    counters = dict(db.execute("SELECT name, value FROM counter").fetchall())
    sums = dict(db.execute("SELECT stream, sum(accepted) FROM position GROUP BY stream").fetchall())
    streams = ("tel", "evt")
    return Stats(
        accepted={s: int(sums.get(s) or 0) + counters.get(f"past_{s}", 0) for s in streams},
        held={s: sum(int(n) for st, _, n in rows if st == s) for s in streams},
        lost={k.removeprefix("lost_"): v for k, v in counters.items() if k.startswith("lost_")},
        frames=sum(count for _, count, _ in rows),
        epochs=int(db.execute("SELECT count(*) FROM epoch").fetchone()[0]),
        used_bytes=used_bytes(db),
        limit_bytes=limit,
        salvaged=salvaged,
        frames_corrupt=counters.get("frames_corrupt", 0),
    )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a buffer for reading, whether its agent runs or not.

    Raises:
        Unavailable: there is none, or it cannot be read; the text says what to do.
    """
    if not path.exists():
        msg = f"there is no buffer at {path}; the agent makes it on its first run"
        raise Unavailable(msg)
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(lenient(sqlite3.connect(uri, uri=True, timeout=5.0))) as db:
            db.execute("SELECT 1 FROM epoch LIMIT 1").fetchone()
            yield db
    except (sqlite3.Error, UnicodeDecodeError) as error:
        msg = f"buffer {path} cannot be read ({error}); the agent repairs it when it starts"
        raise Unavailable(msg) from error


def problems(db: sqlite3.Connection) -> list[str]:
    """Return every way in which the file breaks the buffer's rule; empty if it keeps it."""
    out: list[str] = []
    verdict = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        return [f"structure: {verdict}"]
    for epoch, ep in db.execute("SELECT id, ep FROM epoch").fetchall():
        for stream in ("tel", "evt"):
            out += _stream_problems(db, epoch, ep, stream)
    sql = "SELECT id, stream, s0, n, kind, cause, dv, crc, blob FROM frame"
    out += [f"frame {row[0]}: fails its CRC" for row in db.execute(sql) if row[7] != _crc(row)]
    sql = "SELECT epoch, alias, crc, doc FROM point"
    for epoch, alias, crc, doc in db.execute(sql):
        if crc != crc_of(epoch, alias, blob=doc):
            out.append(f"dictionary: alias {alias} of epoch number {epoch} fails its CRC")
    return out


def _crc(row: tuple[Any, ...]) -> int:
    return frame_crc(row[1], row[2:7], row[8])


def _stream_problems(db: sqlite3.Connection, epoch: int, ep: str, stream: str) -> list[str]:
    accepted, done = position(db, epoch, stream)
    here = held(db, epoch, stream)
    whole: list[Range] = [(1, accepted)] if accepted else []
    missing = ranges.subtract(whole, [*here, *done])
    beyond = ranges.subtract(here, whole)
    twice = ranges.count(here) + ranges.count(done) - ranges.count(ranges.merge([*here, *done]))
    out = []
    if missing:
        out.append(f"epoch {ep} {stream}: rows {missing} are neither held nor confirmed")
    if beyond:
        out.append(f"epoch {ep} {stream}: rows {beyond} are held but were never accepted")
    if twice:
        out.append(f"epoch {ep} {stream}: {twice} rows are both held and confirmed")
    return out
