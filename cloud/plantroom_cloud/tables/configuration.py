"""Desired configurations: versions, which gateway is to have which, and what became of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class ConfigurationVersion(Tenant, Base):
    """What a gateway could be configured with; never changed once it is there."""

    __tablename__ = "configuration_version"
    __table_args__ = (UniqueConstraint("gateway_id", "number"),)

    id: Mapped[BigKey]
    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"))
    number: Mapped[int] = mapped_column(Big)
    """Counts from 1 within the gateway."""
    parent: Mapped[int | None] = mapped_column(Big)
    """Number of the version that it was made from."""
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Sections by key."""
    digest: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(String(200))
    why: Mapped[str] = mapped_column(Text)
    origin: Mapped[str] = mapped_column(String(100))
    """``edited``, ``running``, ``version 3``, ``gw-other version 2``."""
    created_us: Mapped[Micros]


class ConfigurationRollout(Tenant, Base):
    """A change for several gateways, wave by wave."""

    __tablename__ = "configuration_rollout"
    __table_args__ = (
        Index("ix_configuration_rollout_state", "state"),
        Index("ix_configuration_rollout_company_id_created_us", "company_id", "created_us", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    """``running``, ``halted``, ``done``, ``cancelled``."""
    wave: Mapped[int] = mapped_column(Big)
    """The one that is open, from 0."""
    waves: Mapped[list[int]] = mapped_column(JSON)
    """How many gateways each has."""
    most_failed: Mapped[int] = mapped_column(Big)
    """How many may fail before it halts."""
    patience_s: Mapped[int] = mapped_column(Big)
    """Seconds after which gateways that are away keep the next wave waiting no longer."""
    force: Mapped[bool]
    actor: Mapped[str] = mapped_column(String(200))
    why: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(String(200), default="")
    created_us: Mapped[Micros]
    wave_us: Mapped[Micros]
    """When the wave that is open was opened."""
    ended_us: Mapped[Micros | None]


class ConfigurationAssignment(Tenant, Base):
    """That one gateway is to have one version."""

    __tablename__ = "configuration_assignment"
    __table_args__ = (
        UniqueConstraint("gateway_id", "serial"),
        Index("ix_configuration_assignment_state_due_us", "state", "due_us"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"))
    serial: Mapped[int] = mapped_column(Big)
    """Rises within the gateway: it heeds none that is not above the last."""
    version: Mapped[int] = mapped_column(Big)
    rollout_id: Mapped[str | None] = mapped_column(
        String(40), ForeignKey("configuration_rollout.id"), index=True
    )
    wave: Mapped[int] = mapped_column(Big, default=0)
    force: Mapped[bool]
    actor: Mapped[str] = mapped_column(String(200))
    why: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    """``waiting`` for its wave, ``staged``, ``sent``, ``pending`` (it is tried), or how it ended:
    ``applied``, ``refused``, ``rolled_back``, ``set_aside``, ``superseded``, ``cancelled``."""
    reason: Mapped[str] = mapped_column(String(64), default="")
    errors: Mapped[list[str]] = mapped_column(JSON, default=list)
    created_us: Mapped[Micros]
    due_us: Mapped[Micros]
    """When it is to be sent, or sent again."""
    tries: Mapped[int] = mapped_column(Big, default=0)
    sent_us: Mapped[Micros | None]
    ended_us: Mapped[Micros | None]


class ConfigurationEvent(Tenant, Base):
    """Something that happened to an assignment: nothing is ever changed or removed here."""

    __tablename__ = "configuration_event"
    __table_args__ = (
        Index("ix_configuration_event_source", "assignment_id", "journal", "n", unique=True),
    )

    id: Mapped[BigKey]
    assignment_id: Mapped[str] = mapped_column(
        String(40), ForeignKey("configuration_assignment.id")
    )
    journal: Mapped[str] = mapped_column(String(16))
    """Which journal of the gateway says so; ``cloud`` where we do."""
    n: Mapped[int] = mapped_column(Big)
    at_us: Mapped[Micros]
    kind: Mapped[str] = mapped_column(String(64))
    doc: Mapped[dict[str, Any]] = mapped_column(JSON)


class ConfigurationRunning(Tenant, Base):
    """What a gateway said last that it runs."""

    __tablename__ = "configuration_running"

    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Big)
    """Of ours that is in force there; 0 where the file on site says it all."""
    config: Mapped[str] = mapped_column(String(16))
    """Hash of the whole, as the gateway makes it."""
    document: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Sections; None where they are too large to be told."""
    journal: Mapped[str] = mapped_column(String(16))
    n: Mapped[int] = mapped_column(Big)
    """Number of the gateway's word in its journal: what is lower there was said before."""
    told_us: Mapped[Micros]
    """By the gateway's clock."""


class CommandRule(Tenant, Base):
    """For which points a second person must confirm what is written."""

    __tablename__ = "command_rule"

    id: Mapped[BigKey]
    points: Mapped[str] = mapped_column(String(200))
    """Keys of points; ``*`` stands for any characters, and alone for all of the company."""
    within_s: Mapped[int] = mapped_column(Big)
    """Seconds that a second person has."""
    actor: Mapped[str] = mapped_column(String(200))
    created_us: Mapped[Micros]
