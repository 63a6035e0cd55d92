"""What a device was found to refuse, and for how long to believe it; pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from plantroom_edge.drivers.modbus.planner import Learned, Span
from plantroom_shared.registers import Space

CUT_SECONDS = 3600.0
"""After this, two blocks are tried as one again."""
HOLE_SECONDS = (30.0, 300.0)
"""After this, what was refused is asked for again: at first, and at most after ever more refusals.

A device that starts refuses everything for a while; what is missing for good is asked for rarely.
"""
REFUSALS = frozenset({2, 3, 4})
"""Exceptions that can mean one address of several: illegal address, illegal value, failure."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Addresses that are refused."""

    reason: str
    until: float
    """Monotonic seconds; asked again after that."""
    rest: float
    """Seconds between the last refusal and `until`."""


@dataclass(slots=True)
class Lessons:
    """The holes and cuts of one device; `version` grows with every change."""

    holes: dict[Span, Hole] = field(default_factory=dict)
    cuts: dict[tuple[Space, int], float] = field(default_factory=dict)
    version: int = 0

    def refuse(self, span: Span, code: int, now: float) -> None:
        """Note that `span` was refused, though the device answers otherwise."""
        known = self.holes.get(span)
        first, most = HOLE_SECONDS
        rest = min(2 * known.rest, most) if known is not None else first
        self.holes[span] = Hole(f"exception-{code}", now + rest, rest)
        self.version += known is None

    def resting(self, span: Span | None, now: float) -> Hole | None:
        """Return the hole that `span` is, if it is not to be asked for yet."""
        hole = self.holes.get(span) if span is not None else None
        return hole if hole is not None and now < hole.until else None

    def cut(self, space: Space, address: int, now: float) -> None:
        """Note that what ends before `address` and what begins there do not go into one block."""
        if (space, address) not in self.cuts:
            self.version += 1
        self.cuts[space, address] = now + CUT_SECONDS

    def heal(self, span: Span) -> None:
        """Forget a hole that has answered."""
        if self.holes.pop(span, None) is not None:
            self.version += 1

    def expire(self, now: float) -> None:
        """Forget the cuts whose time is over; a hole stays until it answers."""
        if over := [place for place, until in self.cuts.items() if until <= now]:
            for place in over:
                del self.cuts[place]
            self.version += 1

    def known(self) -> Learned:
        """Return what the planner must know."""
        return Learned(frozenset(self.holes), frozenset(self.cuts))
