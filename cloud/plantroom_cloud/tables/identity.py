"""Companies and their keys."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, BigKey, Micros, Tenant


class Company(Base):
    """A tenant."""

    __tablename__ = "company"

    id: Mapped[BigKey]
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    created_us: Mapped[Micros]


class ApiKey(Tenant, Base):
    """A credential of the API; only its SHA-256 is kept."""

    __tablename__ = "api_key"

    id: Mapped[BigKey]
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_us: Mapped[Micros]
    last_used_us: Mapped[Micros | None]
    revoked_us: Mapped[Micros | None]
    may_write: Mapped[bool] = mapped_column(default=False)
    """Whether whoever has it may give commands."""
