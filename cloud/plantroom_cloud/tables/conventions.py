"""What the API's conventions keep: requests that are to be carried out once."""

from __future__ import annotations

from sqlalchemy import Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, BigKey, Micros, Tenant


class OnceRequest(Tenant, Base):
    """A request with an Idempotency-Key: who has it in hand, and what was answered."""

    __tablename__ = "once_request"
    __table_args__ = (UniqueConstraint("company_id", "route", "key"),)

    id: Mapped[BigKey]
    route: Mapped[str] = mapped_column(String(300))
    """Method and path with its parameters unfilled."""
    key: Mapped[str] = mapped_column(String(200))
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 of who asks for what: the key with anything else is refused."""
    token: Mapped[str] = mapped_column(String(32))
    """Of whoever carries it out: another's mark and answer are thrown away."""
    state: Mapped[str] = mapped_column(String(16))
    """``running``, ``committed`` (carried out, not answered yet) or ``done``."""
    status: Mapped[int | None] = mapped_column(Integer)
    media_type: Mapped[str] = mapped_column(String(200), default="")
    location: Mapped[str] = mapped_column(String(500), default="")
    """The header of that name."""
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    """What was answered, deflated; None: it was too large to be kept."""
    until_us: Mapped[Micros] = mapped_column(index=True)
    """Done: when it is forgotten; before: when whoever has it in hand is given up."""
