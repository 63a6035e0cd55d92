"""Looking for devices with all drivers that can, side by side, within a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from plantroom_edge.drivers import Candidate, Progress, Scan, ScanRequest, drivers
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import Clock
from plantroom_shared.errors import PlantroomError
from plantroom_shared.mapping import MappedPoint, map_points

GRACE: Final = 2.0
"""Seconds that a scan has beyond its time to end by itself."""

MOST: Final = 10_000
"""Devices after which nobody is looked for any more: something answers for everybody."""


@dataclass(slots=True)
class Found:
    """What the scans have found so far."""

    candidates: list[Candidate] = field(default_factory=list)
    progress: dict[str, Progress] = field(default_factory=dict)
    """By driver."""
    errors: dict[str, str] = field(default_factory=dict)
    """By driver: why it could not look."""
    running: set[str] = field(default_factory=set)
    cut: str = ""
    """Why it ended before all was asked; empty if it did not."""
    _known: set[bytes] = field(default_factory=set)

    def take(self, driver: str, item: Candidate | Progress) -> None:
        """Take what a scan has told; the same device twice is one."""
        if isinstance(item, Progress):
            self.progress[driver] = item
            return
        mark = orjson.dumps([item.bus, item.entry], option=_ANY_KEY, default=str)
        if mark not in self._known and len(self.candidates) < MOST:
            self._known.add(mark)
            self.candidates.append(item)


_ANY_KEY: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS


def scanners(wanted: tuple[str, ...] = ()) -> dict[str, Scan]:
    """Return the drivers that can look for devices, or those of them that are wanted."""
    names = wanted or tuple(name for name, _ in drivers)
    return {name: scan for name in names if (scan := drivers.get(name).scan) is not None}


async def search(
    requests: Mapping[str, ScanRequest],
    clock: Clock,
    *,
    show: Callable[[Found], None],
    stop: asyncio.Event,
) -> Found:
    """Look until all is asked, the time is over or `stop` is set; return what was found.

    Args:
        requests: by driver.
        clock: for the drivers.
        show: is told whenever something is new.
        stop: ends it at once.
    """
    found = Found(running=set(requests))
    scans = scanners(tuple(requests))
    tasks = {
        asyncio.create_task(_scan(name, scans[name](request, clock), found, show), name=name)
        for name, request in requests.items()
    }
    stopper = asyncio.create_task(stop.wait())
    limit = max((request.seconds for request in requests.values()), default=0.0) + GRACE
    try:
        async with asyncio.timeout(limit):
            while (left := {task for task in tasks if not task.done()}) and not stopper.done():
                await asyncio.wait({*left, stopper}, return_when=asyncio.FIRST_COMPLETED)
        if stopper.done():
            found.cut = "stopped"
    except TimeoutError:
        found.cut = "time"
    finally:
        await ended(*tasks, stopper)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()):  # a defect of that driver
            found.errors[task.get_name()] = f"{type(error).__name__}: {error}"
    return found


async def _scan(
    name: str,
    items: AsyncIterator[Candidate | Progress],
    found: Found,
    show: Callable[[Found], None],
) -> None:
    try:
        async with contextlib.aclosing(items):  # type: ignore[type-var] # scans are generators
            async for item in items:
                found.take(name, item)
                show(found)
    except (PlantroomError, OSError) as error:  # the other buses are worth seeing all the same
        found.errors[name] = str(error)
    finally:
        found.running.discard(name)
        show(found)


def mapped(candidates: list[Candidate]) -> dict[str, MappedPoint]:
    """Return what the offline mapper makes of the points that were found, by point key."""
    points = [point for one in candidates for point in one.points]
    devices = [one.device for one in candidates]
    return {entry.point: entry for entry in map_points(points, devices)}


def equipment_of(candidate: Candidate, meanings: Mapping[str, MappedPoint]) -> list[str]:
    """Return which equipment a device's points belong to, as ``AHU-1 (Air_Handling_Unit)``."""
    names: dict[str, str] = {}
    for point in candidate.points:
        entry = meanings.get(point.key)
        if entry is not None and entry.equip_class:
            names.setdefault(entry.equipment or candidate.device.name, entry.equip_class)
    return [f"{name} ({kind})" for name, kind in sorted(names.items())]


def document(found: Found, meanings: Mapping[str, MappedPoint]) -> dict[str, Any]:
    """Return what was found as plain values."""
    return {
        "devices": [
            {
                "device": one.device.model_dump(),
                "bus": dict(one.bus),
                "entry": one.entry,
                "profile": one.profile,
                "confidence": one.confidence,
                "evidence": list(one.evidence),
                "equipment": equipment_of(one, meanings),
                "points": [point.model_dump() for point in one.points],
            }
            for one in found.candidates
        ],
        "errors": found.errors,
        "ended_early": found.cut,
    }
