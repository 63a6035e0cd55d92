"""Settings of what happens when something is slow, away or about to end."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ResilienceSettings(BaseModel):
    """Limits in time; the defaults suit an installation of any size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: float = Field(default=30.0, ge=0.1, le=3600)
    """Seconds until the answer to a request must have begun; beyond that it is a 504."""
    upload: float = Field(default=300.0, ge=1, le=3600)
    """The same for requests that bring files."""
    connect: int = Field(default=3, ge=2, le=60)
    """Seconds that a connection to PostgreSQL may take to be made."""
    statement: float = Field(default=60.0, ge=1, le=86_400)
    """Seconds of one SQL statement, waiting for locks included; of SQLite: of waiting for its lock."""
    pool: int = Field(default=8, ge=1, le=200)
    """Connections to PostgreSQL that a process keeps; for a burst it opens ten more."""
    pool_wait: float = Field(default=10.0, ge=0.1, le=300)
    """Seconds to wait for one of them to be free."""
    drain: float = Field(default=0.0, ge=0, le=300)
    """Seconds between ``/readyz`` turning 503 and the end of listening: what a load balancer needs."""
    grace: int = Field(default=5, ge=1, le=300)
    """Seconds after that for requests under way."""
