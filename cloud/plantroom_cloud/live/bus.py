"""The bus: from who stores to who tells. In memory here; over Redis in `redis_bus`.

Publishing never waits and never fails: what is published is news, and the truth is in the database.
Whoever may have missed something is told so (`Resync`) and reads anew; nobody is told half.

Events of a company are kept only while somebody follows it, and for `LINGER` seconds after: long
enough for a client to come back to where it was.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from plantroom_cloud.db import Scope
from plantroom_cloud.live.events import Event, Resync, pack

LINGER: Final = 120.0
"""Seconds for which a company's events are kept after the last of its followers has left."""
KEPT: Final = 1000
"""Events of a company that are kept, at most ..."""
KEPT_BYTES: Final = 8 * 1024 * 1024
"""... and their bytes."""
WAITING_BYTES: Final = 4 * 1024 * 1024
"""Bytes that wait for one client."""


class Subscription:
    """What one client follows, and the events that wait for it.

    Args:
        topics: that it follows.
        room: events that may wait.
        leave: called once, when it is closed.
    """

    def __init__(
        self, topics: Collection[str], room: int, leave: Callable[[Subscription], None]
    ) -> None:
        self.topics, self._room, self._leave = frozenset(topics), room, leave
        self._waiting: deque[Event] = deque()
        self._bytes = 0
        self._lost = ""
        self._awake = asyncio.Event()
        self.at = ""
        """Id of the newest event of the company that was looked at."""

    def put(self, event: Event) -> None:
        """Take an event, or remember that there was no room: then nothing waits any more."""
        if len(self._waiting) >= self._room or self._bytes + len(event.data) > WAITING_BYTES:
            self.lose("slow")
            return
        self._waiting.append(event)
        self._bytes += len(event.data)
        self._awake.set()

    def lose(self, why: str) -> None:
        """Drop what waits: who follows has missed something and must read anew."""
        self._waiting.clear()
        self._bytes, self._lost = 0, self._lost or why
        self._awake.set()

    async def next(self, seconds: float) -> Event | Resync | None:
        """Return what comes next; None if that is nothing for so many seconds."""
        if not self._lost and not self._waiting:
            self._awake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._awake.wait()
        if self._lost:
            why, self._lost = self._lost, ""
            return Resync(why)
        if not self._waiting:
            return None
        event = self._waiting.popleft()
        self._bytes -= len(event.data)
        return event

    def wake(self) -> None:
        """Let who waits look around."""
        self._awake.set()

    def close(self) -> None:
        """Follow nothing any more."""
        leave, self._leave = self._leave, _nothing
        leave(self)


class Bus(Protocol):
    """Carries events of companies."""

    shared: bool
    """Whether other processes hear what is published here."""

    def wants(self, scope: Scope, topic: str) -> bool:
        """Tell whether somebody follows `topic`, or did a moment ago: what is made for it costs."""
        ...

    def publish(
        self, scope: Scope, topic: str, data: Mapping[str, Any], sites: tuple[int, ...] = ()
    ) -> None:
        """Tell followers of `topic`; never waits, never fails. After the commit, not before."""
        ...

    async def subscribe(
        self, scope: Scope, topics: Collection[str], *, room: int, after: str | None = None
    ) -> Subscription:
        """Follow `topics` from now on, or from behind the event `after`.

        What comes first is a `Resync` where it cannot be said that nothing is missing since `after`.
        """
        ...

    async def take_seat(self, who: str, seat: str, most: int, seconds: float) -> bool:
        """Keep a seat of `who` for so many seconds, again and again; False if `most` are taken."""
        ...

    async def leave_seat(self, who: str, seat: str) -> None:
        """Give a seat back."""
        ...

    async def flush(self) -> None:
        """Wait until what was published has left this process, but not for long."""
        ...

    async def close(self) -> None:
        """End."""
        ...


class Row:
    """Events of one company that are kept in memory, and who follows them."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(4)
        self.count = 0
        self.kept: deque[Event] = deque()
        self.bytes = 0
        self.followers: set[Subscription] = set()
        self.since: dict[str, int] = {}
        """Topic → number of the event behind which nothing of it is missing."""
        self.left_at = 0.0

    @property
    def at(self) -> str:
        """Id of the newest event."""
        return f"{self.token}-{self.count}"

    def add(self, topic: str, data: bytes, sites: tuple[int, ...]) -> None:
        """Keep an event and hand it to who follows it."""
        self.count += 1
        event = Event(self.at, topic, data, sites)
        self.kept.append(event)
        self.bytes += len(data)
        while len(self.kept) > KEPT or self.bytes > KEPT_BYTES:
            self.bytes -= len(self.kept.popleft().data)
        for follower in self.followers:
            follower.at = event.id
            if topic in follower.topics:
                follower.put(event)

    def resume(self, subscription: Subscription, after: str) -> None:
        """Hand over what came behind `after`, or say that this is not known."""
        token, _, text = after.partition("-")
        number = int(text) if text.isdecimal() and len(text) < 19 else -1
        oldest = self.count - len(self.kept)
        gapless = all(
            self.since.get(topic, self.count + 1) <= number for topic in subscription.topics
        )
        if token != self.token or not oldest <= number <= self.count or not gapless:
            subscription.lose("gap")
            return
        for event in list(self.kept)[number - oldest :]:
            if event.topic in subscription.topics:
                subscription.put(event)


class MemoryBus:
    """The bus of one process."""

    shared = False

    def __init__(self, linger: float = LINGER) -> None:
        self._rows: dict[int, Row] = {}
        self._linger = linger
        self._seats: dict[str, dict[str, float]] = {}

    def wants(self, scope: Scope, topic: str) -> bool:
        """Tell whether somebody follows `topic`, or did a moment ago."""
        row = self._row(scope.company_id)
        return row is not None and topic in row.since

    def publish(
        self, scope: Scope, topic: str, data: Mapping[str, Any], sites: tuple[int, ...] = ()
    ) -> None:
        """Tell followers of `topic`, at once."""
        row = self._row(scope.company_id)
        if row is not None and topic in row.since:
            row.add(topic, pack(data), sites)

    def _row(self, company: int) -> Row | None:
        row = self._rows.get(company)
        if row is not None and not row.followers and _now() - row.left_at > self._linger:
            del self._rows[company]
            return None
        return row

    async def subscribe(
        self, scope: Scope, topics: Collection[str], *, room: int, after: str | None = None
    ) -> Subscription:
        """Follow `topics` from now on, or from behind the event `after`."""
        row = self._row(scope.company_id) or self._rows.setdefault(scope.company_id, Row())

        def leave(subscription: Subscription) -> None:
            row.followers.discard(subscription)
            row.left_at = _now()

        subscription = Subscription(topics, room, leave)
        if after is not None:
            row.resume(subscription, after)
        for topic in topics:
            row.since.setdefault(topic, row.count)
        subscription.at = row.at
        row.followers.add(subscription)
        return subscription

    async def take_seat(self, who: str, seat: str, most: int, seconds: float) -> bool:
        """Keep a seat of `who`; False if `most` are taken."""
        taken, now = self._seats.setdefault(who, {}), _now()
        for other in [name for name, until in taken.items() if until < now]:
            del taken[other]
        if seat not in taken and len(taken) >= most:
            return False
        taken[seat] = now + seconds
        return True

    async def leave_seat(self, who: str, seat: str) -> None:
        """Give a seat back."""
        taken = self._seats.get(who, {})
        taken.pop(seat, None)
        if not taken:
            self._seats.pop(who, None)

    async def flush(self) -> None:
        """Return: nothing is on its way."""

    async def close(self) -> None:
        """Return: nothing is open."""


def _nothing(_: Subscription) -> None:
    """Do nothing: it is closed already."""


def _now() -> float:
    return asyncio.get_running_loop().time()
