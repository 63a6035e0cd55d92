"""What stands after all that people have decided about a site: the history, folded. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Final

from plantroom_shared.mapping import MappedPoint, Rule, Rulebook, RuleError, Template, induced
from plantroom_shared.mapping.answers import by_rule, told
from plantroom_shared.mapping.learned import folded, parse_rule

ACCEPT_FROM: Final = 0.9
"""Confidence from which a proposal is taken without a person."""
IMPORTED: Final = "import"
"""Source of a mapping that was taken in from a file: it is decided, and nobody is asked."""
NAMING: Final = ("accept", "correct")
"""Decisions that name a class."""
DECISIONS: Final = (*NAMING, "reject", "defer")
UNDO, RULE, UNRULE = "undo", "rule", "unrule"


@lru_cache(maxsize=65536)
def template_id(key: str) -> str:
    """Return the short name of a template's key."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def of_point(point_id: int) -> str:
    """Return what stands in place of a key where one point is decided about by itself."""
    return f"@{point_id}"


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the history."""

    id: int
    request: str
    at_us: int
    actor: str
    action: str
    subject: str
    """A template's key, ``@`` and a point, the line of a rule, or the request undone."""
    point_class: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Standing:
    """The decisions and rules of a site that hold now."""

    decided: Mapping[str, Event] = field(default_factory=dict)
    """Template key, or ``@`` and a point → the decision that holds."""
    own: Mapping[str, Rule] = field(default_factory=dict)
    """Line → rule that somebody wrote."""
    refused: frozenset[tuple[str, str, str]] = frozenset()
    """What no rule shall be learned about again: equipment class, name, point class."""
    known: frozenset[Template] = frozenset()
    """The templates of the site."""

    @cached_property
    def learned(self) -> list[Rule]:
        """The rules that follow from the decisions about templates."""
        answers = {
            subject: event.point_class
            for subject, event in self.decided.items()
            if event.action in NAMING and not subject.startswith("@")
        }
        return [rule for rule in induced(answers, self.known) if gist(rule) not in self.refused]

    @cached_property
    def rules(self) -> Rulebook:
        """All rules, ready to be asked."""
        return Rulebook(self.own.values(), self.learned)

    def is_open(self, template: Template) -> bool:
        """Tell whether a template is still to be decided about; put off is no decision."""
        event = self.decided.get(template.key)
        return event is None or event.action == "defer"

    def about(self, key: str, point_id: int) -> Event | None:
        """Return the decision about a point: its own, or that about its template."""
        return self.decided.get(of_point(point_id)) or self.decided.get(key)

    def laid_over(
        self, item: MappedPoint, template: Template, point_id: int
    ) -> tuple[MappedPoint, str]:
        """Return what a point means after all that was decided, and the state of that.

        Args:
            item: what the mapper found.
            template: its template.
            point_id: for what was decided about this one alone.
        """
        event = self.about(template.key, point_id)
        if event is not None and event.action in NAMING:
            made = told(item, event.point_class)
            notes = (f"decided by {event.actor}", *item.evidence)
            return replace(made, evidence=notes), "accepted"
        rule = None if item.source == "profile" else self.rules.find(template)
        made = by_rule(item, rule) if rule else item
        if event is not None and event.action == "reject" and event.point_class == made.point_class:
            return made, "rejected"
        return made, state_of(made)


def state_of(item: MappedPoint) -> str:
    """Return ``accepted`` where nobody need look at a proposal, else ``proposed``."""
    sure = item.source == "profile" or (item.confidence or 0.0) >= ACCEPT_FROM
    return "accepted" if sure else "proposed"


def gist(rule: Rule) -> tuple[str, str, str]:
    """Return what a rule comes to, whatever conditions it has."""
    return rule.equip_class, folded(rule.name), rule.point_class


def undone(events: Iterable[Event]) -> set[str]:
    """Return the requests that were taken back."""
    return {event.subject for event in events if event.action == UNDO}


def fold(events: Iterable[Event], known: frozenset[Template] = frozenset()) -> Standing:
    """Return what holds after these events, in their order; what was undone counts for nothing."""
    history = list(events)
    gone = undone(history)
    decided: dict[str, Event] = {}
    own: dict[str, Rule] = {}
    refused: set[tuple[str, str, str]] = set()
    for event in history:
        if event.request in gone:
            continue
        if event.action in DECISIONS:
            decided[event.subject] = event
        elif event.action in {RULE, UNRULE}:
            _note_rule(event, own, refused)
    return Standing(decided, own, frozenset(refused), known)


def _note_rule(event: Event, own: dict[str, Rule], refused: set[tuple[str, str, str]]) -> None:
    try:
        rule = parse_rule(event.subject)
    except RuleError:
        return  # its class is not in this version's Brick any more
    if event.action == RULE:
        own[rule.text] = rule
        refused.discard(gist(rule))
    else:
        own.pop(rule.text, None)
        refused.add(gist(rule))
