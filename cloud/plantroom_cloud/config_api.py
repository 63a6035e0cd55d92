"""Settings of the API: what may be asked how often, how much at once, and from which pages."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _origin(text: str) -> str:
    parts = urlsplit(text)
    plain = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in {"http", "https"} or not parts.hostname or plain != text or "*" in text:
        msg = "is no origin such as https://console.example, without a path and without *"
        raise ValueError(msg)
    return text


class RateLimit(BaseModel):
    """A token bucket: `burst` requests at once, then `rate` a second."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(gt=0, le=1e6)
    burst: int = Field(ge=1, le=10**7)


class ApiSettings(BaseModel):
    """Limits of the API; None takes a limit away."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_key: RateLimit | None = RateLimit(rate=100, burst=400)
    """Of one key, user or service account."""
    per_company: RateLimit | None = RateLimit(rate=400, burst=1600)
    """Of all that belongs to one company."""
    per_address: RateLimit | None = RateLimit(rate=200, burst=800)
    """Of one IPv4 address or IPv6 /64, whoever asks from there."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses or networks whose ``X-Forwarded-For`` is believed."""
    cors: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    """Origins of pages that may call the API from a browser."""
    query_bytes: int = Field(default=32 * 1024, ge=1024, le=60 * 1024)
    """Longest query string: a thousand point ids of the longest kind."""
    json_depth: int = Field(default=32, ge=4, le=200)
    """How deep the JSON of a body may be nested."""
    json_members: int = Field(default=100_000, ge=100, le=10**7)
    """How many values the JSON of a body may hold."""
    idempotency_hours: float = Field(default=24, gt=0, le=720)
    """How long the answer to a request with an Idempotency-Key is kept."""
