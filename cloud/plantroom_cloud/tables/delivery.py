"""The account of delivery: what has arrived, what is declared lost, what was refused."""

from __future__ import annotations

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class StreamRange(Tenant, Base):
    """Order numbers lo..hi of an epoch's stream are dealt with: stored, declared or quarantined.

    Ranges of one stream are disjoint and merged with their neighbours in the transaction that
    stores the rows: this is the watermark.
    """

    __tablename__ = "stream_range"

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(16), primary_key=True)
    stream: Mapped[str] = mapped_column(String(8), primary_key=True)
    lo: Mapped[int] = mapped_column(Big, primary_key=True)
    hi: Mapped[int] = mapped_column(Big)


class StreamTotal(Tenant, Base):
    """Per epoch and stream: how many rows were stored, and what the gateway says it accepted."""

    __tablename__ = "stream_total"

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(16), primary_key=True)
    stream: Mapped[str] = mapped_column(String(8), primary_key=True)
    stored: Mapped[int] = mapped_column(Big, default=0)
    quarantined: Mapped[int] = mapped_column(Big, default=0)
    declared: Mapped[int] = mapped_column(Big, default=0)
    """Rows in gap records."""
    duplicates: Mapped[int] = mapped_column(Big, default=0)
    """Rows that came again and were not stored again."""
    accepted: Mapped[int] = mapped_column(Big, default=0)
    """The gateway's own count, from its last hello or state."""
    held: Mapped[str] = mapped_column(Text, default="[]")
    """JSON ranges that the gateway says it still holds."""
    reported_us: Mapped[Micros | None]


class DictionaryEntry(Tenant, Base):
    """Alias → point of one epoch."""

    __tablename__ = "dictionary"

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(16), primary_key=True)
    alias: Mapped[int] = mapped_column(Big, primary_key=True)
    point_id: Mapped[int] = mapped_column(Big, ForeignKey("point.id"))


class GapRecord(Tenant, Base):
    """Rows that the gateway accepted and declared lost."""

    __tablename__ = "gap"

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(16), primary_key=True)
    stream: Mapped[str] = mapped_column(String(8), primary_key=True)
    lo: Mapped[int] = mapped_column(Big, primary_key=True)
    hi: Mapped[int] = mapped_column(Big)
    cause: Mapped[str] = mapped_column(String(64))
    received_us: Mapped[Micros]


class QuarantinedRow(Tenant, Base):
    """A row or message that was refused, kept for a person to look at."""

    __tablename__ = "quarantine"

    id: Mapped[BigKey]
    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), index=True)
    epoch: Mapped[str] = mapped_column(String(16))
    stream: Mapped[str] = mapped_column(String(8))
    seq: Mapped[int] = mapped_column(Big)
    n: Mapped[int] = mapped_column(Big, default=1)
    reason: Mapped[str] = mapped_column(String(64))
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    received_us: Mapped[Micros]


class Counter(Tenant, Base):
    """Counted things of a company, by name: refused messages, published values ..."""

    __tablename__ = "counter"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[int] = mapped_column(Big, default=0)
