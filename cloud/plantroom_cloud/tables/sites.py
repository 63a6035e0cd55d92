"""Sites and what stands in them: gateways, devices, points."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class Site(Tenant, Base):
    """A building or plant; the time-zone unit."""

    __tablename__ = "site"
    __table_args__ = (
        UniqueConstraint("company_id", "slug"),
        Index("ix_site_company_page", "company_id", "id"),
    )

    id: Mapped[BigKey]
    slug: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    created_us: Mapped[Micros]


class Gateway(Tenant, Base):
    """One edge agent; its id is the common name of its certificate."""

    __tablename__ = "gateway"
    __table_args__ = (
        Index("ix_gateway_company_page", "company_id", "id"),
        Index("ix_gateway_site_page", "site_id", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    created_us: Mapped[Micros]
    certificate_serial: Mapped[str] = mapped_column(String(64), default="")
    online: Mapped[bool] = mapped_column(default=False)
    seen_us: Mapped[Micros | None]
    agent_version: Mapped[str] = mapped_column(String(64), default="")
    report: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """Counters of the last state message."""
    clock_state: Mapped[str] = mapped_column(String(16), default="")
    """``sync``, ``holdover`` or ``unset``; empty until it has said."""
    clock_skew_us: Mapped[Micros | None]
    """Its clock minus ours; None until it was measured."""
    clock_seen_us: Mapped[Micros | None]
    """When that was, by our clock."""
    oldest_us: Mapped[Micros | None]
    """When the oldest row that it still holds was accepted, by its clock; None where it has none."""
    told_epoch: Mapped[str] = mapped_column(String(16), default="")
    """Of the newest report, the epoch that ran; with the next two it tells late ones (`reports`)."""
    told_rows: Mapped[int] = mapped_column(Big, default=0)
    """Of the newest report, how many rows that epoch had accepted."""
    told_at_us: Mapped[int] = mapped_column(Big, default=0)
    """Of the newest report, its time by the gateway's clock."""
    told_us: Mapped[int] = mapped_column(Big, default=0)
    """When that came, by our clock."""
    dictionary_stamp: Mapped[str] = mapped_column(String(16), default="")
    """Random, new with every change of a dictionary: what a process remembers is of this stamp."""
    writes: Mapped[bool] = mapped_column(default=False)
    """Whether commands may be given to it; what it heeds is for its own configuration."""
    bound_us: Mapped[Micros | None]
    """When its first hello came after it was claimed: then it is surely where it is said to be."""
    revoked_us: Mapped[Micros | None]
    """Since when nothing of it is taken any more; it never comes back under this id."""
    revoked_for: Mapped[str] = mapped_column(String(200), default="")
    """Why, for a person."""
    replaced_by: Mapped[str] = mapped_column(String(40), default="")
    """The gateway that took its place."""
    takes: Mapped[str] = mapped_column(String(200), default="")
    """Down-channels beyond the usual ones that it said it heeds, with a blank between them."""


class Device(Tenant, Base):
    """A thing a driver addresses."""

    __tablename__ = "device"
    __table_args__ = (
        UniqueConstraint("gateway_id", "key"),
        Index("ix_device_company_page", "company_id", "id"),
    )

    id: Mapped[BigKey]
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"), index=True)
    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"))
    key: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(Text)
    protocol: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text, default="")
    vendor: Mapped[str] = mapped_column(Text, default="")
    model: Mapped[str] = mapped_column(Text, default="")
    description: Mapped[str] = mapped_column(Text, default="")


class Point(Tenant, Base):
    """One readable value of a device; the id is stable for ever."""

    __tablename__ = "point"
    __table_args__ = (
        UniqueConstraint("gateway_id", "key"),
        Index("ix_point_site_name", "site_id", "name"),
        Index("ix_point_company_page", "company_id", "id"),
    )

    id: Mapped[BigKey]
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"))
    device_id: Mapped[int] = mapped_column(Big, ForeignKey("device.id"), index=True)
    key: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="")
    unit: Mapped[str] = mapped_column(Text, default="")
    object_type: Mapped[str] = mapped_column(Text, default="")
    states: Mapped[list[str]] = mapped_column(JSON, default=list)
    writable: Mapped[bool | None]
    hints: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    """What the device's profile knows: equip_class, point_class, enos."""
    changed_us: Mapped[Micros]
    """When the description last changed; the mapper looks at what is newer than its result."""
