"""Applying rules to facts, and what a site scores. Pure.

The score of a site is ``100 x product over rules of (1 - weight x share)``, where the share is of
the subjects of that kind which the rule found wanting and nobody has waived, and the weights are
those of `WEIGHTS`; rounded down, and at most 49 while a blocker stands and 79 while an error does.
100 is a site in which nothing was found, and below 50 the gate is closed.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from plantroom_cloud.governance.expressions import Facts
from plantroom_cloud.governance.rules import Rule

WEIGHTS: Final = {"info": 0.02, "warning": 0.10, "error": 0.30, "blocker": 0.50}
CAPS: Final = {"blocker": 49, "error": 79}
MOST: Final = 500
"""Findings of one rule at one site that are kept one by one; of more, the number."""
_BLOCK: Final = 64
"""Subjects between two looks at the clock."""
_EVERYTHING: Final = "*"
"""In a waiver: every subject of the site."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that rules look at."""

    kind: str
    id: str
    """Stays the same as long as the thing does: ``point/17``."""
    facts: Facts


@dataclass(frozen=True, slots=True)
class Found:
    """A rule holds of a subject."""

    rule: str
    severity: str
    subject: str
    text: str
    fix: str
    waived: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same finding tomorrow, whatever it says then."""
        return self.rule, self.subject


@dataclass(slots=True)
class Outcome:
    """What one rule came to."""

    rule: Rule
    subjects: int = 0
    """How many there are of its kind."""
    wanting: int = 0
    """Of how many it holds and nobody has waived it."""
    waived: int = 0
    found: list[Found] = field(default_factory=list)
    """At most `MOST` that count, and as many that are waived."""
    holding: set[str] = field(default_factory=set)
    """All subjects of which it holds, waived or not."""
    stopped: bool = False
    """Its time was over before all subjects were looked at."""


@dataclass(frozen=True, slots=True)
class Waivers:
    """What somebody has said to put up with: pairs of rule and subject, or of rule and ``*``."""

    pairs: Collection[tuple[str, str]] = frozenset()

    def cover(self, rule: str, subject: str) -> bool:
        """Say whether a finding is waived."""
        return (rule, subject) in self.pairs or (rule, _EVERYTHING) in self.pairs


def check(
    rules: Iterable[Rule],
    subjects: Mapping[str, Iterable[Subject]],
    waivers: Waivers,
    *,
    seconds: float = 5.0,
) -> list[Outcome]:
    """Apply `rules` to the subjects of their kinds, each looked at once.

    Args:
        rules: those that are not enabled are passed over.
        subjects: by kind.
        waivers: that hold now.
        seconds: that one rule may take; where it needs more it is stopped and says so.
    """
    enabled = sorted((rule for rule in rules if rule.enabled), key=lambda rule: rule.id)
    outcomes = [Outcome(rule) for rule in enabled]
    for kind in sorted({rule.about for rule in enabled}):
        mine = [_Applied(outcome, seconds) for outcome in outcomes if outcome.rule.about == kind]
        rest = iter(subjects.get(kind, ()))
        while block := list(islice(rest, _BLOCK)):
            for applied in mine:
                applied.take(block, waivers)
    return outcomes


class _Applied:
    """A rule under way, and how much of its time is left."""

    def __init__(self, outcome: Outcome, seconds: float) -> None:
        self._outcome, self._left = outcome, seconds
        self._condition, self._given = outcome.rule.condition(), outcome.rule.given

    def take(self, block: Sequence[Subject], waivers: Waivers) -> None:
        """Look at some subjects, unless its time is over."""
        outcome, began = self._outcome, time.monotonic()
        outcome.subjects += len(block)
        if self._left <= 0:
            outcome.stopped = True
            return
        for subject in block:
            facts = {**self._given, **subject.facts} if self._given else subject.facts
            if self._condition(facts):
                waived = waivers.cover(outcome.rule.id, subject.id)
                _note(outcome, subject, facts, waived=waived)
        self._left -= time.monotonic() - began


def _note(outcome: Outcome, subject: Subject, facts: Facts, *, waived: bool) -> None:
    outcome.holding.add(subject.id)
    count = outcome.waived if waived else outcome.wanting
    if count < MOST:
        rule = outcome.rule
        found = Found(rule.id, rule.severity, subject.id, *rule.said(facts), waived=waived)
        outcome.found.append(found)
    if waived:
        outcome.waived += 1
    else:
        outcome.wanting += 1


def score(outcomes: Iterable[Outcome]) -> int:
    """Return what a site scores, 0..100; see the top of this module."""
    share, cap = 1.0, 100
    for outcome in outcomes:
        if outcome.wanting and outcome.subjects:
            severity = outcome.rule.severity
            share *= 1 - WEIGHTS[severity] * outcome.wanting / outcome.subjects
            cap = min(cap, CAPS.get(severity, 99))
    return min(cap, int(100 * share + 1e-9))


@dataclass(frozen=True, slots=True)
class Changes:
    """How what was found now compares with what stood before."""

    opened: list[Found]
    still: list[Found]
    closed: list[tuple[str, str]]


def compared(before: Collection[tuple[str, str]], outcomes: Iterable[Outcome]) -> Changes:
    """Return what is new, what still is, and which of `before` are not found any more.

    A rule that was stopped closes nothing: what it did not come to may still be so.
    """
    opened: list[Found] = []
    still: list[Found] = []
    now: set[tuple[str, str]] = set()
    for outcome in outcomes:
        rule = outcome.rule.id
        now |= {(rule, subject) for subject in outcome.holding}
        if outcome.stopped:
            now |= {key for key in before if key[0] == rule}
        for found in outcome.found:
            (still if found.key in before else opened).append(found)
    return Changes(opened, still, sorted(key for key in before if key not in now))
