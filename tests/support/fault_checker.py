"""The judge of a ledger run: it reads the cloud's database and the ledger, and nothing of ours.

The ledger is the rule by which the simulated site makes values: value = f(point, n), n counting
the reads of that point. So each stored value proves which read of which point it is.
"""

from __future__ import annotations

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


def judge(db: Connection, index_of: Mapping[str, int], parse: Parse) -> Judgement:
    """Judge the run of one gateway whose points have the ledger indices `index_of`."""
    verdict = Judgement()
    _judge_values(db, index_of, parse, verdict)
    _judge_account(db, verdict)
    return verdict


def _judge_values(
    db: Connection, index_of: Mapping[str, int], parse: Parse, verdict: Judgement
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
        if n == before:
            verdict.doubled.append(f"{key}: read {n} is stored twice")
        elif n < before:
            verdict.wrong.append(f"{key}: read {n} at {ts} stands after read {before}")
        verdict.unread += max(0, n - before - 1)
        last[key] = n
    missing = set(index_of) - set(last)
    verdict.lost += [f"{key}: never stored" for key in sorted(missing)]


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
