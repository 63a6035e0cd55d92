"""Points, batches and findings for tests of the edge."""

from __future__ import annotations

from plantroom_shared.model import Batch, Device, Finding, Point, Value
from support.edge_time import T0

METER = Device(key="modbus:meter", name="meter", protocol="modbus")


def points(count: int, device: str = METER.key) -> list[Point]:
    return [Point(key=f"{device}:p{i}", device=device, name=f"p{i}") for i in range(count)]


def batch(aliases: list[int], values: list[Value], ts: int = T0) -> Batch:
    return Batch(list(aliases), [ts] * len(aliases), list(values))


def counting(start: int, rows: int) -> Batch:
    """Return rows whose values are their place in the order of appending."""
    return batch([0] * rows, [float(start + i) for i in range(rows)])


def finding(name: str, **more: object) -> Finding:
    fields: dict[str, object] = {
        "id": name,
        "detector": "pca",
        "subject": METER.key,
        "started": T0,
        "score": 2.0,
        "text": "something is off",
    }
    return Finding.model_validate(fields | more)
