"""Value by value: what the store holds of published points, and what the EnOS simulator received."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plantroom_shared.errors import Rejected
from plantroom_shared.mapping.conversion import Source, conversion_of
from plantroom_shared.mapping.models import model_point
from plantroom_shared.model import Value

Slot = tuple[str, str, int]
"""Asset, measurement point and millisecond: EnOS holds one value of each."""

_STORED = """
    SELECT d.asset_id, p.model_id, p.model_point, s.ts_us, s.value, s.text,
           point.unit, point.states, point.object_type
    FROM published_point AS p
    JOIN enos_device AS d ON d.site_id = p.site_id AND d.equipment = p.equipment
    JOIN point ON point.id = p.point_id
    JOIN sample AS s ON s.point_id = p.point_id
    WHERE p.until_us IS NULL AND d.model_id = p.model_id AND s.quality = 0
    ORDER BY s.ts_us, s.tie
"""
"""Good samples of what is published, the later of one millisecond last (SQLite only)."""
_DUE = """
    SELECT count(*) FROM publish_due AS d
    JOIN published_point AS p ON p.kind = d.kind AND p.point_id = d.point_id
    WHERE p.until_us IS NULL
"""


def unpublished(database: Path) -> int:
    """Return how much is still to be published: rows of the outbox, and what is due of points."""
    with closing(_opened(database)) as db:
        waiting = db.execute("SELECT count(*) FROM outbox").fetchone()[0]
        return int(waiting + db.execute(_DUE).fetchone()[0])


def expected(database: Path) -> dict[Slot, Any]:
    """Return what EnOS must hold in the end: every good sample of what is published, converted."""
    found: dict[Slot, Any] = {}
    with closing(_opened(database)) as db:
        for asset, model, name, ts_us, number, text, unit, states, kind in db.execute(_STORED):
            target = model_point(model, name)
            if target is None:
                continue
            convert = conversion_of(Source(unit, tuple(json.loads(states)), kind), target)
            try:
                found[asset, name, ts_us // 1000] = convert(_value(number, text))
            except Rejected:  # the publisher counts it, and sends nothing
                continue
    return found


def differences(
    database: Path, received: Iterable[list[Any]], repeated: Iterable[list[Any]]
) -> Iterator[str]:
    """Yield what is lost, strange, different or doubled, each with the first value it is true of.

    Args:
        database: the cloud's, SQLite.
        received: (asset, point, millisecond, value) of everything that EnOS holds.
        repeated: (asset, point, millisecond, how often) of everything that came more than once.
    """
    wanted = expected(database)
    there: dict[Slot, Any] = {(asset, name, ms): value for asset, name, ms, value in received}
    kinds = {
        "are stored and not in EnOS": wanted.keys() - there.keys(),
        "are in EnOS and not stored": there.keys() - wanted.keys(),
        "are others in EnOS": {s for s in wanted.keys() & there.keys() if wanted[s] != there[s]},
        "came more than once": {(asset, name, ms) for asset, name, ms, _ in repeated},
    }
    for what, slots in kinds.items():
        if slots:
            yield f"{len(slots)} values {what}: {_named(slots)}"


def _value(number: float | None, text: str | None) -> Value:
    """Return a stored value; an integer that no double holds has its text beside it."""
    if text is None:
        return number
    return text if number is None else int(text)


def _named(slots: set[Slot]) -> str:
    """Say which points, how many values of each, and the first of all."""
    asset, name, ms = min(slots, key=lambda slot: slot[2])
    at = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    often = Counter(f"{asset} {name}" for asset, name, _ in slots).most_common(5)
    points = ", ".join(f"{point} {count}" for point, count in often)
    return f"the first {asset} {name} at {at}; most of {points}"


def _opened(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
