"""``./plantroom bench mapping-training --data FOLDER``: makes the learned part of the mapper anew.

FOLDER holds labelled point lists as for ``./plantroom bench mapping``. Two small logistic models come
out, written to the file that ships. How likely an abbreviation is a certain word is learned from the
lexicon alone: each of its spellings, hidden in turn, is to be found again by the words around it. How
likely a class is right is learned from the lists, read as they are and with parts of the lexicon
taken away: a building that nobody has seen uses abbreviations that nobody has listed. What comes out
is drawn together as far as buildings differ; see `damping`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.mapping.damping import Unseen, damped
from benchmarks.mapping.labelled import Labelled, point_of, read
from benchmarks.mapping.taxonomy import UNKNOWN, class_words, coarse
from plantroom_shared.errors import ConfigError
from plantroom_shared.mapping import confidence, expand, lexicon
from plantroom_shared.mapping.meanings import decisions
from plantroom_shared.mapping.pipeline import grouped
from plantroom_shared.mapping.scorer import FILE, Logistic, Scorer

NOT_SHIPPED: Final = ("mortar",)
"""Data sets whose licence nobody states: they may judge, and nothing that ships learns from them."""
_GAPS: Final = 4
"""How often the lists are read with gaps in the lexicon."""
_GAP, _COMMON_GAP = 0.2, 0.04
"""Share of the abbreviations taken away, and of the words of Brick."""
_STRENGTH_OF_EXPANSION, _STRENGTH_OF_CONFIDENCE = 10.0, 0.03
_PER_ROW: Final = 8.0
"""Weighs the penalty: rows of one building are no independent evidence."""
_ABBREVIATION: Final = 8
_MODULES: Final = ("lexicon", "expand", "equipment", "equipclass", "relations", "rows", "meanings")


class Lesson(NamedTuple):
    """A template of a building: what was seen, and how often the class was right."""

    values: tuple[float, ...]
    points: int
    right: int


def train(rows: Sequence[Labelled]) -> Scorer:
    """Return what is learned from labelled points, those of `NOT_SHIPPED` data sets left out."""
    rows = [row for row in rows if not row.dataset.startswith(NOT_SHIPPED)]
    scorer = Scorer(expansion(), Logistic((), (), 0.0))
    buildings: dict[str, list[Labelled]] = {}
    for row in rows:
        buildings.setdefault(row.building, []).append(row)
    lessons = [_lessons(tuple(own), scorer.expansion) for own in buildings.values()]
    return Scorer(scorer.expansion, _confidence(lessons))


@lru_cache(maxsize=1)
def expansion() -> Logistic:
    """Return how to tell what an abbreviation stands for, from the lexicon's own spellings."""
    known = dict(lexicon.spellings())
    values, right = [], []
    for text, entry in known.items():
        if len(text) > _ABBREVIATION:
            continue
        for _, meant, found in expand.candidates(text):
            values.append(found)
            right.append(bool(entry.words) and set(entry.words) == set(meant.words))
    weights = np.ones(len(right))
    made = np.array(values), np.array(right), weights
    return _fit(expand.FEATURES, made, _STRENGTH_OF_EXPANSION)


def _confidence(lessons: Sequence[Sequence[Sequence[Lesson]]]) -> Logistic:
    """Return the model of confidence: lessons by building, reading and template."""
    unseen: list[Unseen] = []
    for at, own in enumerate(lessons):
        rest = _examples([*lessons[:at], *lessons[at + 1 :]])
        if len(set(rest[1])) > 1:
            unseen += _judged(_fit(confidence.FEATURES, rest, _STRENGTH_OF_CONFIDENCE), own)
    made = _examples(lessons)
    return damped(_fit(confidence.FEATURES, made, _STRENGTH_OF_CONFIDENCE), unseen)


def _judged(model: Logistic, readings: Sequence[Sequence[Lesson]]) -> Iterator[Unseen]:
    """Return the readings of a building as a model sees them that was made without it."""
    for number, reading in enumerate(readings):
        values = np.array([lesson.values for lesson in reading]).reshape(-1, len(model.weights))
        yield Unseen(
            values @ np.array(model.weights) + model.bias,
            np.array([float(lesson.points) for lesson in reading]),
            np.array([float(lesson.right) for lesson in reading]),
            _share(number, readings),
        )


def _share(number: int, readings: Sequence[object]) -> float:
    """Return what a reading counts: all those with gaps together as much as the one without."""
    return 1.0 if number == 0 else 1.0 / (len(readings) - 1)


def _examples(lessons: Sequence[Sequence[Sequence[Lesson]]]) -> tuple[Any, Any, Any]:
    """Return features, whether right, and weights."""
    values, right, weights = [], [], []
    for readings in lessons:
        # Points of a template are right or wrong together: its weight grows with their root.
        whole = sum(lesson.points**0.5 for lesson in readings[0]) ** 0.5 if readings[0] else 1.0
        for number, reading in enumerate(readings):
            share = _share(number, readings)
            for lesson in reading:
                weight = share * lesson.points**0.5 / whole
                for truth, count in ((True, lesson.right), (False, lesson.points - lesson.right)):
                    if count:
                        values.append(lesson.values)
                        right.append(truth)
                        weights.append(weight * count / lesson.points)
    scaled = np.array(weights)
    if weights:
        scaled *= len(scaled) / scaled.sum() / _PER_ROW
    return np.array(values), np.array(right), scaled


def _fit(names: Sequence[str], made: tuple[Any, Any, Any], strength: float) -> Logistic:
    from sklearn.linear_model import LogisticRegression

    values, right, weights = made
    mean, spread = values.mean(axis=0), values.std(axis=0)
    spread[spread == 0] = 1.0
    model = LogisticRegression(C=strength, max_iter=3000)
    model.fit((values - mean) / spread, right, sample_weight=weights)
    slopes = model.coef_[0] / spread
    bias = float(model.intercept_[0] - (slopes * mean).sum())
    return Logistic(tuple(names), tuple(round(float(w), 4) for w in slopes), round(bias, 4))


@lru_cache(maxsize=64)
def _lessons(rows: tuple[Labelled, ...], model: Logistic) -> list[list[Lesson]]:
    """Return what a building teaches: read as it is, then with gaps in the lexicon."""
    scorer = Scorer(model, Logistic(confidence.FEATURES, (0.0,) * len(confidence.FEATURES), 0.0))
    readings = [_reading(rows, scorer)]
    for number in range(_GAPS):
        with gaps(_some_spellings(number)):
            readings.append(_reading(rows, scorer))
    return readings


def _reading(rows: Sequence[Labelled], scorer: Scorer) -> list[Lesson]:
    placed = grouped([point_of(row, index) for index, row in enumerate(rows)])
    seen: dict[tuple[object, ...], list[int]] = {}
    for row, place, decision in zip(rows, placed, decisions(placed, scorer), strict=True):
        verdict = decision.verdict
        if not row.point_type or verdict.confidence is None:
            continue
        about = decision.about or place.template
        key = (about, place.equip_class, verdict.features, verdict.point_class)
        counts = seen.setdefault(key, [0, 0])
        counts[0] += 1
        counts[1] += coarse(row.point_type) == coarse(verdict.point_class, UNKNOWN)
    return [
        Lesson(key[2], points, right)  # type: ignore[arg-type]  # it is what was put there
        for key, (points, right) in seen.items()
    ]


def _some_spellings(number: int) -> frozenset[str]:
    """Return spellings to take away: abbreviations mostly, and a few words of Brick."""
    chance = random.Random(f"gaps:{number}")
    every = sorted(text for text, _ in lexicon.spellings() if text.isascii())
    short = [text for text in every if text not in class_words()]
    return frozenset(chance.sample(short, round(_GAP * len(short)))) | frozenset(
        chance.sample(every, round(_COMMON_GAP * len(every)))
    )


@contextmanager
def gaps(taken: frozenset[str]) -> Iterator[None]:
    """Let the mapper run as if the lexicon had not these spellings."""
    tables = lexicon.tables()
    kept = [dict(table) for table in tables]
    for table in tables:
        for text in taken:
            table.pop(text, None)
    _forget()
    try:
        yield
    finally:
        for table, before in zip(tables, kept, strict=True):
            table.clear()
            table.update(before)
        _forget()


def _forget() -> None:
    """Empty the caches of what was read with another lexicon."""
    for name in _MODULES:
        for item in vars(import_module(f"plantroom_shared.mapping.{name}")).values():
            clear: Callable[[], None] | None = getattr(item, "cache_clear", None)
            if clear is not None and item is not lexicon._lexicon:
                clear()


def main(argv: Sequence[str]) -> int:
    """Train, and write the file; 2 where a file or an option is wrong."""
    parser = argparse.ArgumentParser(
        prog="./plantroom bench mapping-training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    here = Path(lexicon.__file__).parent / "data" / FILE
    parser.add_argument("--out", type=Path, default=here, metavar="FILE", help="what to write")
    options = parser.parse_args(argv)
    try:
        buildings = read(options.data, [])
    except ConfigError as error:
        print(f"plantroom: {error}", file=sys.stderr)
        return 2
    rows = [row for own in buildings.values() for row in own]
    scorer = train(rows)
    used = Counter(
        row.building for row in rows if row.point_type and not row.dataset.startswith(NOT_SHIPPED)
    )
    about = "made by ./plantroom bench mapping-training; see NOTICE.md"
    data = {"about": about, "trained_on": dict(sorted(used.items())), **scorer.as_dict()}
    options.out.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    print(f"{sum(used.values())} labelled points of {len(used)} buildings -> {options.out}")
    return 0
