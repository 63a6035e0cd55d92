"""What the journal holds: commands, values that stand until their lease ends, and events to tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from plantroom_edge.commands.config import same
from plantroom_edge.commands.moments import Lease, LocalWindow, Window
from plantroom_shared.model import Value
from plantroom_shared.wire import Order

Source = Literal["cloud", "local"]
State = Literal["intent", "executed", "failed", "refused", "expired", "checked"]
"""``intent``: on its way to the device; what became of it is not known. ``checked``: a dry run."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An order that is signed, or comes from somebody on the gateway."""

    order: Order
    body: str
    source: Source
    window: Window | LocalWindow


@dataclass(frozen=True, slots=True)
class Hold:
    """A value of ours that stands on a device, and what is to come in its place."""

    point: str
    priority: int | None
    command: str
    """Whose value it is."""
    before: Value
    """What was there before the first of our values; on a bus with priorities None: a free slot."""
    restore: Value
    """What to write when the lease ends."""
    written: tuple[Value, ...]
    """Values of ours that may be there."""
    lease: Lease
    previous: str = ""
    """Whose value it was until this command came; empty where it was nobody's."""

    @property
    def place(self) -> tuple[str, int | None]:
        """The point, and the slot of its priority array."""
        return self.point, self.priority

    def ours(self, value: Value) -> bool:
        """Say whether `value` is one that we have put there."""
        return any(same(value, one) for one in self.written)


@dataclass(frozen=True, slots=True)
class Event:
    """Something to be told to the cloud, and to stand in the audit."""

    kind: str
    doc: Mapping[str, Any]
    at_us: int = 0
    n: int = 0


MAX_WRITTEN = 8
"""Values of ours that a hold remembers."""
