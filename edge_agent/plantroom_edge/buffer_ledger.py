"""Writing the buffer's books.

The rule that all of this keeps: rows ``1..accepted`` of a stream are each either held, and then in
`frame` as data or as a declared gap, or in `done`, confirmed by the cloud. Confirmed rows may stay
in `frame` for a while (`buffer_retain`); they are not held.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from plantroom_edge import buffer_account as account
from plantroom_edge.buffer_db import crc_of, frame_crc, proves_frame
from plantroom_edge.buffer_rows import Message
from plantroom_shared import ranges
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected
from plantroom_shared.ranges import Range
from plantroom_shared.wire import STREAMS, Gap, Stream, encode, unpack

OVERHEAD: Final = 64
"""Bytes that a message takes beside itself: its header, and its place in the index."""

_ABSURD = "typeof(s0) <> 'integer' OR typeof(n) <> 'integer' OR s0 < 1 OR n < 1"

_PROOF = "id, s0, n, kind, cause, dv, crc, blob"

_OVERLAPPING = """
    FROM frame INDEXED BY frame_order WHERE stream=:stream AND epoch=:epoch AND s0 <= :hi
    AND s0 >= (SELECT coalesce(max(s0), 0) FROM frame INDEXED BY frame_order
               WHERE stream=:stream AND epoch=:epoch AND s0 <= :lo)
    AND s0 + n > :lo ORDER BY s0 LIMIT :limit
"""


class Head(NamedTuple):
    """A frame without its message."""

    id: int
    s0: int
    n: int
    kind: str
    cause: str
    accepted_us: int

    @property
    def last(self) -> int:
        """The order number of its last row."""
        return self.s0 + self.n - 1


def is_proven(epoch: int, stream: str, frame: Sequence[Any]) -> bool:
    """Say whether `frame` (id, s0, n, kind, cause, dv, crc, blob ...) of `epoch` passes its CRC."""
    return proves_frame(frame[6], epoch, stream, frame[1:6], frame[7])


class Ledger:
    """The books of an open buffer, some of them in memory.

    Args:
        db: the connection; every method that writes runs inside a transaction that the caller
            began, and `forget` must follow where that is rolled back.
        clock: for the time of acceptance.
    """

    def __init__(self, db: sqlite3.Connection, clock: Clock) -> None:
        self.db, self.clock = db, clock
        self.written = 0
        """Bytes of messages written since the file was opened."""
        self._positions: dict[tuple[int, Stream], tuple[int, list[Range]]] | None = None
        self._open: set[tuple[int, Stream]] = set()
        self._lane_bytes: dict[Stream, int] | None = None
        self._waiting: dict[tuple[int, Stream], list[Range]] | None = None

    def forget(self) -> None:
        """What is in memory may be of a transaction that never was: read it anew."""
        self._positions = self._lane_bytes = self._waiting = None

    def count(self, name: str, more: int) -> None:
        """Add to a lifetime count."""
        sql = (
            "INSERT INTO counter VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
        )
        self.db.execute(sql, (name, more))

    # ------------------------------------------------------------ positions

    @property
    def positions(self) -> dict[tuple[int, Stream], tuple[int, list[Range]]]:
        """How far each (epoch, stream) got and what of it is confirmed."""
        if self._positions is None:
            self._positions = account.positions(self.db)
            self._open = {key for key, place in self._positions.items() if _is_open(*place)}
        return self._positions

    def position(self, epoch: int, stream: Stream) -> tuple[int, list[Range]]:
        """Return how far `stream` got and what of it is confirmed; (0, []) if nobody knows."""
        return self.positions.get((epoch, stream), (0, []))

    def put_position(self, epoch: int, stream: Stream, accepted: int, done: list[Range]) -> None:
        """Write how far `stream` got and what of it is confirmed."""
        row = (epoch, stream, accepted, orjson.dumps(done).decode())
        self.db.execute(
            "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?, ?)", (*row, crc_of(*row))
        )
        self.positions[epoch, stream] = (accepted, done)
        if _is_open(accepted, done):
            self._open.add((epoch, stream))
        else:
            self._open.discard((epoch, stream))

    def held(self, epoch: int, stream: Stream) -> list[Range]:
        """Return the rows that are not confirmed."""
        accepted, done = self.position(epoch, stream)
        return ranges.subtract([(1, accepted)], done) if accepted else []

    def waiting(self) -> dict[tuple[int, Stream], list[Range]]:
        """Return the rows of each (epoch, stream) that wait for the clock to be set."""
        if self._waiting is None:
            found = account.row_set(self.db, account.WAITING)
            self._waiting = {(row[0], row[1]): row[-1] for row in found}
        return self._waiting

    def put_waiting(self, epoch: int, stream: Stream, machine: str, rows: list[Range]) -> None:
        """Write which rows of `stream` wait for the clock to be set."""
        row = (epoch, stream, machine, orjson.dumps(rows).decode())
        sql = "INSERT OR REPLACE INTO held_back VALUES (?, ?, ?, ?, ?)"
        self.db.execute(sql, (*row, crc_of(*row)))
        self.waiting()[epoch, stream] = rows

    def drop_waiting(self, epoch: int, stream: Stream) -> None:
        """No row of `stream` waits for the clock any more."""
        self.db.execute("DELETE FROM held_back WHERE epoch=? AND stream=?", (epoch, stream))
        self.waiting().pop((epoch, stream), None)

    def epochs(self, stream: Stream) -> list[int]:
        """Return the epochs in which `stream` holds rows, oldest first."""
        return sorted(epoch for epoch, name in self.open if name == stream)

    @property
    def open(self) -> set[tuple[int, Stream]]:
        """The (epoch, stream) that hold rows."""
        return self._open if self.positions else set()

    # ------------------------------------------------------------ frames

    def heads(self, epoch: int, stream: Stream, rows: Range, limit: int = -1) -> list[Head]:
        """Return the oldest frames that hold any of `rows`, without their messages."""
        sql = f"SELECT id, s0, n, kind, cause, accepted_us {_OVERLAPPING}"
        return [Head(*row) for row in self._find(sql, epoch, stream, rows, limit)]

    def frames(
        self, epoch: int, stream: Stream, rows: Range, limit: int = -1
    ) -> list[tuple[Any, ...]]:
        """Return the oldest frames that hold any of `rows`: `is_proven`'s columns, accepted_us."""
        sql = f"SELECT {_PROOF}, accepted_us {_OVERLAPPING}"
        return self._find(sql, epoch, stream, rows, limit)

    def _find(
        self, sql: str, epoch: int, stream: Stream, rows: Range, limit: int
    ) -> list[tuple[Any, ...]]:
        lo, hi = rows
        values = {"epoch": epoch, "stream": stream, "lo": lo, "hi": hi, "limit": limit}
        return self.db.execute(sql, values).fetchall()

    def insert(
        self,
        epoch: int,
        stream: Stream,
        message: Message,
        *,
        cause: str = "",
        accepted_us: int | None = None,
    ) -> None:
        """Write a message of rows: data, or a gap where there is a `cause`."""
        s0, n, dv, blob = message.s0, message.n, message.dv, message.blob
        kind = "gap" if cause else "data"
        crc = frame_crc(epoch, stream, (s0, n, kind, cause, dv), blob)
        at = self.clock.now_us() if accepted_us is None else accepted_us
        self.db.execute(
            "INSERT INTO frame (epoch, stream, s0, n, kind, cause, dv, accepted_us, crc, blob)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (epoch, stream, s0, n, kind, cause, dv, at, crc, blob),
        )
        self.written += len(blob) + OVERHEAD
        if stream != "tel" and self._lane_bytes is not None:
            self._lane_bytes[stream] += len(blob) + OVERHEAD

    def delete(self, stream: Stream, ids: Iterable[int]) -> None:
        """Delete frames of `stream`."""
        marks = [(id_,) for id_ in ids]
        if stream != "tel" and self._lane_bytes is not None:
            sql = "SELECT length(blob) FROM frame WHERE id=?"
            for mark in marks:
                self._lane_bytes[stream] -= self.db.execute(sql, mark).fetchone()[0] + OVERHEAD
        self.db.executemany("DELETE FROM frame WHERE id=?", marks)

    def lane_bytes(self) -> dict[Stream, int]:
        """Return the bytes that each stream but ``tel`` takes, confirmed rows included."""
        if self._lane_bytes is None:
            sql = "SELECT coalesce(sum(length(blob)), 0) + count(*) * ? FROM frame WHERE stream=?"
            lanes = [stream for stream in STREAMS if stream != "tel"]
            found = {lane: self.db.execute(sql, (OVERHEAD, lane)).fetchone()[0] for lane in lanes}
            self._lane_bytes = {lane: int(size) for lane, size in found.items()}
        return self._lane_bytes

    # ------------------------------------------------------------ gaps

    def insert_gap(
        self, epoch: int, stream: Stream, rows: Range, cause: str, span: Range = (0, 0)
    ) -> None:
        """Write a gap as it is, in as many messages as it takes.

        Args:
            epoch: its place in the order of starts.
            stream: whose rows.
            rows: which.
            cause: why they are lost.
            span: accepted from when to when, microseconds; 0 where that is not known.
        """
        (ep,) = self.db.execute("SELECT ep FROM epoch WHERE id=?", (epoch,)).fetchone()
        lo, hi = rows
        for s0 in range(lo, hi + 1, account.MAX_GAP):
            n = min(account.MAX_GAP, hi + 1 - s0)
            gap = Gap(
                ep=ep, st=stream, s0=s0, n=n, gap=cause, from_us=max(span[0], 0), to_us=max(span)
            )
            at = span[0] or None
            self.insert(epoch, stream, Message(s0, n, 0, encode(gap)), cause=cause, accepted_us=at)

    def declare_lost(
        self,
        epoch: int,
        stream: Stream,
        rows: Range,
        cause: str,
        *,
        span: Range = (0, 0),
        absorbs: tuple[str, ...] = (),
    ) -> None:
        """Declare `rows` lost, as one gap with its neighbours of the same cause.

        Args:
            epoch: its place in the order of starts.
            stream: whose rows.
            rows: which.
            cause: why they are lost.
            span: accepted from when to when, microseconds; 0 where that is not known.
            absorbs: causes of neighbours that become part of this gap, too.
        """
        lo, hi = rows
        self.count(f"lost_{cause}_{stream}", hi - lo + 1)
        while near := self._neighbours(epoch, stream, (lo, hi), (cause, *absorbs)):
            for gap in near:
                lo, hi = min(lo, gap.s0), max(hi, gap.last)
                span = _joined(span, self._span(gap.id))
                if gap.cause != cause:
                    self.count(f"lost_{gap.cause}_{stream}", -gap.n)
                    self.count(f"lost_{cause}_{stream}", gap.n)
            self.delete(stream, [gap.id for gap in near])
        self.insert_gap(epoch, stream, (lo, hi), cause, span)

    def _neighbours(
        self, epoch: int, stream: Stream, rows: Range, causes: tuple[str, ...]
    ) -> list[Head]:
        """Return the gaps that touch `rows`, have one of `causes` and are not confirmed."""
        lo, hi = rows
        near: list[Head] = []
        if lo > 1:
            near += self.heads(epoch, stream, (lo - 1, lo - 1), 1)
        near += self.heads(epoch, stream, (hi + 1, hi + 1), 1)
        _, done = self.position(epoch, stream)
        return [
            gap
            for gap in near
            if gap.kind == "gap"
            and gap.cause in causes
            and gap.n + hi - lo < account.MAX_GAP
            and not ranges.intersect([(gap.s0, gap.last)], done)
        ]

    def _span(self, id_: int) -> Range:
        """Return from when to when the rows of a gap were accepted."""
        (blob,) = self.db.execute("SELECT blob FROM frame WHERE id=?", (id_,)).fetchone()
        try:
            document = unpack(blob)
        except (Rejected, TypeError):
            return (0, 0)
        span = (document.get("from_us", 0), document.get("to_us", 0))
        return span if all(isinstance(end, int) for end in span) else (0, 0)

    def split_gap(self, epoch: int, stream: Stream, gap: Head, parts: Sequence[Range]) -> None:
        """Write a gap as `parts`, which together hold the same rows."""
        span = self._span(gap.id)
        self.delete(stream, [gap.id])
        for part in parts:
            self.insert_gap(epoch, stream, part, gap.cause, span)

    # ------------------------------------------------------------ damage

    def heal(self, epoch: int, stream: Stream) -> int:
        """Declare lost what ought to be held and is not: rows neither in a frame nor confirmed.

        Returns:
            How many rows that were.
        """
        known = account.proven_position(self.db, epoch, stream)
        accepted, done = known or (0, [])
        where = "" if known is None else f" AND ({_ABSURD} OR s0 + n - 1 > ?)"
        suspects = self.db.execute(
            f"SELECT {_PROOF} FROM frame WHERE stream=? AND epoch=?{where}",  # noqa: S608 -- ours
            (stream, epoch, *([] if known is None else [accepted])),
        )
        # A header that claims rows nobody accepted must prove itself: a flipped bit there would have
        # us declare rows lost that never were.
        self.drop_unproven(epoch, stream, suspects.fetchall())
        there = account.in_frames(self.db, epoch, stream)
        most = max(accepted, max((hi for _, hi in there), default=0))
        if most != accepted or (known is None and most):
            self.put_position(epoch, stream, most, done)
        missing = ranges.subtract([(1, most)] if most else [], [*there, *done])
        for rows in missing:
            self.declare_lost(epoch, stream, rows, "corrupt")
        return ranges.count(missing)

    def drop_strays(self) -> None:
        """Delete frames of no stream at all: a flipped bit hides them from every query."""
        marks = ",".join("?" * len(STREAMS))
        sql = f"DELETE FROM frame WHERE stream NOT IN ({marks})"  # noqa: S608 -- marks only
        if strays := self.db.execute(sql, STREAMS).rowcount:
            self.count("frames_corrupt", strays)

    def drop_unproven(self, epoch: int, stream: Stream, frames: Sequence[tuple[Any, ...]]) -> int:
        """Delete those of `frames` (id, s0, n, kind, cause, dv, crc, blob) that fail their CRC."""
        bad = [row[0] for row in frames if not is_proven(epoch, stream, row)]
        if bad:
            self.delete(stream, bad)
            self.count("frames_corrupt", len(bad))
        return len(bad)

    # ------------------------------------------------------------ epochs

    def drop_dictionary(self, epoch: int) -> None:
        """Forget the dictionary of an epoch that has no frames left."""
        self.db.execute("DELETE FROM point WHERE epoch=?", (epoch,))
        self.db.execute("DELETE FROM device WHERE epoch=?", (epoch,))

    def prune(self, current: int, keep: int) -> None:
        """Forget the dictionaries of drained epochs, and all but the last `keep` of these altogether.

        What forgotten epochs accepted lives on in the counters.
        """
        ids = self.db.execute(
            "SELECT id FROM epoch WHERE id <> ? ORDER BY id DESC", (current,)
        ).fetchall()
        drained = [epoch for (epoch,) in ids if account.is_empty(self.db, epoch)]
        for epoch in drained:
            self.drop_dictionary(epoch)
        for epoch in drained[keep:]:
            for stream in STREAMS:
                if accepted := self.position(epoch, stream)[0]:
                    self.count(f"past_{stream}", accepted)
            for table in ("position", "retained", "held_back"):
                self.db.execute(f"DELETE FROM {table} WHERE epoch=?", (epoch,))  # noqa: S608 -- ours
            self.db.execute("DELETE FROM epoch WHERE id=?", (epoch,))
        if drained[keep:]:
            self._positions = None


def _is_open(accepted: int, done: Sequence[Range]) -> bool:
    return bool(accepted) and done != [(1, accepted)]


def _joined(one: Range, other: Range) -> Range:
    """Return the time from the earlier beginning to the later end; 0 is no time."""
    begins = [span[0] for span in (one, other) if span[0]]
    return min(begins, default=0), max(one[1], other[1])
