"""Which points are counters, and where they are 0 again: by a rule, or by the point's profile."""

from __future__ import annotations

from dataclasses import dataclass

from plantroom_edge.hints import Hint
from plantroom_edge.sampling.config import CounterRule, SamplingConfig
from plantroom_shared.model import Point


@dataclass(frozen=True, slots=True)
class Counting:
    """How a point counts."""

    rule: CounterRule | None
    """None: its profile calls it a counter."""
    rollover: float | None
    """Where it is 0 again, as its profile says, in the unit it is stored in."""

    def modulus(self, raw: float) -> float | None:
        """Return where it is 0 again, in the unit it is stored in; None: nowhere.

        Args:
            raw: what one raw unit is worth in that unit.
        """
        told = self.rule.modulus if self.rule else None
        return self.rollover if told is None else told * raw

    @property
    def fastest(self) -> float | None:
        """The most it can count in a second, in the unit it is stored in, where that is known."""
        fastest = self.rule.fastest if self.rule else None
        return fastest and fastest / 3600


def counting_of(point: Point, config: SamplingConfig, hint: Hint | None) -> Counting | None:
    """Return how `point` counts; None: no total is kept of it.

    Args:
        point: in the unit it is stored in.
        config: the section ``sampling:``.
        hint: what its profile says, in the same unit.
    """
    rule = next((rule for rule in config.counters if rule.picks(point)), None)
    rollover = hint.rollover if hint else None
    if rule is not None:
        return Counting(rule, rollover) if rule.total else None
    if config.totals == "by-profile" and hint is not None and hint.counter:
        return Counting(None, rollover)
    return None
