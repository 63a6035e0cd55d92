"""Where an act comes from: the request that is being answered, known to whoever records."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from plantroom_shared.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class Origin:
    """Of an act."""

    request_id: str = ""
    """Trace id of the request."""
    source: str = ""
    """Address of whoever sent it, as the server saw it."""
    clock: Clock = field(default_factory=SystemClock)
    """What "now" means there."""


_NOWHERE = Origin()
origin: ContextVar[Origin | None] = ContextVar("plantroom_audit_origin", default=None)
"""Set while a request is answered."""


def current() -> Origin:
    """Return where what is being done comes from."""
    return origin.get() or _NOWHERE
