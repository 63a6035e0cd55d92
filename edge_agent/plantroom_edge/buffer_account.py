"""Reading the buffer's books: accepted, held, confirmed, lost. Nothing here writes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from plantroom_edge.buffer_db import PAGE, crc_of, lenient, proves_frame
from plantroom_shared import ranges
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Device, Point
from plantroom_shared.ranges import Range
from plantroom_shared.wire import STREAMS, Holding, Stream

MAX_GAP: Final = 2**31
"""Most rows one gap message can declare."""

MAX_EPOCHS: Final = 1000
"""Most epochs in one account: the hello has to fit into a message."""

WAITING: Final = "SELECT epoch, stream, machine, rows, crc FROM held_back ORDER BY epoch, stream"
"""Reads, with `row_set`, which rows wait for the gateway's clock to be set."""

_RECENT: Final = 16
"""Drained epochs that still stand in the account, so that the cloud learns how they ended."""


@dataclass(slots=True)
class Stats:
    """The buffer's figures; rows by stream."""

    accepted: dict[str, int] = field(default_factory=dict)
    """Ever, over all epochs."""
    held: dict[str, int] = field(default_factory=dict)
    """Not yet confirmed, declared gaps included."""
    retained: dict[str, int] = field(default_factory=dict)
    """Confirmed and still in the file, for a cloud that is restored from a backup."""
    waiting: int = 0
    """Rows that wait for the gateway's clock to be set."""
    lost: dict[str, int] = field(default_factory=dict)
    """Declared lost, by ``cause_stream``."""
    epochs: int = 0
    used_bytes: int = 0
    limit_bytes: int = 0
    salvaged: int = 0
    """Rows saved from a damaged file since the start of the process."""
    frames_corrupt: int = 0
    oldest_us: int | None = None
    """When the oldest row that is not confirmed was accepted; None where all are."""
    disk_bytes: int = 0
    """What the buffer takes on the disk: the file, its log, the reserve, damaged files."""
    reserve_bytes: int = 0
    """Kept free for the moment when the disk is full; 0 while it is used."""
    full_since_us: int | None = None
    """Since when the disk has been full; None while it is not."""
    written_bytes: int = 0
    """Bytes of messages written since the file was opened."""
    room_bytes: int = 0
    """What samples may still take before any that is not confirmed must be given up."""
    giving_up: str = ""
    """``thinned`` or ``quota``: how samples have been given up in the last minutes."""

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


def positions(db: sqlite3.Connection) -> dict[tuple[int, Stream], tuple[int, list[Range]]]:
    """Return how far each (epoch, stream) got and what of it is confirmed, where that is proven."""
    out: dict[tuple[int, Stream], tuple[int, list[Range]]] = {}
    for row in db.execute("SELECT epoch, stream, accepted, done, crc FROM position"):
        if row[1] in STREAMS and row[4] == crc_of(*row[:4]):
            out[row[0], row[1]] = int(row[2]), [(lo, hi) for lo, hi in orjson.loads(row[3])]
    return out


def row_set(db: sqlite3.Connection, sql: str, *key: object) -> list[tuple[Any, ...]]:
    """Return rows that end in (JSON list of ranges, CRC) and prove themselves, the ranges read."""
    found = db.execute(sql, key).fetchall()
    return [
        (*row[:-2], [(lo, hi) for lo, hi in orjson.loads(row[-2])])
        for row in found
        if row[-1] == crc_of(*row[:-1])
    ]


def retained(db: sqlite3.Connection, epoch: int, stream: str) -> list[Range]:
    """Return the confirmed rows of a stream that are still in the file."""
    sql = "SELECT epoch, stream, hour, rows, crc FROM retained WHERE epoch=? AND stream=?"
    return ranges.merge(item for row in row_set(db, sql, epoch, stream) for item in row[-1])


def in_frames(db: sqlite3.Connection, epoch: int, stream: str) -> list[Range]:
    """Return the rows that frames hold, confirmed or not."""
    # Runs of neighbours are found in SQL: a long outage leaves a hundred thousand frames. Damage can
    # make frames overlap, so a run begins only behind the end of all that came before it.
    sql = """
        SELECT min(s0), max(stop) - 1 FROM (
            SELECT s0, stop, sum(coalesce(s0 > before, 1)) OVER (ORDER BY s0, id) AS run FROM (
                SELECT id, s0, s0 + n AS stop, max(s0 + n) OVER (
                    ORDER BY s0, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS before
                FROM frame INDEXED BY frame_order WHERE stream=? AND epoch=?
            )
        ) GROUP BY run
    """
    return ranges.merge((lo, hi) for lo, hi in db.execute(sql, (stream, epoch)))


def held(db: sqlite3.Connection, epoch: int, stream: str) -> list[Range]:
    """Return the rows that are not confirmed."""
    accepted, done = position(db, epoch, stream)
    return ranges.subtract([(1, accepted)], done) if accepted else []


def is_empty(db: sqlite3.Connection, epoch: int) -> bool:
    """Say whether no frame of `epoch` is left, not even a confirmed one."""
    sql = "SELECT 1 FROM frame INDEXED BY frame_order WHERE stream=? AND epoch=? LIMIT 1"
    return all(db.execute(sql, (stream, epoch)).fetchone() is None for stream in STREAMS)


def holdings(db: sqlite3.Connection) -> list[Holding]:
    """Return what the epochs accepted and hold: the newest one last.

    Epochs that hold something come before drained ones where there are too many for a message.
    """
    known = positions(db)
    spans = {
        key: ranges.subtract([(1, accepted)] if accepted else [], done)
        for key, (accepted, done) in known.items()
    }
    full = {epoch for (epoch, _), rows in spans.items() if rows}
    epochs = db.execute("SELECT id, ep FROM epoch ORDER BY id").fetchall()
    recent = {id_ for id_, _ in epochs[-_RECENT:]}
    wanted = [row for row in epochs if row[0] in full or row[0] in recent]
    if len(wanted) > MAX_EPOCHS:
        wanted = [*wanted[: MAX_EPOCHS - 1], wanted[-1]]
    return [
        Holding(
            ep=ep,
            accepted={stream: known.get((id_, stream), (0, []))[0] for stream in STREAMS},
            held={stream: rows for stream in STREAMS if (rows := spans.get((id_, stream)))},
        )
        for id_, ep in wanted
    ]


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
    counters = dict(db.execute("SELECT name, value FROM counter").fetchall())
    accepted = {stream: counters.get(f"past_{stream}", 0) for stream in STREAMS}
    held_rows = dict.fromkeys(STREAMS, 0)
    for (_, stream), (most, done) in positions(db).items():
        accepted[stream] += most
        held_rows[stream] += most - ranges.count(done)
    kept = dict.fromkeys(STREAMS, 0)
    for _, stream, _, rows in row_set(db, "SELECT epoch, stream, hour, rows, crc FROM retained"):
        kept[stream] += ranges.count(rows)
    return Stats(
        accepted={str(stream): count for stream, count in accepted.items()},
        held={str(stream): count for stream, count in held_rows.items()},
        retained={str(stream): count for stream, count in kept.items()},
        waiting=sum(ranges.count(row[-1]) for row in row_set(db, WAITING)),
        lost={
            k.removeprefix("lost_"): v for k, v in counters.items() if k.startswith("lost_") and v
        },
        epochs=int(db.execute("SELECT count(*) FROM epoch").fetchone()[0]),
        used_bytes=used_bytes(db),
        limit_bytes=limit,
        salvaged=salvaged,
        frames_corrupt=counters.get("frames_corrupt", 0),
        oldest_us=oldest_us(db),
    )


def oldest_us(db: sqlite3.Connection) -> int | None:
    """Return when the oldest row that is not confirmed was accepted; None where all are."""
    oldest: list[int] = []
    sql = (
        "SELECT accepted_us FROM frame INDEXED BY frame_order"
        " WHERE stream=? AND epoch=? AND s0 <= ? ORDER BY s0 DESC LIMIT 1"
    )
    firsts: dict[Stream, tuple[int, int]] = {}
    for (epoch, stream), (accepted, done) in sorted(positions(db).items()):
        rest = ranges.subtract([(1, accepted)] if accepted else [], done)
        if rest:
            firsts.setdefault(stream, (epoch, rest[0][0]))
    for stream, (epoch, seq) in firsts.items():
        row = db.execute(sql, (stream, epoch, seq)).fetchone()
        oldest += [int(row[0])] if row else []
    return min(oldest, default=None)


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
        for stream in STREAMS:
            out += _stream_problems(db, epoch, ep, stream)
    sql = "SELECT id, crc, epoch, stream, s0, n, kind, cause, dv, blob FROM frame"
    for id_, crc, epoch, stream, *header, blob in db.execute(sql):
        if not proves_frame(crc, epoch, stream, header, blob):
            out.append(f"frame {id_}: fails its CRC")
    sql = "SELECT epoch, alias, crc, doc FROM point"
    for epoch, alias, crc, doc in db.execute(sql):
        if crc != crc_of(epoch, alias, blob=doc):
            out.append(f"dictionary: alias {alias} of epoch number {epoch} fails its CRC")
    return out


def _stream_problems(db: sqlite3.Connection, epoch: int, ep: str, stream: str) -> list[str]:
    accepted, done = position(db, epoch, stream)
    here = in_frames(db, epoch, stream)
    whole: list[Range] = [(1, accepted)] if accepted else []
    missing = ranges.subtract(whole, [*here, *done])
    beyond = ranges.subtract(here, whole)
    both = ranges.intersect(here, done)
    unnamed = ranges.subtract(both, retained(db, epoch, stream))
    out = []
    if missing:
        out.append(f"epoch {ep} {stream}: rows {missing} are neither held nor confirmed")
    if beyond:
        out.append(f"epoch {ep} {stream}: rows {beyond} are held but were never accepted")
    if unnamed:
        out.append(f"epoch {ep} {stream}: rows {unnamed} are both held and confirmed")
    sql = "SELECT coalesce(sum(n), 0) FROM frame WHERE stream=? AND epoch=?"
    twice = db.execute(sql, (stream, epoch)).fetchone()[0] - ranges.count(here)
    if twice:
        out.append(f"epoch {ep} {stream}: {twice} rows are in more than one message")
    return out
