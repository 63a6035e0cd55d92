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


@dataclass(frozen=True, slots=True)
class Promise:
    """How many points can be accepted as they are, and how many of these will be right."""

    precision: float
    """Of those accepted, at least this share is expected to be right."""
    points: int
    share: float
    """Of the points counted, 0 to 1."""
    min_confidence: float | None
    """Accept from here on; None where no point is sure enough."""


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


def promise(confidences: Iterable[float | None], precision: float) -> Promise:
    """Return how many points may be accepted so that `precision` of them is expected to be right.

    As good as the confidences are calibrated: the surest points are taken as long as their mean
    confidence holds the precision. Points of equal confidence are taken together or not at all,
    since nothing tells them apart.

    Args:
        confidences: of every point, 0 to 1; None where nothing is proposed.
        precision: what is asked for, 0 to 1.
    """
    everything = list(confidences)
    sure = sorted((value for value in everything if value is not None), reverse=True)
    total, best = 0.0, 0
    for count, value in enumerate(sure, 1):
        total += value
        last = count == len(sure) or sure[count] < value
        if last and total >= precision * count - 1e-9:
            best = count
    share = best / len(everything) if everything else 0.0
    return Promise(precision, best, share, sure[best - 1] if best else None)
