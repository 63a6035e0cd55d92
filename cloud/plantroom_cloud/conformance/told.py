"""What the judge keeps account of: messages, rows, and what a gateway was told in its session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_cloud.conformance import shapes
from plantroom_shared import ranges
from plantroom_shared.ranges import Range

ROW_CHANNELS: Final = ("cmd", "evt", "aud", "tel", "fill")
CHANNELS: Final = ("hello", "now", *ROW_CHANNELS, "inv", "state")
LATE: Final = ("now", "cmd", "aud", "fill")
"""Channels that a gateway uses only where the resume names them."""
WINDOW: Final = 16
GRACE: Final = 2.0
"""Seconds that a message may have been under way when the gateway was told something."""
SETTLE: Final = 1.0
"""Seconds that a gateway has to heed a pause."""

NOBODY: Final[dict[str, Any]] = {"session": "", "epochs": []}
"""The hello of a gateway that has not said one."""

Lane = tuple[str, str]
"""Epoch and stream."""
Sent = tuple[str, str, int]
"""A message of rows: epoch, stream, first order number."""


@dataclass(frozen=True, slots=True)
class Up:
    """One message of the gateway."""

    channel: str
    payload: bytes
    qos: int | None
    """None where the broker does not tell."""
    retain: bool
    at: float
    """When it came, by the kit's clock."""


@dataclass(slots=True)
class Told:
    """What the gateway was told in the present session."""

    session: str
    hello: dict[str, Any]
    live: bool = False
    early: bool = False
    """Something came before any resume."""
    misled: bool = False
    """A resume of another session was sent."""
    named: dict[Lane, list[Range]] = field(default_factory=dict)
    """Rows that the resume named."""
    takes: tuple[str, ...] = ()
    sent: dict[Lane, list[Range]] = field(default_factory=dict)
    """Rows that came in this session."""
    acked: dict[Lane, list[tuple[float, Range]]] = field(default_factory=dict)
    """What of them was acked, and when."""
    unacked: dict[Sent, Range] = field(default_factory=dict)
    refused: dict[Sent, tuple[float, Range]] = field(default_factory=dict)
    first: dict[tuple[str, str], int] = field(default_factory=dict)
    """Channel and epoch → the highest order number sent for the first time."""
    ever: set[Sent] = field(default_factory=set)
    """Messages of samples sent in this session."""
    opening: dict[str, Any] = field(default_factory=dict)
    """The first hello of the session."""
    flow: bool = False
    """Whether a flow has set the window."""
    flow_at: float = 0.0
    window: int = WINDOW
    drained: bool = True
    """Whether all that was under way when the window changed has been answered."""
    paused: tuple[float, float] = (0.0, 0.0)


def holdings(message: dict[str, Any]) -> dict[Lane, tuple[int, list[Range]]]:
    """Return what a hello or state says: lane → highest number accepted, and ranges held."""
    out: dict[Lane, tuple[int, list[Range]]] = {}
    for epoch in message["epochs"]:
        accepted, held = epoch.get("accepted", {}), epoch.get("held", {})
        for stream in {**accepted, **held}:
            spans = ranges.merge((lo, hi) for lo, hi in held.get(stream, []))
            out[epoch["ep"], stream] = (accepted.get(stream, 0), spans)
    return out


def hashes(document: dict[str, Any]) -> list[int]:
    """Return a hash of each row of a message or snapshot."""
    if (rows := document.get("ev", document.get("rc"))) is not None:
        return [hash(repr(row)) for row in rows]
    out, moment = [], document["t0"]
    for row, (alias, delta, value) in enumerate(
        zip(shapes.aliases(document["p"]), document["dt"], shapes.values(document), strict=True)
    ):
        moment += delta
        out.append(hash((alias, moment, repr(value), repr(document["q"].get(str(row))))))
    return out
