"""What the API says of rules, findings and waivers, and what it takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from plantroom_cloud.governance.checking import Found, Outcome
from plantroom_cloud.governance.expressions import MAX_TEXT
from plantroom_cloud.governance.patterns import MAX_PATTERN
from plantroom_cloud.governance.repository import CLOSED
from plantroom_cloud.governance.rules import Rule, Setting
from plantroom_cloud.governance.service import MOST_DAYS, Checked, shown_outcome
from plantroom_cloud.governance.vocabulary import FACTS
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.tables import GovernanceWaiver

Severity = Literal["info", "warning", "error", "blocker"]
_PLAIN = r"\A[^\x00]*\z"
RuleId = Annotated[str, StringConstraints(max_length=64, pattern=_PLAIN)]
Line = Annotated[str, StringConstraints(max_length=300, pattern=_PLAIN)]
Text = Annotated[str, StringConstraints(max_length=2000, pattern=_PLAIN)]
Expression = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=_PLAIN)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PATTERN, pattern=_PLAIN)]
Numbers = Annotated[dict[RuleId, float], Field(max_length=10)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class RuleChange(_In):
    """What a company says of a rule: of a built-in one the first three, of its own all."""

    enabled: bool = True
    severity: Severity | None = Field(default=None, description="Null: the built-in rule's.")
    numbers: Numbers = Field(
        default_factory=dict, description="Those that `when` uses.", examples=[{"days": 60}]
    )
    about: str | None = Field(default=None, max_length=16, examples=[None])
    when: Expression | None = Field(default=None, examples=[None])
    text: Line | None = Field(default=None, examples=[None])
    fix: Line | None = Field(default=None, examples=[None])

    def setting(self, rule: str) -> Setting:
        """Return it as the setting of a rule."""
        return Setting(
            rule,
            self.enabled,
            self.severity or "",
            self.numbers,
            about=self.about or "",
            when=self.when or "",
            text=self.text or "",
            fix=self.fix or "",
        )


class RuleIn(RuleChange):
    """A rule of the company's own."""

    rule: RuleId = Field(examples=["ahu-named-ahu"])
    about: str = Field(max_length=16, examples=["point"])
    when: Expression = Field(examples=['equip_class == "AHU" and not like(name, "AHU*")'])
    text: Line = Field(examples=["{name} belongs to an AHU and is not called so"])
    fix: Line = Field(default="", examples=["rename it"])


class SiteIn(_In):
    """What was said of a site for the rules."""

    location: Annotated[str, StringConstraints(max_length=200, pattern=_PLAIN)] = Field(
        default="", examples=["Hauptstr. 1, Berlin"]
    )
    naming: list[Pattern] = Field(
        default_factory=list,
        max_length=20,
        description="Patterns of point names: * any characters, ? one, # a digit, @ a letter.",
        examples=[["@@@-##-*"]],
    )


class WaiverIn(_In):
    """What to put up with, why and for how long."""

    rule: RuleId = Field(examples=["site-without-location"])
    subject: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PLAIN)] = (
        Field(description="As the finding says it; `*` is whatever the rule finds at the site.")
    )
    reason: Annotated[str, StringConstraints(min_length=10, max_length=2000, pattern=_PLAIN)] = (
        Field(examples=["being rebuilt until March; agreed with the owner"])
    )
    days: float = Field(gt=0, le=MOST_DAYS, examples=[30])


# ---------------------------------------------------------------- answers


class RuleOut(BaseModel):
    """A rule as it is applied."""

    rule: str
    builtin: bool
    about: str = Field(description="Kind of its subjects.")
    severity: Severity
    enabled: bool
    when: str
    numbers: dict[str, float]
    text: str
    fix: str


class BadRuleOut(BaseModel):
    """A rule of the company that cannot be applied any more."""

    rule: str
    why: str


class RuleList(BaseModel):
    """All rules of a company."""

    items: list[RuleOut]
    unusable: list[BadRuleOut]


class FactOut(BaseModel):
    """A fact that expressions may name."""

    about: str
    name: str
    meaning: str


class FactList(BaseModel):
    """All facts."""

    items: list[FactOut]


class DroppedOut(BaseModel):
    """What was said of a rule is forgotten."""

    dropped: str


class OutcomeOut(BaseModel):
    """What a rule came to at a site."""

    severity: Severity
    subjects: int
    wanting: int = Field(description="Of how many it holds, waived ones left out.")
    waived: int
    stopped: bool = Field(description="It took too long; not all subjects were looked at.")


class TriedFinding(BaseModel):
    """What a rule would say of something."""

    subject: str
    text: str
    fix: str


class TryOut(OutcomeOut):
    """What a rule would find at a site."""

    findings: list[TriedFinding] = Field(description="The first of them.")


class CheckedOut(BaseModel):
    """What a check of a site came to."""

    site: int
    score: int
    opened: int
    still: int
    closed: int
    rules: dict[str, OutcomeOut] = Field(description="Those that found something.")


class LaterOut(BaseModel):
    """Sites that the worker will check."""

    sites: int


class ScoreOut(BaseModel):
    """What the last check of a site came to."""

    site: int
    slug: str
    score: int | None = Field(description="0..100; null before the first check.")
    checked: str | None
    open: dict[str, int] = Field(description="Severity → open findings that are kept.")
    rules: dict[str, OutcomeOut]


class ScoreList(BaseModel):
    """All sites."""

    items: list[ScoreOut]


class SiteOut(BaseModel):
    """What was said of a site for the rules."""

    site: int
    location: str
    naming: list[str]


class FindingOut(BaseModel):
    """A rule holds of something, or did."""

    id: int
    site: int
    rule: str
    subject: str
    severity: Severity
    text: str
    fix: str
    state: Literal["open", "waived", "closed"]
    times: int = Field(description="How often it was opened.")
    opened: str
    seen: str
    closed: str | None


class FindingPage(BaseModel):
    """A page of findings."""

    items: list[FindingOut]
    next: str | None


class BlockerOut(BaseModel):
    """Something that closes the gate."""

    rule: str
    subject: str
    text: str
    fix: str


class GateOut(BaseModel):
    """Whether a site may go out as it is now."""

    site: int
    open: bool
    blockers: list[BlockerOut]


class WaiverOut(BaseModel):
    """What somebody puts up with."""

    id: int
    site: int
    rule: str
    subject: str
    reason: str
    actor: str
    created: str
    expires: str
    ended: str | None
    ended_by: str


class WaiverPage(BaseModel):
    """A page of waivers."""

    items: list[WaiverOut]
    next: str | None


def show_rule(rule: Rule) -> dict[str, Any]:
    """Return the JSON of a rule."""
    return {
        "rule": rule.id,
        "builtin": rule.builtin,
        "about": rule.about,
        "severity": rule.severity,
        "enabled": rule.enabled,
        "when": rule.when,
        "numbers": dict(rule.given),
        "text": rule.text,
        "fix": rule.fix,
    }


def show_facts() -> list[dict[str, str]]:
    """Return the JSON of all facts."""
    return [
        {"about": kind, "name": name, "meaning": meaning}
        for kind, facts in FACTS.items()
        for name, meaning in facts.items()
    ]


def show_tried(outcome: Outcome) -> dict[str, Any]:
    """Return the JSON of what a rule would find."""
    found = [{"subject": f.subject, "text": f.text, "fix": f.fix} for f in outcome.found]
    return shown_outcome(outcome) | {"findings": found}


def show_checked(checked: Checked) -> dict[str, Any]:
    """Return the JSON of what a check came to."""
    rules = {
        o.rule.id: shown_outcome(o) for o in checked.outcomes if o.wanting or o.waived or o.stopped
    }
    return {
        "site": checked.site,
        "score": checked.score,
        "opened": checked.opened,
        "still": checked.still,
        "closed": checked.closed,
        "rules": rules,
    }


def show_score(row: AnyRow, counts: dict[int, dict[str, int]]) -> dict[str, Any]:
    """Return the JSON of what the last check of a site came to."""
    return {
        "site": row.id,
        "slug": row.slug,
        "score": row.score,
        "checked": rfc3339_or_none(row.checked_us),
        "open": counts.get(row.id, {}),
        "rules": row.rules or {},
    }


def show_site(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of what was said of a site."""
    return {"site": row.id, "location": row.location or "", "naming": row.naming or []}


def show_finding(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a finding."""
    return {
        "id": row.id,
        "site": row.site_id,
        "rule": row.rule,
        "subject": row.subject,
        "severity": row.severity,
        "text": row.text,
        "fix": row.fix,
        "state": row.state,
        "times": row.times,
        "opened": rfc3339(row.opened_us),
        "seen": rfc3339(row.seen_us),
        "closed": rfc3339_or_none(row.closed_us) if row.state == CLOSED else None,
    }


def show_blocker(found: Found) -> dict[str, str]:
    """Return the JSON of what closes the gate."""
    return {"rule": found.rule, "subject": found.subject, "text": found.text, "fix": found.fix}


def show_waiver(row: GovernanceWaiver) -> dict[str, Any]:
    """Return the JSON of a waiver."""
    return {
        "id": row.id,
        "site": row.site_id,
        "rule": row.rule,
        "subject": row.subject,
        "reason": row.reason,
        "actor": row.actor,
        "created": rfc3339(row.created_us),
        "expires": rfc3339(row.expires_us),
        "ended": rfc3339_or_none(row.ended_us),
        "ended_by": row.ended_by,
    }
