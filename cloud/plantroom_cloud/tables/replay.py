"""How far consumers of a replay have come."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class ReplayPosition(Tenant, Base):
    """A named consumer of a site's replay: its span, its sink, and what the sink has confirmed."""

    __tablename__ = "replay_position"
    __table_args__ = (UniqueConstraint("company_id", "consumer"),)

    id: Mapped[BigKey]
    consumer: Mapped[str] = mapped_column(String(64))
    replay: Mapped[str] = mapped_column(String(16))
    """Random; stands in every object delivered, beside its number."""
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    sink: Mapped[str] = mapped_column(Text)
    """``file:<path>`` or ``mqtt:<host>:<port>/<topic>``."""
    from_us: Mapped[Micros]
    to_us: Mapped[Micros]
    after: Mapped[list[Any]] = mapped_column(JSON, default=list)
    """Key of the last row confirmed: ``[ts_us, 0, point id, tie]`` of a sample,
    ``[ts_us, 1, gateway, id]`` of a finding; empty before the first."""
    count: Mapped[int] = mapped_column(Big, default=0)
    """Objects confirmed; the last one has this number."""
    file_size: Mapped[int] = mapped_column(Big, default=0)
    """Bytes of the file that are confirmed."""
    pending: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Objects planned after `count` and not confirmed yet, byte for byte, compressed."""
    pending_after: Mapped[list[Any]] = mapped_column(JSON, default=list)
    """What `after` becomes when `pending` is confirmed."""
    pending_count: Mapped[int] = mapped_column(Big, default=0)
    late: Mapped[int] = mapped_column(Big, default=0)
    """Rows that came behind the position: not replayed in this pass; counted at its end."""
    done: Mapped[bool] = mapped_column(default=False)
    created_us: Mapped[Micros]
    changed_us: Mapped[Micros]
