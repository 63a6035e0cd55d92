"""What companies may have and what they use."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class LicenceRow(Tenant, Base):
    """The licence of a company: the one there is. What it was before stands in the audit."""

    __tablename__ = "licence"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    plan: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    limits: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Name → [most, warned from]; what is not named is not limited."""
    from_us: Mapped[Micros]
    until_us: Mapped[Micros | None]
    changed_us: Mapped[Micros]
    changed_by: Mapped[str] = mapped_column(String(200))


class LicenceNotice(Tenant, Base):
    """That a company was near a limit, at one, or without a licence: once a day while it lasts."""

    __tablename__ = "licence_notice"
    __table_args__ = (UniqueConstraint("company_id", "day", "subject", "kind"),)

    id: Mapped[BigKey]
    day: Mapped[int] = mapped_column(Integer)
    """Since 1970-01-01, UTC."""
    subject: Mapped[str] = mapped_column(String(40))
    """A limit, or ``licence``."""
    kind: Mapped[str] = mapped_column(String(16))
    """``warning``, ``reached``, ``past_due``, ``suspended`` or ``ended``."""
    used: Mapped[int] = mapped_column(Big)
    most: Mapped[int | None] = mapped_column(Big)
    at_us: Mapped[Micros]


class FeatureFlag(Tenant, Base):
    """A feature switched on or off for a company, against its default."""

    __tablename__ = "feature_flag"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    enabled: Mapped[bool]
    changed_us: Mapped[Micros]
    changed_by: Mapped[str] = mapped_column(String(200))


class UsageDay(Tenant, Base):
    """How much of something a company used in a day; counted in the transaction of the act."""

    __tablename__ = "usage_day"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """Since 1970-01-01, UTC."""
    what: Mapped[str] = mapped_column(String(32), primary_key=True)
    amount: Mapped[int] = mapped_column(Big)
