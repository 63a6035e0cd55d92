"""What an LLM is asked, one question per template, and what its answers change. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from plantroom_shared.mapping import UNKNOWN, MappedPoint, choices, template_key, with_vote
from plantroom_shared.mapping.names import clean, fold
from plantroom_shared.mapping.refine import TRUST
from plantroom_shared.model import Point

PROMPT_VERSION: Final = "2"
"""Part of the cache key: a new prompt asks anew."""
ONTOLOGY: Final = "Brick 1.4.4"
"""Part of the cache key: other classes, other answers."""
ASK_BELOW: Final = 0.9
"""Offline confidence from which nobody else is asked: what is taken without a person."""
FEW_CHOICES: Final = 9
"""Where the offline mapping has ideas of its own."""
MANY_CHOICES: Final = 24
"""Where it has hardly any."""
MAX_NAME: Final = 80
_MAX_TEXT: Final = 120
_MAX_WORDS: Final = 12
_MAX_STATES: Final = 6


@dataclass(frozen=True, slots=True)
class Question:
    """What the offline mapping is unsure of: one or more templates that look the same."""

    key: str
    """Cache key: the same question of the same model has the same key."""
    about: Mapping[str, Any]
    """What the model may see: data, cleaned and cut."""
    choices: tuple[str, ...]
    """Classes it may choose from; ``unknown`` comes on top."""
    points: tuple[int, ...]
    """Positions of the points it decides."""
    templates: tuple[str, ...] = ()
    """Keys of decisions of these points."""
    offline: str = ""
    """The class that the offline mapping found; empty where it found none."""


@dataclass(slots=True)
class _Draft:
    about: dict[str, Any]
    choices: tuple[str, ...]
    offline: str
    points: list[int] = field(default_factory=list)
    templates: dict[str, None] = field(default_factory=dict)


def questions_of(
    points: Sequence[Point],
    mapped: Sequence[MappedPoint],
    model: str,
    decided: Collection[int] = (),
) -> dict[str, Question]:
    """Return cache key → question for everything that the offline mapping is unsure of.

    Args:
        points: of one site.
        mapped: what the offline mapping found for each.
        model: the model that is to be asked.
        decided: positions that a person has decided: nobody need be asked.
    """
    settled = frozenset(decided)
    seen: dict[tuple[Any, ...], _Draft | None] = {}
    for index, (point, item) in enumerate(zip(points, mapped, strict=True)):
        if item.source == "profile" or (item.confidence or 0.0) >= ASK_BELOW or index in settled:
            continue
        look = (_own_part(item), point.description, point.unit, point.object_type,
                tuple(point.states), item.equip_class, item.candidates)  # fmt: skip
        if look not in seen:
            seen[look] = _draft(point, item)
        draft = seen[look]
        if draft is not None:
            draft.points.append(index)
            draft.templates[template_key(item, point)] = None
    found: dict[str, Question] = {}
    for draft in seen.values():
        if draft is not None:
            _add(found, draft, model)
    return found


def _add(found: dict[str, Question], draft: _Draft, model: str) -> None:
    """Add a question, or its points to the one that asks the same."""
    key = _key(draft.about, draft.choices, model)
    same = found.get(key)
    points, templates = tuple(draft.points), tuple(draft.templates)
    if same is None:
        found[key] = Question(key, draft.about, draft.choices, points, templates, draft.offline)
        return
    together = tuple(dict.fromkeys((*same.templates, *templates)))
    found[key] = replace(same, points=(*same.points, *points), templates=together)


def _draft(point: Point, item: MappedPoint) -> _Draft | None:
    """Return a question about a point; None where its name is not shown to anybody."""
    name = shown(_own_part(item), MAX_NAME)
    if not name or hostile(point.name, _MAX_WORDS):
        return None
    few = len(item.candidates) >= FEW_CHOICES // 2
    allowed = choices(item, point.unit, FEW_CHOICES if few else MANY_CHOICES)
    return _Draft(_about(name, point, item), allowed, item.point_class)


def refined(
    mapped: Sequence[MappedPoint],
    questions: Mapping[str, Question],
    answers: Mapping[str, str],
    *,
    trust: float = TRUST,
    failed: str = "",
) -> list[MappedPoint]:
    """Return the mapping with the answers to the questions counted in.

    Args:
        mapped: what the offline mapping found.
        questions: what was asked.
        answers: question's key → class or ``unknown``; those of other questions are ignored.
        trust: how often the model is right.
        failed: why the open questions have no answer; empty where they are still to be asked.
    """
    out = list(mapped)
    for key, question in questions.items():
        name = answers.get(key)
        if name is None:
            if failed:
                for index in question.points:
                    note = (*out[index].evidence, f"LLM not heard: {failed}")
                    out[index] = replace(out[index], source="fallback", evidence=note)
            continue
        if name != UNKNOWN and name not in question.choices:
            continue  # a cache row that no question of ours can have led to
        for index in question.points:
            out[index] = with_vote(out[index], name, question.choices, trust)
    return out


def _own_part(item: MappedPoint) -> str:
    """Return the name without its equipment, where the class of that is known and is told."""
    if item.equip_class and item.equipment:
        own = fold(item.equipment)[0]
        start = item.template.find(own)
        rest = item.template[start + len(own) :].lstrip(" ./:_-'") if start >= 0 else ""
        if len(rest) > 1:
            return rest
    return item.template


def _about(name: str, point: Point, item: MappedPoint) -> dict[str, Any]:
    """Return what is shown of a template: names are data of strangers."""
    description = "" if hostile(point.description) else fold(clean(point.description))[0]
    states = [text for state in point.states[:_MAX_STATES] if (text := _harmless(state, 32))]
    about = {
        "name": name,
        "description": shown(description, _MAX_TEXT),
        "unit": _harmless(point.unit, 32),
        "object_type": _harmless(point.object_type, 32),
        "states": states,
        "equipment": item.equip_class,
    }
    return {field: value for field, value in about.items() if value}


def _harmless(text: str, limit: int) -> str:
    return "" if hostile(text) else shown(clean(text), limit)


def shown(text: str, limit: int) -> str:
    """Return what may be seen of a text: letters, digits, marks, plain signs; no line breaks."""
    kept = "".join(ch for ch in text if unicodedata.category(ch)[0] in "LMNPS" or ch == " ")
    return " ".join(kept.split())[:limit]


_STRANGE: Final = re.compile(
    r"[{}`\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]|</|<\w|://|\bwww\.|\]\("
)
_ORDERS: Final = re.compile(
    r"\b(?:ignor\w*|disregard\w*|forget|instruct\w*|anweisung\w*|instruc\w*|prompts?|jailbreak|"
    r"pretend|assistant|respond|answer|antwort\w*|repond\w*|répond\w*|override all|override every|"
    r"you are|you must|classify|json|choices?|oublie\w*|olvida\w*|vergiss)\b"
    r"|忽略|无视|指令|指示|回答|你是|提示词|system\s*:|role\s*:",
    re.IGNORECASE,
)


def hostile(text: str, words: int = 2 * _MAX_WORDS) -> bool:
    """Tell a text that no point has for a name: it is never sent, and the offline mapping stands.

    What is sent all the same reaches no further than its own choices; this keeps a text that
    talks to the model from spoiling the answers to those that it would be asked beside.
    """
    if not text or (len(text) <= MAX_NAME and text.isalnum() and text.isascii()):
        return False
    if len(text) > 4 * _MAX_TEXT or any(ch < " " and ch not in "\t\r\n" for ch in text):
        return True
    for form in {text, clean(text)}:
        if _STRANGE.search(form) or _ORDERS.search(form) or len(form.split()) > words:
            return True
    return False


def _key(about: Mapping[str, Any], allowed: Sequence[str], model: str) -> str:
    asked = orjson.dumps(
        [about, list(allowed), PROMPT_VERSION, model, ONTOLOGY], option=orjson.OPT_SORT_KEYS
    )
    return hashlib.sha256(asked).hexdigest()
