"""What the points of a site mean, once their equipment is known: decided per template.

A template is decided with its context: the same words about the same class of equipment, of the
same unit, type and states, mean the same; `template` names such a decision for everyone who makes,
stores or asks for one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

from plantroom_shared.mapping.classes import canonical, is_point_class, kind_of
from plantroom_shared.mapping.classify import Verdict, classify
from plantroom_shared.mapping.evidence import MEDIA, Facts
from plantroom_shared.mapping.lexicon import parse
from plantroom_shared.mapping.models import counterpart
from plantroom_shared.mapping.names import fill
from plantroom_shared.mapping.rows import Row
from plantroom_shared.mapping.scorer import Scorer, shipped

PROFILE_CONFIDENCE: Final = 0.99
"""A device profile was written by a person who read the vendor's register list."""
_PHASE: Final = re.compile(r"(?:l|ph|phase)[ _-]?[#123]|ph(?:ase)?[ _-]?[abc]", re.IGNORECASE)
"""Where the number of a phase may stand, which is told from the name with its numbers."""
_PATH: Final = re.compile(r"[/\\\\:.|>]")
"""What sets apart the levels of a path."""
_NOTE: Final = 120
_SEPARATORS: Final = " ./:_-'"


@dataclass(frozen=True, slots=True)
class MappedPoint:
    """What one point means."""

    point: str
    """The point's key."""
    template: str
    """Its name with every number folded to ``#``."""
    equipment: str = ""
    """Key of the equipment within the site, as the name grammar gives it."""
    equip_class: str = ""
    """Brick equipment class; empty where there is no proposal."""
    point_class: str = ""
    """Brick point class, canonical; empty where there is no proposal."""
    model_id: str = ""
    """EnOS thing model; empty where it has no counterpart."""
    model_point: str = ""
    confidence: float | None = None
    """Probability that the point class is right; None where nothing is proposed."""
    source: str = "offline"
    """Whose word it is: ``profile``, ``person``, ``rule``, ``llm`` or ``offline``."""
    evidence: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    """The best classes, the best first: what a person or an LLM may choose from."""
    about: str = ""
    """The part of the template that is about the point; empty where all of it is."""
    pattern: str = ""
    """The pattern of evidence that the confidence was calibrated for."""
    parent: str = ""
    """Key of the equipment that feeds or contains its equipment; empty where nothing tells."""
    relation: str = ""
    """What the parent is to it: ``feeds`` or ``part-of``; empty without one."""


_Context = tuple[str, int, int, str, str, str, str, tuple[str, ...], bool | None, bool]
"""All that a template is decided by: template, where its equipment begins, where the words about the
point begin, description, equipment class, unit, type, states, writable, whether it is a space's."""


class Decision(NamedTuple):
    """What a template in its context is taken for."""

    verdict: Verdict
    about: str
    """The part of the template that is about the point; empty where all of it is."""
    thing: tuple[str, str] | None
    """Its model and model point; None where that depends on the numbers of the name."""


def meanings(rows: Sequence[Row], scorer: Scorer | None = None) -> list[MappedPoint]:
    """Return what the points of a site mean, in their order.

    Args:
        rows: the points in their places.
        scorer: learned weights other than those that ship.
    """
    scorer = scorer or shipped()
    # A profile that names thing-model points names all of its device's.
    told = {row.point.device for row in rows if row.point.enos}
    return [
        _mapped(row, decision, told)
        for row, decision in zip(rows, decisions(rows, scorer), strict=True)
    ]


def decisions(rows: Sequence[Row], scorer: Scorer) -> list[Decision]:
    """Return what the template of every row is taken for; equal contexts are decided once."""
    deciding = _Deciding(scorer)
    shared: dict[_Context, _Context] = {}
    contexts = [shared.setdefault(context, context) for context in map(_context, rows)]
    # The same words about another machine come next: what was read of them is still at hand.
    in_order = sorted(shared, key=lambda context: (context[0][context[2] :], context[3]))
    known = {context: deciding.decide(context) for context in in_order}
    return [known[context] for context in contexts]


class _Deciding:
    """Decides contexts; what differs in nothing but its path is decided once.

    Args:
        scorer: the learned weights.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._facts: dict[tuple[object, ...], Facts] = {}
        self._known: dict[tuple[str, frozenset[str], str, int], Decision] = {}

    def decide(self, context: _Context) -> Decision:
        """Return what a template in its context is taken for."""
        template, start, cut, description, equip_class, *more = context
        about = _about(template, start, cut)
        before = "" if equip_class else template[:start]
        medium = _medium(before) if before else frozenset()
        said = context[4:]
        facts = self._facts.get(said)
        if facts is None:
            facts = Facts(equip_class, *more)  # type: ignore[arg-type]  # in the order of `_Context`
            self._facts[said] = facts
        key = (about, medium, description, id(facts))
        decision = self._known.get(key)
        if decision is None or bool(decision.about) != bool(cut):
            verdict = classify(about, medium, description, facts, self._scorer)
            phases = _PHASE.search(about) is not None
            thing = None if phases else counterpart(equip_class, verdict.words)
            decision = self._known[key] = Decision(
                verdict, about.strip(_SEPARATORS) if cut else "", thing
            )
        return decision


def _context(row: Row) -> _Context:
    point, where = row.point, row.where
    return (
        row.template,
        where.start,
        where.cut,
        row.description,
        row.equip_class,
        point.unit,
        point.object_type,
        point.states,
        point.writable,
        where.kind == "space",
    )


def _about(template: str, start: int, cut: int) -> str:
    """Return the words about the point: after its place, or before: ``Temperature Room 12``."""
    after = template[cut:].lstrip()
    if not start or any(ch.isalpha() for ch in after):
        return after
    return _PATH.split(template[:start])[-1].strip() or after


@lru_cache(maxsize=4096)
def _medium(before: str) -> frozenset[str]:
    words = {word for piece in parse(before) if piece.entry for word in piece.entry.words}
    return frozenset(words & MEDIA)


def _mapped(row: Row, decision: Decision, told: set[str]) -> MappedPoint:
    point, verdict = row.point, decision.verdict
    hinted = bool(point.point_class) and is_point_class(point.point_class)
    model_id, model_point = _thing(row, decision, told)
    return MappedPoint(
        point.key,
        row.template,
        row.equipment,
        row.equip_class,
        canonical(point.point_class) if hinted else verdict.point_class,
        model_id,
        model_point,
        PROFILE_CONFIDENCE if hinted else verdict.confidence,
        "profile" if hinted or point.enos else "offline",
        _evidence(row, verdict, hinted=hinted),
        verdict.candidates,
        decision.about,
        "" if hinted else verdict.pattern,
        row.parent,
        row.relation,
    )


def _evidence(row: Row, verdict: Verdict, *, hinted: bool) -> tuple[str, ...]:
    own = ("the device's profile says so",) if hinted else verdict.evidence
    return (*own, row.why[:_NOTE]) if row.why else own


def _thing(row: Row, decision: Decision, told: set[str]) -> tuple[str, str]:
    if row.point.enos:
        model_id, _, model_point = row.point.enos.partition("/")
        return model_id, model_point
    if row.point.equip_class and row.point.device in told:
        return "", ""
    if decision.thing is not None:
        return decision.thing
    digits = fill(row.template, row.runs, len(row.template), row.where.cut)
    return counterpart(row.equip_class, decision.verdict.words, digits)


def of_class(item: MappedPoint, name: str, text: str = "") -> MappedPoint:
    """Return a mapping with another class, and the thing-model point that goes with it.

    Args:
        item: the mapping.
        name: Brick point class, canonical.
        text: the point's own part of its name, for the number of a phase.
    """
    words = {*name.split("_"), kind_of(name)}
    model_id, model_point = counterpart(item.equip_class, words, text)
    return replace(item, point_class=name, model_id=model_id, model_point=model_point)


def one_claim_each(mapped: list[MappedPoint]) -> list[MappedPoint]:
    """Leave each thing-model point of an equipment to one point: a person's and a profile's first."""
    best: dict[tuple[str, str, str], MappedPoint] = {}
    for item in mapped:
        if not item.model_point:
            continue
        place = (item.equipment, item.model_id, item.model_point)
        rival = best.get(place)
        if rival is None or _strength(item) > _strength(rival):
            best[place] = item
    keep = {id(item) for item in best.values()}
    return [item if not item.model_point or id(item) in keep else _without(item) for item in mapped]


def _strength(item: MappedPoint) -> tuple[bool, bool, float]:
    return item.source == "person", item.source == "profile", item.confidence or 0.0


def _without(item: MappedPoint) -> MappedPoint:
    return replace(item, model_id="", model_point="")
