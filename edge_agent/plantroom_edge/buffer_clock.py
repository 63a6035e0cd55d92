"""Samples from before the clock was set: held back, then stamped anew.

A gateway without a battery for its clock starts in 1970. What it reads until the network tells the
time is accepted all the same, and sent only when its times have been put right. How far the clock
was off is the same for all that one start of the machine has stamped, whichever process it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from plantroom_edge import buffer_account as account
from plantroom_edge.buffer_ledger import Ledger, is_proven
from plantroom_edge.buffer_rows import encode_rows
from plantroom_edge.clock import BUILT_US
from plantroom_shared import ranges
from plantroom_shared.ranges import Range
from plantroom_shared.wire import Samples, decode_rows

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def machine_start(ep: str, file: Path = _BOOT_ID) -> str:
    """Return a name of this start of the machine; `ep` where the system has none."""
    try:
        return file.read_text(encoding="ascii").strip()[:64] or ep
    except (OSError, UnicodeDecodeError):
        return ep


def hold_back(ledger: Ledger, epoch: int, rows: Range, machine: str) -> None:
    """Do not give out these samples of `epoch` before `restamp`."""
    ledger.put_waiting(epoch, machine, ranges.merge([*ledger.waiting().get(epoch, []), rows]))


def restamp(ledger: Ledger, offset_us: int, machine: str) -> int:
    """Add `offset_us` to the times of all samples that wait, and give them out; return how many.

    Those of an earlier start of the machine are given out as they are: nobody knows how far its
    clock was off, and the cloud puts times it cannot believe into quarantine.
    """
    shifted = 0
    sql = "SELECT epoch, machine, rows, crc FROM waiting ORDER BY epoch"
    for epoch, of_machine, rows in account.row_set(ledger.db, sql):
        if of_machine == machine:
            for span in ranges.intersect(rows, ledger.held(epoch, "tel")):
                shifted += _shift(ledger, epoch, span, offset_us)
        ledger.drop_waiting(epoch)
    return shifted


def put_right(times: list[int], offset_us: int) -> list[int]:
    """Return `times` with `offset_us` added to those that were stamped before the time was known.

    Rows that are read right after the clock was set may be accepted before the buffer is told, and
    the other way round: the stamp itself says on which side of that moment it was made.
    """
    return [ts + offset_us if ts < BUILT_US else ts for ts in times]


def _shift(ledger: Ledger, epoch: int, rows: Range, offset_us: int) -> int:
    shifted = 0
    for head in ledger.heads(epoch, "tel", rows):
        if head.kind != "data":
            continue
        (frame,) = ledger.frames(epoch, "tel", (head.s0, head.s0), 1)
        if not is_proven("tel", frame):
            continue  # found and declared lost when it is given out
        message = decode_rows(frame[7])
        if not isinstance(message, Samples):
            continue
        message.batch.times = put_right(message.batch.times, offset_us)
        ledger.delete("tel", [head.id])
        for part in encode_rows(
            message.ep, message.s0, message.batch, boot=message.boot, mono_us=message.mono_us
        ):
            ledger.insert(epoch, "tel", part, accepted_us=head.accepted_us + offset_us)
        shifted += message.n
    return shifted
