"""Settings of claiming: what gateways are told, and how long things last."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ClaimSettings(BaseModel):
    """How devices become gateways."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    brokers: tuple[str, ...] = ()
    """``host:port`` of the brokers, as gateways reach them; empty: that of `mqtt`."""
    pending_hours: float = Field(default=24.0, gt=0, le=24)
    """How long a device waits to be claimed."""
    begins_per_hour: int = Field(default=60, ge=1)
    """Of one address: many gateways may stand behind one."""
    waiting: int = Field(default=10_000, ge=1)
    """Devices that may wait at one time."""
    tls: bool = False
    """Whether the API itself speaks TLS, with the broker's certificate; else a proxy must."""
