"""From evidence to a Brick point class with a confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from plantroom_shared.mapping import confidence
from plantroom_shared.mapping.classes import KINDS, Ranked, kind_of, rank
from plantroom_shared.mapping.evidence import (
    Evidence,
    Facts,
    gather,
    in_brick_terms,
    weigh,
    word_set,
)
from plantroom_shared.mapping.lexicon import parse
from plantroom_shared.mapping.scorer import Scorer

CANDIDATES: Final = 12
_MIN_COVERAGE: Final = 0.34


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one template means in its context."""

    point_class: str
    confidence: float | None
    words: frozenset[str]
    """Everything understood, for the thing-model rules."""
    candidates: tuple[str, ...]
    """The best classes, the best first."""
    evidence: tuple[str, ...]
    pattern: str = ""
    """The pattern of evidence that the confidence was calibrated for."""
    features: tuple[float, ...] = ()
    """What the confidence was made of."""


NOTHING: Final = Verdict("", None, frozenset(), (), ())


def classify(
    text: str, medium: frozenset[str], description: str, facts: Facts, scorer: Scorer
) -> Verdict:
    """Return the meaning of a template.

    Args:
        text: the folded name from where the point begins, without its equipment.
        medium: words that stood before it, of which a medium counts.
        description: the folded description.
        facts: what else is known.
        scorer: the learned weights.
    """
    pieces = parse(description) if description else ()
    found = gather(parse(text), pieces, medium, facts, scorer)
    if not found.words and not facts.quantity:
        return NOTHING
    said = word_set(found)
    weigh(found, facts)
    words = said | word_set(found)
    in_brick_terms(found, facts)
    named = _brick_words(found)
    ranked = rank(tuple(sorted(named.items())), tuple(sorted(_kinds(found).items())), CANDIDATES)
    words = words - _KINDS | {kind_of(ranked[0].name)}
    values = confidence.features(found, ranked, facts, len(named))
    sure = None if _says_too_little(found, facts) else _rounded(scorer, values)
    return Verdict(
        ranked[0].name if sure is not None else "",
        sure,
        words,
        tuple(item.name for item in ranked),
        _evidence(found, facts, ranked),
        confidence.pattern(found, facts) if sure is not None else "",
        values,
    )


def _says_too_little(found: Evidence, facts: Facts) -> bool:
    """Tell where nobody should guess: most of the name is not understood, and nothing else helps."""
    return found.coverage < _MIN_COVERAGE and not facts.quantity and not found.described


def _rounded(scorer: Scorer, values: Sequence[float]) -> float:
    sure = scorer.confidence.probability(values)
    return round(min(confidence.MOST, max(confidence.LEAST, sure)), 3)


_KINDS: Final = frozenset({"Sensor", "Setpoint", "Command", "Parameter", "Limit"})


def _kinds(found: Evidence) -> dict[str, float]:
    best = max(found.kinds.values())
    return {kind: sure for kind, sure in found.kinds.items() if sure >= best - 0.55 and sure > 0}


def _brick_words(found: Evidence) -> dict[str, float]:
    best = max(found.kinds, key=found.kinds.__getitem__)
    left_out = _LEFT_OUT.get(best, _KIND_WORDS)
    return {
        word: sure
        for word, sure in found.words.items()
        if word not in left_out and word[0].isupper()
    }


_KIND_WORDS: Final = frozenset(KINDS)
_LEFT_OUT: Final = {
    "Parameter": _KIND_WORDS - {"Alarm", "Limit"},
    "Limit": _KIND_WORDS - {"Setpoint"},
}


def _evidence(found: Evidence, facts: Facts, ranked: Sequence[Ranked]) -> tuple[str, ...]:
    notes = list(found.notes[:6])
    if facts.unit:
        notes.append(f"unit {facts.unit}" + (" agrees" if found.unit_agrees else ""))
    notes += facts.notes
    if len(ranked) > 1:
        notes.append(f"next {ranked[1].name}")
    return tuple([note[:120] for note in notes])
