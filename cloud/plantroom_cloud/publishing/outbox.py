"""What stands in a row of the outbox. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from plantroom_shared.tracing import trace_of


@dataclass(frozen=True, slots=True)
class Waiting:
    """Samples of an outbox row, column by column."""

    points: list[int]
    times: list[int]
    """Microseconds since 1970-01-01 UTC."""
    values: list[Any]
    quality: list[int]
    epoch: str = ""
    """Whose dictionary says what the rows meant; empty where none does."""
    aliases: dict[int, int] | None = None
    """Row → alias, of points that have several there; None where no point has."""
    begins: tuple[int, ...] = ()
    """First row of each message that they came in."""

    def __len__(self) -> int:
        return len(self.points)

    def traces(self, gateway: str) -> list[str]:
        """Return the ids by which the messages of `gateway` are followed that these came in."""
        return [trace_of(gateway, self.epoch, "tel", s0) for s0 in self.begins]

    def rows(self) -> Iterator[tuple[int, int, Any, int]]:
        """Yield point, time, value and quality of every sample."""
        return zip(self.points, self.times, self.values, self.quality, strict=True)


def unpacked(samples: bytes) -> Waiting | None:
    """Return what ingest has packed; None where it cannot be read."""
    try:
        document = orjson.loads(samples)
        columns = [document[name] for name in "ptvq"]
        epoch, aliases = document.get("e", ""), document.get("a")
        begins = tuple(int(s0) for s0 in document.get("b", ()))
        known = None if aliases is None else {int(row): alias for row, alias in aliases.items()}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError):
        return None
    if not all(isinstance(column, list) for column in columns) or not isinstance(epoch, str):
        return None
    whole = all(type(item) is int for column in (0, 1, 3) for item in columns[column])
    if len({len(column) for column in columns}) != 1 or not whole:
        return None
    points, times, values, quality = columns
    return Waiting(points, times, values, quality, epoch, known, begins)
