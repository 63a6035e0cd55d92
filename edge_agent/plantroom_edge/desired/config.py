"""Whose desired configurations are heeded: the section ``desired:``; nobody's by default."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class DesiredConfig(BaseModel):
    """Whether the cloud may change what this gateway reads, and how a change is judged."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    keys: dict[str, Path] = {}
    """Name → PEM file of an Ed25519 public key whose configurations are heeded; none: nobody's."""
    settle: int = Field(default=3, ge=1, le=100)
    """Intervals within which the buses that were changed must give samples again."""
    grace: float = Field(default=60, ge=0, le=3600)
    """Seconds on top of that, for opening buses and looking for their devices."""

    def resolved(self, folder: Path) -> DesiredConfig:
        """Return this with the key files taken from `folder`."""
        keys = {kid: folder / path for kid, path in self.keys.items()}
        return self.model_copy(update={"keys": keys})
