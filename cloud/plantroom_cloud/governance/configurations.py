"""What rules may ask of a gateway's configuration. Pure: the document is anybody's, and may be anything."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_BUS: Final = 5.0
"""Seconds between two polls where neither the device nor its bus says: the BACnet driver's."""
_SHORTEST: Final = 0.001


@dataclass(frozen=True, slots=True)
class Document:
    """What a gateway runs, or shall run: the sections of its configuration."""

    gateway: str
    content: Mapping[str, Any]
    version: int = 0


def configuration_facts(document: Document, points: int) -> dict[str, Any]:
    """Return the facts of a configuration of a gateway with so many points.

    Reads per second are estimated: the points are divided evenly among the devices.
    """
    buses = list(_entries(document.content.get("buses")))
    devices = [(bus, device) for bus in buses for device in _entries(bus.get("devices"))]
    said = [_interval(bus, device) for bus, device in devices]
    known = [seconds for seconds in said if seconds is not None]
    share = points / len(devices) if devices else 0.0
    writes = document.content.get("writes")
    allow = list(_entries(writes.get("allow"))) if isinstance(writes, Mapping) else []
    return {
        "gateway": document.gateway,
        "version": document.version,
        "buses": len(buses),
        "devices": len(devices),
        "unnamed_devices": sum(not device.get("name") for _, device in devices),
        "fastest_s": min(known, default=None),
        "points": points,
        "reads_per_s": round(sum(share / (s or _BUS) for s in said), 3),
        "writes": isinstance(writes, Mapping) and writes.get("enabled") is True,
        "unlimited_writes": sum(not _limited(entry) for entry in allow),
        "sweeping_writes": sum(str(entry.get("point", "")).strip("*: ") == "" for entry in allow),
        "detectors": len(list(_entries(document.content.get("detectors")))),
    }


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, Mapping))


def _interval(bus: Mapping[str, Any], device: Mapping[str, Any]) -> float | None:
    """Return how often a device is read, seconds: the shortest that it or its bus says."""
    groups = [device, *_entries(device.get("groups"))]
    said = [found for group in groups if (found := _seconds(group.get("interval"))) is not None]
    return min(said) if said else _seconds(bus.get("interval"))


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return max(_SHORTEST, float(value)) if math.isfinite(value) else None


def _limited(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("values")) or (
        entry.get("min") is not None and entry.get("max") is not None
    )
