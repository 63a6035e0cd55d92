"""The gateway's sampling: makes the lane of every poll group, and knows what they share."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import threading
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from plantroom_edge.detectors import Choosy, Detector
from plantroom_edge.drivers import Inventory, PollGroup
from plantroom_edge.sampling import explaining, keeping
from plantroom_edge.sampling.bands import band_of
from plantroom_edge.sampling.config import SamplingConfig
from plantroom_edge.sampling.counters import Counter
from plantroom_edge.sampling.definition import DERIVED, DerivedPoint
from plantroom_edge.sampling.derived import Derivation
from plantroom_edge.sampling.gate import Band, RowGate
from plantroom_edge.sampling.lane import Lane
from plantroom_edge.sampling.totals import Counting, counting_of
from plantroom_edge.supervise import Sleep
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch, Device, Point
from plantroom_shared.units import Unit, parse_unit

TOTAL: Final = ":total"
KEEP_EVERY: Final = 60
"""Seconds between two saves of the counters."""

_DEVICE: Final = Device(key=DERIVED, name="Derived points", protocol=DERIVED)


class Sampling:
    """What all buses share: the rules, the counters, the derived points.

    Args:
        config: the section ``sampling:``.
        clock: monotonic time for heartbeats.
        wanted: says whether a detector wants to see a point in every poll.
        counters_file: where counters are kept; None: they are not.
        sleep: waits; a test hands in its own.
    """

    def __init__(
        self,
        config: SamplingConfig,
        clock: Clock,
        *,
        wanted: Callable[[str], bool] = lambda _key: False,
        counters_file: Path | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.config = config
        self._clock, self._wanted, self._file = clock, wanted, counters_file
        self._sleep, self._disk = sleep, threading.Lock()
        # Of points nothing is kept but what a rule says: ten thousand of them are ten megabytes.
        self._bands: dict[str, Band] = {}
        self._same: dict[Band, Band] = {}
        self._native: dict[str, tuple[Unit, Unit]] = {}
        """Unit of the device and unit of what is stored, where they differ."""
        self._counting: dict[str, Counting] = {}
        self._counters: dict[str, Counter] = {}
        self._kept = keeping.load(counters_file) if counters_file else {}
        self._derivation = Derivation(config.derived, self._derived_gate)

    def _derived_gate(self, one: DerivedPoint) -> RowGate | None:
        band = band_of(one.point(), self.config)
        return RowGate([band], self._clock.monotonic) if band else None

    # ------------------------------------------------------------ what there is

    def admit(self, inventory: Inventory) -> Inventory:
        """Return what a bus has as it is stored: units, totals of counters, derived points."""
        points: list[Point] = []
        for found in inventory.points:
            point = self._converted(found)
            points.append(point)
            if hint := inventory.hints.get(found.key):
                hint = hint.times(self._native_factor(found.key))
            if band := band_of(point, self.config, hint):
                self._bands[point.key] = self._same.setdefault(band, band)
            if counting := counting_of(point, self.config, hint):
                self._counting[point.key] = counting
                name = f"{point.name} (total)"[:512]
                update = {"key": (point.key + TOTAL)[:200], "name": name, "writable": False}
                points.append(point.model_copy(update=update))
        derived = self._derivation.learn({point.key: point.unit for point in points})
        points += [one.point() for one in derived]
        devices = inventory.devices
        if any(one.device == DERIVED for one in derived):
            devices = (*devices, _DEVICE)
        return dataclasses.replace(inventory, points=tuple(points), devices=devices)

    def _converted(self, point: Point) -> Point:
        rule = next((rule for rule in self.config.units if rule.picks(point)), None)
        source, target = parse_unit(point.unit), parse_unit(rule.to) if rule else None
        # A command gives a value in the unit the device has: what is written stays as it is.
        if source is None or target is None or point.writable or source == target:
            return point
        if source.dimension != target.dimension:
            return point
        self._native[point.key] = (source, target)
        return point.model_copy(update={"unit": rule.to if rule else point.unit})

    def lane(self, group: PollGroup, aliases: Mapping[str, int]) -> Lane:
        """Return the way of a group's polls; `group` of it is what the driver is to read."""
        self._derivation.bind(aliases)
        counters = [
            (row, aliases[key + TOTAL], self._counter(key, group, row))
            for row, key in enumerate(group.points)
            if key + TOTAL in aliases
        ]
        operands = self._derivation.operands
        feeds = tuple((row, key) for row, key in enumerate(group.points) if key in operands)
        needed = {row for row, _ in feeds} | {row for row, _, _ in counters}
        feeds += tuple(
            (len(group.points) + place, group.points[row] + TOTAL)
            for place, (row, _, _) in enumerate(counters)
            if group.points[row] + TOTAL in operands
        )
        needed |= {row for row, key in enumerate(group.points) if self._wanted(key)}
        gate = self._gate(group, sorted(needed))
        return Lane(
            dataclasses.replace(group, gate=gate),
            [aliases[key] for key in group.points],
            gate,
            scales=self._scales(group),
            counters=counters,
            feeds=feeds,
            stale_after=self.config.stale_after * group.interval,
        )

    def follow(self, lane: Lane, aliases: Mapping[str, int]) -> None:
        """Have a lane's rows go under the aliases that its points have now: some may be other ones."""
        self._derivation.bind(aliases)
        keys = lane.group.points
        lane.aliases = [
            aliases.get(key, alias) for key, alias in zip(keys, lane.aliases, strict=True)
        ]
        lane.counters = [
            (row, aliases.get(keys[row] + TOTAL, alias), counter)
            for row, alias, counter in lane.counters
        ]

    def _gate(self, group: PollGroup, needed: Sequence[int]) -> RowGate | None:
        bands: list[Band | None] = []
        for row, key in enumerate(group.points):
            band = self._bands.get(key)
            if band is not None and band.absolute and group.steps:
                step = abs(group.steps[row]) * self._native_factor(key)
                raw = dataclasses.replace(band, absolute=band.absolute / step)
                band = self._same.setdefault(raw, raw)
            bands.append(band)
        if not any(bands):
            return None
        return RowGate(bands, self._clock.monotonic, needed, group.interval)

    def _native_factor(self, key: str) -> float:
        """Return what one device unit of a point is in the unit it is stored in."""
        native, target = self._native.get(key, (None, None))
        return native.factor / target.factor if native and target else 1.0

    def _scales(self, group: PollGroup) -> list[tuple[int, Callable[[float], float]]]:
        return [
            (row, _scale(*self._native[key]))
            for row, key in enumerate(group.points)
            if key in self._native
        ]

    def _counter(self, key: str, group: PollGroup, row: int) -> Counter:
        """Return the counter of a point; the same after a bus was opened anew."""
        if key not in self._counters:
            self._counters[key] = Counter(memory=self._kept.get(key))
        counter, counting = self._counters[key], self._counting[key]
        step = abs(group.steps[row]) if group.steps else 1.0
        counter.modulus = counting.modulus(step * self._native_factor(key))
        counter.fastest = counting.fastest
        return counter

    # ------------------------------------------------------------ what follows from polls

    def derive(self, lane: Lane) -> Batch:
        """Return what follows from the last poll of `lane` for derived points."""
        if not lane.feeds:
            return _NOTHING
        return self._derivation.take(lane.feeds, *lane.operands(), lane.last_ts)

    def explain(self, key: str) -> dict[str, Any]:
        """Return how a point of a device is sampled, and who says so."""
        return explaining.explain(self._bands.get(key), self._counting.get(key))

    def figures(self) -> dict[str, Any]:
        """Return figures for a person, and what cannot be calculated."""
        return {
            "deadbands": dict(Tally(band.origin for band in self._bands.values())),
            "counters": len(self._counters),
            "resets": self._resets(),
            "rollovers": sum(one.rollovers for one in self._counters.values()),
            "derived": len(self.config.derived),
            "problems": self._derivation.problems(),
        }

    async def run(self) -> None:
        """Keep the counters on the disk until cancelled.

        Raises:
            Unavailable: the disk does not take them; run again.
        """
        try:
            while True:
                resets = self._resets()
                for _ in range(KEEP_EVERY):
                    await self._sleep(1.0)
                    if self._resets() != resets:
                        break
                await asyncio.to_thread(self._write, self._kept_now())
        finally:
            with contextlib.suppress(Unavailable):
                self.keep()

    def _resets(self) -> int:
        return sum(one.resets for one in self._counters.values())

    def keep(self) -> None:
        """Save the counters; Unavailable if the disk does not take them."""
        self._write(self._kept_now())

    def _kept_now(self) -> bytes:
        return keeping.dump(self._counters, self._kept) if self._counters else b""

    def _write(self, content: bytes) -> None:
        if self._file is None or not content:
            return
        try:
            with self._disk:  # a cancelled save goes on in its thread
                keeping.write(self._file, content)
        except OSError as error:
            msg = f"the counters' totals cannot be kept in {self._file}: {error}"
            raise Unavailable(msg) from error


_NOTHING: Final = Batch()


def _scale(source: Unit, target: Unit) -> Callable[[float], float]:
    """Return the way from one unit to another, without digits that only binary fractions have."""
    factor = source.factor / target.factor
    if source.offset != target.offset:  # a difference of hundreds costs the last digits
        offset = (source.offset - target.offset) / target.factor
        return lambda value: round(value * factor + offset, 9)
    divisor = round(1 / factor)
    if divisor > 1 and math.isclose(divisor * factor, 1, rel_tol=1e-12):
        return lambda value: value / divisor
    return lambda value: value * factor


def wanted_by(watching: Sequence[Detector]) -> Callable[[str], bool]:
    """Return whether a detector wants to see a point; one that does not choose wants all.

    `watching` is looked at anew each time: detectors come and go while the agent runs.
    """
    return lambda key: any(not isinstance(one, Choosy) or one.wants(key) for one in watching)
