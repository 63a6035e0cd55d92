"""What a replay delivers: one JSON object per sample or finding, in one order. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import showable
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.samples.schemas import show_quality, show_value

SAMPLE: Final = 0
FINDING: Final = 1

Key: TypeAlias = tuple[int, int, int, int] | tuple[int, int, str, str]
"""Place of a row: µs since 1970, kind, then point and tie of a sample, gateway and id of a finding.

Rows of one moment: samples first, by point and tie, then findings.
"""


@dataclass(frozen=True, slots=True)
class Item:
    """One row with its place."""

    key: Key
    body: dict[str, Any]


def sample_item(site: str, row: AnyRow) -> Item:
    """Return a sample as it is delivered."""
    body = {
        "kind": "sample",
        "site": site,
        "gateway": row.gateway_id,
        "device": row.device,
        "point": row.key,
        "name": row.name,
        "unit": row.unit,
        "ts": rfc3339(row.ts_us),
        "value": show_value(row.value, row.text),
        "quality": show_quality(row.quality),
        "reason": row.reason,
        "id": row.point_id,
        "tie": str(row.tie),  # more than a double holds: many readers of JSON have nothing else
    }
    return Item((row.ts_us, SAMPLE, row.point_id, row.tie), body)


def finding_item(site: str, row: AnyRow) -> Item:
    """Return a finding as it is delivered: as it is known now, its end with it."""
    body = {
        "kind": "finding",
        "site": site,
        "gateway": row.gateway_id,
        "device": row.subject,
        "ts": rfc3339(row.started_us),
        "ended": rfc3339_or_none(row.ended_us),
        "id": row.id,
        "detector": row.detector,
        "points": row.points,
        "score": row.score,
        "text": row.text,
        "evidence": showable(row.evidence),
    }
    return Item((row.started_us, FINDING, row.gateway_id, row.id), body)


def line(replay: str, number: int, item: Item) -> bytes:
    """Return `item` as the `number`-th object of a replay, without the newline."""
    return orjson.dumps({"replay": replay, "n": number} | item.body)


def first_bytes(replay: str) -> bytes:
    """Return what every line of a replay begins with."""
    return orjson.dumps({"replay": replay})[:-1] + b","
