"""How likely a class is right, by the pattern of evidence it rests on; and what may be promised.

"Right" is meant as a reader of a list means it: the class, or one that the 50 common classes do not
tell from it. The weights are learned with every building left out in turn; see `scorer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from plantroom_shared.mapping.classes import Ranked, kind_of
from plantroom_shared.mapping.evidence import Evidence, Facts
from plantroom_shared.mapping.rules import group

FEATURES: Final = ("strength", "words", "kind_guessed", "sensor", "unread", "missing")
LEAST, MOST = 0.02, 0.98
"""Nobody is surer than that."""
_STATES: Final = frozenset({"Status", "Command", "Alarm"})
_ALL_READ: Final = 0.999
_MANY: Final = 3
"""Words of a class that the point does not say: more are no worse."""


def features(
    found: Evidence, ranked: Sequence[Ranked], facts: Facts, words: int
) -> tuple[float, ...]:
    """Return what the confidence looks at, in the order of `FEATURES`.

    Args:
        found: the evidence.
        ranked: the classes, the best first; at least one.
        facts: what else is known.
        words: how many words of class names were understood.
    """
    name = ranked[0].name
    kind = kind_of(name)
    own = name.split("_")
    missing = len([word for word in own if word not in found.words])
    return (
        _strength(found, ranked, facts, words),
        float(len(own)),
        float(kind in _STATES and not found.kind_said),
        float(kind == "Sensor"),
        float(found.coverage < _ALL_READ),
        float(min(_MANY, missing)),
    )


def _strength(found: Evidence, ranked: Sequence[Ranked], facts: Facts, words: int) -> float:
    """Return in one number how far the evidence fits the best class, and better than the next."""
    fit = max(0.0, min(1.5, ranked[0].score / (3.0 + 2.0 * words)))
    margin = min(2.0, ranked[0].score - ranked[1].score) if len(ranked) > 1 else 1.0
    agrees = {True: 1.0, None: 0.0, False: -1.0}[found.unit_agrees]
    typed = 1.0 if found.kind_said else (0.5 if facts.object_type else 0.0)
    physical = found.any(*group("physical"))
    return (
        0.22 * found.coverage
        + 0.49 * fit
        + 0.63 * margin
        + 0.17 * typed
        + 0.12 * agrees
        + 0.42 * physical
    )


def pattern(found: Evidence, facts: Facts) -> str:
    """Return in words what the evidence consists of: ``all read, kind said, unit agrees``."""
    read = "all read" if found.coverage >= _ALL_READ else "part read" if found.known else "not read"
    kind = "said" if found.kind_said else "by type" if facts.object_type else "guessed"
    parts = [read, f"kind {kind}"]
    if found.described:
        parts.append("described")
    if facts.quantity:
        parts.append("unit agrees" if found.unit_agrees else "unit differs" if
                     found.unit_agrees is False else "unit alone")  # fmt: skip
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Promise:
    """What can be accepted at a precision, as far as the confidences are right."""

    precision: float
    """What was asked for, 0..1."""
    points: int
    """How many of the points may be accepted together."""
    share: float
    """The same as a share of all points, 0..1."""
    min_confidence: float | None
    """Accept confidences from here on; None where nothing can be accepted."""
    expected: float
    """The mean confidence of what is accepted; 0 where that is nothing."""

    def __str__(self) -> str:
        return f"{self.share:.0%} of these points at {self.precision:.0%} precision"


def promise(confidences: Iterable[float | None], precision: float = 0.95) -> Promise:
    """Return how many points can be accepted such that `precision` of them are expected to be right.

    Points of equal confidence are accepted together or not at all, since a threshold cannot tell
    them apart.

    Args:
        confidences: one per point; None where no class is proposed.
        precision: 0..1.
    """
    known = list(confidences)
    surest_first = sorted((sure for sure in known if sure is not None), reverse=True)
    count, total = 0, 0.0
    best: tuple[int, float, float | None] = (0, 0.0, None)
    for threshold, equals in groupby(surest_first):
        own = len(list(equals))
        count += own
        total += own * threshold
        if total / count >= precision:
            best = (count, total / count, threshold)
    points, expected, least = best
    return Promise(precision, points, points / len(known) if known else 0.0, least, expected)
