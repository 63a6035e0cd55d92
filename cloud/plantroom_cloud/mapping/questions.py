"""What an LLM is asked, one question per template, and what its answers change. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from plantroom_shared.mapping import UNKNOWN, MappedPoint, choices, with_vote
from plantroom_shared.mapping.names import clean, fold
from plantroom_shared.model import Point

PROMPT_VERSION: Final = "1"
"""Part of the cache key: a new prompt asks anew."""
ASK_BELOW: Final = 0.8
"""Offline confidence from which nobody else is asked."""
MAX_CHOICES: Final = 40
_MAX_TEXT: Final = 120
_MAX_STATES: Final = 6


@dataclass(frozen=True, slots=True)
class Question:
    """A template that the offline mapping is unsure of."""

    key: str
    """Cache key: the same question of the same model has the same key."""
    about: Mapping[str, Any]
    """What the model may see: data, cleaned and cut."""
    choices: tuple[str, ...]
    """Classes it may choose from; ``unknown`` comes on top."""
    points: tuple[int, ...]
    """Positions of the points it decides."""


def questions_of(
    points: Sequence[Point], mapped: Sequence[MappedPoint], model: str
) -> dict[str, Question]:
    """Return cache key → question for every template that the offline mapping is unsure of."""
    found: dict[str, tuple[dict[str, Any], tuple[str, ...], list[int]]] = {}
    for index, (point, item) in enumerate(zip(points, mapped, strict=True)):
        if item.source == "profile" or (item.confidence or 0.0) >= ASK_BELOW:
            continue
        about = _about(point, item)
        allowed = choices(item, point.unit, MAX_CHOICES)
        key = _key(about, allowed, model)
        found.setdefault(key, (about, allowed, []))[2].append(index)
    return {
        key: Question(key, about, allowed, tuple(indices))
        for key, (about, allowed, indices) in found.items()
    }


def refined(
    mapped: Sequence[MappedPoint], questions: Mapping[str, Question], answers: Mapping[str, bytes]
) -> list[MappedPoint]:
    """Return the mapping with the answers to the questions counted in."""
    out = list(mapped)
    for key, answer in sorted(answers.items()):
        question = questions[key]
        name = answer.decode()
        if name != UNKNOWN and name not in question.choices:
            continue  # a cache row that no question of ours can have led to
        for index in question.points:
            out[index] = with_vote(out[index], name)
    return out


def _about(point: Point, item: MappedPoint) -> dict[str, Any]:
    """Return what is shown of a template: names are data of strangers."""
    about = {
        "name": item.template[:_MAX_TEXT],
        "description": fold(clean(point.description))[0][:_MAX_TEXT],
        "unit": clean(point.unit)[:32],
        "object_type": clean(point.object_type)[:32],
        "states": [clean(state)[:32] for state in point.states[:_MAX_STATES]],
        "equipment": item.equip_class,
    }
    return {name: value for name, value in about.items() if value}


def _key(about: Mapping[str, Any], allowed: Sequence[str], model: str) -> str:
    asked = orjson.dumps([about, list(allowed), PROMPT_VERSION, model], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(asked).hexdigest()
