"""Settings of what is told as it happens: the bus, connections that stay open, webhooks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LiveSettings(BaseModel):
    """What is told as it happens, and to whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bus: Literal["memory", "redis"] = "memory"
    """What carries events from who stores to who tells: one process, or several over `redis`."""
    sockets: int = Field(default=5, ge=1, le=1000)
    """Connections that one user, service account or key may have open."""
    room: int = Field(default=1000, ge=1, le=100_000)
    """Events that wait for one slow client; one more, and it is told to read anew."""
    recheck: float = Field(default=4.0, ge=0.1, le=60)
    """Seconds after which it is looked again whether open connections may be open: at once where
    a right is taken away at the API, and no later than this where it is at the command line."""
    beat: float = Field(default=15.0, ge=0.1, le=60)
    """Seconds of silence after which a sign of life is sent."""
    webhook_pause: float = Field(default=0.5, ge=0.01, le=60)
    """Seconds between two looks for webhooks that are due, where none were."""
