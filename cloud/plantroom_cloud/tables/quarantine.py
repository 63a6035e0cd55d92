"""What a person decided about refused rows."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, Micros, Tenant


class QuarantineDecision(Tenant, Base):
    """A quarantined row was released or discarded; final, and kept as the record of it."""

    __tablename__ = "quarantine_decision"

    quarantine_id: Mapped[int] = mapped_column(
        Big, ForeignKey("quarantine.id"), primary_key=True, autoincrement=False
    )
    state: Mapped[str] = mapped_column(String(16))
    """``released`` or ``discarded``."""
    stored: Mapped[int] = mapped_column(Big, default=0)
    """Rows of it that a release stored."""
    note: Mapped[str] = mapped_column(Text, default="")
    """Why it was discarded, or what was corrected before it was released."""
    decided_us: Mapped[Micros]
