"""A cache in two tiers: this process's memory, then Redis where it is configured.

::

    get ─▶ memory, for `near` seconds ─▶ far tier, until `fresh` ─▶ make, once for all who ask ─┐
                                                                                                │
            an older value, until `stale`, where making it failed ◀─────────────────────────────┘

Every key holds the company (None: before it is known whose it is), so that nothing of one can come
up for another. A value is never served longer than `fresh` seconds after it was made, and where
making a newer one fails no longer than `stale` after that, whoever forgot to forget it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

import orjson

from plantroom_cloud.kit import figures
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable

T = TypeVar("T")
Place = tuple[int | None, str]
"""(company, key)."""
_SKEW_US: Final = 1_000_000


class Far(Protocol):
    """A tier that several processes share. It may lose everything at any time."""

    async def read(self, place: Place, tags: Iterable[str]) -> tuple[bytes | None, bytes]:
        """Return what stands there, if anything, and the present mark of the tags.

        Raises:
            Unavailable: it does not answer; the caller does without.
        """
        ...

    async def put(self, place: Place, data: bytes, seconds: float) -> None:
        """Keep `data` for so long; Unavailable as above."""
        ...

    async def forget(self, company: int | None, tag: str) -> None:
        """Change the mark of a tag, which makes everything that bears it old; Unavailable as above."""
        ...


@dataclass(frozen=True, slots=True)
class Lives:
    """How long a value is served, in seconds since it was made."""

    fresh: float
    stale: float = 0.0
    """Beyond that, where making it anew fails."""
    near: float = 1.0
    """From memory without asking a far tier, where there is one."""


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    value: T
    made_us: int
    near_until: float
    tags: frozenset[str]


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T | None]
    tags: frozenset[str]
    began_us: int
    keep: bool = True


@dataclass(slots=True)
class Shared(Generic[T]):
    """The far tier of one cache, and how its values travel."""

    far: Far
    dump: Callable[[T], bytes] = orjson.dumps
    load: Callable[[bytes], T] = field(default=orjson.loads)


class Cache(Generic[T]):
    """Values by company and key. None is never kept: that there is none is asked again.

    Args:
        name: for metrics.
        clock: wall time for ages, since they travel; monotonic time for `near`.
        lives: how long values are served.
        most: entries in memory; beyond that the one goes that was not read for longest.
        shared: the second tier; None: memory alone.
        trouble: errors of `make` upon which an older value is served.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        lives: Lives,
        *,
        most: int = 10_000,
        shared: Shared[T] | None = None,
        trouble: tuple[type[Exception], ...] = (Unavailable,),
    ) -> None:
        self._name, self._clock, self._lives, self._most = name, clock, lives, most
        self._shared, self._trouble = shared, trouble
        self._entries: OrderedDict[Place, _Entry[T]] = OrderedDict()
        self._flights: dict[Place, _Flight[T]] = {}
        figures.watch(self, _read)

    def __len__(self) -> int:
        """Return how many entries are in memory."""
        return len(self._entries)

    async def get(
        self,
        company: int | None,
        key: str,
        make: Callable[[], Awaitable[T | None]],
        *,
        tags: Iterable[str] = (),
    ) -> T | None:
        """Return the value of `key`, made by `make` if nobody has it; one maker for all who ask."""
        place = (company, key)
        entry = self._entries.get(place)
        if entry is not None and self._is_near(entry):
            self._entries.move_to_end(place)
            self._count("memory")
            return entry.value
        flight = self._flights.get(place)
        if flight is None or self._age(flight.began_us) >= self._lives.fresh:
            # None is under way, or one that began too long ago to say how it is now.
            marks = frozenset(tags)
            task = asyncio.create_task(self._fetch(place, make, marks))
            flight = self._flights[place] = _Flight(task, marks, self._clock.now_us())
            task.add_done_callback(lambda _: self._landed(place, flight))
        else:
            self._count("joined")
        # Who goes away does not take the others' answer along.
        return await asyncio.shield(flight.task)

    async def forget(self, company: int | None, tag: str) -> None:
        """Make every value of `company` that bears `tag` anew; what is being made is not kept."""
        self.drop(company, tag)
        if self._shared is not None:
            try:
                await self._shared.far.forget(company, tag)
            except Unavailable:
                # What stands there ends by its age.
                figures.CACHE_LOOKUPS.labels(self._name, "far_away").inc()

    def drop(self, company: int | None, tag: str) -> None:
        """The same for this process alone."""
        for place in [p for p, e in self._entries.items() if p[0] == company and tag in e.tags]:
            del self._entries[place]
        for place in [p for p, f in self._flights.items() if p[0] == company and tag in f.tags]:
            self._flights.pop(place).keep = False

    def clear(self) -> None:
        """Make everything anew in this process."""
        self._entries.clear()
        for flight in self._flights.values():
            flight.keep = False
        self._flights.clear()

    # ------------------------------------------------------------ within

    def _count(self, answer: str) -> None:
        figures.CACHE_LOOKUPS.labels(self._name, answer).inc()

    def _is_near(self, entry: _Entry[T]) -> bool:
        near = self._clock.monotonic() < entry.near_until
        return near and self._age(entry.made_us) < self._lives.fresh

    def _age(self, made_us: int) -> float:
        return (self._clock.now_us() - made_us) / 1e6

    def _landed(self, place: Place, flight: _Flight[T]) -> None:
        if self._flights.get(place) is flight:
            del self._flights[place]
        if not flight.task.cancelled():
            flight.task.exception()  # it went to whoever waited, if anybody still did

    async def _fetch(
        self, place: Place, make: Callable[[], Awaitable[T | None]], tags: frozenset[str]
    ) -> T | None:
        mark = b""
        if self._shared is not None:
            found, mark = await self._from_far(self._shared, place, tags)
            if found is not None:
                self._count("far")
                self._keep(place, found)
                return found.value
        before = self._clock.now_us()  # what changes while it is read counts as read before
        try:
            value = await make()
        except self._trouble:
            old = self._entries.get(place)
            limit = self._lives.fresh + self._lives.stale
            if old is None or self._lives.stale <= 0 or self._age(old.made_us) >= limit:
                self._count("failed")
                raise
            self._count("stale")
            return old.value
        self._count("made")
        if value is None:
            self._entries.pop(place, None)
            return None
        entry = self._entry(value, before, tags)
        if self._keep(place, entry) and self._shared is not None:
            await self._to_far(self._shared, place, entry, mark)
        return value

    def _entry(self, value: T, made_us: int, tags: frozenset[str]) -> _Entry[T]:
        near = self._lives.fresh if self._shared is None else self._lives.near
        return _Entry(value, made_us, self._clock.monotonic() + near, tags)

    def _keep(self, place: Place, entry: _Entry[T]) -> bool:
        """Remember a value, unless it was to be forgotten while it was made; say whether."""
        flight = self._flights.get(place)
        if (
            self._lives.fresh <= 0
            or flight is None
            or not flight.keep
            or flight.task is not asyncio.current_task()
        ):
            return False
        self._entries[place] = entry
        self._entries.move_to_end(place)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return True

    # ------------------------------------------------------------ the far tier

    async def _from_far(
        self, shared: Shared[T], place: Place, tags: frozenset[str]
    ) -> tuple[_Entry[T] | None, bytes]:
        try:
            data, mark = await shared.far.read(place, sorted(tags))
        except Unavailable:
            self._count("far_away")
            return None, b""
        if data is None:
            return None, mark
        try:
            made, marked, value = data.split(b"\n", 2)
            entry = self._entry(shared.load(value), int(made), tags)
        except (ValueError, TypeError):
            self._count("far_unreadable")
            return None, mark
        age = self._age(entry.made_us)
        fits = marked == mark and -_SKEW_US / 1e6 <= age < self._lives.fresh
        return (entry if fits else None), mark

    async def _to_far(self, shared: Shared[T], place: Place, entry: _Entry[T], mark: bytes) -> None:
        """Leave a value for others under the mark that its tags had before it was read."""
        data = b"\n".join((str(entry.made_us).encode(), mark, shared.dump(entry.value)))
        try:
            await shared.far.put(place, data, self._lives.fresh)
        except Unavailable:
            self._count("far_away")


def _read(cache: Cache[Any]) -> Iterable[figures.Reading]:
    labels = (("cache", cache._name),)  # noqa: SLF001 - of this module
    yield "cache_entries", "Entries in memory.", labels, float(len(cache))
