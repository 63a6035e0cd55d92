"""The bus of several processes: a stream of Redis per company, followed by whoever has followers.

::

    who publishes ─▶ queue ─▶ XADD company's stream ─▶ XREAD ─▶ followers of this process
                       ▲                                 │
                       └── what is wanted ◀── who follows says so, again and again

Ids are those of the stream: a client may come back to any process. Redis keeps nothing that cannot be
lost. While it is away events are dropped, and when it is back every follower is told to read anew.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_cloud.db import Scope
from plantroom_cloud.live.bus import KEPT, LINGER, Subscription
from plantroom_cloud.live.events import Event, pack
from plantroom_cloud.supervise import Backoff, keep_running
from plantroom_shared.cancelling import ended, heed_cancellation
from plantroom_shared.errors import ConfigError, Unavailable

log = logging.getLogger(__name__)

_PREFIX: Final = "plantroom:live:"
_WANTED: Final = f"{_PREFIX}wanted"
_LOST: Final = "~lost"
_BEGUN: Final = "~begun"
_LOOK: Final = 0.25
"""Seconds between two looks at what is wanted."""
_SPREAD: Final = 2 * _LOOK
"""Seconds after which every process knows of what is newly wanted."""
_BLOCK_MS: Final = 200
_CHUNK: Final = 200
_MOST_BYTES: Final = 32 * 1024 * 1024
"""Bytes that wait for Redis, at most."""
_PATIENCE: Final = 5.0
_FLUSH: Final = 2.0

_SEAT: Final = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
if not redis.call('ZSCORE', KEYS[1], ARGV[2]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return 1
"""

Id = tuple[int, int]


@dataclass
class _Hub:
    """Followers of one company in this process."""

    last: str
    followers: set[Subscription] = field(default_factory=set)
    catching: dict[Subscription, list[Event]] = field(default_factory=dict)
    """Who is being shown the past, and what has come since."""

    @property
    def topics(self) -> set[str]:
        """What is followed."""
        return {topic for one in (*self.followers, *self.catching) for topic in one.topics}


@dataclass(frozen=True, slots=True)
class _Told:
    company: int
    topic: str
    data: bytes
    sites: tuple[int, ...]


class RedisBus:
    """The bus of several processes.

    Args:
        url: of Redis.
        linger: seconds for which events are kept after the last follower has left.
    """

    shared = True

    def __init__(self, url: str, linger: float = LINGER) -> None:
        try:
            redis: Any = importlib.import_module("redis.asyncio")
        except ImportError as error:
            what = "the client of Redis is not installed"
            fix = "install plantroom[cloud,celery], or say live: {bus: memory}"
            raise ConfigError(what, key="live.bus", fix=fix) from error
        self._errors = (importlib.import_module("redis").RedisError, OSError)
        options = {"decode_responses": True, "socket_connect_timeout": _PATIENCE}
        self._redis: Any = redis.Redis.from_url(url, socket_timeout=_PATIENCE, **options)
        self._linger_ms = round(linger * 1000)
        self._hubs: dict[int, _Hub] = {}
        self._queue: deque[_Told] = deque()
        self._bytes = 0
        self._under_way = False
        self._lost: set[int] = set()
        self._waiting, self._idle = asyncio.Event(), asyncio.Event()
        self._follows = asyncio.Event()
        self._wanted: set[str] | None = None
        """``company|topic``; None until it is known: then everything is."""
        self._tasks: dict[str, asyncio.Task[None]] = {}

    # ------------------------------------------------------------ publishing

    def wants(self, scope: Scope, topic: str) -> bool:
        """Tell whether somebody follows `topic`, in any process, or did a moment ago."""
        self._start("live wanted", self._look)
        return self._wanted is None or f"{scope.company_id}|{topic}" in self._wanted

    def publish(
        self, scope: Scope, topic: str, data: Mapping[str, Any], sites: tuple[int, ...] = ()
    ) -> None:
        """Put an event into the queue to Redis; one that finds no room is told as lost."""
        if not self.wants(scope, topic):
            return
        self._start("live sending", self._send)
        told = _Told(scope.company_id, topic, pack(data), sites)
        if self._bytes + len(told.data) > _MOST_BYTES:
            self._lost.add(told.company)
        else:
            self._queue.append(told)
            self._bytes += len(told.data)
        self._idle.clear()
        self._waiting.set()

    def _start(self, name: str, run: Any) -> None:
        task = self._tasks.get(name)
        if task is None or task.done():
            self._tasks[name] = asyncio.create_task(keep_running(name, run, most=2.0), name=name)

    async def _look(self) -> None:
        """Know what is wanted."""
        while True:
            heed_cancellation()
            try:
                now, _ = await self._redis.time()
                self._wanted = set(await self._redis.zrangebyscore(_WANTED, now, "+inf"))
            except self._errors as error:
                # Before: what was wanted still is. Whoever follows registers anew afterwards.
                msg = f"Redis does not answer: {error}"
                raise Unavailable(msg) from error
            await asyncio.sleep(_LOOK)

    async def _send(self) -> None:
        backoff = Backoff("live sending", most=2.0)
        while True:
            heed_cancellation()
            await self._waiting.wait()
            batch = [self._queue.popleft() for _ in range(min(_CHUNK, len(self._queue)))]
            lost, self._lost = self._lost, set()
            self._bytes -= sum(len(told.data) for told in batch)
            if not batch and not lost:
                self._waiting.clear()
                self._idle.set()
                continue
            try:
                await self._add([*(_Told(one, _LOST, b"{}", ()) for one in sorted(lost)), *batch])
                backoff.recovered()
            except self._errors as error:
                # What waits is old by the time Redis is back: told as lost instead.
                self._lost |= lost | {told.company for told in (*batch, *self._queue)}
                self._queue.clear()
                self._bytes = 0
                await backoff.wait(error)

    async def _add(self, batch: Iterable[_Told]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for told in batch:
            key = f"{_PREFIX}{told.company}"
            fields = {"t": told.topic, "d": told.data, "s": ",".join(map(str, told.sites))}
            pipe.xadd(key, fields, maxlen=KEPT, approximate=True)
            pipe.pexpire(key, 2 * self._linger_ms)
        await pipe.execute()

    async def flush(self) -> None:
        """Wait until Redis has what was published, or two seconds."""
        if "live sending" not in self._tasks:
            return
        try:
            async with asyncio.timeout(_FLUSH):
                while self._queue or not self._idle.is_set():
                    await self._idle.wait()
        except TimeoutError:
            log.warning("live events not sent", extra={"waiting": len(self._queue)})

    # ------------------------------------------------------------ following

    async def subscribe(
        self, scope: Scope, topics: Collection[str], *, room: int, after: str | None = None
    ) -> Subscription:
        """Follow `topics` from now on, or from behind the event `after`.

        Raises:
            Unavailable: Redis does not answer.
        """
        company = scope.company_id
        try:
            if await self._want(company, topics):
                await asyncio.sleep(_SPREAD)
            hub = self._hubs.get(company)
            if hub is None:
                last = await self._newest(company)
                hub = self._hubs.setdefault(company, _Hub(last))
            subscription = Subscription(topics, room, lambda one: self._leave(company, one))
            subscription.at = hub.last
            if after is None:
                hub.followers.add(subscription)
            else:
                await self._catch_up(company, hub, subscription, after)
        except self._errors as error:
            msg = "the bus of live events does not answer; try again in a moment"
            raise Unavailable(msg) from error
        self._start("live reading", self._read)
        self._follows.set()
        return subscription

    async def _want(self, company: int, topics: Iterable[str]) -> bool:
        """Say that `topics` are wanted; return whether one was not."""
        seconds, micros = await self._redis.time()
        now_ms = seconds * 1000 + micros // 1000
        wanted, pipe = sorted(topics), self._redis.pipeline()
        if not wanted:
            return False
        # Forgotten before anybody stops to publish: what is not remembered is a gap.
        keep_ms, begins = self._linger_ms * 3 // 4, now_ms + round(_SPREAD * 1000)
        for topic in wanted:
            pipe.set(_since(company, topic), begins, nx=True, px=keep_ms)
        for topic in wanted:
            pipe.pexpire(_since(company, topic), keep_ms)
        until = seconds + self._linger_ms / 1000
        pipe.zadd(_WANTED, {f"{company}|{topic}": until for topic in wanted})
        pipe.zremrangebyscore(_WANTED, "-inf", f"({seconds}")
        pipe.pexpire(f"{_PREFIX}{company}", 2 * self._linger_ms)
        outcome = await pipe.execute()
        new = any(outcome[: len(wanted)])
        if new:
            await self._add([_Told(company, _BEGUN, b"{}", ())])
        return new

    async def _newest(self, company: int) -> str:
        found = await self._redis.xrevrange(f"{_PREFIX}{company}", count=1)
        return str(found[0][0]) if found else "0-0"

    async def _catch_up(
        self, company: int, hub: _Hub, subscription: Subscription, after: str
    ) -> None:
        """Show what came behind `after`, while what comes meanwhile is put by."""
        held = hub.catching[subscription] = []
        try:
            past = await self._past(company, subscription.topics, after)
        finally:
            del hub.catching[subscription]
        newest = _id(after) or (0, 0)
        if past is None:
            subscription.lose("gap")
        for event in (*(past or ()), *held):
            number = _id(event.id) or (0, 0)
            if number > newest:
                newest = number
                _hand(subscription, event)
        hub.followers.add(subscription)

    async def _past(self, company: int, topics: Collection[str], after: str) -> list[Event] | None:
        """Return what came behind `after`; None if that cannot be said."""
        number = _id(after)
        if number is None:
            return None
        key = f"{_PREFIX}{company}"
        begun = await self._redis.mget([_since(company, topic) for topic in sorted(topics)])
        if any(since is None or number[0] < int(since) for since in begun):
            return None
        # One that is older, or itself, is there still: then everything behind it is.
        if not await self._redis.xrevrange(key, max=after, count=1):
            return None
        if number > (_id(await self._newest(company)) or (0, 0)):
            return None  # of another Redis, or made up
        return [_event(*entry) for entry in await self._redis.xrange(key, min=f"({after}")]

    def _leave(self, company: int, subscription: Subscription) -> None:
        hub = self._hubs.get(company)
        if hub is not None:
            hub.followers.discard(subscription)
            if not hub.followers and not hub.catching:
                del self._hubs[company]

    async def _read(self) -> None:
        """Hand over what comes, and keep saying what is wanted."""
        try:
            for company, hub in list(self._hubs.items()):
                await self._want(company, hub.topics)
            renewed = _now()
            while True:
                heed_cancellation()
                if not self._hubs:
                    self._follows.clear()
                    await self._follows.wait()
                if _now() - renewed > self._linger_ms / 4000:
                    renewed = _now()
                    for company, hub in list(self._hubs.items()):
                        await self._want(company, hub.topics)
                places = {f"{_PREFIX}{company}": hub.last for company, hub in self._hubs.items()}
                found = await self._redis.xread(places, count=_CHUNK, block=_BLOCK_MS)
                for key, entries in _pairs(found):
                    self._hand_over(int(key.rpartition(":")[2]), entries)
        except self._errors as error:
            for hub in self._hubs.values():
                for follower in (*hub.followers, *hub.catching):
                    follower.lose("bus")
            msg = f"Redis does not answer: {error}"
            raise Unavailable(msg) from error

    def _hand_over(self, company: int, entries: Iterable[Any]) -> None:
        hub = self._hubs.get(company)
        for entry in entries if hub else ():
            assert hub is not None  # noqa: S101 - the line above
            event = _event(*entry)
            hub.last = event.id
            for held in hub.catching.values():
                held.append(event)
            for follower in hub.followers:
                _hand(follower, event)

    # ------------------------------------------------------------ seats

    async def take_seat(self, who: str, seat: str, most: int, seconds: float) -> bool:
        """Keep a seat of `who`, over all processes; without Redis nobody is sent away."""
        try:
            now, _ = await self._redis.time()
            until = round((now + seconds) * 1000)
            key = f"{_PREFIX}seats:{who}"
            return bool(await self._redis.eval(_SEAT, 1, key, now * 1000, seat, most, until))
        except self._errors:
            return True

    async def leave_seat(self, who: str, seat: str) -> None:
        """Give a seat back; without Redis it runs out."""
        try:
            await self._redis.zrem(f"{_PREFIX}seats:{who}", seat)
        except self._errors as error:
            log.info("seat not given back", extra={"error": str(error)})

    async def close(self) -> None:
        """Send what waits, and end."""
        await self.flush()
        await ended(*self._tasks.values())
        await self._redis.aclose()


def _since(company: int, topic: str) -> str:
    return f"{_PREFIX}since:{company}:{topic}"


def _hand(follower: Subscription, event: Event) -> None:
    follower.at = event.id
    if event.topic == _LOST:
        follower.lose("bus")
    elif event.topic in follower.topics:
        follower.put(event)


def _event(number: str, fields: Mapping[str, str]) -> Event:
    sites = tuple(int(site) for site in fields["s"].split(",") if site)
    return Event(number, fields["t"], fields["d"].encode(), sites)


def _id(text: str) -> Id | None:
    """Return an id of a stream as numbers; None if it is none."""
    first, _, second = text.partition("-")
    fits = first.isdecimal() and second.isdecimal() and len(first) < 16 and len(second) < 19
    return (int(first), int(second)) if fits else None


def _pairs(found: Any) -> Iterable[tuple[str, Any]]:
    """Return stream and entries, however the client's protocol puts it."""
    if isinstance(found, Mapping):
        for key, parts in found.items():
            yield key, [entry for part in parts for entry in part]
        return
    yield from found or ()


def _now() -> float:
    return asyncio.get_running_loop().time()
