"""Intervals of history from what the database summed up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339
from plantroom_cloud.samples.repository import SUMMABLE
from plantroom_cloud.samples.schemas import show_value


def show_buckets(rows: Iterable[AnyRow], asked: Sequence[str]) -> list[dict[str, Any]]:
    """Return the JSON of each interval with the aggregates in `asked`.

    Of two rows of one interval the later one counts: it holds the sample with the greater tie.
    """
    by_start = {row.bucket: row for row in rows}
    return [_show_bucket(row, asked) for row in by_start.values()]


def _show_bucket(row: AnyRow, asked: Sequence[str]) -> dict[str, Any]:
    aggregates = {
        "min": row.min,
        "max": row.max,
        "mean": _mean(row),
        "last": show_value(row.last, row.last_text),
    }
    shown: dict[str, Any] = {"ts": rfc3339(row.bucket)}
    shown |= {name: aggregates[name] for name in asked if name in aggregates}
    return shown | {"count": row.count, "uncertain": row.uncertain, "bad": row.bad}


def _mean(row: AnyRow) -> float | None:
    """Return the mean; None without numbers, or where one is too large to be summed up."""
    largest = max(abs(row.min or 0.0), abs(row.max or 0.0))
    summed = row.total is not None and largest <= SUMMABLE
    return row.total / row.numbers if summed else None
