"""What people decided about mappings, and what the mapper had found before."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class MappingBasis(Tenant, Base):
    """What the mapper found of a point, before any person's word: `mapping` is this with those on top."""

    __tablename__ = "mapping_basis"
    __table_args__ = (Index("ix_mapping_basis_site_template", "site_id", "template_id"),)

    point_id: Mapped[int] = mapped_column(
        Big, ForeignKey("point.id"), primary_key=True, autoincrement=False
    )
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    template_id: Mapped[str] = mapped_column(String(16))
    """Short name of the key."""
    key: Mapped[str] = mapped_column(Text)
    """Key of its template."""
    template: Mapped[str] = mapped_column(Text)
    equipment: Mapped[str] = mapped_column(Text)
    equip_class: Mapped[str] = mapped_column(Text)
    point_class: Mapped[str] = mapped_column(Text)
    model_id: Mapped[str] = mapped_column(String(128))
    model_point: Mapped[str] = mapped_column(String(128))
    confidence: Mapped[float | None]
    source: Mapped[str] = mapped_column(String(16))
    """profile, offline, llm."""
    evidence: Mapped[list[Any]] = mapped_column(JSON)
    candidates: Mapped[list[Any]] = mapped_column(JSON)
    """Classes to choose from, the best first."""


class ReviewRequest(Tenant, Base):
    """Something a person asked of the review, once, with what was answered; never changed."""

    __tablename__ = "review_request"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Chosen by who asks: the same again is the same request."""
    digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 of what was asked."""
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)


class ReviewEvent(Tenant, Base):
    """Who decided what, and when: rows are added and never changed or removed."""

    __tablename__ = "review_event"
    __table_args__ = (Index("ix_review_event_site_id_id", "site_id", "id"),)

    id: Mapped[BigKey]
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    request: Mapped[str] = mapped_column(String(64))
    """With what it was asked for."""
    at_us: Mapped[Micros]
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(16))
    """accept, correct, reject, defer; undo; rule, unrule; import."""
    subject: Mapped[str] = mapped_column(Text)
    """A template's key, ``@`` and a point's id, the line of a rule, or the request undone."""
    point_class: Mapped[str] = mapped_column(Text)
    """What was decided, or refused; empty where no class was named."""
    before: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What stood there: point_class, confidence, source, points."""
    note: Mapped[str] = mapped_column(Text)
