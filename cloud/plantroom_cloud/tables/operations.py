"""What processes say of themselves: of no company."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Micros


class ProcessReport(Base):
    """What a process has last said of itself and of what it depends on; nothing of any company."""

    __tablename__ = "process_report"

    process: Mapped[str] = mapped_column(String(100), primary_key=True)
    """Host, process id and start."""
    parts: Mapped[str] = mapped_column(String(100))
    started_us: Mapped[Micros]
    at_us: Mapped[Micros]
    dependencies: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """`kit.dependencies.Standing`, field by field."""
