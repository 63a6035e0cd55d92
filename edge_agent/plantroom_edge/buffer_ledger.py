"""Writing the buffer's books.

The rule that all of this keeps: rows ``1..accepted`` of a stream are each in exactly one place, in
`frame` (as data or as a declared gap) or in `done` (confirmed by the cloud).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import orjson

from plantroom_edge import buffer_account as account
from plantroom_edge.buffer_db import crc_of, frame_crc
from plantroom_edge.buffer_rows import Message
from plantroom_shared import ranges
from plantroom_shared.clock import Clock
from plantroom_shared.ranges import Range
from plantroom_shared.wire import Gap, Stream, encode

STREAMS: Final[tuple[Stream, Stream]] = ("evt", "tel")
"""Most urgent first."""

_EVICT: Final = 64
"""Frames given up at once when the limit is reached, so that it is not hit at every commit."""

_FRAME = "SELECT id, s0, n, kind, cause, dv, crc, blob FROM frame WHERE stream=? AND epoch=?"

_ABSURD = "typeof(s0) <> 'integer' OR typeof(n) <> 'integer' OR s0 < 1 OR n < 1"


def is_proven(stream: str, frame: Sequence[Any]) -> bool:
    """Say whether `frame` (id, s0, n, kind, cause, dv, crc, blob ...) passes its CRC."""
    return bool(frame[6] == frame_crc(stream, frame[1:6], frame[7]))


class Ledger:
    """The books of an open buffer.

    Args:
        db: the connection; every method runs inside a transaction that the caller began.
        clock: for the time of acceptance.
    """

    def __init__(self, db: sqlite3.Connection, clock: Clock) -> None:
        self._db, self._clock = db, clock

    def _count(self, name: str, more: int) -> None:
        """Add to a lifetime count."""
        sql = (
            "INSERT INTO counter VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
        )
        self._db.execute(sql, (name, more))

    def put_position(self, epoch: int, stream: str, accepted: int, done: list[Range]) -> None:
        """Write how far `stream` got and what of it is confirmed."""
        row = (epoch, stream, accepted, orjson.dumps(done).decode())
        self._db.execute(
            "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?, ?)", (*row, crc_of(*row))
        )

    def insert(
        self,
        epoch: int,
        stream: Stream,
        message: Message,
        *,
        cause: str = "",
    ) -> None:
        """Write a message of rows: data, or a gap where there is a `cause`."""
        s0, n, dv, blob = message.s0, message.n, message.dv, message.blob
        kind = "gap" if cause else "data"
        crc = frame_crc(stream, (s0, n, kind, cause, dv), blob)
        self._db.execute(
            "INSERT INTO frame (epoch, stream, s0, n, kind, cause, dv, accepted_us, crc, blob)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (epoch, stream, s0, n, kind, cause, dv, self._clock.now_us(), crc, blob),
        )

    def insert_gap(self, epoch: int, stream: Stream, rows: Range, cause: str) -> None:
        """Write a gap as it is, in as many messages as it takes."""
        (ep,) = self._db.execute("SELECT ep FROM epoch WHERE id=?", (epoch,)).fetchone()
        lo, hi = rows
        for s0 in range(lo, hi + 1, account.MAX_GAP):
            n = min(account.MAX_GAP, hi + 1 - s0)
            blob = encode(Gap(ep=ep, st=stream, s0=s0, n=n, gap=cause))
            self.insert(epoch, stream, Message(s0, n, 0, blob), cause=cause)

    def declare_lost(self, epoch: int, stream: Stream, rows: Range, cause: str) -> None:
        """Declare `rows` lost, as one gap with its neighbours of the same cause."""
        lo, hi = rows
        self._count(f"lost_{cause}_{stream}", hi - lo + 1)
        sql = (
            "SELECT id, s0, n FROM frame WHERE stream=? AND epoch=? AND kind='gap' AND cause=?"
            " AND (s0 + n = ? OR s0 = ?)"
        )
        for id_, s0, n in self._db.execute(sql, (stream, epoch, cause, lo, hi + 1)).fetchall():
            lo, hi = min(lo, s0), max(hi, s0 + n - 1)
            self._db.execute("DELETE FROM frame WHERE id=?", (id_,))
        self.insert_gap(epoch, stream, (lo, hi), cause)

    def heal(self, epoch: int, stream: Stream) -> int:
        """Declare lost what ought to be held and is not: rows neither in a frame nor confirmed.

        Returns:
            How many rows that were.
        """
        known = account.proven_position(self._db, epoch, stream)
        accepted, done = known or (0, [])
        where = "" if known is None else f" AND ({_ABSURD} OR s0 + n - 1 > ?)"
        suspects = self._db.execute(
            _FRAME + where, (stream, epoch, *([] if known is None else [accepted]))
        )
        # A header that claims rows nobody accepted must prove itself: a flipped bit there would have
        # us declare rows lost that never were.
        self.drop_unproven(stream, suspects.fetchall())
        held = account.held(self._db, epoch, stream)
        most = max(accepted, max((hi for _, hi in held), default=0))
        if most != accepted or (known is None and most):
            self.put_position(epoch, stream, most, done)
        missing = ranges.subtract([(1, most)] if most else [], [*held, *done])
        for rows in missing:
            self.declare_lost(epoch, stream, rows, "corrupt")
        return ranges.count(missing)

    def drop_strays(self) -> None:
        """Delete frames of no stream at all: a flipped bit hides them from every query."""
        sql = "DELETE FROM frame WHERE stream NOT IN ('evt', 'tel')"
        if strays := self._db.execute(sql).rowcount:
            self._count("frames_corrupt", strays)

    def drop_unproven(self, stream: Stream, frames: Sequence[tuple[Any, ...]]) -> int:
        """Delete those of `frames` (id, s0, n, kind, cause, dv, crc, blob) that fail their CRC."""
        bad = [row[0] for row in frames if not is_proven(stream, row)]
        if bad:
            self._db.executemany("DELETE FROM frame WHERE id=?", [(id_,) for id_ in bad])
            self._count("frames_corrupt", len(bad))
        return len(bad)

    def evict(self, limit: int) -> None:
        """Give up the oldest rows while the file is over `limit` bytes: samples first, each declared."""
        while account.used_bytes(self._db) > limit:
            if not (self._evict_oldest("tel") or self._evict_oldest("evt")):
                return

    def _evict_oldest(self, stream: Stream) -> bool:
        sql = (
            "SELECT id, epoch, s0, n FROM frame INDEXED BY frame_order"
            " WHERE stream=? AND kind='data' ORDER BY epoch, s0 LIMIT ?"
        )
        rows = self._db.execute(sql, (stream, _EVICT)).fetchall()
        rows = [row for row in rows if row[1] == rows[0][1]]
        self._db.executemany("DELETE FROM frame WHERE id=?", [(row[0],) for row in rows])
        for lost in ranges.merge((s0, s0 + n - 1) for _, _, s0, n in rows):
            self.declare_lost(rows[0][1], stream, lost, "quota")
        return bool(rows)

    def delete_covered(self, epoch: int, stream: Stream, acked: list[Range]) -> list[Range]:
        """Delete the frames that `acked` covers and enter their rows as confirmed; return those.

        A message of data goes as a whole or not at all; a gap can go in parts.
        """
        gone: list[Range] = []
        sql = (
            "SELECT id, s0, n, kind, cause FROM frame"
            " WHERE stream=? AND epoch=? AND s0 <= ? AND s0 + n > ?"
        )
        for lo, hi in acked:
            for id_, s0, n, kind, cause in self._db.execute(
                sql, (stream, epoch, hi, lo)
            ).fetchall():
                last = s0 + n - 1
                if kind == "data" and not (lo <= s0 and last <= hi):
                    continue
                self._db.execute("DELETE FROM frame WHERE id=?", (id_,))
                for rest in ranges.subtract([(s0, last)], [(lo, hi)]):
                    self.insert_gap(epoch, stream, rest, cause)
                gone.append((max(s0, lo), min(last, hi)))
        if gone:
            accepted, done = account.position(self._db, epoch, stream)
            self.put_position(epoch, stream, accepted, ranges.merge([*done, *gone]))
        return ranges.merge(gone)

    def drop_dictionary(self, epoch: int) -> None:
        """Forget the dictionary of an epoch that has no frames left."""
        self._db.execute("DELETE FROM point WHERE epoch=?", (epoch,))
        self._db.execute("DELETE FROM device WHERE epoch=?", (epoch,))

    def prune(self, current: int, keep: int) -> None:
        """Forget the dictionaries of drained epochs, and all but the last `keep` of these altogether.

        What forgotten epochs accepted lives on in the counters.
        """
        ids = self._db.execute(
            "SELECT id FROM epoch WHERE id <> ? ORDER BY id DESC", (current,)
        ).fetchall()
        drained = [epoch for (epoch,) in ids if account.is_drained(self._db, epoch)]
        for epoch in drained:
            self.drop_dictionary(epoch)
        for epoch in drained[keep:]:
            for stream in STREAMS:
                self._count(f"past_{stream}", account.position(self._db, epoch, stream)[0])
            self._db.execute("DELETE FROM position WHERE epoch=?", (epoch,))
            self._db.execute("DELETE FROM epoch WHERE id=?", (epoch,))
