"""The messages of sync v1 but for samples: who they come from, and what every key means."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from plantroom_shared.errors import Rejected
from plantroom_shared.model import Device, Finding, Point
from plantroom_shared.ranges import Range
from plantroom_shared.wire.packing import VERSION, unpack, validate

MAX_ROWS = 2000
MAX_RANGES = 64
MAX_CERTIFICATE = 8192
STREAMS: tuple[Stream, ...] = ("cmd", "evt", "aud", "tel")
"""Streams of rows, most urgent first: results of commands, findings, the edge's audit, samples."""

CHANNELS = ("now", "cmd", "aud", "fill")
"""Up-channels that a cloud need not have: a gateway uses them only where `Resume.takes` names them."""

DOWN = ("cmd", "cfg")
"""Down-channels that a gateway need not have: the cloud uses them only where `Hello.takes` names them."""

Stream = Literal["cmd", "evt", "aud", "tel"]
Answered = Literal["cmd", "evt", "aud", "tel", "inv"]
"""What an ack or nack is about: a stream, or the dictionary."""
Epoch = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Seq = Annotated[int, Field(ge=1, lt=2**63)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Span = tuple[Count, Count]
ClockState = Literal["sync", "holdover", "unset"]
"""Set by the network; set once and running free since; never set since the machine started."""


def _known_streams(value: Any) -> Any:
    """Leave out streams of a later version: their rows are not for us."""
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if key in get_args(Stream)}


Counts = Annotated[dict[Stream, Count], BeforeValidator(_known_streams)]
Spans = Annotated[dict[Stream, list[Span]], BeforeValidator(_known_streams)]


class Message(BaseModel):
    """What every message has: a version; keys it does not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = VERSION


class Holding(BaseModel):
    """What a gateway still holds of one epoch, by stream: order numbers not yet confirmed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ep: Epoch
    accepted: Counts = Field(default_factory=dict)
    """The highest order number ever accepted, 0 where none was."""
    held: Spans = Field(default_factory=dict)
    """Inclusive ranges still on the edge."""


class Hello(Message):
    """Up, after every connect: who is here and what it holds."""

    session: Epoch
    """Random per connect; the answer echoes it."""
    agent: str = Field(max_length=64)
    """Software version."""
    boot: Count = 0
    """How often the agent has started."""
    clock: ClockState = "sync"
    at: Count = 0
    """The gateway's clock when it sent this, microseconds since 1970; 0 where it has none."""
    epochs: list[Holding] = Field(max_length=4096)
    used_bytes: Count = 0
    limit_bytes: Count = 0
    certificate: Annotated[str, StringConstraints(max_length=MAX_CERTIFICATE)] = ""
    """PEM of its certificate, by which the signatures of its gap records can be checked."""
    takes: list[Annotated[str, StringConstraints(max_length=16)]] = Field(
        default_factory=list, max_length=64
    )
    """Which of `DOWN`, and of what later versions add, the gateway heeds."""


class Known(BaseModel):
    """What the cloud has committed of one epoch."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ep: Epoch
    ranges: Spans = Field(default_factory=dict)
    dictionary: Count = 0
    """How many aliases of this epoch's dictionary it knows."""


class Resume(Message):
    """Down, the answer to hello: what need not be sent again."""

    session: Epoch
    epochs: list[Known]
    time: Count
    """The cloud's clock, microseconds since 1970."""
    hello_at: Count = 0
    """`Hello.at` again: with it the gateway tells how far the two clocks are apart."""
    takes: list[Annotated[str, StringConstraints(max_length=16)]] = Field(
        default_factory=list, max_length=64
    )
    """Which of `CHANNELS`, and of what later versions add, the cloud reads."""


class Dictionary(Message):
    """Up on ``inv``: aliases ``a0 .. a0 + len(points) - 1`` of an epoch and the devices they name.

    The list only grows: alias i is the i-th point of the epoch, for ever.
    """

    ep: Epoch
    a0: Count
    points: list[Point] = Field(max_length=MAX_ROWS)
    devices: list[Device] = Field(default_factory=list, max_length=MAX_ROWS)


class Ack(Message):
    """Down: these rows are committed in the cloud's database (or quarantined there)."""

    ep: Epoch
    st: Answered
    """For ``inv`` the ranges hold 1-based dictionary positions."""
    ranges: list[Span] = Field(max_length=MAX_RANGES)


class Nack(Message):
    """Down on ``ack`` too: this message was not stored; what to do about it."""

    ep: Epoch
    st: Answered
    nack: Literal["need_dict", "fork", "schema"]
    """``fork``: the cloud holds other rows under these numbers; they stay on the edge."""
    s0: Count = 0
    have: Count = 0
    """With ``need_dict``: how many aliases the cloud knows."""


class Flow(Message):
    """Down: how fast the gateway may send; it lasts until the next one or the next connect."""

    pause_ms: Annotated[int, Field(ge=0, le=600_000)] = 0
    """Send no rows for so long from now; 0 goes on at once."""
    window: Annotated[int, Field(ge=1, le=64)] | None = None
    """Messages that may be unacked at a time; None leaves that to the gateway."""


class State(Message):
    """Up, every few seconds, at the end, and as the will: the gateway's own account."""

    online: bool
    at: Count = 0
    clock: ClockState = "sync"
    oldest_us: Count | None = None
    """When the oldest row that is not yet confirmed was accepted; None where all are."""
    epochs: list[Holding] = Field(default_factory=list, max_length=4096)
    counters: dict[str, float] = Field(default_factory=dict)


class Envelope(Message):
    """The head of a message of rows: epoch, stream, first order number, how many rows."""

    ep: Epoch
    st: Stream
    s0: Seq
    n: Annotated[int, Field(ge=1, le=2**31)]


class Gap(Envelope):
    """In the place of rows ``s0 .. s0 + n - 1``, which are lost: how many and why."""

    gap: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    from_us: Count = 0
    """Accepted from when to when, as far as that is known; 0 where it is not."""
    to_us: Count = 0
    sig: Annotated[str, StringConstraints(max_length=1024)] = ""
    """Base64 signature by the gateway's key over `signed_part`; empty where it has no key."""

    def signed_part(self, gateway: str) -> bytes:
        """Return the bytes that the gateway signs: whose rows are lost, which, and why."""
        parts = (gateway, self.ep, self.st, self.s0, self.n, self.gap, self.from_us, self.to_us)
        return ("plantroom gap v1\n" + "\n".join(map(str, parts))).encode()


class Findings(Envelope):
    """Rows of the ``evt`` stream."""

    ev: list[Finding] = Field(max_length=MAX_ROWS)


class Record(BaseModel):
    """Something that happened on the gateway: a row of ``aud``, or the result of a command."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: Count
    """Microseconds since 1970."""
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
    """What happened: ``agent.start``, ``buffer.full`` ..."""
    doc: dict[str, Any] = Field(default_factory=dict)
    """The details, as small as they can be."""


class Records(Envelope):
    """Rows of the ``aud`` or ``cmd`` stream."""

    rc: list[Record] = Field(max_length=MAX_ROWS)


def decode_reply(payload: bytes) -> Ack | Nack:
    """Return the ack or nack in a message of the ``ack`` channel."""
    document = unpack(payload)
    return validate(Nack, document) if "nack" in document else validate(Ack, document)


def spans(ranges: list[Span]) -> list[Range]:
    """Return ranges from a message as checked ranges; Rejected if one runs backwards."""
    if any(lo > hi for lo, hi in ranges):
        msg = "a range runs backwards"
        raise Rejected(msg, reason="schema")
    return list(ranges)
