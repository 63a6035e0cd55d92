"""Jobs of the BMS pipeline: what was asked, the chunks it consists of, what they brought."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, Micros, Tenant


class JobRow(Tenant, Base):
    """One run of the pipeline over the points of one or many buildings."""

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("company_id", "idempotency_key"),
        Index("ix_job_company_page", "company_id", "created_us", "id"),
        Index("ix_job_state_page", "company_id", "state", "created_us", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(200))
    request: Mapped[str] = mapped_column(String(64), default="")
    """Both of jobs from before `OnceRequest`; nothing reads them any more."""
    source: Mapped[str] = mapped_column(String(16))
    """``upload``, ``sites`` or ``edges``."""
    buildings: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """By number: ``name`` and ``site``, which is None for an uploaded building and for one that an
    EnOS Edge searches: that has ``edge``, its asset id, and ``nets``."""
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """``llm`` and ``publish``: whether to."""
    notes: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """What was met in an upload: rows left out, names cut."""
    state: Mapped[str] = mapped_column(String(16), index=True)
    """``open``, ``done``, ``failed``, ``cancelled``."""
    reason: Mapped[str] = mapped_column(Text, default="")
    created_us: Mapped[Micros]
    ended_us: Mapped[Micros | None]


class JobChunk(Tenant, Base):
    """A piece of one stage of one building: what a worker takes, does and is done with.

    A chunk may be taken where it is ``waiting`` or ``claimed`` and `due_us` has passed: of a claimed
    one that is when the lease of its worker has run out.
    """

    __tablename__ = "job_chunk"
    __table_args__ = (Index("ix_job_chunk_state_due_us", "state", "due_us"),)

    job_id: Mapped[str] = mapped_column(String(40), ForeignKey("job.id"), primary_key=True)
    building: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    stage: Mapped[str] = mapped_column(String(16), primary_key=True)
    piece: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    points: Mapped[int] = mapped_column(Big)
    """How many points it is about: progress is counted in them."""
    state: Mapped[str] = mapped_column(String(16))
    """``waiting``, ``claimed``, ``done``, ``failed``, ``cancelled``."""
    due_us: Mapped[Micros]
    tries: Mapped[int] = mapped_column(Big, default=0)
    worker: Mapped[str] = mapped_column(String(80), default="")
    """Who has it, or had it last; for people."""
    token: Mapped[str] = mapped_column(String(32), default="")
    """Of the last claim: what an earlier one brings is thrown away."""
    told: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """What it says of itself: figures, open questions."""
    reason: Mapped[str] = mapped_column(Text, default="")
    """Why the last try failed; of a chunk that is done what it lacks."""
    sent_us: Mapped[Micros | None]
    """When a worker was last woken for it by a message; None where none was."""
    ended_us: Mapped[Micros | None]


class JobOutput(Tenant, Base):
    """What a stage has found, in pieces of equal size: the checkpoint, and the partial result."""

    __tablename__ = "job_output"

    job_id: Mapped[str] = mapped_column(String(40), ForeignKey("job.id"), primary_key=True)
    building: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    """``points``, ``devices``, ``questions``, ``answers`` or the stage whose rows these are."""
    piece: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    """JSON, deflated."""
