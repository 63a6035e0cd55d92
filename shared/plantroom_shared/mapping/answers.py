"""What people decided, laid over what the mapper found. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from plantroom_shared.mapping.classes import canonical
from plantroom_shared.mapping.learned import Rule, Rulebook
from plantroom_shared.mapping.meanings import MappedPoint, of_class
from plantroom_shared.mapping.template import Template, template_of

if TYPE_CHECKING:
    from plantroom_shared.model import Point

PERSON_CONFIDENCE: Final = 0.99
"""People err too: about one template in a hundred has points of two classes."""
RULE_CONFIDENCE: Final = 0.95
"""Of a rule that a person's answer for the same name led to."""


def answered(
    points: Sequence[Point],
    mapped: Sequence[MappedPoint],
    decided: Mapping[str, str],
    rules: Rulebook,
) -> list[MappedPoint]:
    """Return the mapping with the decisions of people and their rules laid over it.

    Args:
        points: in the order of `mapped`.
        mapped: what the mapper found.
        decided: template key → point class.
        rules: a profile's word stands against them, guesses do not.
    """
    if not decided and not len(rules):
        return list(mapped)
    return [
        overlaid(item, template_of(item, point), decided, rules)
        for point, item in zip(points, mapped, strict=True)
    ]


def overlaid(
    item: MappedPoint, template: Template, decided: Mapping[str, str], rules: Rulebook
) -> MappedPoint:
    """Return one point's mapping with what was decided about its template, or follows from it."""
    name = decided.get(template.key)
    if name:
        return told(item, name)
    if item.source == "profile":
        return item
    rule = rules.find(template)
    return by_rule(item, rule) if rule else item


def told(item: MappedPoint, name: str) -> MappedPoint:
    """Return a mapping that a person has decided to be of class `name`."""
    made = _of_class(item, name)
    return replace(made, confidence=PERSON_CONFIDENCE, source="person", evidence=item.evidence)


def by_rule(item: MappedPoint, rule: Rule) -> MappedPoint:
    """Return a mapping that follows from a rule."""
    made = _of_class(item, rule.point_class)
    sure = RULE_CONFIDENCE
    if item.point_class == made.point_class:
        sure = max(sure, item.confidence or 0.0)
    notes = (f"rule: {rule.text}"[:200], *item.evidence)
    return replace(made, confidence=sure, source="rule", evidence=notes)


def _of_class(item: MappedPoint, name: str) -> MappedPoint:
    name = canonical(name)
    if name == item.point_class:
        return item
    return of_class(item, name, item.about or item.template)
