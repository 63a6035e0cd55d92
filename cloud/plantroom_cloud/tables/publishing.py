"""What goes on to other platforms."""

from __future__ import annotations

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class Target(Tenant, Base):
    """A company has a platform to publish to; ingest fills the outbox only where one stands."""

    __tablename__ = "target"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)


class Outbox(Tenant, Base):
    """Stored samples that a target has not confirmed yet, written with them in one transaction.

    `samples` is JSON ``{"p": [point ids], "t": [µs], "v": [values], "q": [quality codes]}``.
    """

    __tablename__ = "outbox"

    id: Mapped[BigKey]
    kind: Mapped[str] = mapped_column(String(32))
    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"))
    samples: Mapped[bytes] = mapped_column(LargeBinary)
    rows: Mapped[int] = mapped_column(Big)
    created_us: Mapped[Micros]


class EnosDevice(Tenant, Base):
    """Equipment of a site → device in EnOS."""

    __tablename__ = "enos_device"
    __table_args__ = (UniqueConstraint("site_id", "equipment"),)

    id: Mapped[BigKey]
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    equipment: Mapped[str] = mapped_column(Text)
    model_id: Mapped[str] = mapped_column(String(128))
    product_key: Mapped[str] = mapped_column(String(64))
    device_key: Mapped[str] = mapped_column(String(64))
    asset_id: Mapped[str] = mapped_column(String(64), default="")
    """Empty until EnOS has confirmed the device."""
    created_us: Mapped[Micros]
