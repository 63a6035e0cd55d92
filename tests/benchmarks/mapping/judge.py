"""Runs every mapper on every building, plain and rewritten, and asks its 20 questions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final

from benchmarks.mapping.labelled import Labelled, others
from benchmarks.mapping.mappers import Mapper
from benchmarks.mapping.rewritten import rewrite
from benchmarks.mapping.score import (
    Judged,
    Meaning,
    Scores,
    calibration_error,
    coverage,
    judged,
    mean,
    score,
    top50,
)

QUESTIONS: Final = 20
PLAIN, REWRITTEN = "plain", "rewritten"
Make = Callable[[str, Sequence[Labelled]], Mapper | None]
"""(building, labelled rows of other sites) → the mapper to judge there, if there can be one."""


@dataclass(slots=True)
class Result:
    """What one mapper reached with one kind of names."""

    scores: dict[str, Scores] = field(default_factory=dict)
    sure: list[Judged] = field(default_factory=list)
    """Over all buildings."""

    def add(self, building: str, rows: Sequence[Labelled], mapper: Mapper) -> None:
        """Map a building and keep its scores."""
        found = mapper.map(rows)
        self.sure += judged(rows, found)
        made = score(rows, found)
        self.scores[building] = replace(made, after20=after_answers(mapper, rows, found))

    def means(self) -> dict[str, float | None]:
        """Return the mean over buildings of every column."""
        own = self.scores.values()
        names = (item.name for item in fields(Scores))
        return {name: mean(getattr(item, name) for item in own) for name in names}

    def pooled(self) -> dict[str, float | None]:
        """Return calibration error and coverage over the points of all buildings together."""
        sure = self.sure
        return {
            "ece": calibration_error(sure) if sure else None,
            "coverage": coverage(sure) if sure else None,
        }


Results = dict[str, dict[str, Result]]
"""Mapper → kind of names → result."""


def judge(
    buildings: dict[str, list[Labelled]],
    chosen: Sequence[str],
    makers: Mapping[str, Make],
    *,
    training: dict[str, list[Labelled]] | None = None,
    seed: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> Results:
    """Return what every mapper reaches on every chosen building.

    Args:
        buildings: the lists that are judged.
        chosen: which of them.
        makers: name → how to come to its mapper.
        training: lists to train on; None: the other sites of `buildings`.
        seed: of the rewritten names.
        tell: told of every step, for a progress line.
    """
    results: Results = {name: {PLAIN: Result(), REWRITTEN: Result()} for name in makers}
    for building in chosen:
        rows = buildings[building]
        lessons = _lessons(buildings, building, training)
        other_names = rewrite(rows, seed)
        for name, make in makers.items():
            tell(f"{building}: {name}")
            mapper = make(building, lessons)
            if mapper is not None:
                results[name][PLAIN].add(building, rows, mapper)
                results[name][REWRITTEN].add(building, other_names, mapper)
    return results


def _lessons(
    buildings: dict[str, list[Labelled]],
    building: str,
    training: dict[str, list[Labelled]] | None,
) -> list[Labelled]:
    if training is None:
        return others(buildings, building)
    return [row for name, rows in training.items() if name != building for row in rows]


def after_answers(
    mapper: Mapper,
    rows: Sequence[Labelled],
    found: Sequence[Meaning],
    questions: int = QUESTIONS,
) -> float:
    """Return the coarse accuracy after so many answers to the mapper's own questions.

    It asks one template at a time and may learn from each answer before it asks the next. The
    answer is the class that most points of the template truly have; a template of which no point
    is labelled has no answer, and is not asked.
    """
    truth = _truth(rows, found)
    told: dict[str, str] = {}
    now = list(found)
    for _ in range(questions):
        asked = next((t for t in mapper.ask(now, told) if t in truth and t not in told), None)
        if asked is None:
            break
        told[asked] = truth[asked]
        now = mapper.learn(rows, found, told)
    return top50(rows, now)


def _truth(rows: Sequence[Labelled], found: Sequence[Meaning]) -> dict[str, str]:
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for row, item in zip(rows, found, strict=True):
        if row.point_type:
            votes[item.template][row.point_type] += 1
    return {
        template: min(counts, key=lambda name: (-counts[name], name))
        for template, counts in votes.items()
    }
