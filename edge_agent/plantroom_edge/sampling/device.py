"""What the sampler keeps of a device and of its groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from plantroom_edge.breaker import Breaker
from plantroom_edge.drivers import PollGroup
from plantroom_edge.sampling.lane import Lane
from plantroom_edge.turns import Turn

BACKWARD: Final = 60_000_000
"""Microseconds by which the clock may step back and timestamps still only grow.

Beyond that somebody has set the clock: going on from the old time would squeeze all samples until
it is reached again into one moment.
"""


@dataclass(slots=True)
class DeviceState:
    """One device as the sampler sees it."""

    breaker: Breaker = field(default_factory=Breaker)
    lock: Turn = field(default_factory=Turn)
    """Never two polls of one device in flight; a write comes before those that wait."""
    groups: list[Group] = field(default_factory=list)
    last_ts: int = 0
    last_good_us: int = 0
    polls: int = 0
    overruns: int = 0
    """Slots that were missed because the poll before had not ended."""

    def stamp(self, ts: int, counters: Counter[str]) -> int:
        """Return the time of a poll: never twice the same for one device."""
        if ts <= self.last_ts:
            if self.last_ts - ts > BACKWARD:
                counters["clock_set_back"] += 1
            else:
                ts = self.last_ts + 1
        self.last_ts = ts
        return ts


@dataclass(slots=True)
class Group:
    """One poll group, its way to samples and its place on the clock."""

    lane: Lane
    phase: float
    """Seconds after a multiple of the interval."""

    @property
    def group(self) -> PollGroup:
        """What the driver is to read."""
        return self.lane.group

    @property
    def aliases(self) -> list[int]:
        """Of the points, in their order."""
        return self.lane.aliases
