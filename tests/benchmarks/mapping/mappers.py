"""What is judged, behind one small interface.

A `Train` makes a mapper from the labelled rows of other sites. For every building that is judged
it is called with rows that hold nothing of that building.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from benchmarks.mapping import training
from benchmarks.mapping.labelled import Labelled, point_of
from benchmarks.mapping.score import Meaning
from plantroom_shared.mapping import (
    MappedPoint,
    Rulebook,
    answered,
    induced,
    map_points,
    ordered,
    scorer,
    template_key,
    template_of,
)
from plantroom_shared.mapping.scorer import Scorer
from plantroom_shared.model import Point

TRAINED_ON: Final[frozenset[str]] = frozenset(scorer.trained_on())
"""Buildings whose labels the shipped mapper has learned from: these are judged by one that has not."""


class Mapper(Protocol):
    """Says what the points of one building mean."""

    def map(self, rows: Sequence[Labelled]) -> list[Meaning]:
        """Return one meaning per row, in their order; the labels are not for its eyes."""
        ...

    def ask(self, found: Sequence[Meaning], told: Mapping[str, str]) -> list[str]:
        """Return the templates it would ask a person about, the most worthwhile first."""
        ...

    def learn(
        self, rows: Sequence[Labelled], found: Sequence[Meaning], told: Mapping[str, str]
    ) -> list[Meaning]:
        """Return the meanings after a person has told the classes of some templates."""
        ...


Train = Callable[[Sequence[Labelled]], Mapper]


class Asking:
    """How a mapper asks that has no better way: an answer holds for its template and no further."""

    def ask(self, found: Sequence[Meaning], told: Mapping[str, str]) -> list[str]:
        """Order by points covered times how unsure they are."""
        worth: dict[str, float] = defaultdict(float)
        for item in found:
            if item.template not in told:
                worth[item.template] += 1.0 - (item.confidence or 0.0)
        return sorted(worth, key=lambda template: (-worth[template], template))

    def learn(
        self, rows: Sequence[Labelled], found: Sequence[Meaning], told: Mapping[str, str]
    ) -> list[Meaning]:
        """Spread each answer over its template."""
        return [
            replace(item, point_class=told[item.template], coarse="", confidence=1.0)
            if item.template in told
            else item
            for item in found
        ]


class Plantroom:
    """Our mapper, as it ships or with what other lists teach, and the queue and the rules of the review."""

    def __init__(self, learned: Scorer | None = None) -> None:
        self._learned = learned
        self._last: tuple[Sequence[Labelled], list[Point], list[MappedPoint]] | None = None

    def map(self, rows: Sequence[Labelled]) -> list[Meaning]:
        """Map them as ``plantroom-cloud map`` does."""
        return _meanings(*self._mapped(rows))

    def ask(self, found: Sequence[Meaning], told: Mapping[str, str]) -> list[str]:
        """Ask in the order of the review's queue."""
        waiting = ((item.template, item.confidence) for item in found if item.template not in told)
        return [ask.key for ask in ordered(waiting)]

    def learn(
        self, rows: Sequence[Labelled], found: Sequence[Meaning], told: Mapping[str, str]
    ) -> list[Meaning]:
        """Lay the answers, and the rules that follow from them, over what was found."""
        points, mapped = self._mapped(rows)
        known = {template_of(item, point) for item, point in zip(mapped, points, strict=True)}
        rules = Rulebook(learned=induced(told, known))
        return _meanings(points, answered(points, mapped, told, rules))

    def _mapped(self, rows: Sequence[Labelled]) -> tuple[list[Point], list[MappedPoint]]:
        """Return the points and what they mean to it; kept, as the review keeps it."""
        if self._last is None or self._last[0] is not rows:
            points = [point_of(row, index) for index, row in enumerate(rows)]
            self._last = (rows, points, map_points(points, scorer=self._learned))
        return self._last[1:]


def _meanings(points: Sequence[Point], mapped: Sequence[MappedPoint]) -> list[Meaning]:
    return [
        Meaning(
            item.point_class,
            item.equipment,
            item.equip_class,
            item.confidence,
            template_key(item, point),
        )
        for item, point in zip(mapped, points, strict=True)
    ]


def train_plantroom(rows: Sequence[Labelled]) -> Mapper:
    """Return our mapper as it comes out of training on these rows only.

    Its lexicon and its rules are written by hand and stay.
    """
    return Plantroom(training.train(rows))


def plantroom(building: str, rows: Sequence[Labelled]) -> Mapper:
    """Return our mapper for a building: as it ships, unless it has seen the building's labels."""
    return train_plantroom(rows) if building in TRAINED_ON else Plantroom()
