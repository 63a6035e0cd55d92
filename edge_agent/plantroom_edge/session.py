"""The gateway's side of sync v1 as a pure state machine: events in, actions out, no I/O.

One `Session` lives as long as one connection::

    start ─▶ hello ─(resume of this session)─▶ live ─▶ gone with the connection
                 ▲                               │ frames out, acks in
                 └── audit: hello again ─────────┘ now and then

It forgets everything when the connection ends; what must survive is in the buffer. Nothing is ever
confirmed but rows that this session sent and the cloud acked, or that the cloud's resume names.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from plantroom_edge.buffer_db import Frame
from plantroom_edge.session_actions import (
    Action,
    Confirm,
    Lane,
    Mark,
    Ordered,
    Publish,
    Refused,
    Want,
    Wanted,
)
from plantroom_edge.session_dictionaries import Dictionaries, again_after
from plantroom_edge.session_flight import HURRIES, Entry, Flight, Space
from plantroom_edge.session_lanes import Lanes
from plantroom_edge.session_opening import Opening
from plantroom_edge.session_snapshots import Snapshots
from plantroom_edge.session_window import Window
from plantroom_shared import ranges
from plantroom_shared.errors import Rejected
from plantroom_shared.ranges import Range
from plantroom_shared.wire import (
    Ack,
    Flow,
    Hello,
    Nack,
    Resume,
    Stream,
    decode,
    decode_reply,
    spans,
)

HELLO_AGAIN: Final = (1.0, 2.0, 5.0)
"""Seconds to wait for the resume: of the first hello, of the second, and of every further one.

After a broker's restart gateways are often back before the ingest has subscribed again.
"""


class Session:
    """What the gateway knows of one connection.

    Args:
        hello: the account to open with; its `session` names this session.
        mark: what the current epoch had accepted when that account was made.
        now_us: the gateway's clock, microseconds since 1970.
        jitter: draws a number between two, for resends.
    """

    def __init__(
        self,
        hello: Hello,
        mark: Mark,
        *,
        now_us: Callable[[], int],
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._opening = Opening(hello, mark, now_us)
        self._hello_due = 0.0
        self._hellos = 0
        self._audit_at: int | None = None
        self._audit_sent = 0.0
        self._lanes = Lanes(mark)
        self._flight = Flight()
        self._window = Window(jitter=jitter)
        self._refused: set[tuple[str, Stream, int]] = set()
        self._dictionaries = Dictionaries()
        self._snapshots = Snapshots()
        self.live = False
        """Whether the cloud has answered the hello."""
        self.doubtful = False
        """Whether something hints that the cloud has started anew since the last hello."""
        self.last_ack: float | None = None
        """When the last useful ack came, by the caller's clock."""
        self.counters: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """The name that every hello of this session carries."""
        return self._opening.hello.session

    # ------------------------------------------------------------ events

    def start(self, now: float) -> list[Action]:
        """The connection stands and the subscription is made."""
        self._hello_due = now + HELLO_AGAIN[min(self._hellos, len(HELLO_AGAIN) - 1)]
        self._hellos += 1
        return [Publish("hello", self._opening.say(now))]

    def audit(self, hello: Hello, mark: Mark, now: float) -> list[Action]:
        """Say hello again while live, with a new account: what time is it, what does the cloud hold?

        A cloud that was restored from a backup has rows missing; nobody else would tell.
        """
        self.doubtful = False
        self._opening.renew(hello, mark)
        said = Publish("hello", self._opening.say(now))
        self._audit_at, self._audit_sent = self._opening.hello.at, now
        return [said]

    def receive(self, channel: str, payload: bytes, now: float) -> list[Action]:
        """A message came down on `channel`; what cannot be understood is counted and ignored."""
        try:
            match channel:
                case "resume":
                    return self._resume(decode(Resume, payload), now)
                case "ack":
                    return self._reply(decode_reply(payload), now)
                case "cmd" | "cfg" if self.live:  # not before the resume has told the time
                    known = channel == "cmd"
                    self.counters["commands" if known else "configurations"] += 1
                    return [Ordered(payload) if known else Wanted(payload)]
                case "flow":
                    self._window.told(decode(Flow, payload), now)
                    self.counters["flows"] += 1
                    return []
        except Rejected as error:
            self.counters[f"down_{error.reason}"] += 1
            return []
        self.counters["down_channel"] += 1
        return []

    def offer(self, want: Want, frames: Iterable[Frame], now: float) -> list[Action]:
        """The buffer gave out frames for a `Want`: send them, their dictionary first."""
        given = list(frames)
        self._lanes.took(want, given)
        if want.lane == "live" and len(given) < want.limit:
            self._snapshots.fresh_at = now
        channel = self._lanes.channel(want.lane)
        actions: list[Action] = []
        for frame in given:
            entry = Entry(frame, channel, now, now + self._window.patience(1))
            if entry.key in self._flight or entry.key in self._refused:
                continue  # passed before the lanes were rewound
            self._flight.add(entry)
            actions += self._send(entry)
        return actions

    def dictionary_grew(self, ep: str, size: int) -> list[Action]:
        """The current epoch's dictionary has `size` aliases: send what the cloud lacks."""
        self._dictionaries.current = (ep, size)
        return self._dictionaries.up_to(ep, size) if self.live else []

    def dictionary_sent(self, ep: str, size: int) -> None:
        """The dictionary of `ep` went out up to alias `size`."""
        self._dictionaries.went(ep, size)

    def rewind(self) -> None:
        """Rows that were not to be had before are in the buffer now: look at all of it again."""
        self._lanes.rewind(self._opening.mark)

    def tick(self, now: float) -> list[Action]:
        """Time passed: send again what was not answered."""
        if not self.live:
            if now < self._hello_due:
                return []
            self.counters["hello_again"] += 1
            return self.start(now)
        if now >= self._window.paused_until:
            self._snapshots.freshen(now, self.last_ack)
        actions = self._snapshot(now)
        if now >= self._window.paused_until:
            for entry in self._flight:
                if now >= entry.due:
                    if not entry.hurried:
                        self._window.lost(now, entry.sent)
                    actions += self._again(entry, now)
        return actions

    # ------------------------------------------------------------ what it wants

    def wants(self, now: float) -> Iterator[Want]:
        """Yield what to ask the buffer for, one after the other; `offer` each before the next.

        Urgent rows come first. New and old samples share the room half and half while there are both.
        """
        if not self.live:
            return
        for lane in self._lanes.urgent():
            if room := self._room(lane, now):
                yield self._lanes.want(lane, room)
        first, second = self._lanes.samples()
        for lane, share in ((first, 2), (second, 1), (first, 1)):
            if lane == "fill" and (self._lanes.fill_done or self._snapshots.due is not None):
                continue
            if room := self._room(lane, now):
                yield self._lanes.want(lane, -(-room // share))

    def _room(self, lane: Lane, now: float) -> int:
        flight = self._flight
        urgent = lane not in ("live", "fill")
        return max(
            0,
            self._window.room(
                now, messages=len(flight), samples=flight.samples, size=flight.size, urgent=urgent
            ),
        )

    @property
    def window(self) -> int:
        """How many messages are unacked."""
        return len(self._flight)

    def window_size(self, now: float) -> int:
        """Return how many messages may be unacked."""
        return self._window.size(now)

    def due(self, now: float) -> float:
        """Return when there is something to do next, by the caller's clock."""
        if not self.live:
            return self._hello_due
        due = min((entry.due for entry in self._flight), default=float("inf"))
        paused = self._window.paused_until
        if now < paused:
            due = paused
        snapshot = self._snapshots.due
        return due if snapshot is None else min(due, snapshot)

    # ------------------------------------------------------------ resume

    def _resume(self, resume: Resume, now: float) -> list[Action]:
        if resume.session != self.name:
            self.counters["resume_other_session"] += 1
            return []
        if self.live and resume.hello_at != self._audit_at:
            self.counters["resume_again"] += 1
            return []
        self._audit_at = None
        takes = set(resume.takes)
        actions: list[Action] = list(self._opening.time(resume, now))
        for known in resume.epochs:
            actions += self._opening.trims(known)
            for lost in self._opening.missing(known, takes):
                self.counters["rows_cloud_lost"] += ranges.count(lost.ranges)
                actions.append(lost)
            self._dictionaries.acked[known.ep] = known.dictionary
        if self.live:
            self._flight.unheard(self._audit_sent, now)
        else:
            self._go_live(resume, takes, now)
        return actions

    def _go_live(self, resume: Resume, takes: set[str], now: float) -> None:
        self.live, self._snapshots.fresh_at = True, now
        self._snapshots.taken = "now" in takes
        self._lanes.taken(takes)
        for known in resume.epochs:
            self._dictionaries.sent[known.ep] = known.dictionary
        if self._opening.has_backlog:
            self._snapshots.want(now)

    def _snapshot(self, now: float) -> list[Action]:
        """Return the snapshot once the cloud can read it, or has had the time to."""
        return list(self._snapshots.give(now, self._dictionaries))

    # ------------------------------------------------------------ acks

    def _reply(self, reply: Ack | Nack, now: float) -> list[Action]:
        if isinstance(reply, Nack):
            return self._nack(reply, now)
        claimed = spans(reply.ranges)
        if reply.st == "inv":
            self.counters["dictionary_acks"] += 1
            top = max((hi for _, hi in claimed), default=0)
            self._dictionaries.ack(reply.ep, top)
            return self._snapshot(now)
        return self._ack((reply.ep, reply.st), claimed, now)

    def _ack(self, space: Space, claimed: list[Range], now: float) -> list[Action]:
        acked = self._flight.ack(space, claimed)
        if acked.beyond:
            self.counters["acks_beyond"] += 1
        if not acked.confirmed:
            self.counters["acks_repeated"] += 1
            return []
        self.last_ack = now
        self.counters["acks"] += 1
        for entry in acked.done:
            self._window.acked(now, entry.sent, once=entry.tries == 1)
            self._flight.overtaken(entry, now)
        return [Confirm(*space, acked.confirmed)]

    def _nack(self, nack: Nack, now: float) -> list[Action]:
        self.counters[f"nack_{nack.nack}"] += 1
        if nack.st == "inv":
            return []
        entry = self._flight.get((nack.ep, nack.st, nack.s0))
        if nack.nack == "need_dict":
            return self._need_dictionary(nack, entry, now)
        if entry is None:
            return []
        self._flight.drop(entry)
        self._refused.add(entry.key)
        return [Refused(*entry.key, nack.nack)]

    def _need_dictionary(self, nack: Nack, entry: Entry | None, now: float) -> list[Action]:
        needed = entry.frame.dv if entry else self._dictionaries.sent.get(nack.ep, 0)
        if nack.have >= needed or (entry is None and nack.s0):  # it has what it asks for
            return []
        tries = entry.tries if entry else 0
        pause = again_after(tries)
        actions: list[Action] = [*self._dictionaries.again(nack.ep, nack.have, now, pause)]
        if entry and not actions and tries > HURRIES:
            # It asks without end, or does not know yet what was sent just now.
            entry.hurry(now + pause)
            return []
        if entry and now < self._window.paused_until:
            entry.due = now  # as soon as the pause is over
        elif entry:
            actions += self._again(entry, now)
        return actions

    # ------------------------------------------------------------ sending

    def _send(self, entry: Entry) -> list[Action]:
        frame = entry.frame
        before = self._dictionaries.up_to(frame.ep, frame.dv)
        return [*before, Publish(entry.channel, frame.blob)]

    def _again(self, entry: Entry, now: float) -> list[Action]:
        entry.tries += 1
        entry.due = now + self._window.patience(entry.tries)
        entry.sent, entry.hurried = now, False
        self.doubtful = True  # a process of the cloud may be another one now, with another database
        self.counters["resent"] += 1
        return [Publish(entry.channel, entry.frame.blob)]
