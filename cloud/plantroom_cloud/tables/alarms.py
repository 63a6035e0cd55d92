"""Alarms: rules, the state of each alarm, its occurrences, its history, and who is told."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, SmallInteger, String, Text
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class AlarmRule(Tenant, Base):
    """What is an alarm. Deleted ones stay for the history of their alarms."""

    __tablename__ = "alarm_rule"
    __table_args__ = (Index("ix_alarm_rule_company_number", "company_id", "id"),)

    id: Mapped[BigKey]
    site_id: Mapped[int | None] = mapped_column(Big, ForeignKey("site.id"))
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(16))
    """``threshold``, ``finding`` or ``gateway``."""
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    """As `alarms.rules.RuleIn` has it."""
    priority: Mapped[int] = mapped_column(SmallInteger)
    """1 low, 2 medium, 3 high, 4 critical."""
    latching: Mapped[bool]
    enabled: Mapped[bool]
    version: Mapped[int]
    actor: Mapped[str] = mapped_column(String(200))
    created_us: Mapped[Micros]
    changed_us: Mapped[Micros]
    deleted_us: Mapped[Micros | None]


class Alarm(Tenant, Base):
    """A rule applied to one thing: a point, a device's findings, a condition of a gateway."""

    __tablename__ = "alarm"
    __table_args__ = (
        Unique("rule_id", "subject"),
        Index("ix_alarm_company_standing", "company_id", "standing"),
        Index("ix_alarm_company_urgency", "company_id", "priority", "changed_us", "id"),
    )

    id: Mapped[BigKey]
    rule_id: Mapped[int] = mapped_column(Big, ForeignKey("alarm_rule.id"))
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"))
    point_id: Mapped[int | None] = mapped_column(Big, ForeignKey("point.id"))
    subject: Mapped[str] = mapped_column(String(500))
    title: Mapped[str] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(SmallInteger)
    latching: Mapped[bool]
    standing: Mapped[str] = mapped_column(String(32))
    """What is shown; the next six make it (`alarms.states.State`)."""
    base: Mapped[str] = mapped_column(String(32))
    active: Mapped[bool]
    latched: Mapped[bool]
    shelved_until_us: Mapped[Micros | None]
    suppressed: Mapped[bool]
    out_of_service: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    """Why it is shelved or out of service."""
    guard_point_id: Mapped[int | None] = mapped_column(Big, ForeignKey("point.id"), index=True)
    """The point whose state suppresses it."""
    release_us: Mapped[Micros | None]
    """Until when it stays suppressed after the equipment has started."""
    value: Mapped[float | None]
    """What was beyond the limit when it was last raised."""
    raised_us: Mapped[Micros | None]
    """When the condition came last."""
    changed_us: Mapped[Micros]
    """When it came to stand as it does."""
    calls: Mapped[int] = mapped_column(Big)
    """How often it called the operator."""
    assignee: Mapped[str] = mapped_column(String(200))
    version: Mapped[int] = mapped_column(Big)
    ended_us: Mapped[Micros | None]
    """Its rule no longer speaks of it."""


class AlarmWatch(Tenant, Base):
    """How far the samples of an alarm's point are taken in; only the worker writes it."""

    __tablename__ = "alarm_watch"
    __table_args__ = (
        Index("ix_alarm_watch_company_timer", "company_id", "timer_us"),
        Index("ix_alarm_watch_company_again", "company_id", "again_us"),
    )

    alarm_id: Mapped[int] = mapped_column(Big, ForeignKey("alarm.id"), primary_key=True)
    point_id: Mapped[int] = mapped_column(Big, ForeignKey("point.id"), index=True)
    folds: Mapped[list[Any]] = mapped_column(JSON)
    """Checkpoints, the oldest first: `alarms.conditions.Fold` as lists."""
    timer_us: Mapped[Micros | None]
    """When a delay is over, should nothing come."""
    again_us: Mapped[Micros | None]
    """From where on much is to be folded again, for samples that came very late."""


class AlarmOccurrence(Tenant, Base):
    """The condition of an alarm was on: entered once, whatever crashes and comes late."""

    __tablename__ = "alarm_occurrence"
    __table_args__ = (
        Unique("alarm_id", "key"),
        Index("ix_alarm_occurrence_alarm_started", "alarm_id", "started_us"),
    )

    id: Mapped[BigKey]
    alarm_id: Mapped[int] = mapped_column(Big, ForeignKey("alarm.id"))
    key: Mapped[str | None] = mapped_column(String(500))
    """What its source calls it; null where it comes of samples."""
    started_us: Mapped[Micros]
    ended_us: Mapped[Micros | None]
    value: Mapped[float | None]
    entered_us: Mapped[Micros]
    gone_us: Mapped[Micros | None]
    """When later samples showed that there was none."""


class AlarmEvent(Tenant, Base):
    """The history of an alarm: the database refuses to change a row, or to delete it too early."""

    __tablename__ = "alarm_event"
    __table_args__ = (
        Index("ix_alarm_event_alarm_id", "alarm_id", "id"),
        Index("ix_alarm_event_company_entered", "company_id", "entered_us"),
    )

    id: Mapped[BigKey]
    alarm_id: Mapped[int] = mapped_column(Big, ForeignKey("alarm.id"))
    kind: Mapped[str] = mapped_column(String(32))
    at_us: Mapped[Micros]
    """When it happened."""
    entered_us: Mapped[Micros]
    """When it was entered; for what a person does it is the same."""
    before: Mapped[str] = mapped_column(String(32))
    after: Mapped[str] = mapped_column(String(32))
    called: Mapped[bool]
    """It called the operator."""
    priority: Mapped[int] = mapped_column(SmallInteger)
    actor: Mapped[str] = mapped_column(String(200))
    """Empty: Plantroom itself."""
    doc: Mapped[dict[str, Any]] = mapped_column(JSON)


class AlarmKeep(Tenant, Base):
    """How long a company keeps the history of its alarms, and where that begins."""

    __tablename__ = "alarm_keep"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    days: Mapped[int | None]
    """0 is for ever, null what the service has set."""
    kept_from_us: Mapped[Micros]
    """What was entered before may be deleted; only moves forward."""


class AlarmDue(Tenant, Base):
    """Written with samples, findings and rules: what the worker is to look at. It deletes it."""

    __tablename__ = "alarm_due"
    __table_args__ = (Index("ix_alarm_due_company_due", "company_id", "due_us"),)

    id: Mapped[BigKey]
    due_us: Mapped[Micros]
    """Not before this moment."""
    lo_us: Mapped[Micros]
    """The oldest sample."""
    points: Mapped[bytes] = mapped_column(LargeBinary)
    """Point ids, 64-bit little-endian."""
    gateway_id: Mapped[str] = mapped_column(String(40))
    findings: Mapped[list[str]] = mapped_column(JSON)
    """Ids of findings of that gateway."""
    rule_id: Mapped[int | None] = mapped_column(Big)
    """A rule that was made or changed; with `lo_us` one whose findings are looked at again."""


class AlarmReceiver(Tenant, Base):
    """Somebody who is told of alarms."""

    __tablename__ = "alarm_receiver"
    __table_args__ = (Index("ix_alarm_receiver_company_number", "company_id", "id"),)

    id: Mapped[BigKey]
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(16))
    """``email`` or ``webhook``."""
    target: Mapped[str] = mapped_column(String(2000))
    """Address or URL."""
    secret: Mapped[str] = mapped_column(String(100))
    """Signs webhooks; shown once."""
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    """As `alarms.receivers.ReceiverIn` has it."""
    enabled: Mapped[bool]
    version: Mapped[int]
    created_us: Mapped[Micros]
    changed_us: Mapped[Micros]
    deleted_us: Mapped[Micros | None]
    failures: Mapped[int] = mapped_column(Big)
    """Tries in a row that failed."""
    next_us: Mapped[int] = mapped_column(Big)
    """Not tried before this moment."""
    last_error: Mapped[str] = mapped_column(Text)
    told_us: Mapped[Micros | None]
    digest_us: Mapped[Micros | None]
    """When the last digest went."""


class AlarmNotice(Tenant, Base):
    """One receiver is to be told of one event: written with the event, in its transaction."""

    __tablename__ = "alarm_notice"
    __table_args__ = (
        Unique("receiver_id", "event_id"),
        Index("ix_alarm_notice_state_due", "state", "due_us"),
        Index("ix_alarm_notice_receiver_number", "receiver_id", "id"),
        Index("ix_alarm_notice_receiver_created", "receiver_id", "created_us"),
    )

    id: Mapped[BigKey]
    receiver_id: Mapped[int] = mapped_column(Big, ForeignKey("alarm_receiver.id"))
    event_id: Mapped[int] = mapped_column(Big, ForeignKey("alarm_event.id"))
    alarm_id: Mapped[int] = mapped_column(Big, ForeignKey("alarm.id"))
    created_us: Mapped[Micros]
    due_us: Mapped[Micros]
    state: Mapped[str] = mapped_column(String(16))
    """``waiting``, ``sent``, ``dropped`` or ``failed``."""
    tries: Mapped[int]
    why: Mapped[str] = mapped_column(Text)
    """Why it was dropped, failed, or waits."""
    done_us: Mapped[Micros | None]
