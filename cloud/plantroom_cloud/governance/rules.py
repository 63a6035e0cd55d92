"""Rules as data: what they say, the ones that come along, and what a company makes of them. Pure."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any, Final

import yaml

from plantroom_cloud.governance.expressions import BadExpression, Condition, Facts, compiled
from plantroom_cloud.governance.vocabulary import FACTS, KINDS, SEVERITIES

MAX_RULES: Final = 200
"""Rules that a company may have of its own."""
MAX_SAID: Final = 300
"""Characters of what a finding says."""
_ID: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*\Z")
_HOLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition over the facts of one kind of subject; where it holds there is a finding."""

    id: str
    about: str
    """One of `vocabulary.KINDS`."""
    severity: str
    when: str
    """An expression (`governance.expressions`) over the facts of `about` and the names of `given`."""
    text: str
    """What a finding says; ``{fact}`` stands for a fact."""
    fix: str
    """What to do about it."""
    given: Mapping[str, float] = field(default_factory=dict)
    """Numbers that the condition uses, which a company may set."""
    builtin: bool = False
    enabled: bool = True

    def condition(self) -> Condition:
        """Return what computes the condition; BadRule if it is none."""
        try:
            return compiled(self.when, (*FACTS[self.about], *self.given))
        except BadExpression as error:
            raise BadRule(part="when", what=str(error)) from error

    def said(self, facts: Facts) -> tuple[str, str]:
        """Return what a finding of a subject with these facts says, and its fix."""
        return filled(self.text, facts), filled(self.fix, facts)


class BadRule(ValueError):
    """A rule is none; says which part of it, and what to write."""

    def __init__(self, part: str, what: str) -> None:
        super().__init__(f"{part}: {what}")
        self.part, self.what = part, what


def checked(rule: Rule) -> Rule:
    """Return `rule` if it can be applied; BadRule names what is wrong with it."""
    if not _ID.match(rule.id) or len(rule.id) > 64:
        raise BadRule(
            part="id", what="write small letters, digits and dashes, at most 64: 'ahu-without-fan'"
        )
    if rule.about not in FACTS:
        raise BadRule(part="about", what=f"a rule is about one of {', '.join(KINDS)}")
    if rule.severity not in SEVERITIES:
        raise BadRule(part="severity", what=f"is one of {', '.join(SEVERITIES)}")
    for name, value in rule.given.items():
        if not _NAME.match(name) or name in FACTS[rule.about]:
            raise BadRule(part="with", what=f"{name[:60]!r} is no name, or that of a fact")
        if isinstance(value, bool) or not math.isfinite(value):
            raise BadRule(part="with", what=f"{name} is no number")
    if len(rule.given) > 10:
        raise BadRule(part="with", what="at most 10 numbers")
    rule.condition()
    for part in ("text", "fix"):
        known = {*FACTS[rule.about], *rule.given}
        unknown = sorted(set(_HOLE.findall(getattr(rule, part))) - known)
        if unknown:
            raise BadRule(part=part, what=f"there is no fact {unknown[0][:60]!r} of a {rule.about}")
    return rule


def filled(text: str, facts: Facts) -> str:
    """Return `text` with facts in place of ``{fact}``: no format of Python's, which can do more."""
    return _HOLE.sub(lambda hole: _shown(facts.get(hole[1])), text)[:MAX_SAID]


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, tuple):
        shown = ", ".join(_shown(one) for one in value[:5])
        return f"{shown} and {len(value) - 5} more" if len(value) > 5 else shown
    return str(value)[:100]


@functools.cache
def builtin() -> Mapping[str, Rule]:
    """Return the rules that come along, by id."""
    data = resources.files("plantroom_cloud.governance") / "data" / "rules.yaml"
    rules = [checked(_read(entry)) for entry in yaml.safe_load(data.read_text(encoding="utf-8"))]
    return {rule.id: rule for rule in rules}


def _read(entry: Mapping[str, Any]) -> Rule:
    rest = {key: entry[key] for key in ("id", "about", "severity", "when", "text", "fix")}
    return Rule(**rest, given=entry.get("with", {}), builtin=True)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a company says of one rule: of a built-in one, or all of one of its own."""

    rule: str
    enabled: bool = True
    severity: str = ""
    """Empty: the built-in one's."""
    given: Mapping[str, float] = field(default_factory=dict)
    about: str = ""
    """Empty for a built-in rule; so are the next three."""
    when: str = ""
    text: str = ""
    fix: str = ""


def of_company(settings: Iterable[Setting]) -> dict[str, Rule]:
    """Return all rules of a company by id: the built-in ones as it has set them, and its own.

    A rule of its own that can no longer be applied, because a fact went with a newer version, is
    left out: `unusable` names it.
    """
    rules = dict(builtin())
    for setting in settings:
        try:
            rules[setting.rule] = applied(setting)
        except BadRule:
            rules.pop(setting.rule, None)
    return rules


def unusable(settings: Iterable[Setting]) -> dict[str, str]:
    """Return the company's rules that cannot be applied, and why."""
    found = {}
    for setting in settings:
        try:
            applied(setting)
        except BadRule as error:
            found[setting.rule] = str(error)
    return found


def applied(setting: Setting) -> Rule:
    """Return the rule that a setting makes; BadRule if it makes none."""
    known = builtin().get(setting.rule)
    if known is None:
        fields = {
            name: getattr(setting, name) for name in ("about", "when", "text", "fix", "given")
        }
        severity = setting.severity or "warning"
        return checked(Rule(setting.rule, severity=severity, enabled=setting.enabled, **fields))
    for part in ("about", "when", "text", "fix"):
        if getattr(setting, part):
            raise BadRule(
                part,
                "a built-in rule cannot be rewritten: make one of another id, and switch this off",
            )
    if strange := sorted(setting.given.keys() - known.given.keys()):
        names = ", ".join(known.given) or "none"
        raise BadRule(
            part="with", what=f"{strange[0][:60]!r} is no number of this rule; it has: {names}"
        )
    severity = setting.severity or known.severity
    given = {**known.given, **setting.given}
    return checked(replace(known, severity=severity, given=given, enabled=setting.enabled))
