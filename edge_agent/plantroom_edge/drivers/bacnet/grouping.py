"""Found devices → poll groups: which points are read together, how often, and by which requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from plantroom_edge.drivers import Poll, PollGroup
from plantroom_edge.drivers.bacnet.config import BacnetConfig, DeviceOptions
from plantroom_edge.drivers.bacnet.cov import Watch
from plantroom_edge.drivers.bacnet.doubts import Doubts, commandable
from plantroom_edge.drivers.bacnet.facts import Found
from plantroom_edge.drivers.bacnet.plan import Plan
from plantroom_edge.drivers.bacnet.services import WHOLE, Ref
from plantroom_edge.drivers.bacnet.session import Session
from plantroom_edge.drivers.bacnet.vocabulary import (
    DEVICE,
    OBJECT_IDENTIFIER,
    PRESENT_VALUE,
    STATUS_FLAGS,
    object_id,
)
from plantroom_shared.clock import Clock
from plantroom_shared.model import Quality, Value

_OUT_OF_RANGE: Final = (int(Quality.UNCERTAIN), "out-of-range")


@dataclass(slots=True)
class Readout:
    """What a poll group needs: the device, its requests, and which answers make which row."""

    session: Session
    plan: Plan
    who: Ref
    """Answers only if the device is the one it was."""
    rows: list[tuple[Ref, Ref]]
    """Present-value and status flags of each point, in the order of the group."""
    objects: tuple[int, ...]
    """The object of each row."""
    doubts: Doubts
    limits: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Row → lowest and highest plausible value, where a profile knows them."""
    scales: dict[int, float] = field(default_factory=dict)
    """Row → what one count of an accumulator is worth."""
    watch: Watch | None = None
    """Its COV subscriptions, where they are wanted."""

    def worth(self, row: int, value: Value) -> Value:
        """Return what a present-value is in the unit of its point: accumulators show counts."""
        scale = self.scales.get(row)
        if scale is None or isinstance(value, str | None):
            return value
        return value * scale

    def scale(self, poll: Poll) -> None:
        """Bring the values of `poll` to their units, once."""
        for row in self.scales:
            poll.values[row] = self.worth(row, poll.values[row])

    def check(self, poll: Poll) -> None:
        """Mark the values that are beyond what a profile holds plausible."""
        for row, (low, high) in self.limits.items():
            value = poll.values[row]
            if isinstance(value, float | int) and not low <= value <= high:
                poll.quality.setdefault(row, _OUT_OF_RANGE)

    def lost(self, ts: int, reason: str) -> Poll:
        """Return a poll of a device that did not answer: whatever it knew of us may be gone."""
        if self.watch is not None:
            self.watch.lost()
        return Poll.dead(ts, len(self.rows), reason)


def new_groups(
    config: BacnetConfig,
    clock: Clock,
    session: Session,
    found: Found,
    groups: Iterable[PollGroup],
) -> list[PollGroup]:
    """Return a group for each interval of the points that are in none of `groups` yet.

    A group is made once, as its plan keeps what polling has taught. What a device has no longer
    stays in its group, bad, until the agent starts anew.
    """
    polled = {key for group in groups for key in group.points}
    options = config.devices.get(session.instance, DeviceOptions())
    base = options.interval or (None if "interval" in config.model_fields_set else found.interval)
    base = base or config.interval
    fresh: dict[float, list[tuple[str, int]]] = {}
    for point, oid in zip(found.points, found.objects, strict=True):
        if point.key not in polled:
            interval = max(base, found.intervals.get(point.key, 0.0))
            fresh.setdefault(interval, []).append((point.key, oid))
    if not fresh:
        return []
    arrays = commandable(found.points, found.objects) if config.priority_array else frozenset()
    doubts = Doubts(session, clock, reliability=config.reliability, arrays=arrays)
    return [
        PollGroup(
            device=found.device.key,
            interval=interval,
            points=tuple(key for key, _ in pairs),
            plan=_readout(config, session, found, pairs, doubts=doubts, interval=interval),
        )
        for interval, pairs in sorted(fresh.items())
    ]


def _readout(
    config: BacnetConfig,
    session: Session,
    found: Found,
    pairs: list[tuple[str, int]],
    *,
    doubts: Doubts,
    interval: float,
) -> Readout:
    rows = [((oid, PRESENT_VALUE, WHOLE), (oid, STATUS_FLAGS, WHOLE)) for _, oid in pairs]
    # Who stands at the address is asked with every poll: addresses wander between devices.
    who = (object_id(DEVICE, session.instance), OBJECT_IDENTIFIER, WHOLE)
    flags = config.status_flags
    refs = [who, *(ref for row in rows for ref in (row if flags else row[:1]))]
    ranges = found.ranges
    limits = {row: ranges[key] for row, (key, _) in enumerate(pairs) if key in ranges}
    scales = {row: found.scales[key] for row, (key, _) in enumerate(pairs) if key in found.scales}
    objects = tuple(oid for _, oid in pairs)
    readout = Readout(session, session.plan(refs), who, rows, objects, doubts, limits, scales)
    if config.cov != "off":
        readout.watch = Watch(session, rows, who, interval, readout.plan, flags=flags)
    return readout
