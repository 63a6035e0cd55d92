"""Confirmed rows: they leave the account at once and the file later.

A cloud that was restored from last night's backup has forgotten what it confirmed since; what is
still in the file can then be held again. Nothing is rewritten for that: a frame is retained when its
rows are in `done` and a row of `retained` names them, by the hour in which they were confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from plantroom_edge import buffer_account as account
from plantroom_edge.buffer_db import crc_of
from plantroom_edge.buffer_ledger import Ledger
from plantroom_shared import ranges
from plantroom_shared.ranges import Range
from plantroom_shared.wire import STREAMS, Stream

HOUR_US: Final = 3_600_000_000

_AT_ONCE: Final = 256
"""Most frames that one call deletes, so that no commit waits long for it."""


def confirm(
    ledger: Ledger, epoch: int, stream: Stream, acked: Sequence[Range], *, keep: bool
) -> int:
    """Enter rows as confirmed; return how many that were.

    A message of data is confirmed as a whole or not at all; a gap can be in parts.

    Args:
        ledger: the books.
        epoch: its place in the order of starts.
        stream: whose rows.
        acked: what the cloud has committed.
        keep: whether the rows stay in the file for now.
    """
    gone: list[Range] = []
    for lo, hi in ranges.intersect(acked, ledger.held(epoch, stream)):
        for head in ledger.heads(epoch, stream, (lo, hi)):
            if head.kind == "data":
                if lo <= head.s0 and head.last <= hi:
                    gone.append((head.s0, head.last))
                continue
            inside = (max(head.s0, lo), min(head.last, hi))
            if inside != (head.s0, head.last):
                rest = ranges.subtract([(head.s0, head.last)], [inside])
                ledger.split_gap(epoch, stream, head, [inside, *rest])
            gone.append(inside)
    gone = ranges.merge(gone)
    if gone:
        accepted, done = ledger.position(epoch, stream)
        ledger.put_position(epoch, stream, accepted, ranges.merge([*done, *gone]))
        if keep:
            _add(ledger, epoch, stream, gone)
        else:
            for rows in gone:
                ledger.delete(stream, [head.id for head in ledger.heads(epoch, stream, rows)])
    return ranges.count(gone)


def revive(ledger: Ledger, epoch: int, stream: Stream, wanted: Sequence[Range]) -> int:
    """Hold confirmed rows again as far as they are still here, in whole messages; return how many."""
    back: list[Range] = []
    for hour, rows in _slots(ledger, epoch, stream):
        found = [
            (head.s0, head.last)
            for span in ranges.intersect(rows, wanted)
            for head in ledger.heads(epoch, stream, span)
        ]
        if found:
            _put(ledger, epoch, stream, hour, ranges.subtract(rows, found))
            back += found
    accepted, done = ledger.position(epoch, stream)
    back = ranges.intersect(back, done)
    if back:
        ledger.put_position(epoch, stream, accepted, ranges.subtract(done, back))
    return ranges.count(back)


def expire(ledger: Ledger, before_us: int, current: int) -> bool:
    """Delete the oldest of the rows confirmed before that time; say whether there were any."""
    sql = "SELECT epoch, stream, hour FROM retained WHERE hour < ? ORDER BY hour, epoch LIMIT 1"
    slot = ledger.db.execute(sql, (before_us // HOUR_US,)).fetchone()
    return slot is not None and _shrink(ledger, current, *slot)


def drop_oldest(ledger: Ledger, stream: Stream, current: int) -> bool:
    """Delete the confirmed rows of `stream` that were confirmed first; say whether there were any."""
    sql = "SELECT epoch, stream, hour FROM retained WHERE stream=? ORDER BY hour, epoch LIMIT 1"
    slot = ledger.db.execute(sql, (stream,)).fetchone()
    return slot is not None and _shrink(ledger, current, *slot)


def sweep(ledger: Ledger, epoch: int) -> None:
    """Delete frames of confirmed rows that no row of `retained` names."""
    for stream in STREAMS:
        _, done = ledger.position(epoch, stream)
        for rows in ranges.subtract(done, account.retained(ledger.db, epoch, stream)):
            stray = ledger.heads(epoch, stream, rows)
            ledger.delete(stream, [head.id for head in stray])


def _shrink(ledger: Ledger, current: int, epoch: int, stream: Stream, hour: int) -> bool:
    """Delete the first messages of a slot; the dictionary goes with the last of its epoch."""
    slots = dict(_slots(ledger, epoch, stream))
    left = list(slots.get(hour, []))
    ids: list[int] = []
    while left and len(ids) < _AT_ONCE:
        lo, hi = left.pop(0)
        heads = ledger.heads(epoch, stream, (lo, hi), _AT_ONCE - len(ids))
        ids += [head.id for head in heads]
        if heads and len(ids) >= _AT_ONCE and heads[-1].last < hi:
            left.insert(0, (heads[-1].last + 1, hi))
    ledger.delete(stream, ids)
    _put(ledger, epoch, stream, hour, left)
    if not left and epoch != current and account.is_empty(ledger.db, epoch):
        ledger.drop_dictionary(epoch)
    return True


def _slots(ledger: Ledger, epoch: int, stream: Stream) -> list[tuple[int, list[Range]]]:
    sql = "SELECT epoch, stream, hour, rows, crc FROM retained WHERE epoch=? AND stream=?"
    rows = account.row_set(ledger.db, f"{sql} ORDER BY hour", epoch, stream)
    return [(row[2], row[3]) for row in rows]


def _add(ledger: Ledger, epoch: int, stream: Stream, rows: list[Range]) -> None:
    hour = ledger.clock.now_us() // HOUR_US
    known = dict(_slots(ledger, epoch, stream)).get(hour, [])
    _put(ledger, epoch, stream, hour, ranges.merge([*known, *rows]))


def _put(ledger: Ledger, epoch: int, stream: Stream, hour: int, rows: list[Range]) -> None:
    key = (epoch, stream, hour)
    if not rows:
        sql = "DELETE FROM retained WHERE epoch=? AND stream=? AND hour=?"
        ledger.db.execute(sql, key)
        return
    row = (*key, orjson.dumps(rows).decode())
    ledger.db.execute(
        "INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?)", (*row, crc_of(*row))
    )
