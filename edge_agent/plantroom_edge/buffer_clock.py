"""Rows from before the clock was set: held back, then stamped anew.

A gateway without a battery for its clock starts in 1970. What it reads and finds until the network
tells the time is accepted all the same, and sent only when its times have been put right. How far
the clock was off is the same for all that one start of the machine has stamped, whichever process
it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from plantroom_edge import buffer_account as account
from plantroom_edge.buffer_ledger import Head, Ledger, is_proven
from plantroom_edge.buffer_rows import Message, encode_findings, encode_records, encode_rows
from plantroom_edge.clock import BUILT_US
from plantroom_shared import ranges
from plantroom_shared.errors import Rejected
from plantroom_shared.model import Finding
from plantroom_shared.ranges import Range
from plantroom_shared.wire import (
    Findings,
    Gap,
    Record,
    Records,
    Samples,
    Stream,
    decode_rows,
    encode,
)

WAITS: Final[tuple[Stream, ...]] = ("evt", "aud", "tel")
"""Streams that are held back. Results of commands are not: somebody waits for them, and whoever
gave a command over the connection has told the time by then."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TIMES: Final = ("from_us", "to_us")
"""What else in a record is a time of the gateway's clock."""


def machine_start(ep: str, file: Path = _BOOT_ID) -> str:
    """Return a name of this start of the machine; `ep` where the system has none."""
    try:
        return file.read_text(encoding="ascii").strip()[:64] or ep
    except (OSError, UnicodeDecodeError):
        return ep


def hold_back(ledger: Ledger, epoch: int, stream: Stream, rows: Range, machine: str) -> None:
    """Do not give out these rows of `epoch` before `restamp`."""
    waiting = ledger.waiting().get((epoch, stream), [])
    ledger.put_waiting(epoch, stream, machine, ranges.merge([*waiting, rows]))


def restamp(ledger: Ledger, offset_us: int, machine: str) -> int:
    """Add `offset_us` to the times of all rows that wait, and give them out; return how many.

    Those of an earlier start of the machine are given out as they are: nobody knows how far its
    clock was off, and the cloud puts times it cannot believe into quarantine.
    """
    shifted = 0
    for epoch, stream, of_machine, rows in account.row_set(ledger.db, account.WAITING):
        if of_machine == machine:
            for span in ranges.intersect(rows, ledger.held(epoch, stream)):
                shifted += _shift(ledger, epoch, stream, span, offset_us)
        ledger.drop_waiting(epoch, stream)
    return shifted


def put_right(times: list[int], offset_us: int) -> list[int]:
    """Return `times` with `offset_us` added to those that were stamped before the time was known.

    Rows that are read right after the clock was set may be accepted before the buffer is told, and
    the other way round: the stamp itself says on which side of that moment it was made.
    """
    return [ts + offset_us if ts < BUILT_US else ts for ts in times]


def findings_right(findings: Sequence[Finding], offset_us: int) -> list[Finding]:
    """Return `findings` with times as `put_right` gives them."""
    return [
        finding.model_copy(
            update={
                "started": _right(finding.started, offset_us),
                "ended": None if finding.ended is None else _right(finding.ended, offset_us),
            }
        )
        for finding in findings
    ]


def records_right(records: Sequence[Record], offset_us: int) -> list[Record]:
    """Return `records` with times as `put_right` gives them, those in their details included."""
    return [
        record.model_copy(
            update={
                "at": _right(record.at, offset_us),
                "doc": {
                    key: _right(value, offset_us) if key in _TIMES and type(value) is int else value
                    for key, value in record.doc.items()
                },
            }
        )
        for record in records
    ]


def _right(ts: int, offset_us: int) -> int:
    return put_right([ts], offset_us)[0]


def _shift(ledger: Ledger, epoch: int, stream: Stream, rows: Range, offset_us: int) -> int:
    shifted = 0
    for head in ledger.heads(epoch, stream, rows):
        (frame,) = ledger.frames(epoch, stream, (head.s0, head.s0), 1)
        if not is_proven(epoch, stream, frame):
            continue  # found and declared lost when it is given out
        try:
            parts = list(_shifted(head, frame[7], offset_us))
        except Rejected:
            continue  # nobody can read it: whoever is sent it says so
        ledger.delete(stream, [head.id])
        at = _right(head.accepted_us, offset_us)
        for part in parts:
            ledger.insert(epoch, stream, part, cause=head.cause, accepted_us=at)
        shifted += head.n if head.kind == "data" else 0
    return shifted


def _shifted(head: Head, blob: bytes, offset_us: int) -> Iterator[Message]:
    """Yield the message in `blob` with its times put right."""
    match decode_rows(blob):
        case Samples() as rows:
            rows.batch.times = put_right(rows.batch.times, offset_us)
            boot, mono_us = rows.boot, rows.mono_us
            yield from encode_rows(rows.ep, rows.s0, rows.batch, boot=boot, mono_us=mono_us)
        case Findings() as rows:
            yield from encode_findings(rows.ep, rows.s0, findings_right(rows.ev, offset_us))
        case Records() as rows:
            right = records_right(rows.rc, offset_us)
            yield from encode_records(rows.ep, rows.st, rows.s0, right)
        case Gap() as gap:
            span = {"from_us": gap.from_us, "to_us": gap.to_us}
            right_span = {key: ts and _right(ts, offset_us) for key, ts in span.items()}
            yield Message(head.s0, head.n, 0, encode(gap.model_copy(update=right_span)))
