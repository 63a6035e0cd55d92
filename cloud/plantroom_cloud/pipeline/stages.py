"""What the stages do: points of a building in, rows out. Pure, the same on every worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plantroom_cloud.mapping.questions import Question, questions_of, refined
from plantroom_cloud.review.standing import state_of
from plantroom_shared.mapping import MappedPoint, map_points, one_claim_each
from plantroom_shared.mapping.refine import TRUST
from plantroom_shared.model import Device, Point

STAGES: Final = ("select", "group", "analyse", "map", "score", "publish")
"""In their order; each takes what the one before has left."""
PIECE: Final = 1000
"""Points of a piece of output."""
QUESTIONS: Final = 1000
"""Questions to the LLM of one chunk: enough for all the calls that may be under way at once."""
PRECISION: Final = 0.95
"""What the stated share of points is accepted at."""
_BINS: Final = 100


@dataclass(frozen=True, slots=True)
class Planned:
    """A chunk that is to be done."""

    stage: str
    piece: int
    points: int


def following(stage: str, points: int, *, pieces: int = 1, publish: bool) -> list[Planned]:
    """Return the chunks of a building that come after its `stage`, once all of that is done.

    Args:
        stage: what is done.
        points: of the building.
        pieces: into how many the next stage is cut, where the stage before decides that.
        publish: whether there is somewhere to publish to.
    """
    if points == 0 or stage == STAGES[-1] or (stage == "score" and not publish):
        return []
    after = STAGES[STAGES.index(stage) + 1]
    # Questions are cut, not points: their share of the progress is the same for each.
    sizes = [points * (piece + 1) // pieces - points * piece // pieces for piece in range(pieces)]
    return [Planned(after, piece, size) for piece, size in enumerate(sizes)]


def group(points: Sequence[Point], devices: Sequence[Device]) -> list[MappedPoint]:
    """Return equipment, template and offline class of every point of a building.

    One call does it: the grammar of a building shows in all of its names, and siblings decide
    together. What comes later only adds voices to it.
    """
    return map_points(points, devices)


def questions(
    points: Sequence[Point],
    mapped: Sequence[MappedPoint],
    model: str,
    decided: Collection[int] = (),
) -> list[list[Question]]:
    """Return what the LLM `model` shall be asked, cut into chunks of `QUESTIONS`, in a fixed order.

    Args:
        points: of one building.
        mapped: what was found offline.
        model: the model.
        decided: positions of points that a person has decided: nobody need be asked.
    """
    found = questions_of(points, mapped, model, decided)
    asked = [question for _, question in sorted(found.items())]
    return [asked[start : start + QUESTIONS] for start in range(0, len(asked), QUESTIONS)]


def settle(
    mapped: Sequence[MappedPoint],
    asked: Iterable[Question],
    answers: Mapping[str, str],
    *,
    trust: float = TRUST,
    failed: str = "",
) -> list[MappedPoint]:
    """Return the building with all voices counted, each thing-model point left to one point.

    Args:
        mapped: what was found offline.
        asked: the questions.
        answers: question's key → class or ``unknown``.
        trust: how often the LLM is right.
        failed: why questions were left open; empty where none was.
    """
    by_key = {question.key: question for question in asked}
    return one_claim_each(refined(mapped, by_key, answers, trust=trust, failed=failed))


def figures(mapped: Sequence[MappedPoint]) -> dict[str, Any]:
    """Return what is known of a building once it is scored; figures of buildings can be added."""
    bins = Counter(
        min(int((item.confidence or 0.0) * _BINS), _BINS - 1) for item in mapped if item.point_class
    )
    return {
        "points": len(mapped),
        "classed": sum(bins.values()),
        "accepted": sum(state_of(item) == "accepted" for item in mapped),
        "modelled": sum(bool(item.model_point) for item in mapped),
        "equipment": len({item.equipment for item in mapped if item.equipment}),
        "templates": len({item.template for item in mapped}),
        "confidence": [bins[number] for number in range(_BINS)],
    }


def added(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of many buildings together."""
    total: dict[str, Any] = figures(())
    for part in parts:
        for name, value in part.items():
            if name == "confidence":
                total[name] = [a + b for a, b in zip(total[name], value, strict=True)]
            elif name in total:
                total[name] += value
    return total


def coverage(bins: Sequence[int], points: int, precision: float = PRECISION) -> float:
    """Return the share of `points` that can be accepted together at `precision`.

    The surest come first, for as long as their confidences, taken at their word, keep the mean of
    all taken at `precision` or above.
    """
    taken, right = 0, 0.0
    for number in reversed(range(len(bins))):
        if not bins[number]:
            continue
        mean = (number + 0.5) / len(bins)
        if (right + mean * bins[number]) < precision * (taken + bins[number]):
            break
        taken += bins[number]
        right += mean * bins[number]
    return taken / points if points else 0.0
