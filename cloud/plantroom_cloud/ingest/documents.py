"""From checked findings and records to rows that both databases can hold. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import orjson

from plantroom_cloud.ingest.messages import FindingRows, RecordRows
from plantroom_cloud.ingest.rows import AHEAD_US, EARLIEST_US, Refusal, clean, dump
from plantroom_shared import wire
from plantroom_shared.ranges import Range

MAX_DEPTH = 32
"""Levels of nesting in a finding's evidence and a record's details."""
MAX_DOC = 65_536
"""Bytes of a record's details as JSON."""


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
    return good, [Refusal(message.s0 + row, why, dump(sent[row])) for row, why in refused.items()]


def record_rows(
    message: RecordRows, payload: bytes, wanted: Iterable[Range]
) -> tuple[list[dict[str, Any]], list[Refusal]]:
    """Return the rows of `message` to store and those to quarantine.

    Their times are kept as they were said: an audit row is worth having though the gateway's clock
    was not set yet.
    """
    good, refused = list[dict[str, Any]](), dict[int, str]()
    for lo, hi in wanted:
        for seq in range(lo, hi + 1):
            row = seq - message.s0
            if why := message.bad_rows.get(row, "") or _record_trouble(message.rows[row]):
                refused[row] = why
                continue
            record = message.rows[row]
            good.append({"seq": seq, "at_us": record.at, "kind": record.kind, "doc": record.doc})
    if not refused:
        return good, []
    sent = wire.unpack(payload)["rc"]
    return good, [Refusal(message.s0 + row, why, dump(sent[row])) for row, why in refused.items()]


def _record_trouble(record: wire.Record) -> str:
    if _depth(record.doc) > MAX_DEPTH:
        return "nesting"
    return "too_big" if len(orjson.dumps(record.doc)) > MAX_DOC else ""


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
