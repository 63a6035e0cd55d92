"""What goes on to other platforms."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class Target(Tenant, Base):
    """A company has a platform to publish to; ingest fills the outbox only where one stands."""

    __tablename__ = "target"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    ok_us: Mapped[Micros | None]
    """When a round of publishing last went well, to a few seconds."""
    failure: Mapped[str] = mapped_column(String(60), default="", server_default="")
    """The kind of error that rounds end in since `failing_us`; empty while they go well."""
    failing_us: Mapped[Micros | None]


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
    name: Mapped[str] = mapped_column(Text, default="")
    """As we wrote it last; empty where that was before we noted it."""
    gone_us: Mapped[Micros | None]
    """When EnOS said that it does not know the device any more; its values wait for a plan."""


class PublishedPoint(Tenant, Base):
    """What a point is published as: a point that is new here, or means something else, has history.

    Where equipment was only renamed, the old name stands here until the plan is applied.
    """

    __tablename__ = "published_point"

    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    point_id: Mapped[int] = mapped_column(Big, ForeignKey("point.id"), primary_key=True)
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    equipment: Mapped[str] = mapped_column(Text)
    model_id: Mapped[str] = mapped_column(String(128))
    model_point: Mapped[str] = mapped_column(String(128))
    since_us: Mapped[Micros]
    """The oldest that is published there of what the point has said: history, too."""
    until_us: Mapped[Micros | None]
    """Since when it is published no more; None while it is."""


class PublishedPast(Tenant, Base):
    """What a point was published as before it was published as something else: it may be again.

    What the point has said before `held_us` is there; a value that comes late moves it back.
    """

    __tablename__ = "published_past"

    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    point_id: Mapped[int] = mapped_column(Big, ForeignKey("point.id"), primary_key=True)
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"), primary_key=True)
    equipment: Mapped[str] = mapped_column(Text, primary_key=True)
    model_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    model_point: Mapped[str] = mapped_column(String(128), primary_key=True)
    since_us: Mapped[Micros]
    until_us: Mapped[Micros]
    held_us: Mapped[Micros]


class PublishDue(Tenant, Base):
    """What a point said from `lo_us` to `hi_us` (without) is still to be published, from the store.

    Ranges of one point are disjoint. What waits longer than an outbox should hold becomes one too.
    """

    __tablename__ = "publish_due"
    __table_args__ = (Index("ix_publish_due_kind_point", "kind", "point_id"),)

    id: Mapped[BigKey]
    kind: Mapped[str] = mapped_column(String(32))
    point_id: Mapped[int] = mapped_column(Big, ForeignKey("point.id"))
    lo_us: Mapped[Micros]
    hi_us: Mapped[Micros]


class PublishPlan(Tenant, Base):
    """What would have to be done on a platform for a site, and whether somebody has said so."""

    __tablename__ = "publish_plan"
    __table_args__ = (Index("ix_publish_plan_kind_state", "kind", "state"),)

    id: Mapped[BigKey]
    kind: Mapped[str] = mapped_column(String(32))
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"), index=True)
    state: Mapped[str] = mapped_column(String(16))
    """``wanted``, ``made``, ``approved``, ``done`` or ``failed``."""
    steps: Mapped[list[Any]] = mapped_column(JSON, default=list)
    note: Mapped[str] = mapped_column(Text, default="")
    """Why it could not be made or carried out, so far."""
    result: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """Step → what became of it."""
    left_out: Mapped[list[Any]] = mapped_column(JSON, default=list)
    """Steps that whoever has approved does not want."""
    asked_us: Mapped[Micros]
    asked_by: Mapped[str] = mapped_column(String(200))
    made_us: Mapped[Micros | None]
    approved_us: Mapped[Micros | None]
    approved_by: Mapped[str] = mapped_column(String(200), default="")
    done_us: Mapped[Micros | None]
