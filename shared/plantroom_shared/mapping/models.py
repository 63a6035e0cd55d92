"""EnOS thing models: their points and units, and which point of a model a point is."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from plantroom_shared.mapping.rules import load
from plantroom_shared.mapping.things import ModelPoint, ThingModel

_PHASE: Final = re.compile(
    r"(?<![a-z])(?:l|ph|phase)[ _-]?([123])(?![0-9])|ph(?:ase)?[ _-]?([abc])(?![a-z])",
    re.IGNORECASE,
)
_PHASES: Final = {"a": "1", "b": "2", "c": "3"}
_STATE: Final = re.compile(
    r"(status|state|trip|command|mode|occupancy|on_off|alarm|fault|start|stop|closing)(?![a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    wanted: tuple[frozenset[str], ...]
    """One word of each set must be there."""
    refused: frozenset[str]
    phase: str = ""


@functools.cache
def thing_models() -> Mapping[str, Mapping[str, ModelPoint]]:
    """Return every built-in thing model with its points."""
    data = resources.files("plantroom_shared.mapping") / "data" / "enos_models.json"
    models: dict[str, dict[str, Any]] = json.loads(data.read_text(encoding="utf-8"))["models"]
    return {
        model: {name: _point(model, name, told) for name, told in points.items()}
        for model, points in models.items()
    }


def _point(model_id: str, name: str, told: Mapping[str, str]) -> ModelPoint:
    """Return a point; types that no public export states follow from unit and name.

    A point with a unit is a measurement, a state or command without one is an Int with signal
    type DI, as in the one model that is public in full.
    """
    unit = told.get("unit", "")
    state = not unit and bool(_STATE.search(name))
    return ModelPoint(
        name,
        (told.get("type") or ("INT" if state else "DOUBLE")).upper(),
        unit,
        told.get("signal") or ("DI" if state else "AI"),
        told.get("kind", ""),
        model_id,
    )


@functools.cache
def enos_models() -> tuple[ThingModel, ...]:
    """Return the built-in thing models of EnOS."""
    return tuple(ThingModel(name, points) for name, points in thing_models().items())


def model_point(model_id: str, name: str) -> ModelPoint | None:
    """Return one point of a thing model; None where there is none of that name."""
    return thing_models().get(model_id, {}).get(name)


def target_unit(model_id: str, name: str) -> str:
    """Return the unit that a value of this model point is sent in; empty where none is stated."""
    found = model_point(model_id, name)
    return found.unit if found else ""


@functools.cache
def _rules() -> dict[str, tuple[str, tuple[_Rule, ...]]]:
    """Return equipment class → (model, its rules in order)."""
    text = load("enos_rules.yaml")
    found: dict[str, tuple[str, tuple[_Rule, ...]]] = {}
    for entry in text["models"]:
        rules = tuple(_rule(line) for line in entry["points"])
        for equip_class in entry["for"].split():
            found[equip_class] = (entry["model"], rules)
    return found


def _rule(line: str) -> _Rule:
    name, _, words = line.partition(": ")
    wanted: list[frozenset[str]] = []
    refused: set[str] = set()
    phase = ""
    for word in words.split():
        if word.startswith("!"):
            refused.add(word[1:])
        elif word.startswith("@"):
            phase = word[1:]
        else:
            wanted.append(frozenset(word.split("|")))
    return _Rule(name, tuple(wanted), frozenset(refused), phase)


def counterpart(equip_class: str, words: Iterable[str], text: str = "") -> tuple[str, str]:
    """Return (model, point) that a point of `equip_class` is; empty strings where there is none.

    Args:
        equip_class: Brick equipment class.
        words: what is understood of the point, with its kind.
        text: the point's own part of its name, for the number of a phase.
    """
    model, rules = _rules().get(equip_class, ("", ()))
    own = frozenset(words)
    match = _PHASE.search(text)
    phase = (match[1] or _PHASES[match[2].lower()]) if match else ""
    for rule in rules:
        if rule.refused & own or (rule.phase and rule.phase != phase):
            continue
        if all(choices & own for choices in rule.wanted):
            return model, rule.name
    return "", ""
