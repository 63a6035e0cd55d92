"""A company's own thing models, and what it says about mappings as a whole."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class ThingModelRow(Tenant, Base):
    """One version of a model: never changed, only followed by the next or ended."""

    __tablename__ = "thing_model"
    __table_args__ = (UniqueConstraint("company_id", "model_id", "version"),)

    id: Mapped[BigKey]
    model_id: Mapped[str] = mapped_column(String(128))
    version: Mapped[int]
    """From 1; the newest one holds, unless it has ended."""
    digest: Mapped[str] = mapped_column(String(64))
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    """As `thingmodels.documents` writes it."""
    origin: Mapped[str] = mapped_column(String(200), default="")
    """The file or the EnOS organisation that it came from."""
    actor: Mapped[str] = mapped_column(String(200), default="")
    created_us: Mapped[Micros]
    ended_us: Mapped[Micros | None]
    """When it was deleted or followed by another version."""


class MappingOverride(Tenant, Base):
    """What a company says in place of, or beyond, a mapping; a change is a further row."""

    __tablename__ = "mapping_override"
    __table_args__ = (Index("ix_mapping_override_company_ended", "company_id", "ended_us"),)

    id: Mapped[BigKey]
    site_id: Mapped[int | None] = mapped_column(Big, ForeignKey("site.id"))
    point_id: Mapped[int | None] = mapped_column(Big, ForeignKey("point.id"))
    equipment: Mapped[str] = mapped_column(Text, default="")
    model_id: Mapped[str] = mapped_column(String(128), default="")
    model_point: Mapped[str] = mapped_column(String(128), default="")
    to_model: Mapped[str] = mapped_column(String(128), default="")
    to_point: Mapped[str] = mapped_column(String(128), default="")
    unit: Mapped[str] = mapped_column(String(64), default="")
    sign: Mapped[int] = mapped_column(default=1)
    multiplier: Mapped[float] = mapped_column(Float, default=1.0)
    states: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    """State of the point → value of the model point."""
    note: Mapped[str] = mapped_column(Text, default="")
    actor: Mapped[str] = mapped_column(String(200), default="")
    created_us: Mapped[Micros]
    ended_us: Mapped[Micros | None]
    """When it was taken back or replaced; null while it holds."""
