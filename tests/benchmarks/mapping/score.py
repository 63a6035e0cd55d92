"""What a mapping of one building is worth: every metric of the table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from benchmarks.mapping.labelled import Labelled
from benchmarks.mapping.taxonomy import UNKNOWN, ancestors, canonical, coarse

PROMISE: Final = 0.95
"""The precision at which coverage is counted."""
Judged = tuple[float, bool]
"""(confidence, whether the coarse class was right)."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a mapper says of one point; empty where it says nothing."""

    point_class: str = ""
    equipment: str = ""
    equip_class: str = ""
    confidence: float | None = None
    template: str = ""
    """What its answer was given for: points with the same are asked about together."""
    coarse: str = ""
    """Its coarse class, where it has one beside the point class (a baseline has)."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One line of the table; None where the lists do not say the truth, or the mapper nothing."""

    points: int
    fine: float
    lenient: float
    """Half for a class above or below the true one."""
    top50: float
    macro_f1: float
    pair_f1: float | None
    exact: float | None
    equip_class: float | None
    ece: float | None
    coverage: float | None
    """Share of the points with a confidence that can be accepted at 95 % precision."""
    answered: float
    """Share of the points that got a class."""
    after20: float | None = None
    """``top50`` after 20 answers."""


def score(rows: Sequence[Labelled], found: Sequence[Meaning]) -> Scores:
    """Return the scores of one building; at least one row has a label.

    Args:
        rows: the truth.
        found: what the mapper says, in the same order.
    """
    both = [(row, item) for row, item in zip(rows, found, strict=True) if row.point_type]
    truth = [row.point_type for row, _ in both]
    said = [canonical(item.point_class) for _, item in both]
    right = [coarse(name) for name in truth]
    guess = [coarse_of(item) for _, item in both]
    sure = judged(rows, found)
    return Scores(
        points=len(both),
        fine=_mean(u == v for u, v in zip(truth, said, strict=True)),
        lenient=_mean(map(_lenient, truth, said)),
        top50=_mean(u == v for u, v in zip(right, guess, strict=True)),
        macro_f1=macro_f1(right, guess),
        equip_class=_equip_class(rows, found),
        ece=calibration_error(sure) if sure else None,
        coverage=coverage(sure) if sure else None,
        answered=_mean(bool(name) for name in said),
        **_groups(rows, found),
    )


def top50(rows: Sequence[Labelled], found: Sequence[Meaning]) -> float:
    """Return the share of labelled points with the right coarse class."""
    return _mean(
        coarse(row.point_type) == coarse_of(item)
        for row, item in zip(rows, found, strict=True)
        if row.point_type
    )


def judged(rows: Sequence[Labelled], found: Sequence[Meaning]) -> list[Judged]:
    """Return the labelled points of which the mapper says how sure it is."""
    return [
        (item.confidence, coarse(row.point_type) == coarse_of(item))
        for row, item in zip(rows, found, strict=True)
        if row.point_type and item.confidence is not None
    ]


def coarse_of(item: Meaning) -> str:
    """Return the coarse class that a mapper's answer comes to."""
    return item.coarse or coarse(canonical(item.point_class), UNKNOWN)


def macro_f1(truth: Sequence[str], said: Sequence[str]) -> float:
    """Return the mean F1 over the classes that truly occur."""
    hits = Counter(u for u, v in zip(truth, said, strict=True) if u == v)
    real, claimed = Counter(truth), Counter(said)
    return _mean(2 * hits[name] / (real[name] + claimed[name]) for name in sorted(real))


def pair_f1(truth: Sequence[Hashable], said: Sequence[Hashable]) -> float:
    """Return the F1 of "these two points belong to the same equipment" over all pairs."""
    both = _pairs(zip(truth, said, strict=True))
    possible = _pairs(truth) + _pairs(said)
    return 2 * both / possible if possible else 0.0


def exact_groups(truth: Sequence[Hashable], said: Sequence[Hashable]) -> float:
    """Return the share of the true equipment whose points are together and alone."""
    found = set(_members(said))
    real = _members(truth)
    return sum(group in found for group in real) / max(1, len(real))


def calibration_error(sure: Sequence[Judged]) -> float:
    """Return how far confidence and hits are apart, over ten bins of confidence."""
    bins: dict[int, list[Judged]] = defaultdict(list)
    for item in sure:
        bins[min(9, int(item[0] * 10))].append(item)
    apart = (abs(sum(c for c, _ in own) - sum(ok for _, ok in own)) for own in bins.values())
    return sum(apart) / len(sure)


def coverage(sure: Sequence[Judged], precision: float = PROMISE) -> float:
    """Return the largest share, the surest first, of which at least `precision` is right.

    Who accepts from a confidence on accepts all that have it: equals are taken together.
    """
    hits, count, best = 0, 0, 0
    for _, equals in groupby(sorted(sure, key=_confidence, reverse=True), key=_confidence):
        own = [right for _, right in equals]
        hits += sum(own)
        count += len(own)
        if hits / count >= precision:
            best = count
    return best / len(sure)


def _confidence(item: Judged) -> float:
    return item[0]


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of what is there; None of nothing."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _mean(values: Iterable[float]) -> float:
    return mean(values) or 0.0


def _lenient(truth: str, said: str) -> float:
    if truth == said:
        return 1.0
    return 0.5 if said in ancestors(truth) or truth in ancestors(said) else 0.0


def _groups(rows: Sequence[Labelled], found: Sequence[Meaning]) -> dict[str, float | None]:
    both = [(row, item) for row, item in zip(rows, found, strict=True) if row.equip_id]
    if not any(item.equipment for _, item in both):
        return {"pair_f1": None, "exact": None}
    truth = [row.equip_id for row, _ in both]
    # Where it says nothing, a point is a group of its own.
    said: list[Hashable] = [item.equipment or index for index, (_, item) in enumerate(both)]
    return {"pair_f1": pair_f1(truth, said), "exact": exact_groups(truth, said)}


def _equip_class(rows: Sequence[Labelled], found: Sequence[Meaning]) -> float | None:
    return mean(
        float(canonical(item.equip_class) == row.equip_class)
        for row, item in zip(rows, found, strict=True)
        if row.equip_class
    )


def _pairs(items: Iterable[Hashable]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(items).values())


def _members(labels: Sequence[Hashable]) -> list[frozenset[int]]:
    groups: dict[Hashable, set[int]] = defaultdict(set)
    for index, label in enumerate(labels):
        groups[label].add(index)
    return [frozenset(group) for group in groups.values()]
