"""A few points on two devices, and batches of them, for the tests of sinks."""

from __future__ import annotations

from typing import Any

from plantroom_shared.model import Batch, Device, Point, Quality, Value

GROUP, NODE = "Tower", "gw-tower-0001"
NOW = 1_767_225_600_000_000
PUMP, FAN = "modbus:pump", "modbus:fan"


def point(key: str, device: str = PUMP, **more: Any) -> Point:
    """Return a point of a device."""
    return Point(key=f"{device}:{key}", device=device, name=key.title(), **more)


POINTS = [point("speed", unit="rpm"), point("running"), point("flow", FAN)]
DEVICES = [Device(key=key, name=key, protocol="modbus") for key in (PUMP, FAN)]


def batch(*rows: tuple[int, int, Value], bad: tuple[int, ...] = ()) -> Batch:
    """Return rows of (alias, milliseconds from the start, value)."""
    out = Batch()
    for index, (alias, ms, value) in enumerate(rows):
        quality = Quality.BAD if index in bad else Quality.GOOD
        out.append(alias, NOW + ms * 1000, value, quality, "timeout" if index in bad else "")
    return out
