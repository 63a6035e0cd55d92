"""What telling needs of the outside: small enough to be replaced in a test, or by another part."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import EmailMessage
from typing import Protocol


class Mail(Protocol):
    """Takes mail."""

    async def send(self, message: EmailMessage) -> None:
        """Deliver one message; Rejected: never; Unavailable: not now."""
        ...


class Hooks(Protocol):
    """Calls addresses that companies name: it must not be turned against the inner network."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Send a request and return the status; Rejected: never to there; Unavailable: not now."""
        ...
