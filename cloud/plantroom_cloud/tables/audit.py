"""The audit: who did what, chained so that no row can be changed unseen."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, Micros, Tenant


class AuditRow(Tenant, Base):
    """One act. Rows are added and never changed: triggers refuse anything else.

    `body` is the whole of it and what the hash is made of; the columns beside it repeat what lists
    filter by, and verification compares them with it.
    """

    __tablename__ = "audit_row"
    __table_args__ = (
        Index("ix_audit_row_actor", "company_id", "actor", "n"),
        Index("ix_audit_row_action", "company_id", "action", "n"),
        Index("ix_audit_row_subject", "company_id", "subject", "n"),
        Index("ix_audit_row_at_us", "company_id", "at_us"),
        Index("ix_audit_row_request_id", "company_id", "request_id"),
    )

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    n: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    """From 1, without gaps within a company."""
    at_us: Mapped[Micros]
    actor: Mapped[str] = mapped_column(String(200))
    """``key:5``, ``user:7``, ``service:2``, ``cli:alice``."""
    action: Mapped[str] = mapped_column(String(100))
    """``key.add``: a noun of ours and what was done with it."""
    subject: Mapped[str] = mapped_column(String(200))
    """``key/5``: what it was done to."""
    request_id: Mapped[str] = mapped_column(String(64))
    """Trace id of the request; empty where there was none."""
    body: Mapped[str] = mapped_column(Text)
    """The canonical row, see docs/audit.md."""
    prev: Mapped[str] = mapped_column(String(64))
    """Hash of the row before, hex; zeros at the first."""
    hash: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the bytes of `prev` and of `body`, hex."""


class AuditHead(Tenant, Base):
    """The end of a company's chain; whoever adds to it locks this row first."""

    __tablename__ = "audit_head"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    n: Mapped[int] = mapped_column(Big)
    hash: Mapped[str] = mapped_column(String(64))


class AuditSignature(Tenant, Base):
    """A head that was signed: what stood at `n` then cannot be another row now."""

    __tablename__ = "audit_signature"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    n: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    at_us: Mapped[Micros]
    body: Mapped[str] = mapped_column(Text)
    """What is signed: canonical JSON of company, n, hash and time."""
    key_id: Mapped[str] = mapped_column(String(32))
    signature: Mapped[str] = mapped_column(String(128))
    """Ed25519 over `body`, base64."""
