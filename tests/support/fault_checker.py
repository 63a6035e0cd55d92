"""The judge of a ledger run: it reads the cloud's database and the ledger, and nothing of ours.

The ledger is the rule by which the simulated site makes values: value = f(point, n), n counting
the reads of that point. So each stored value proves which read of which point it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Parse = Callable[[float], tuple[int, int]]
"""Value → (index of the point, n)."""


class Connection(Protocol):
    """What sqlite3 and psycopg connections share."""

    def execute(self, statement: str, /) -> Iterable[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        ...


@dataclass(slots=True)
class Judgement:
    """What the database says of one run."""

    samples: int = 0
    epochs: int = 0
    accepted: int = 0
    wrong: list[str] = field(default_factory=list)
    """Values under the wrong point, or that no read of it gave."""
    doubled: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Order numbers that were accepted and are neither stored nor declared."""
    unread: int = 0
    """Reads that were served and never accepted: the moment before a kill."""

    @property
    def clean(self) -> bool:
        """Say whether nothing is wrong, doubled or lost."""
        return not (self.wrong or self.doubled or self.lost)


def judge(db: Connection, index_of: Mapping[str, int], parse: Parse, *, turn: int) -> Judgement:
    """Judge the run of one gateway whose points have the ledger indices `index_of`.

    Args:
        db: the cloud's database.
        index_of: point key → index in the ledger.
        parse: value → index and n.
        turn: n begins again from 0 after so many reads.
    """
    verdict = Judgement()
    _judge_values(db, index_of, parse, turn, verdict)
    _judge_numbers(db, verdict)
    _judge_account(db, verdict)
    return verdict


def _judge_values(
    db: Connection, index_of: Mapping[str, int], parse: Parse, turn: int, verdict: Judgement
) -> None:
    rows = db.execute(
        "SELECT point.key, sample.ts_us, sample.value, sample.quality FROM sample "
        "JOIN point ON point.id = sample.point_id ORDER BY point.key, sample.ts_us"
    )
    last: dict[str, int] = {}
    for key, ts, value, quality in rows:
        verdict.samples += 1
        if quality != 0:
            continue
        index, n = parse(value)
        if index != index_of[key]:
            verdict.wrong.append(f"{key} at {ts}: {value} belongs to point {index}")
            continue
        before = last.get(key, -1)
        ahead = (n - before) % turn
        if ahead == 0:
            verdict.doubled.append(f"{key}: read {n} is stored twice")
        elif ahead > turn // 2:
            verdict.wrong.append(f"{key}: read {n} at {ts} stands after read {before}")
        else:
            verdict.unread += ahead - 1
        last[key] = n
    missing = set(index_of) - set(last)
    verdict.lost += [f"{key}: never stored" for key in sorted(missing)]


def _judge_numbers(db: Connection, verdict: Judgement) -> None:
    """No order number has two rows, and none that is marked stored has no row.

    The `tie` of a sample holds 32 bits of its order number below 31 bits of a hash of its epoch.
    """
    rows: dict[int, list[int]] = {}
    for (tie,) in db.execute("SELECT tie FROM sample"):
        rows.setdefault(tie >> 32, []).append(tie & 0xFFFF_FFFF)
    absent = _not_stored(db)
    for epoch, lo, hi in db.execute("SELECT epoch, lo, hi FROM stream_range WHERE stream = 'tel'"):
        head = int.from_bytes(hashlib.sha256(epoch.encode()).digest()[:4], "big") >> 1
        have = Counter(seq for seq in rows.get(head, []) if lo <= seq <= hi)
        doubled = sorted(seq for seq, times in have.items() if times > 1)
        verdict.doubled += [f"epoch {epoch}: order number {seq} has two rows" for seq in doubled]
        for seq in range(lo, hi + 1):
            if seq not in have and not any(a <= seq <= b for a, b in absent.get(epoch, ())):
                verdict.lost.append(f"epoch {epoch}: order number {seq} has no row")


def _not_stored(db: Connection) -> dict[str, list[tuple[int, int]]]:
    """Return the ranges of each epoch that are declared lost or in quarantine."""
    absent: dict[str, list[tuple[int, int]]] = {}
    for epoch, lo, hi in db.execute("SELECT epoch, lo, hi FROM gap WHERE stream = 'tel'"):
        absent.setdefault(epoch, []).append((lo, hi))
    for epoch, seq, n in db.execute("SELECT epoch, seq, n FROM quarantine WHERE stream = 'tel'"):
        absent.setdefault(epoch, []).append((seq, seq + n - 1))
    return absent


def _judge_account(db: Connection, verdict: Judgement) -> None:
    """Every order number up to what was accepted is there once: no hole, no row too many."""
    ranges: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for gateway, epoch, lo, hi in db.execute(
        "SELECT gateway_id, epoch, lo, hi FROM stream_range WHERE stream = 'tel'"
    ):
        ranges.setdefault((gateway, epoch), []).append((lo, hi))
    covered = 0
    for gateway, epoch, accepted, declared, quarantined in db.execute(
        "SELECT gateway_id, epoch, accepted, declared, quarantined FROM stream_total "
        "WHERE stream = 'tel'"
    ):
        verdict.epochs += 1
        verdict.accepted += accepted
        have = sorted(ranges.get((gateway, epoch), []))
        if accepted and have != [(1, accepted)]:
            verdict.lost.append(f"epoch {epoch}: accepted 1..{accepted}, have {have}")
        covered += sum(hi - lo + 1 for lo, hi in have) - declared - quarantined
    if covered > verdict.samples:
        verdict.lost.append(
            f"{covered} order numbers are marked stored, {verdict.samples} rows are"
        )
    elif covered < verdict.samples:
        verdict.doubled.append(f"{verdict.samples} rows for {covered} order numbers")
