"""What a `Session` asks to be done: the vocabulary between the protocol's core and its rim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from plantroom_shared.ranges import Range
from plantroom_shared.wire import Stream

Lane = Literal["cmd", "evt", "aud", "live", "fill"]
"""A way up: the urgent streams each have one, samples two: what is new, and what has waited."""

URGENT: Final[tuple[Lane, ...]] = ("cmd", "evt", "aud")
"""Lanes that go before all samples, most urgent first."""

Mark = tuple[int, int]
"""A place in the buffer: the epoch's place in the order of starts, and a row of it."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Send `payload` up on `channel`."""

    channel: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class SendDictionary:
    """Send the dictionary of `ep` from alias `a0` on, then call `Session.dictionary_sent`."""

    ep: str
    a0: int


@dataclass(frozen=True, slots=True)
class SendSnapshot:
    """Send what the points of the current epoch say now, on ``now``."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """Mark these rows in the buffer as delivered: the cloud has committed them."""

    ep: str
    stream: Stream
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Revive:
    """The cloud has lost these rows that it once confirmed: take back what is still retained.

    Call `Session.rewind` if that was anything.
    """

    ep: str
    stream: Stream
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class HeardTime:
    """The cloud says that it is `cloud_us`; it was asked `waited` seconds ago."""

    cloud_us: int
    waited: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The cloud will not take this message; it stays in the buffer until the next session."""

    ep: str
    stream: Stream
    s0: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ordered:
    """A command came: hand it to those who write."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """A desired configuration came: hand it to who applies it."""

    payload: bytes


Action = (
    Publish
    | SendDictionary
    | SendSnapshot
    | Confirm
    | Revive
    | HeardTime
    | Refused
    | Ordered
    | Wanted
)


@dataclass(frozen=True, slots=True)
class Want:
    """Frames the session has room for: the oldest behind `after`, none beyond `until`."""

    lane: Lane
    stream: Stream
    after: Mark
    until: Mark | None
    limit: int
