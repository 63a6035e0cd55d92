"""Counters: a total that never falls, through roll-overs and resets of the device; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from plantroom_shared.model import Quality

_UNCERTAIN: Final = int(Quality.UNCERTAIN)

FASTER: Final = 10.0
"""How many times the fastest pace seen so far a roll-over may show."""
JITTER: Final = 0.01
"""A fall by less than this part is a meter that corrects itself, not one that began anew."""


@dataclass(slots=True)
class Memory:
    """What a counter must remember: a restart goes on from here."""

    last: float
    """The reading behind `total`, in the point's unit."""
    total: float
    at: float
    """Seconds since 1970 of `last`."""
    pace: float = 0.0
    """The fastest it was seen to count, per second."""


@dataclass(slots=True)
class Counter:
    """One counter.

    Args:
        modulus: where the reading starts again, in the point's unit; None: nowhere.
        fastest: the most it can count in a second, in the point's unit, if that is known.
        memory: of an earlier run.
    """

    modulus: float | None = None
    fastest: float | None = None
    memory: Memory | None = None
    resets: int = 0
    rollovers: int = 0

    def take(self, reading: float, at: float) -> tuple[float, tuple[int, str] | None]:
        """Return the total after a good reading, and what is doubtful about it.

        Args:
            reading: in the point's unit.
            at: seconds since 1970.
        """
        memory = self.memory
        if memory is None:
            # The device's own number is the best beginning: totals and the display agree.
            self.memory = Memory(reading, reading, at)
            return reading, None
        step, doubt = self._step(memory, reading, at)
        if doubt is None or doubt[1] == "counter-reset":
            passed = at - memory.at
            if doubt is None and passed > 0:
                memory.pace = max(memory.pace, step / passed)
            memory.last, memory.at = reading, at
            memory.total += step
        return memory.total, doubt

    def _step(
        self, memory: Memory, reading: float, at: float
    ) -> tuple[float, tuple[int, str] | None]:
        """Return how far it has counted since the last reading."""
        step = reading - memory.last
        if step >= 0:
            return step, None
        if self.modulus is not None and self._rolled(memory, self.modulus, reading, at):
            self.rollovers += 1
            return step + self.modulus, None
        if -step <= JITTER * abs(memory.last):
            return 0.0, (_UNCERTAIN, "counter-backwards")
        self.resets += 1
        return max(reading, 0.0), (_UNCERTAIN, "counter-reset")

    def _rolled(self, memory: Memory, modulus: float, reading: float, at: float) -> bool:
        """Say whether a fall is a roll-over: it must be no larger than the time allows."""
        step = reading - memory.last + modulus
        if not 0 <= step < modulus:
            return False
        passed = at - memory.at
        if self.fastest is not None and passed > 0:
            return step <= self.fastest * passed
        if memory.pace > 0 and passed > 0:
            return step <= FASTER * memory.pace * passed
        return step <= modulus / 2
