"""What arrives: topic and payload become a checked message, or a counted refusal. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plantroom_shared import topics, wire
from plantroom_shared.errors import Rejected
from plantroom_shared.model import Finding
from plantroom_shared.tracing import trace_of

ROWS_KEY = {"evt": "ev", "aud": "rc", "cmd": "rc"}
"""Stream → the key of a message under which its rows stand."""
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


@dataclass(slots=True)
class RecordRows:
    """Rows of the ``aud`` or ``cmd`` stream, each checked by itself."""

    ep: str
    s0: int
    n: int
    rows: dict[int, wire.Record]
    """Row → record; a row that is in neither map does not exist."""
    bad_rows: dict[int, str]
    """Row → why it cannot be stored."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What points said last: only `latest` values are moved by it."""

    samples: wire.Samples
    order: list[int]
    """Order number of each row, by which it is told from others of the same moment."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message whose rows cannot be understood but whose order numbers can: quarantined whole."""

    ep: str
    s0: int
    n: int
    reason: str


Rows = wire.Samples | FindingRows | RecordRows | wire.Gap | Unreadable
Control = wire.Hello | wire.Dictionary | wire.State | Snapshot
Content = Control | Rows


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message of a gateway, understood."""

    gateway: str
    channel: str
    """One of `topics.UP_CHANNELS`."""
    content: Content
    payload: bytes
    digest: str = ""
    """Of the rows as they were sent; empty where they cannot be compared."""
    received_us: int = 0
    """When it came, by our clock; 0 where nobody looked."""

    @property
    def stream(self) -> str:
        """The stream of its rows: a backlog of samples only goes by another way."""
        return "tel" if self.channel == "fill" else self.channel

    @property
    def trace(self) -> str:
        """The id by which its rows are followed; empty where it has none."""
        rows = self.content
        if isinstance(rows, Control):
            return ""
        return trace_of(self.gateway, rows.ep, self.stream, rows.s0)

    def set_aside(self, reason: str) -> Incoming | Refused:
        """Return the same as something that any database takes: its head alone, or a count."""
        rows = self.content
        if isinstance(rows, Control | wire.Gap):
            return Refused(self.gateway, reason)
        return replace(self, content=Unreadable(rows.ep, rows.s0, rows.n, reason))


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
        content, digest = _content(channel, payload)
    except Rejected as error:
        return Refused(gateway, error.reason)
    return Incoming(gateway, channel, content, payload, digest)


def sender(topic: str) -> str:
    """Return the gateway of a topic whose channel is unknown: the broker vouches for that level."""
    parts = topic.split("/")
    known = len(parts) > 2 and parts[0] == "sv1" and topics.GATEWAY_ID.match(parts[1])
    return parts[1] if known else ""


def _content(channel: str, payload: bytes) -> tuple[Content, str]:
    """Return what a message holds, and the digest of its rows."""
    match channel:
        case "hello":
            return wire.decode(wire.Hello, payload), ""
        case "inv":
            return wire.decode(wire.Dictionary, payload), ""
        case "state":
            return wire.decode(wire.State, payload), ""
        case "now":
            return Snapshot(*wire.decode_snapshot(payload)), ""
        case _:
            return _rows("tel" if channel == "fill" else channel, payload)


def _rows(stream: str, payload: bytes) -> tuple[Rows, str]:
    try:
        rows = wire.decode_rows(payload)
    except Rejected as error:
        if error.reason != "schema":
            raise
        return _salvage(stream, payload, error)
    named = "tel" if isinstance(rows, wire.Samples) else rows.st
    if named != stream or rows.s0 + rows.n > LAST_SEQ:
        msg = f"order numbers or stream do not belong on {stream!r}"
        raise Rejected(msg, reason="schema")
    match rows:
        case wire.Samples():
            return rows, rows.digest
        case wire.Gap():
            return rows, ""
        case wire.Findings():
            read_rows: Rows = FindingRows(rows.ep, rows.s0, rows.n, dict(enumerate(rows.ev)), {})
        case wire.Records():
            read_rows = RecordRows(rows.ep, rows.s0, rows.n, dict(enumerate(rows.rc)), {})
    return read_rows, _digest(wire.unpack(payload)[ROWS_KEY[stream]])


def _salvage(stream: str, payload: bytes, error: Rejected) -> tuple[Rows, str]:
    """Return what of a message with a readable head can be kept; raise `error` if it has none."""
    document = wire.unpack(payload)
    try:
        head = _Head.model_validate(document)
    except ValidationError:
        raise error from None
    if head.st != stream or head.s0 + head.n > LAST_SEQ:
        raise error
    rows = document.get(ROWS_KEY.get(stream, ""))
    if not isinstance(rows, list) or len(rows) != head.n:
        # No digest: another version may read what this one cannot, and that makes no fork.
        return Unreadable(head.ep, head.s0, head.n, "schema"), ""
    if stream == "evt":
        found = FindingRows(head.ep, head.s0, head.n, *_one_by_one(Finding, rows))
        return found, _digest(rows)
    return RecordRows(head.ep, head.s0, head.n, *_one_by_one(wire.Record, rows)), _digest(rows)


R = TypeVar("R", Finding, wire.Record)


def _one_by_one(kind: type[R], rows: list[Any]) -> tuple[dict[int, R], dict[int, str]]:
    """Return the rows that are of `kind`, and those that are not."""
    good: dict[int, R] = {}
    bad: dict[int, str] = {}
    for row, item in enumerate(rows):
        try:
            good[row] = kind.model_validate(item)
        except ValidationError:
            bad[row] = "schema"
    return good, bad


def _digest(rows: Any) -> str:
    """Return what tells these rows from others; nothing where they cannot be written again."""
    try:
        body = orjson.dumps(rows, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # nested deeper than orjson writes
        return ""
    return hashlib.sha256(body).hexdigest()[:16]


__all__ = [
    "LAST_SEQ",
    "ROWS_KEY",
    "Content",
    "Control",
    "FindingRows",
    "Incoming",
    "RecordRows",
    "Refused",
    "Rows",
    "Snapshot",
    "Unreadable",
    "read",
]
