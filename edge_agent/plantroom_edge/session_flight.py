"""What is on the way to the cloud: sent in this session, and not yet acked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from plantroom_edge.buffer_db import Frame
from plantroom_shared import ranges
from plantroom_shared.ranges import Range
from plantroom_shared.wire import Stream

Space = tuple[str, Stream]
"""An epoch and a stream of it: where order numbers count."""

Key = tuple[str, Stream, int]
"""A message: its space and its first row."""

OVERTAKEN_AGAIN: Final = 1.0
"""Seconds to wait for the ack of a message when a later one has been acked: it went down with a
process of the cloud, or another one has it and is a little slower."""

HURRIES: Final = 3
"""How often a message is sent again that soon: what is never acked must not fill the line."""


@dataclass(slots=True)
class Entry:
    """One message on the way."""

    frame: Frame
    channel: str
    sent: float
    due: float
    tries: int = 1
    hurried: bool = False
    """Whether it is due early because a later one was acked: that tells nothing of the link."""

    @property
    def key(self) -> Key:
        """Its space and first row."""
        return self.frame.ep, self.frame.stream, self.frame.s0

    def hurry(self, soon: float) -> None:
        """Let it be due at `soon`, if that is earlier."""
        if soon < self.due:
            self.due, self.hurried = soon, True


@dataclass(slots=True)
class _Rows:
    sent: list[Range] = field(default_factory=list)
    """Rows sent in this session and not yet confirmed."""
    top: int = 0
    """The highest row ever sent in this session."""
    acked: list[Range] = field(default_factory=list)
    """Rows acked whose message is not yet acked as a whole."""


@dataclass(frozen=True, slots=True)
class Acked:
    """What an ack was good for."""

    confirmed: tuple[Range, ...]
    """Rows to confirm; empty if it told nothing new."""
    done: tuple[Entry, ...]
    """Messages that are acked as a whole."""
    beyond: bool
    """Whether it named rows that never went out in this session."""


class Flight:
    """Messages on the way, and the rows in them."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._rows: dict[Space, _Rows] = {}
        self.size = 0
        """Bytes on the way."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    @property
    def samples(self) -> int:
        """How many messages carry samples."""
        return sum(key[1] == "tel" for key in self._entries)

    def get(self, key: Key) -> Entry | None:
        """Return the message under `key`, if it is on the way."""
        return self._entries.get(key)

    def add(self, entry: Entry) -> None:
        """A message goes out for the first time."""
        frame = entry.frame
        self._entries[entry.key] = entry
        self.size += len(frame.blob)
        rows = self._rows.setdefault((frame.ep, frame.stream), _Rows())
        rows.sent = ranges.merge([*rows.sent, (frame.s0, frame.last)])
        rows.top = max(rows.top, frame.last)

    def drop(self, entry: Entry) -> None:
        """A message is on the way no longer."""
        del self._entries[entry.key]
        self.size -= len(entry.frame.blob)

    def ack(self, space: Space, claimed: list[Range]) -> Acked:
        """The cloud says it has committed `claimed`; only rows that were sent count."""
        rows = self._rows.get(space, _Rows())
        beyond = max((hi for _, hi in claimed), default=0) > rows.top
        good = ranges.intersect(rows.sent, claimed)
        if not good:
            return Acked((), (), beyond)
        rows.acked = ranges.merge([*rows.acked, *good])
        done = [
            entry
            for entry in self._of(space)
            if ranges.covers(rows.acked, entry.frame.s0, entry.frame.last)
        ]
        for entry in done:
            self.drop(entry)
        confirmed = tuple(rows.acked)
        partly = [(entry.frame.s0, entry.frame.last) for entry in self._of(space)]
        rows.acked = ranges.intersect(rows.acked, ranges.merge(partly))
        rows.sent = ranges.subtract(rows.sent, ranges.subtract(confirmed, rows.acked))
        return Acked(confirmed, tuple(done), beyond)

    def overtaken(self, acked: Entry, now: float) -> None:
        """Send again soon what went out before `acked`, on its way, and is still not acked."""
        for entry in self:
            older = entry.sent < acked.sent or (
                entry.sent == acked.sent
                and (entry.frame.order, entry.frame.last) < (acked.frame.order, acked.frame.s0)
            )
            if older and entry.channel == acked.channel and entry.tries <= HURRIES:
                entry.hurry(now + OVERTAKEN_AGAIN)

    def unheard(self, asked: float, now: float) -> None:
        """Send again soon what went out before a hello that the cloud has answered since.

        It is there, and has not got these rows: they went down with a process of it, or their acks.
        """
        for entry in self:
            if entry.sent < asked:
                entry.hurry(now + OVERTAKEN_AGAIN)

    def _of(self, space: Space) -> list[Entry]:
        return [entry for key, entry in self._entries.items() if key[:2] == space]
