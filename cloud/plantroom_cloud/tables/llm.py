"""What the LLM mapper used, what it said, and what it was asked in batches."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, Micros, Tenant


class LlmUsage(Tenant, Base):
    """Tokens and money of a company in a day or month, what is under way included."""

    __tablename__ = "llm_usage"

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    period: Mapped[str] = mapped_column(String(10), primary_key=True)
    """``2026-11`` or ``2026-11-21``, UTC."""
    tokens_in: Mapped[int] = mapped_column(Big)
    tokens_out: Mapped[int] = mapped_column(Big)
    money_micros: Mapped[int] = mapped_column(Big)
    """Millionths of the price's currency."""


class LlmAnswer(Tenant, Base):
    """What a model said of a template, and what became of it: a lesson once it is decided."""

    __tablename__ = "llm_answer"
    __table_args__ = (Index("ix_llm_answer_template", "company_id", "template"),)

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Of the question."""
    template: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the template key: those have any length, and an index has limits."""
    template_key: Mapped[str] = mapped_column(Text)
    """Of the decision that a person may take."""
    model: Mapped[str] = mapped_column(String(200))
    said: Mapped[str] = mapped_column(String(128))
    """Brick class, or ``unknown``."""
    offline: Mapped[str] = mapped_column(String(128))
    """What the offline mapping had said; empty where nothing."""
    points: Mapped[int] = mapped_column(Big)
    """Points that the question decided when it was answered."""
    decided: Mapped[str] = mapped_column(String(128))
    """What a person decided; empty while nobody has."""
    answered_us: Mapped[Micros]
    decided_us: Mapped[Micros | None]


class LlmBatch(Tenant, Base):
    """Questions that wait at an endpoint's batch interface."""

    __tablename__ = "llm_batch"
    __table_args__ = (Index("ix_llm_batch_state", "state"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """Ours; the endpoint knows it as metadata."""
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    remote: Mapped[str] = mapped_column(String(128))
    """The endpoint's id; empty until it is created there."""
    state: Mapped[str] = mapped_column(String(16))
    """new, open, done, failed."""
    model: Mapped[str] = mapped_column(String(200))
    period: Mapped[str] = mapped_column(String(10))
    tokens_in: Mapped[int] = mapped_column(Big)
    tokens_out: Mapped[int] = mapped_column(Big)
    money_micros: Mapped[int] = mapped_column(Big)
    """What was set aside for it."""
    asked: Mapped[bytes] = mapped_column(LargeBinary)
    """Compressed JSON of the calls: what each id stands for."""
    problem: Mapped[str] = mapped_column(Text)
    created_us: Mapped[Micros]
    ended_us: Mapped[Micros | None]
