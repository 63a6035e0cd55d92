"""The site as it runs: the clock that moves it, and what its servers read from it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import cached_property

from plantroom_shared.model import Value

from .entry import Entry
from .ledger import Counter
from .metering import readings
from .physics import State, advance, observe, start

TICK = 0.1
"""Seconds of the wall clock between two steps."""
FAULT_RAMP = 4.0
"""Seconds of the wall clock until the planted fault is at its worst."""
_BURST, _OLDEST = 0.05, 0.5
"""Seconds: reads no further apart than this see one scan, which gets no older than that."""
_UNITS: dict[str, tuple[float, float]] = {
    "degrees-fahrenheit": (1.8, 32.0),
    "cubic-feet-per-minute": (2.118_880, 0.0),
    "inches-of-water": (0.004_014_63, 0.0),
    "tons-refrigeration": (0.284_345, 0.0),
}
"""Served unit: factor and offset from the unit of the physics (°C, L/s, Pa, kW)."""


class Moment:
    """One step of the site, as its sensors measure it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.step = state.step
        self.signals = observe(state)

    @cached_property
    def metered(self) -> dict[str, dict[str, Value]]:
        """What the Modbus devices show; made when one is asked."""
        return readings(self._state)


class Scan:
    """What one controller has in its memory: a burst of reads sees one scan of its inputs."""

    def __init__(self, site: Site) -> None:
        self._site, self._moment = site, site.moment
        self._taken = self._asked = -math.inf

    def take(self) -> Moment:
        """Return the moment that a read of now shows."""
        now = time.monotonic()
        if now - self._asked > _BURST or now - self._taken > _OLDEST:
            self._moment, self._taken = self._site.moment, now
        self._asked = now
        return self._moment


class Site:
    """The building, moved on by `run`; servers read its newest step.

    Args:
        seed: decides everything random.
        at: site time of the start, seconds since midnight.
        speed: site seconds per second of the wall clock.
    """

    def __init__(self, seed: int, at: float, speed: float) -> None:
        self._speed = speed
        self._state: State = start(seed, at)
        self.moment = Moment(self._state)
        self._scans: dict[str, Scan] = {}
        self._severity = 0.0
        self.fault = False
        """Whether the planted fault is on: it grows to its worst, or goes, within seconds."""

    def step(self) -> None:
        """Move on by one tick."""
        change = TICK / FAULT_RAMP if self.fault else -TICK / FAULT_RAMP
        self._severity = min(1.0, max(0.0, self._severity + change))
        self._state = advance(self._state, TICK * self._speed, self._severity)
        self.moment = Moment(self._state)

    async def run(self) -> None:
        """Step by the wall clock until cancelled; a late tick is made up for."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += TICK
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.step()

    def source(self, entry: Entry) -> Callable[[], float]:
        """Return what gives the present value of a BACnet point."""
        signal, scan = entry.signal, self._scan(entry.device)
        factor, offset = _UNITS.get(entry.true_unit, (1.0, 0.0))
        return lambda: scan.take().signals[signal] * factor + offset

    def reader(self, device: str) -> Callable[[], tuple[int, dict[str, Value]]]:
        """Return what gives the readings of a Modbus device, with the number of their step."""
        scan = self._scan(device)

        def read() -> tuple[int, dict[str, Value]]:
            moment = scan.take()
            return moment.step, moment.metered[device]

        return read

    def _scan(self, device: str) -> Scan:
        return self._scans.setdefault(device, Scan(self))


def ledger_source(entry: Entry, counter: Counter) -> Callable[[], float]:
    """Return what gives the next ledger value of a BACnet point."""
    index = entry.index
    return lambda: float(counter.serve(index))
