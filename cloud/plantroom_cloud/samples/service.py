"""Intervals of history from what the store summed up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from plantroom_cloud.kit.times import rfc3339
from plantroom_cloud.samples.schemas import show_value
from plantroom_cloud.store.history import Sums
from plantroom_cloud.store.summing import SUMMABLE


def show_buckets(rows: Iterable[Sums], asked: Sequence[str]) -> list[dict[str, Any]]:
    """Return the JSON of each interval with the aggregates in `asked`."""
    return [_show_bucket(row, asked) for row in rows]


def _show_bucket(row: Sums, asked: Sequence[str]) -> dict[str, Any]:
    total = _total(row)
    aggregates = {
        "min": row.min,
        "max": row.max,
        "sum": total,
        "mean": None if total is None else total / row.numbers,
        "first": show_value(row.first, row.first_text),
        "last": show_value(row.last, row.last_text),
    }
    shown: dict[str, Any] = {"ts": rfc3339(row.start_us)}
    shown |= {name: aggregates[name] for name in asked if name in aggregates}
    return shown | {"count": row.count, "uncertain": row.uncertain, "bad": row.bad}


def _total(row: Sums) -> float | None:
    """Return the sum; None without numbers, or where one is too large to be summed up."""
    largest = max(abs(row.min or 0.0), abs(row.max or 0.0))
    return row.total if largest <= SUMMABLE else None
