"""What points said and detectors found."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, Micros, Tenant


class SampleRow(Base):
    """One sample. Its order number is not here: `delivery.StreamRange` keeps what has arrived.

    The company stands in the row; it is not indexed alone, since every read is by point.
    """

    __tablename__ = "sample"
    __table_args__ = ({"sqlite_with_rowid": False},)

    point_id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    ts_us: Mapped[int] = mapped_column(Big, primary_key=True)
    tie: Mapped[int] = mapped_column(Big, primary_key=True)
    """Tells two rows of one point and microsecond apart: a hash of (epoch, seq)."""
    company_id: Mapped[int] = mapped_column(Big)
    value: Mapped[float | None]
    """Numbers and booleans (0, 1)."""
    text: Mapped[str | None] = mapped_column(Text)
    """Texts, and integers that a double cannot hold exactly."""
    quality: Mapped[int] = mapped_column(SmallInteger)
    reason: Mapped[str] = mapped_column(String(64), default="")


class Latest(Tenant, Base):
    """The newest sample of each point; never goes backwards."""

    __tablename__ = "latest"

    point_id: Mapped[int] = mapped_column(Big, ForeignKey("point.id"), primary_key=True)
    ts_us: Mapped[Micros]
    tie: Mapped[int] = mapped_column(Big)
    value: Mapped[float | None]
    text: Mapped[str | None] = mapped_column(Text)
    quality: Mapped[int] = mapped_column(SmallInteger)
    reason: Mapped[str] = mapped_column(String(64), default="")


class FindingRow(Tenant, Base):
    """What a detector found; an event's end report updates the row of its start."""

    __tablename__ = "finding"
    __table_args__ = (Index("ix_finding_site_started", "site_id", "started_us"),)

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    detector: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(String(200))
    points: Mapped[list[str]] = mapped_column(JSON)
    started_us: Mapped[Micros]
    ended_us: Mapped[Micros | None]
    score: Mapped[float]
    text: Mapped[str] = mapped_column(Text)
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)
