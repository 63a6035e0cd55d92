"""What arrives: topic and payload become a checked message, or a counted refusal. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plantroom_shared import topics, wire
from plantroom_shared.errors import Rejected
from plantroom_shared.model import Finding

LAST_SEQ = 2**62
"""Order numbers stay far from what a database's integer cannot hold."""


@dataclass(slots=True)
class FindingRows:
    """Rows of the ``evt`` stream, each checked by itself."""

    ep: str
    s0: int
    n: int
    rows: dict[int, Finding]
    """Row → finding; a row that is in neither map does not exist."""
    bad_rows: dict[int, str]
    """Row → why it cannot be stored."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message whose rows cannot be understood but whose order numbers can: quarantined whole."""

    ep: str
    s0: int
    n: int
    reason: str


Rows = wire.Samples | FindingRows | wire.Gap | Unreadable
Content = wire.Hello | wire.Dictionary | wire.State | Rows


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message of a gateway, understood."""

    gateway: str
    channel: str
    """``hello``, ``tel``, ``evt``, ``inv`` or ``state``."""
    content: Content
    payload: bytes

    def set_aside(self, reason: str) -> Incoming | Refused:
        """Return the same as something that any database takes: its head alone, or a count."""
        if isinstance(self.content, wire.Hello | wire.Dictionary | wire.State | wire.Gap):
            return Refused(self.gateway, reason)
        rows = self.content
        head = Unreadable(rows.ep, rows.s0, rows.n, reason)
        return Incoming(self.gateway, self.channel, head, self.payload)


@dataclass(frozen=True, slots=True)
class Refused:
    """One message that cannot be understood; it gets no answer, only a count."""

    gateway: str
    """Empty where the topic names none."""
    reason: str
    """``topic``, ``malformed``, ``too_big``, ``version`` or ``schema``."""


class _Head(BaseModel):
    model_config = ConfigDict(extra="ignore")

    v: Literal[1]
    ep: wire.Epoch
    st: wire.Stream
    s0: wire.Seq
    n: int = Field(ge=1, le=wire.MAX_ROWS)


def read(topic: str, payload: bytes) -> Incoming | Refused:
    """Return the message that arrived on `topic`; never raises on anything a gateway can send."""
    parsed = topics.parse(topic)
    if parsed is None or parsed.direction != "up":
        return Refused(sender(topic), "topic")
    gateway, channel = parsed.gateway, parsed.channel
    try:
        content = _content(channel, payload)
    except Rejected as error:
        return Refused(gateway, error.reason)
    return Incoming(gateway, channel, content, payload)


def sender(topic: str) -> str:
    """Return the gateway of a topic whose channel is unknown: the broker vouches for that level."""
    parts = topic.split("/")
    known = len(parts) > 2 and parts[0] == "sv1" and topics.GATEWAY_ID.match(parts[1])
    return parts[1] if known else ""


def _content(channel: str, payload: bytes) -> Content:
    match channel:
        case "hello":
            return wire.decode(wire.Hello, payload)
        case "inv":
            return wire.decode(wire.Dictionary, payload)
        case "state":
            return wire.decode(wire.State, payload)
        case _:
            return _rows(channel, payload)


def _rows(channel: str, payload: bytes) -> Rows:
    try:
        rows = wire.decode_rows(payload)
    except Rejected as error:
        if error.reason != "schema":
            raise
        return _salvage(channel, payload, error)
    if _stream_of(rows) != channel or rows.s0 + rows.n > LAST_SEQ:
        msg = f"order numbers or stream do not belong on {channel!r}"
        raise Rejected(msg, reason="schema")
    if isinstance(rows, wire.Findings):
        return FindingRows(rows.ep, rows.s0, rows.n, dict(enumerate(rows.ev)), {})
    return rows


def _stream_of(rows: wire.Samples | wire.Findings | wire.Gap) -> str:
    return "tel" if isinstance(rows, wire.Samples) else rows.st


def _salvage(channel: str, payload: bytes, error: Rejected) -> Rows:
    """Return what of a message with a readable head can be kept; raise `error` if it has none."""
    document = wire.unpack(payload)
    try:
        head = _Head.model_validate(document)
    except ValidationError:
        raise error from None
    if head.st != channel or head.s0 + head.n > LAST_SEQ:
        raise error
    events = document.get("ev")
    if head.st == "evt" and isinstance(events, list) and len(events) == head.n:
        return _row_by_row(head, events)
    return Unreadable(head.ep, head.s0, head.n, "schema")


def _row_by_row(head: _Head, events: list[Any]) -> FindingRows:
    rows: dict[int, Finding] = {}
    bad: dict[int, str] = {}
    for row, event in enumerate(events):
        try:
            rows[row] = Finding.model_validate(event)
        except ValidationError:
            bad[row] = "schema"
    return FindingRows(head.ep, head.s0, head.n, rows, bad)


__all__ = [
    "LAST_SEQ",
    "Content",
    "FindingRows",
    "Incoming",
    "Refused",
    "Rows",
    "Unreadable",
    "read",
]
