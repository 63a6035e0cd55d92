"""Settings of what is told to those who watch the service."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class WatchingSettings(BaseModel):
    """Where metrics are served and traces go; nothing of it is on by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = Field(default="", pattern=r"^$|^[^\s:]+:\d{1,5}$|^\[[0-9A-Fa-f:.]+\]:\d{1,5}$")
    """``127.0.0.1:9465``: where this process serves /metrics, /livez and /readyz; without a
    password, so never where strangers reach it."""
    otlp: str = Field(default="", pattern=r"^$|^https?://\S+$")
    """``http://collector:4318/v1/traces``; needs the extra ``otel``."""
    otlp_headers: dict[str, SecretStr] = {}
    sampled: float = Field(default=1.0, ge=0, le=1)
    """Part of the traces that is kept; which, follows from their ids, the same in every process."""
