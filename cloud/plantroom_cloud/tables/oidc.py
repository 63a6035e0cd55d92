"""Users as identity providers know them, and log-ins under way; of no company."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros


class OidcIdentity(Base):
    """What an issuer calls a user: the only thing by which a log-in there is known here."""

    __tablename__ = "oidc_identity"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[BigKey]
    issuer: Mapped[str] = mapped_column(String(300))
    subject: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[int] = mapped_column(Big, ForeignKey("user_account.id"), index=True)
    created_us: Mapped[Micros]
    used_us: Mapped[Micros]


class OidcFlow(Base):
    """A log-in that has begun and not come back."""

    __tablename__ = "oidc_flow"

    state: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the state."""
    provider: Mapped[str] = mapped_column(String(32))
    invitation: Mapped[str] = mapped_column(String(64), default="")
    """Digest of the invitation that it is to accept."""
    company: Mapped[str] = mapped_column(String(64), default="")
    """Slug of the one it is for, where that was said."""
    user_id: Mapped[int | None] = mapped_column(Big, ForeignKey("user_account.id"))
    """Whom it is to be linked to: that one has proved to be that one."""
    expires_us: Mapped[Micros] = mapped_column(Big, index=True)
