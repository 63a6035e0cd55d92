"""The far tier of caches in Redis; what it says is a hint, and that it is away costs milliseconds."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Iterable
from typing import Any, Final, TypeVar

from plantroom_cloud.kit.breakers import Breaker, Manner
from plantroom_cloud.kit.cache import Place
from plantroom_cloud.kit.dependencies import Dependency
from plantroom_shared.cancelling import heed_cancellation
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError, Unavailable

T = TypeVar("T")
PATIENCE: Final = 0.25
"""Seconds: a cache that is slower than the database is none."""
_MANNER: Final = Manner(failures=3, pause=2.0)
_MARKS: Final = 3600
"""Seconds that the mark of a tag stays; longer than any value."""
_MOST: Final = 1_000_000
"""Bytes of one value."""


class RedisFar:
    """Keys are ``plantroom:cache:<name>:<company>:...``; nothing in Redis is the only copy.

    Args:
        url: ``redis://...``, with its password.
        name: of the cache.
        clock: for its breaker.
        patience: seconds for one command.
    """

    def __init__(self, url: str, name: str, clock: Clock, patience: float = PATIENCE) -> None:
        try:
            from redis.asyncio import Redis  # noqa: PLC0415 - an extra
            from redis.asyncio.retry import Retry  # noqa: PLC0415 - an extra
            from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra
        except ImportError as error:
            what, fix = "the Redis client is not installed", "install redis, or say cache: memory"
            raise ConfigError(what, key="cache", fix=fix) from error
        self._redis: Any = Redis.from_url(
            url,
            socket_timeout=patience,
            socket_connect_timeout=patience,
            max_connections=32,
            retry=Retry(NoBackoff(), 1),  # once: a kept connection may be one to an earlier Redis
        )
        self._patience = patience
        self._prefix = f"plantroom:cache:{name}"
        self._breaker = Breaker("redis", clock, _MANNER)
        self._dependency = Dependency("redis", clock, self._breaker)

    def _key(self, company: int | None, what: str, key: str) -> str:
        return f"{self._prefix}:{'-' if company is None else company}:{what}:{key}"

    async def read(self, place: Place, tags: Iterable[str]) -> tuple[bytes | None, bytes]:
        """Return what stands there, if anything, and the present mark of the tags."""
        company, key = place
        keys = [self._key(company, "value", key)]
        keys += [self._key(company, "tag", tag) for tag in tags]
        data, *marks = await self._call(self._redis.mget(keys))
        return data, b",".join(mark or b"-" for mark in marks)

    async def put(self, place: Place, data: bytes, seconds: float) -> None:
        """Keep `data` for so long; what is very large is not worth it."""
        if len(data) <= _MOST:
            key = self._key(place[0], "value", place[1])
            await self._call(self._redis.set(key, data, px=max(1, round(seconds * 1000))))

    async def forget(self, company: int | None, tag: str) -> None:
        """Change the mark of a tag, which makes everything that bears it old."""
        mark = secrets.token_hex(8)
        await self._call(self._redis.set(self._key(company, "tag", tag), mark, ex=_MARKS))

    async def ping(self) -> None:
        """Find out whether it answers."""
        await self._call(self._redis.ping())

    async def _call(self, doing: Awaitable[T]) -> T:
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra

        if not self._breaker.allow():
            getattr(doing, "close", lambda: None)()
            msg = "Redis kept failing and is left alone for a while"
            raise Unavailable(msg)
        trouble = (RedisError, OSError, TimeoutError)
        try:
            with self._breaker.attempt(
                self._dependency, lambda error: False if isinstance(error, trouble) else None
            ):
                try:
                    async with asyncio.timeout(2 * self._patience):
                        return await doing
                except trouble:
                    heed_cancellation()  # its client takes a cancellation for a broken line
                    raise
        except trouble as error:
            msg = f"Redis does not answer: {type(error).__name__}"
            raise Unavailable(msg) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
