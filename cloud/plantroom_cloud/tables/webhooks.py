"""Webhooks and what is sent to them; tickets of live connections."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class WebhookRow(Tenant, Base):
    """An address that is told what happens."""

    __tablename__ = "webhook"

    id: Mapped[BigKey]
    url: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(String(200), default="")
    topics: Mapped[str] = mapped_column(String(200))
    """With a blank around each: `` alarms jobs ``."""
    enabled: Mapped[bool] = mapped_column(default=True)
    reason: Mapped[str] = mapped_column(String(200), default="")
    """Why it is not."""
    secret: Mapped[str] = mapped_column(String(80))
    """``whsec_`` and base64: signing needs it as it is."""
    old_secret: Mapped[str] = mapped_column(String(80), default="")
    old_until_us: Mapped[int] = mapped_column(Big, default=0)
    """Until then what is sent is signed with the old secret, too."""
    failures: Mapped[int] = mapped_column(Big, default=0)
    """Tries in a row that failed."""
    resume_us: Mapped[int] = mapped_column(Big, default=0)
    """Nothing is sent before: it did not answer."""
    created_us: Mapped[Micros]
    created_by: Mapped[str] = mapped_column(String(200), default="")


class WebhookDelivery(Tenant, Base):
    """One message to one webhook."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_state_due_us", "state", "due_us"),
        Index("ix_webhook_delivery_webhook_id_id", "webhook_id", "id"),
    )

    id: Mapped[BigKey]
    webhook_id: Mapped[int] = mapped_column(Big, ForeignKey("webhook.id", ondelete="CASCADE"))
    message: Mapped[str] = mapped_column(String(40))
    """``msg_``...: the same in every try, by which a receiver tells repetitions."""
    kind: Mapped[str] = mapped_column(String(64))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(16))
    """``waiting``, ``delivered`` or ``dead``."""
    tries: Mapped[int] = mapped_column(Big, default=0)
    due_us: Mapped[Micros]
    token: Mapped[str] = mapped_column(String(32), default="")
    """Of whoever is sending it; taken over when it is due again."""
    status: Mapped[int | None] = mapped_column(SmallInteger)
    """Of HTTP, of the last try; None where there was no answer."""
    reason: Mapped[str] = mapped_column(String(300), default="")
    """What went wrong in it."""
    created_us: Mapped[Micros]
    ended_us: Mapped[Micros | None]


class LiveTicket(Tenant, Base):
    """Leave to open one connection, once, within seconds; only its SHA-256 is kept."""

    __tablename__ = "live_ticket"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    principal: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Kind and id of whose it is: what that may do is looked up when it is used."""
    expires_us: Mapped[Micros]
