"""Settings of what the service asks of others: which inner hosts it may speak to, whose roots count."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _host(text: str) -> str:
    host, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
    bare = host.strip("[]")
    if not bare or bare != bare.strip() or "/" in bare or "@" in bare or "*" in bare:
        msg = "is no host: write a name or an address, with a port or without: 'emq.plant.example'"
        raise ValueError(msg)
    if port and not (port.isdecimal() and 1 <= int(port) <= 65535):
        msg = "has no port from 1 to 65535 behind its colon"
        raise ValueError(msg)
    return text.lower()


class OutboundSettings(BaseModel):
    """What the one client for addresses that others gave us may do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[Annotated[str, AfterValidator(_host)], ...] = ()
    """Hosts (``name``, ``name:port``, ``10.0.0.5:8443``, ``[fd00::5]``) that may be inside, and may be
    spoken to without TLS. Everything else is https to public addresses."""
    ca: Path | None = None
    """PEM file with further roots, for hosts inside with certificates of their own."""
    timeout: float = Field(default=10.0, gt=0, le=120)
    """Seconds for a whole exchange: name, connection, TLS, answer."""
