"""Devices that stream by themselves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Micros, Tenant


class StreamingDevice(Tenant, Base):
    """A gateway that is one device, or one Sparkplug node, and speaks for itself."""

    __tablename__ = "streaming_device"

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    protocol: Mapped[str] = mapped_column(String(16))
    """``json`` or ``sparkplug``."""
    sparkplug_group: Mapped[str] = mapped_column(String(128), default="")
    """The one group the node may speak in; its node id is the gateway's id."""
    session: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """A Sparkplug node's numbers: see `streaming.session`."""


class SparkplugBirth(Tenant, Base):
    """What a Sparkplug node said at the last birth of itself or of a device below it."""

    __tablename__ = "sparkplug_birth"

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    device: Mapped[str] = mapped_column(String(128), primary_key=True)
    """Empty for the node itself."""
    online: Mapped[bool]
    born_us: Mapped[Micros]
    """Different for every birth."""
    metrics: Mapped[list[Any]] = mapped_column(JSON)
    """``[name, alias or null, data type]`` of each."""
