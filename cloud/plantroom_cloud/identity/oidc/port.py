"""How identity providers are asked: the one method that is needed of an HTTP client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

MOST: Final = 512 * 1024
"""Bytes of an answer."""


class Answer(Protocol):
    """What came back."""

    @property
    def status(self) -> int:
        """Of HTTP."""
        ...

    @property
    def body(self) -> bytes:
        """All of it."""
        ...


class Http(Protocol):
    """Asks hosts; raises Unavailable or Rejected where there is no answer."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        max_bytes: int = MOST,
        timeout: float | None = None,  # noqa: ASYNC109 -- of the whole exchange
    ) -> Any:
        """Return an `Answer`, whatever its status."""
        ...
