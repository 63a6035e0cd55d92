"""Commands: what was asked of a gateway, by whom, and what came of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class CommandRow(Tenant, Base):
    """One order for one gateway; its text is signed when it is sent and never changed."""

    __tablename__ = "command"
    __table_args__ = (Index("ix_command_state_expires_us", "state", "expires_us"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), index=True)
    point_id: Mapped[int] = mapped_column(Big, ForeignKey("point.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    """The signed part, as JSON."""
    state: Mapped[str] = mapped_column(String(16))
    """``unconfirmed``, ``pending``, ``sent``, ``accepted``, or how it ended: ``executed``, ``checked``, ``failed``,
    ``refused``, ``expired``."""
    reason: Mapped[str] = mapped_column(String(200), default="")
    given_by: Mapped[str] = mapped_column(String(80), default="")
    """Who, as kind and number: whoever confirms must be somebody else."""
    confirmed_by: Mapped[str] = mapped_column(String(200), default="")
    created_us: Mapped[Micros]
    expires_us: Mapped[Micros]
    sent_us: Mapped[Micros | None]
    ended_us: Mapped[Micros | None]
    released_us: Mapped[Micros | None]
    """When all that it wrote was taken back."""


class CommandEvent(Tenant, Base):
    """Something that happened to a command: nothing is ever changed or removed here."""

    __tablename__ = "command_event"
    __table_args__ = (Index("ix_command_event_source", "command_id", "journal", "n", unique=True),)

    id: Mapped[BigKey]
    command_id: Mapped[str] = mapped_column(String(64), ForeignKey("command.id"))
    journal: Mapped[str] = mapped_column(String(16))
    """Which journal of the gateway says so; ``cloud`` where we do."""
    n: Mapped[int] = mapped_column(Big)
    """The event's number there: with it one that comes twice is known."""
    at_us: Mapped[Micros]
    kind: Mapped[str] = mapped_column(String(64))
    doc: Mapped[dict[str, Any]] = mapped_column(JSON)
