"""From checked messages to rows that both databases can hold. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from plantroom_cloud.ingest.messages import FindingRows
from plantroom_shared import wire
from plantroom_shared.model import Value
from plantroom_shared.ranges import Range

EARLIEST_US = 1_577_836_800_000_000
"""2020-01-01: before that no gateway's clock is believed; `wire` sees to it for samples."""
AHEAD_US = 300_000_000
"""Five minutes: a timestamp further ahead of our clock than that is none."""
MAX_ALIAS = 100_000
"""No epoch names more points than this; a higher alias is a damaged row, not an unknown point."""
MAX_DEPTH = 32
"""Levels of nesting in a finding's evidence."""
COLUMNS = ("point_id", "ts_us", "tie", "value", "text", "quality", "reason")
_EXACT = 2**53


@dataclass(slots=True)
class Refusal:
    """One row for the quarantine."""

    seq: int
    reason: str
    payload: bytes
    n: int = 1


@dataclass(slots=True)
class Column:
    """Samples to store, column by column; all describe the same rows."""

    point_id: list[int] = field(default_factory=list)
    ts_us: list[int] = field(default_factory=list)
    tie: list[int] = field(default_factory=list)
    value: list[float | None] = field(default_factory=list)
    text: list[str | None] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)
    raw: list[Value] = field(default_factory=list)
    """The value as it was sent, for the outbox."""

    def __len__(self) -> int:
        return len(self.point_id)

    def extend(self, other: Column) -> None:
        """Append the rows of `other`."""
        for name in self.__slots__:
            getattr(self, name).extend(getattr(other, name))

    def row(self, index: int) -> dict[str, Any]:
        """Return one row as parameters of an insert."""
        return {name: getattr(self, name)[index] for name in COLUMNS}

    def rows(self, company_id: int) -> list[dict[str, Any]]:
        """Return all rows as parameters of an insert."""
        columns = [getattr(self, name) for name in COLUMNS]
        return [
            {"company_id": company_id, **dict(zip(COLUMNS, row, strict=True))}
            for row in zip(*columns, strict=True)
        ]

    def newest(self) -> dict[int, int]:
        """Return point id → index of its newest row, by time, then tie."""
        best: dict[int, int] = {}
        for row, point in enumerate(self.point_id):
            old = best.get(point)
            if old is None or (self.ts_us[row], self.tie[row]) > (self.ts_us[old], self.tie[old]):
                best[point] = row
        return best

    def packed(self) -> bytes:
        """Return the rows as the outbox keeps them."""
        return orjson.dumps({"p": self.point_id, "t": self.ts_us, "v": self.raw, "q": self.quality})


def tie_base(epoch: str) -> int:
    """Return what the ties of an epoch start from: 31 stable bits of it, above 32 bits of seq."""
    head = hashlib.sha256(epoch.encode()).digest()[:4]
    return (int.from_bytes(head, "big") >> 1) << 32


def tie(base: int, seq: int) -> int:
    """Return the tie of a row: different for any two rows of one point and moment."""
    return base | (seq & 0xFFFF_FFFF)


def clean(text: str) -> str:
    """Return `text` without the one character that PostgreSQL cannot hold."""
    return text.replace("\x00", "\ufffd")


def stored_value(value: Value) -> tuple[float | None, str | None]:
    """Return a value as number and text: exact integers beyond a double's reach keep both."""
    if isinstance(value, str):
        return None, clean(value)
    if value is None:
        return None, None
    if isinstance(value, int) and abs(value) > _EXACT:
        return float(value), str(value)
    return float(value), None


def sample_rows(
    message: wire.Samples,
    payload: bytes,
    wanted: Iterable[Range],
    dictionary: Sequence[int],
    now_us: int,
) -> tuple[Column, list[Refusal]]:
    """Return the rows of `message` to store and those to quarantine.

    Args:
        message: checked columns; its aliases may go beyond `dictionary`.
        payload: the message as it came, to quote the rows that are refused.
        wanted: order numbers not dealt with before, within the message.
        dictionary: alias → point id.
        now_us: our clock.
    """
    column, refused = Column(), dict[int, str]()
    base, batch, latest = tie_base(message.ep), message.batch, now_us + AHEAD_US
    for lo, hi in wanted:
        for seq in range(lo, hi + 1):
            row = seq - message.s0
            alias, ts = batch.points[row], batch.times[row]
            why = message.bad_rows.get(row, "") or _why_not(alias, ts, len(dictionary), latest)
            if why:
                refused[row] = why
                continue
            code, reason = batch.quality.get(row, (0, ""))
            number, text = stored_value(batch.values[row])
            column.point_id.append(dictionary[alias])
            column.ts_us.append(ts)
            column.tie.append(tie(base, seq))
            column.value.append(number)
            column.text.append(text)
            column.quality.append(int(code))  # `true` passes for 1 on the wire, not in a database
            column.reason.append(clean(reason))
            column.raw.append(batch.values[row])
    return column, _quote(message, payload, refused) if refused else []


def _why_not(alias: int, ts: int, known: int, latest: int) -> str:
    if alias >= known:
        return "alias"
    return "future_ts" if ts > latest else ""


def _quote(message: wire.Samples, payload: bytes, refused: dict[int, str]) -> list[Refusal]:
    """Return refused rows as they were sent, bad values and all."""
    sent = wire.unpack(payload)
    return [
        Refusal(
            message.s0 + row,
            why,
            _dump(
                {key: sent[key][row] for key in ("p", "dt", "x")}
                | {"q": sent["q"].get(str(row)), "t": str(message.batch.times[row])}
            ),
        )
        for row, why in refused.items()
    ]


def unknown_aliases(message: wire.Samples, known: int) -> bool:
    """Say whether `message` names points that a longer dictionary would explain."""
    if message.dv <= known:
        return False
    bad = message.bad_rows
    return any(
        known <= alias < MAX_ALIAS and row not in bad
        for row, alias in enumerate(message.batch.points)
    )


def finding_rows(
    message: FindingRows, payload: bytes, wanted: Iterable[Range], now_us: int
) -> tuple[list[dict[str, Any]], list[Refusal]]:
    """Return the rows of `message` to store, as parameters of an upsert, and those to quarantine."""
    good, refused = list[dict[str, Any]](), dict[int, str]()
    latest = now_us + AHEAD_US
    for lo, hi in wanted:
        for seq in range(lo, hi + 1):
            row = seq - message.s0
            why = message.bad_rows.get(row, "") or _finding_trouble(message, row, latest)
            if why:
                refused[row] = why
            else:
                good.append(_finding(message, row))
    if not refused:
        return good, []
    sent = wire.unpack(payload)["ev"]
    return good, [Refusal(message.s0 + row, why, _dump(sent[row])) for row, why in refused.items()]


def _finding_trouble(message: FindingRows, row: int, latest: int) -> str:
    finding = message.rows[row]
    times = [ts for ts in (finding.started, finding.ended) if ts is not None]
    if min(times) < EARLIEST_US:
        return "time"
    if max(times) > latest:
        return "future_ts"
    if not math.isfinite(finding.score):
        return "value"
    return "nesting" if _depth(finding.evidence) > MAX_DEPTH else ""


def _depth(value: Any) -> int:
    """Return how deeply lists and objects are nested, `MAX_DEPTH` + 1 at most."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            inner
            for item in level
            for inner in (
                item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
            )
            if isinstance(inner, dict | list)
        ]
    return depth


def _finding(message: FindingRows, row: int) -> dict[str, Any]:
    finding = message.rows[row]
    return {
        "id": clean(finding.id),
        "detector": clean(finding.detector),
        "subject": clean(finding.subject),
        "points": [clean(key) for key in finding.points],
        "started_us": finding.started,
        "ended_us": finding.ended,
        "score": finding.score,
        "text": clean(finding.text),
        "evidence": finding.evidence,
    }


def _dump(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # nested deeper, or an integer longer, than orjson writes
        return b'"cannot be shown"'
