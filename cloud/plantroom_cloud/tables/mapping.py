"""What points mean."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, Micros, Tenant


class Mapping(Tenant, Base):
    """Point → equipment, point class and thing-model point, with its source and confidence."""

    __tablename__ = "mapping"
    __table_args__ = (
        Index("ix_mapping_site_state", "site_id", "state"),
        Index("ix_mapping_company_page", "company_id", "point_id"),
    )

    point_id: Mapped[int] = mapped_column(Big, ForeignKey("point.id"), primary_key=True)
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    template: Mapped[str] = mapped_column(Text)
    equipment: Mapped[str] = mapped_column(Text, default="")
    """Key of the equipment within the site, as the name grammar gives it."""
    equip_class: Mapped[str] = mapped_column(Text, default="")
    """Brick equipment class; empty means no proposal."""
    parent: Mapped[str] = mapped_column(Text, default="")
    """Key of the equipment that feeds or contains this one; empty where that is not known."""
    relation: Mapped[str] = mapped_column(String(16), default="")
    """``feeds`` or ``part-of``; empty without a parent."""
    point_class: Mapped[str] = mapped_column(Text, default="")
    """Brick point class; empty means no proposal."""
    model_id: Mapped[str] = mapped_column(String(128), default="")
    """EnOS thing model; empty where it has no counterpart."""
    model_point: Mapped[str] = mapped_column(String(128), default="")
    confidence: Mapped[float | None]
    """Probability that the point class is right; None where nothing is proposed."""
    source: Mapped[str] = mapped_column(String(16))
    """profile, offline, llm, person, import."""
    state: Mapped[str] = mapped_column(String(16))
    """proposed, accepted, rejected."""
    evidence: Mapped[list[Any]] = mapped_column(JSON, default=list)
    mapped_us: Mapped[Micros]


class MappingCache(Tenant, Base):
    """Answers of the LLM by what was asked; a company sees only its own."""

    __tablename__ = "mapping_cache"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    created_us: Mapped[Micros]
