"""Rules of a company, what they found, what is put up with; deletions and exports of data."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class GovernanceRule(Tenant, Base):
    """What a company says of a built-in rule, or a rule of its own."""

    __tablename__ = "governance_rule"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    rule: Mapped[str] = mapped_column(String(64), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    severity: Mapped[str] = mapped_column(String(16), default="")
    """Empty: that of the built-in rule."""
    given: Mapped[dict[str, float]] = mapped_column(JSON, default=dict)
    about: Mapped[str] = mapped_column(String(16), default="")
    """Empty for a built-in rule, as are the next three."""
    condition: Mapped[str] = mapped_column(Text, default="")
    text: Mapped[str] = mapped_column(Text, default="")
    fix: Mapped[str] = mapped_column(Text, default="")
    changed_us: Mapped[Micros]
    changed_by: Mapped[str] = mapped_column(String(200))


class GovernanceSite(Tenant, Base):
    """What was said of a site for the rules, and what its last check came to."""

    __tablename__ = "governance_site"

    site_id: Mapped[int] = mapped_column(
        Big, ForeignKey("site.id"), primary_key=True, autoincrement=False
    )
    location: Mapped[str] = mapped_column(String(200), default="")
    naming: Mapped[list[str]] = mapped_column(JSON, default=list)
    """Patterns that names of its points fit (`governance.patterns`)."""
    score: Mapped[int | None]
    """0..100; None before the first check."""
    rules: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """Rule → subjects, wanting, waived, stopped: of those that found something."""
    checked_us: Mapped[Micros | None]


class GovernanceFinding(Tenant, Base):
    """A rule holds of something, or did: the same rule of the same thing is the same finding."""

    __tablename__ = "governance_finding"
    __table_args__ = (
        UniqueConstraint("site_id", "rule", "subject"),
        Index("ix_governance_finding_company_order", "company_id", "id"),
        Index("ix_governance_finding_company_site", "company_id", "site_id", "id"),
        Index("ix_governance_finding_company_state", "company_id", "state", "id"),
    )

    id: Mapped[BigKey]
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    rule: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    """``point/17``."""
    severity: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
    fix: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    """``open``, ``waived`` or ``closed``."""
    times: Mapped[int] = mapped_column(Big, default=1)
    """How often it was opened."""
    opened_us: Mapped[Micros]
    seen_us: Mapped[Micros]
    """When it was found last."""
    closed_us: Mapped[Micros | None]


class GovernanceWaiver(Tenant, Base):
    """Somebody has said to put up with something, why, and until when; never changed, only ended."""

    __tablename__ = "governance_waiver"
    __table_args__ = (
        Index("ix_governance_waiver_company_order", "company_id", "id"),
        Index("ix_governance_waiver_site_ended", "site_id", "ended_us"),
    )

    id: Mapped[BigKey]
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    rule: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    """``*``: whatever the rule finds at the site."""
    reason: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(200))
    created_us: Mapped[Micros]
    expires_us: Mapped[Micros]
    ended_us: Mapped[Micros | None]
    """When it was taken back."""
    ended_by: Mapped[str] = mapped_column(String(200), default="")


class GovernanceDue(Tenant, Base):
    """A site is to be checked: written by triggers in the transaction that changes something there.

    The worker marks what it takes and deletes it with what it found. No foreign key: the last row
    of a site that is deleted may come after it.
    """

    __tablename__ = "governance_due"
    __table_args__ = (Index("ix_governance_due_company_site", "company_id", "site_id"),)

    id: Mapped[BigKey]
    site_id: Mapped[int] = mapped_column(Big)
    taken: Mapped[int] = mapped_column(default=0)
    """1 once a worker has it in hand."""


class Deletion(Tenant, Base):
    """What is to be deleted, who said so, how far it is, and at its end the proof."""

    __tablename__ = "deletion"
    __table_args__ = (
        Index("ix_deletion_company_asked", "company_id", "asked_us", "id"),
        Index("ix_deletion_state", "state"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    """``site``, ``person`` or ``company``."""
    subject: Mapped[int] = mapped_column(Big)
    """Id of the site, the user or the company."""
    state: Mapped[str] = mapped_column(String(16))
    """``planned``, ``confirmed``, ``done`` or ``cancelled``."""
    word: Mapped[str] = mapped_column(String(16))
    """Whoever confirms must say it: it stands in the plan, and in no other."""
    plan: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Table → rows that would go."""
    gone: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """Table → rows that are gone."""
    rewritten: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """Column → rows in which a name was replaced."""
    pseudonym: Mapped[str] = mapped_column(String(64), default="")
    trouble: Mapped[str] = mapped_column(Text, default="")
    """Why it does not get on."""
    asked_us: Mapped[Micros]
    asked_by: Mapped[str] = mapped_column(String(200))
    confirmed_us: Mapped[Micros | None]
    confirmed_by: Mapped[str] = mapped_column(String(200), default="")
    ended_us: Mapped[Micros | None]
    certificate: Mapped[str] = mapped_column(Text, default="")
    """Canonical JSON: what is signed."""
    key_id: Mapped[str] = mapped_column(String(32), default="")
    signature: Mapped[str] = mapped_column(String(128), default="")


class CompanyExport(Tenant, Base):
    """All that a company owns, handed over: asked for, made, kept for some days."""

    __tablename__ = "company_export"
    __table_args__ = (
        Index("ix_company_export_company_asked", "company_id", "asked_us", "id"),
        Index("ix_company_export_state", "state"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    """``waiting``, ``done``, ``failed`` or ``expired``."""
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    reason: Mapped[str] = mapped_column(Text, default="")
    asked_us: Mapped[Micros]
    asked_by: Mapped[str] = mapped_column(String(200))
    ended_us: Mapped[Micros | None]
    expires_us: Mapped[Micros | None]
