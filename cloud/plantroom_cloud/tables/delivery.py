"""The account of delivery: what has arrived, what is declared lost, what was refused."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text
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
    __table_args__ = (Index("ix_dictionary_point_id", "point_id"),)

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(16), primary_key=True)
    alias: Mapped[int] = mapped_column(Big, primary_key=True)
    point_id: Mapped[int] = mapped_column(Big, ForeignKey("point.id"))
    unit: Mapped[str | None] = mapped_column(Text)
    """The point's unit as this alias says it, for ever; null in what older versions stored."""
    first_seq: Mapped[int | None] = mapped_column(Big)
    """Lowest 32 bits of the first order number that came by this alias, of a point with several."""


class GapRecord(Tenant, Base):
    """Rows that the gateway accepted and declared lost."""

    __tablename__ = "gap"
    __table_args__ = (
        Index("ix_gap_gateway_page", "gateway_id", "received_us", "epoch", "stream", "lo"),
    )

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(16), primary_key=True)
    stream: Mapped[str] = mapped_column(String(8), primary_key=True)
    lo: Mapped[int] = mapped_column(Big, primary_key=True)
    hi: Mapped[int] = mapped_column(Big)
    cause: Mapped[str] = mapped_column(String(64))
    received_us: Mapped[Micros]
    from_us: Mapped[int] = mapped_column(Big, default=0)
    """Accepted from when to when, by the gateway's clock; 0 where it does not know."""
    to_us: Mapped[int] = mapped_column(Big, default=0)
    signed: Mapped[bool] = mapped_column(default=False)
    """The signature was checked when the record came, and is the gateway's."""
    signature: Mapped[str] = mapped_column(String(1024), default="")
    certificate_serial: Mapped[str] = mapped_column(String(64), default="")
    """Of the `GatewayCertificate` whose key has signed; empty where none has."""
    message_s0: Mapped[int] = mapped_column(Big, default=0)
    """What the signature speaks of: the record as it was sent, of which lo..hi may be a part."""
    message_n: Mapped[int] = mapped_column(Big, default=0)


class QuarantinedRow(Tenant, Base):
    """A row or message that was refused, kept for a person to look at."""

    __tablename__ = "quarantine"
    __table_args__ = (Index("ix_quarantine_gateway_page", "gateway_id", "id"),)

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


class EdgeRecord(Tenant, Base):
    """Something that happened on a gateway (``aud``), or the result of a command (``cmd``)."""

    __tablename__ = "edge_record"
    __table_args__ = (
        Index("ix_edge_record_gateway_at", "gateway_id", "at_us"),
        Index(
            "ix_edge_record_company_page",
            *("company_id", "stream", "at_us", "gateway_id", "epoch", "seq"),
        ),
        Index("ix_edge_record_gateway_page", "gateway_id", "stream", "at_us", "epoch", "seq"),
    )

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(16), primary_key=True)
    stream: Mapped[str] = mapped_column(String(8), primary_key=True)
    seq: Mapped[int] = mapped_column(Big, primary_key=True)
    at_us: Mapped[Micros]
    """By the gateway's clock, right or wrong; `seq` tells the order."""
    kind: Mapped[str] = mapped_column(String(64))
    doc: Mapped[dict[str, Any]] = mapped_column(JSON)


class StreamMessage(Base):
    """What a stored message held, for some days: the same numbers with other rows are a fork.

    The company stands in the row; nobody asks by it.
    """

    __tablename__ = "stream_message"

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(16), primary_key=True)
    stream: Mapped[str] = mapped_column(String(8), primary_key=True)
    s0: Mapped[int] = mapped_column(Big, primary_key=True)
    n: Mapped[int] = mapped_column(Big, primary_key=True)
    digest: Mapped[str] = mapped_column(String(16))
    stored_us: Mapped[int] = mapped_column(Big, index=True)
    company_id: Mapped[int] = mapped_column(Big)


class DeliveryAlarm(Tenant, Base):
    """Something about a gateway's delivery that a person should look at."""

    __tablename__ = "delivery_alarm"

    id: Mapped[BigKey]
    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    """``stream_fork``, ``duplicate_identity``, ``clock_skew`` or ``restored``."""
    since_us: Mapped[Micros]
    last_us: Mapped[Micros]
    count: Mapped[int] = mapped_column(Big, default=1)
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Of the last time it was seen."""
    cleared_us: Mapped[Micros | None]
    """None while it stands; a gateway has at most one of a kind that stands."""


class GatewayEpoch(Tenant, Base):
    """A start of the agent that said hello: two of them that alternate are two agents."""

    __tablename__ = "gateway_epoch"

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(16), primary_key=True)
    session: Mapped[str] = mapped_column(String(16))
    """Of its last hello."""
    hello_at_us: Mapped[Micros]
    """The gateway's clock in its last hello; 0 where it had none."""
    seen_us: Mapped[Micros]
    """When that came, by our clock."""
    superseded_us: Mapped[Micros | None]
    """When another epoch said hello after it; None for the one that runs."""
    returns: Mapped[int] = mapped_column(Big, default=0)
    """Hellos after that which may have been late."""
    boot: Mapped[int] = mapped_column(Big, default=0)
    """The gateway's count of its starts; 0 where it told none."""


class GatewayCertificate(Tenant, Base):
    """A certificate that a gateway has shown, checked: with it its signatures can be checked."""

    __tablename__ = "gateway_certificate"

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    serial: Mapped[str] = mapped_column(String(64), primary_key=True)
    pem: Mapped[str] = mapped_column(Text)
    seen_us: Mapped[Micros]
