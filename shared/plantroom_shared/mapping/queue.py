"""What to ask a person first, and what can be accepted unseen. Pure.

Plain arithmetic over calibrated confidences: the first question is about the template with the
most wrong points to be expected, that is points covered times uncertainty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

PRECISIONS: Final = (0.99, 0.95, 0.9)
"""What is promised before anybody accepts."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A template in the queue."""

    key: str
    points: int
    """How many an answer decides."""
    worth: float
    """Points times uncertainty: how many of them are expected to be wrong."""


def ordered(
    found: Iterable[tuple[str, float | None]], later: Collection[str] = frozenset()
) -> list[Ask]:
    """Return the templates, the most worthwhile first.

    Args:
        found: key and confidence of every point that is to be asked about; None is no proposal.
        later: keys that were put off: they come after all others, in the same order.
    """
    points: dict[str, int] = {}
    worth: dict[str, float] = {}
    for key, confidence in found:
        points[key] = points.get(key, 0) + 1
        worth[key] = worth.get(key, 0.0) + 1.0 - (confidence or 0.0)
    asks = [Ask(key, count, round(worth[key], 6)) for key, count in points.items()]
    return sorted(asks, key=lambda ask: (ask.key in later, -ask.worth, -ask.points, ask.key))
