"""Settings of the audit."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class AuditSettings(BaseModel):
    """How the ends of the chains are signed, and where they go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sign_every: float = Field(default=3600.0, ge=1, le=86400)
    """Seconds between two signatures of a company's head."""
    heads: Path | None = None
    """File that signed heads are added to, best on another machine; ``audit/heads.ndjson`` in the
    data folder unless said."""
