"""What points said and detectors found."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class SampleRow(Base):
    """One sample. Its order number is not here: `delivery.StreamRange` keeps what has arrived.

    The company stands in the row; it is not indexed alone, since every read is by point. On
    PostgreSQL the table is partitioned by calendar month (UTC): `store.partitions` makes them.
    """

    __tablename__ = "sample"
    __table_args__ = ({"sqlite_with_rowid": False, "postgresql_partition_by": "RANGE (ts_us)"},)

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


class Rollup(Base):
    """What one point said in one interval of 60, 900, 3,600 or 86,400 seconds (UTC).

    Only good samples make the aggregates; `number`-less good samples (texts) count in `count` only.
    """

    __tablename__ = "rollup"
    __table_args__ = ({"sqlite_with_rowid": False},)

    point_id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    length_s: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    start_us: Mapped[int] = mapped_column(Big, primary_key=True)
    company_id: Mapped[int] = mapped_column(Big)
    count: Mapped[int] = mapped_column(Big)
    """Good samples."""
    uncertain: Mapped[int] = mapped_column(Big)
    bad: Mapped[int] = mapped_column(Big)
    numbers: Mapped[int] = mapped_column(Big)
    """Good samples that are numbers: what sum, min and max are of."""
    total: Mapped[float | None]
    """Sum of the numbers that are small enough to be summed up."""
    min: Mapped[float | None]
    max: Mapped[float | None]
    first_us: Mapped[int | None] = mapped_column(Big)
    first_tie: Mapped[int | None] = mapped_column(Big)
    first: Mapped[float | None]
    first_text: Mapped[str | None] = mapped_column(Text)
    last_us: Mapped[int | None] = mapped_column(Big)
    last_tie: Mapped[int | None] = mapped_column(Big)
    last: Mapped[float | None]
    last_text: Mapped[str | None] = mapped_column(Text)


class RollupDue(Tenant, Base):
    """Written with samples: their intervals are to be rolled up (again). The worker deletes it.

    A row of its own for every batch, never one shared: what a worker sees of these it also sees
    of the samples, so none is forgotten, whoever dies when.
    """

    __tablename__ = "rollup_due"
    __table_args__ = (Index("ix_rollup_due_company_lo", "company_id", "lo_us"),)

    id: Mapped[BigKey]
    gateway_id: Mapped[str] = mapped_column(String(40), default="")
    """Whose points they are; empty where that is not known: then it may be any point."""
    lo_us: Mapped[int] = mapped_column(Big)
    hi_us: Mapped[int] = mapped_column(Big)
    """The oldest and the newest sample."""
    samples: Mapped[int] = mapped_column(Big)
    """How many there are, for the worker to know how much it takes on."""
    points: Mapped[bytes] = mapped_column(LargeBinary)
    """Point ids, 64-bit little-endian."""
    minutes: Mapped[bytes] = mapped_column(LargeBinary)
    """Minutes since 1970, from and to (without) of each stretch, 64-bit little-endian."""


class Retention(Tenant, Base):
    """How long a company (site 0) or a site keeps its samples, and how far that has been done."""

    __tablename__ = "retention"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    site_id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    raw_days: Mapped[int | None]
    """Days to keep samples; 0 is for ever, null is what stands above: company, then default."""
    rollup_days: Mapped[int | None]
    """The same for roll-ups."""
    raw_from_us: Mapped[int] = mapped_column(Big, default=0)
    """Samples before this day are deleted; those that still come are added to their roll-ups."""
    rollup_from_us: Mapped[int] = mapped_column(Big, default=0)
    """Roll-ups before this day are deleted."""


class Latest(Tenant, Base):
    """The newest sample of each point; never goes backwards."""

    __tablename__ = "latest"
    __table_args__ = (Index("ix_latest_company_page", "company_id", "point_id"),)

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
    __table_args__ = (
        Index("ix_finding_site_started", "site_id", "started_us"),
        Index("ix_finding_company_page", "company_id", "started_us", "gateway_id", "id"),
        Index("ix_finding_site_page", "site_id", "started_us", "gateway_id", "id"),
    )

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
