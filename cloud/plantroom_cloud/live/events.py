"""One event, written once for all who follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson


@dataclass(frozen=True)
class Event:
    """Something that happened to one company."""

    id: str
    """Where it stands in the company's row of events."""
    topic: str
    data: bytes
    """A JSON object."""
    sites: tuple[int, ...] = ()
    """Which it is about; none where it is about no site."""

    @cached_property
    def as_sse(self) -> bytes:
        """The event as server-sent; JSON has no line ends."""
        head = f"id: {self.id}\nevent: {self.topic.partition('/')[0]}\ndata: "
        return head.encode() + self._whole + b"\n\n"

    @cached_property
    def as_text(self) -> str:
        """The event as a message of a WebSocket."""
        return self._whole.decode()

    @cached_property
    def _whole(self) -> bytes:
        head = {"id": self.id, "topic": self.topic}
        return orjson.dumps({**head, "data": orjson.Fragment(self.data)})


@dataclass(frozen=True, slots=True)
class Resync:
    """Events are missing from here on: read anew what you show, then follow."""

    why: str
    """``slow``: you did not take them in time. ``gap``: they are not kept so long. ``bus``: what
    carries them was away."""


def pack(data: Mapping[str, Any]) -> bytes:
    """Return `data` as JSON, or a note in its place: what comes from the field must not fail here."""
    try:
        return orjson.dumps(data)
    except TypeError:  # nested deeper, or a number larger, than JSON writers take
        return orjson.dumps({"kind": str(data.get("kind", ""))[:64], "error": "cannot be shown"})
