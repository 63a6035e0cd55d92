"""Settings of governance."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GovernanceSettings(BaseModel):
    """How often sites are checked, and how data is deleted and handed over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check_every: float = Field(default=3600.0, ge=1, le=86_400)
    """Seconds after which a site is checked though nothing has changed: time passes, too."""
    check_gap: float = Field(default=5.0, ge=0, le=3600)
    """Seconds that a site is left alone after a check, whatever changes."""
    rule_seconds: float = Field(default=5.0, gt=0, le=600)
    """Seconds that one rule may take at one site; where it needs more it is stopped and says so."""
    delete_rows: int = Field(default=2000, ge=1, le=100_000)
    """Rows that go in one transaction."""
    export_days: float = Field(default=7.0, gt=0, le=365)
    """Days that an export is kept."""
