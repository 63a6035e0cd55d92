"""The gateway's side of sync v1 as a pure state machine: events in, actions out, no I/O.

One `Session` lives as long as one connection::

    start ─▶ hello ─(resume of this session)─▶ live: frames out, acks in ─▶ gone with the connection

It forgets everything when the connection ends; what must survive is in the buffer. Nothing is ever
deleted but rows that this session sent and the cloud acked, or that the cloud's resume names.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from plantroom_edge.buffer_db import Frame
from plantroom_shared import ranges
from plantroom_shared.errors import Rejected
from plantroom_shared.ranges import Range
from plantroom_shared.wire import (
    Ack,
    Hello,
    Known,
    Nack,
    Resume,
    Stream,
    decode,
    decode_reply,
    encode,
    spans,
)

WINDOW: Final = 8
"""Messages that may be unacked at a time."""

TEL_WINDOW: Final = WINDOW - 1
"""Of these, how many may carry samples: a finding never waits behind a full window of them."""

HELLO_AGAIN: Final = 5.0
"""Seconds to wait for the resume."""

SEND_AGAIN: Final = (10.0, 120.0)
"""Seconds to wait for an ack: the first time, and at most."""

OVERTAKEN_AGAIN: Final = 1.0
"""Seconds to wait for the ack of a message when a later one has been acked: it went down with a
process of the cloud, or another one has it and is a little slower."""

DICTIONARY_AGAIN: Final = 1.0
"""Seconds within which several requests for one dictionary count as one."""

Lane = tuple[str, Stream]
"""An epoch and a stream of it: the space in which order numbers count."""


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
class Confirm:
    """Delete these rows from the buffer: the cloud has committed them."""

    ep: str
    stream: Stream
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The cloud will not take this message; it stays in the buffer until the next session."""

    ep: str
    stream: Stream
    s0: int
    reason: str


Action = Publish | SendDictionary | Confirm | Refused


@dataclass(frozen=True, slots=True)
class Want:
    """Frames the session has room for: oldest first, behind `after`."""

    stream: Stream
    after: tuple[int, int]
    limit: int


@dataclass(slots=True)
class _InFlight:
    frame: Frame
    due: float
    tries: int = 1


@dataclass(slots=True)
class _Lane:
    sent: list[Range] = field(default_factory=list)
    """Rows sent in this session and not yet confirmed."""
    top: int = 0
    """The highest row ever sent in this session."""
    acked: list[Range] = field(default_factory=list)
    """Rows acked whose message is not yet acked as a whole."""


class Session:
    """What the gateway knows of one connection.

    Args:
        hello: the account to open with; its `session` names this session.
        jitter: draws a number between two, for resends.
    """

    def __init__(
        self, hello: Hello, *, jitter: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._hello = encode(hello)
        self._name = hello.session
        self._held: dict[Lane, list[Range]] = {
            (holding.ep, stream): list(held)
            for holding in hello.epochs
            for stream, held in holding.held.items()
        }
        self._jitter = jitter
        self._hello_due = 0.0
        self._lanes: dict[Lane, _Lane] = {}
        self._in_flight: dict[tuple[str, Stream, int], _InFlight] = {}
        self._cursor: dict[Stream, tuple[int, int]] = {"evt": (0, 0), "tel": (0, 0)}
        self._dictionary: dict[str, int] = {}
        self._dictionary_at: dict[str, float] = {}
        self.live = False
        """Whether the cloud has answered the hello."""
        self.last_ack: float | None = None
        """When the last useful ack came, by the caller's clock."""
        self.counters: Counter[str] = Counter()

    # ------------------------------------------------------------ events

    def start(self, now: float) -> list[Action]:
        """The connection stands and the subscription is made."""
        self._hello_due = now + HELLO_AGAIN
        return [Publish("hello", self._hello)]

    def receive(self, channel: str, payload: bytes, now: float) -> list[Action]:
        """A message came down on `channel`; what cannot be understood is counted and ignored."""
        try:
            if channel == "resume":
                return self._resume(decode(Resume, payload))
            if channel == "ack":
                return self._reply(decode_reply(payload), now)
        except Rejected as error:
            self.counters[f"down_{error.reason}"] += 1
            return []
        self.counters["down_channel"] += 1
        return []

    def offer(self, frames: Iterable[Frame], now: float) -> list[Action]:
        """The buffer gave out frames for a `Want`: send them, their dictionary first."""
        actions: list[Action] = []
        for frame in frames:
            self._cursor[frame.stream] = (frame.order, frame.last)
            self._in_flight[frame.ep, frame.stream, frame.s0] = _InFlight(
                frame, now + self._wait(1)
            )
            lane = self._lanes.setdefault((frame.ep, frame.stream), _Lane())
            lane.sent = ranges.merge([*lane.sent, (frame.s0, frame.last)])
            lane.top = max(lane.top, frame.last)
            actions += self._send(frame)
        return actions

    def dictionary_grew(self, ep: str, size: int) -> list[Action]:
        """The current epoch's dictionary has `size` aliases: send what the cloud lacks."""
        known = self._dictionary.setdefault(ep, 0) if self.live else size
        if known >= size:
            return []
        self._dictionary[ep] = size
        return [SendDictionary(ep, known)]

    def dictionary_sent(self, ep: str, size: int) -> None:
        """The dictionary of `ep` went out up to alias `size`."""
        self._dictionary[ep] = max(self._dictionary.get(ep, 0), size)

    def tick(self, now: float) -> list[Action]:
        """Time passed: send again what was not answered."""
        if not self.live:
            if now < self._hello_due:
                return []
            self.counters["hello_again"] += 1
            return self.start(now)
        actions: list[Action] = []
        for entry in self._in_flight.values():
            if now >= entry.due:
                actions += self._again(entry, now)
        return actions

    # ------------------------------------------------------------ what it wants

    def want(self, stream: Stream) -> Want | None:
        """Return which frames of `stream` there is room for now; ask for ``evt`` first."""
        room = WINDOW - len(self._in_flight)
        if stream == "tel":
            room = min(room, TEL_WINDOW - sum(key[1] == "tel" for key in self._in_flight))
        return Want(stream, self._cursor[stream], room) if self.live and room > 0 else None

    @property
    def window(self) -> int:
        """How many messages are unacked."""
        return len(self._in_flight)

    def due(self) -> float:
        """Return when `tick` has something to do next, by the caller's clock."""
        if not self.live:
            return self._hello_due
        return min((entry.due for entry in self._in_flight.values()), default=float("inf"))

    # ------------------------------------------------------------ resume

    def _resume(self, resume: Resume) -> list[Action]:
        if resume.session != self._name:
            self.counters["resume_other_session"] += 1
            return []
        if self.live:
            self.counters["resume_again"] += 1
            return []
        trims = [action for known in resume.epochs for action in self._trim(known)]
        self.live = True
        return list(trims)

    def _trim(self, known: Known) -> list[Confirm]:
        """Return what the cloud has of rows we named in the hello; other claims are ignored."""
        self._dictionary[known.ep] = known.dictionary
        actions: list[Confirm] = []
        for stream, claimed in known.ranges.items():
            held = self._held.get((known.ep, stream), [])
            ours = ranges.intersect(held, spans(claimed))
            if ours:
                actions.append(Confirm(known.ep, stream, tuple(ours)))
        return actions

    # ------------------------------------------------------------ acks

    def _reply(self, reply: Ack | Nack, now: float) -> list[Action]:
        if isinstance(reply, Nack):
            return self._nack(reply, now)
        if reply.st == "inv":
            self.counters["dictionary_acks"] += 1
            return []
        return self._ack(reply.ep, reply.st, spans(reply.ranges), now)

    def _ack(self, ep: str, stream: Stream, claimed: list[Range], now: float) -> list[Action]:
        lane = self._lanes.get((ep, stream), _Lane())
        good = ranges.intersect(lane.sent, claimed)
        if max((hi for _, hi in claimed), default=0) > lane.top:
            self.counters["acks_beyond"] += 1  # of rows that never went out in this session
        if not good:
            self.counters["acks_repeated"] += 1
            return []
        self.last_ack = now
        self.counters["acks"] += 1
        lane.acked = ranges.merge([*lane.acked, *good])
        done = [
            key
            for key, entry in self._in_flight.items()
            if key[:2] == (ep, stream) and ranges.covers(lane.acked, key[2], entry.frame.last)
        ]
        for key in done:
            self._hurry_older(self._in_flight.pop(key).frame, now)
        confirmed = tuple(lane.acked)
        partly = [
            (entry.frame.s0, entry.frame.last)
            for key, entry in self._in_flight.items()
            if key[:2] == (ep, stream)
        ]
        lane.acked = ranges.intersect(lane.acked, ranges.merge(partly))
        lane.sent = ranges.subtract(lane.sent, ranges.subtract(confirmed, lane.acked))
        return [Confirm(ep, stream, confirmed)]

    def _hurry_older(self, acked: Frame, now: float) -> None:
        """Send again soon what went out before `acked` and is still not acked."""
        for entry in self._in_flight.values():
            frame = entry.frame
            older = (frame.order, frame.last) < (acked.order, acked.s0)
            if older and frame.stream == acked.stream and entry.tries == 1:
                entry.due = min(entry.due, now + OVERTAKEN_AGAIN)

    def _nack(self, nack: Nack, now: float) -> list[Action]:
        self.counters[f"nack_{nack.nack}"] += 1
        if nack.st == "inv":
            return []
        key = (nack.ep, nack.st, nack.s0)
        entry = self._in_flight.get(key)
        if entry is None:
            return []
        if nack.nack != "need_dict":
            del self._in_flight[key]
            return [Refused(*key, nack.nack)]
        if nack.have >= entry.frame.dv or entry.tries > 3:
            return []  # it has what it asks for, or asks too often: the next resend is soon enough
        actions: list[Action] = []
        if now >= self._dictionary_at.get(nack.ep, 0.0):
            self._dictionary_at[nack.ep] = now + DICTIONARY_AGAIN
            actions.append(SendDictionary(nack.ep, nack.have))
        return actions + self._again(entry, now)

    # ------------------------------------------------------------ sending

    def _send(self, frame: Frame) -> list[Action]:
        actions: list[Action] = []
        known = self._dictionary.setdefault(frame.ep, 0)
        if frame.dv > known:
            self._dictionary[frame.ep] = frame.dv
            actions.append(SendDictionary(frame.ep, known))
        return [*actions, Publish(frame.stream, frame.blob)]

    def _again(self, entry: _InFlight, now: float) -> list[Action]:
        entry.tries += 1
        entry.due = now + self._wait(entry.tries)
        self.counters["resent"] += 1
        return [Publish(entry.frame.stream, entry.frame.blob)]

    def _wait(self, tries: int) -> float:
        first, most = SEND_AGAIN
        return min(first * 2.0 ** (tries - 1), most) * self._jitter(1.0, 1.25)
