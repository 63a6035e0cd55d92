"""What the API says of samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, Field

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339

QUALITIES: Final = ("good", "uncertain", "bad")
"""By the code of `plantroom_shared.model.Quality`."""

ValueOut = float | str | None
"""Numbers and booleans (0, 1) as numbers; texts, and integers that a double cannot hold, as text."""


class SampleOut(BaseModel):
    """The value of a point at one moment."""

    ts: str = Field(examples=["2026-01-31T12:00:00.000000Z"])
    value: ValueOut = Field(examples=[21.5])
    quality: str = Field(examples=["good"], description="good, uncertain or bad")
    reason: str = Field(examples=[""], description="Why it is not good.")


class LatestOut(SampleOut):
    """The newest sample of a point."""

    point: int
    key: str
    name: str
    unit: str


class LatestPage(BaseModel):
    """Newest samples of several points."""

    items: list[LatestOut]
    next: str | None


class SamplePage(BaseModel):
    """Samples of one point, oldest first."""

    model_config = {"populate_by_name": True}

    point: int
    unit: str
    start: str = Field(alias="from")
    end: str = Field(alias="to")
    items: list[SampleOut]
    next: str | None


class BucketOut(BaseModel):
    """What was said within one interval; only good samples make the aggregates.

    Aggregates that were not asked for are left out; null means that no sample has one.
    """

    ts: str = Field(description="Start of the interval.")
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    sum: float | None = None
    first: ValueOut = None
    last: ValueOut = None
    count: int = Field(description="Good samples.")
    uncertain: int
    bad: int


class BucketList(BaseModel):
    """Intervals that hold any sample, oldest first."""

    model_config = {"populate_by_name": True}

    point: int
    unit: str
    start: str = Field(alias="from")
    end: str = Field(alias="to")
    interval: str = Field(examples=["PT900S"])
    items: list[BucketOut]


def show_value(value: float | None, text: str | None) -> ValueOut:
    """Return what a point held."""
    return value if text is None else text


def show_quality(code: int) -> str:
    """Return the name of a quality; a code that nobody knows is bad."""
    return QUALITIES[code] if 0 <= code < len(QUALITIES) else QUALITIES[-1]


def show_sample(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a sample."""
    return {
        "ts": rfc3339(row.ts_us),
        "value": show_value(row.value, row.text),
        "quality": show_quality(row.quality),
        "reason": row.reason,
    }


def show_samples(rows: Iterable[AnyRow]) -> list[dict[str, Any]]:
    """Return the JSON of many samples: what `show_sample` returns of each, in less time.

    Args:
        rows: of ts_us, tie, value, text, quality and reason, in this order.
    """
    good = QUALITIES[0]
    return [
        {
            "ts": rfc3339(ts_us),
            "value": value if text is None else text,
            "quality": show_quality(quality) if quality else good,
            "reason": reason,
        }
        for ts_us, _, value, text, quality, reason in rows
    ]


def show_latest(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a point's newest sample."""
    about = {"point": row.point_id, "key": row.key, "name": row.name, "unit": row.unit}
    return about | show_sample(row)
