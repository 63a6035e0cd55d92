"""The caches of a process, each made where it is first asked for, all with the same second tier."""

from __future__ import annotations

from typing import Any, cast

from fastapi import Request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.kit.cache import Cache, Lives, Shared
from plantroom_cloud.kit.redis_cache import PATIENCE, RedisFar
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable

_TROUBLE = (Unavailable, DBAPIError, PoolTimeoutError, OSError)


class Caches:
    """Caches of values that are JSON, by name.

    Args:
        settings: whether there is a Redis.
        clock: of all of them.
        patience: seconds for one command to Redis.
    """

    def __init__(
        self, settings: CloudSettings, clock: Clock, *, patience: float = PATIENCE
    ) -> None:
        self._url = settings.redis.get_secret_value() if settings.cache == "redis" else ""
        self._clock, self._patience = clock, patience
        self._caches: dict[str, Cache[Any]] = {}
        self._fars: list[RedisFar] = []
        if self._url:
            self._far("ping")  # a client that is not installed is said at the start

    def of(self, name: str, lives: Lives) -> Cache[Any]:
        """Return the cache of that name."""
        found = self._caches.get(name)
        if found is None:
            shared = Shared[Any](self._far(name)) if self._url else None
            found = Cache[Any](name, self._clock, lives, shared=shared, trouble=_TROUBLE)
            self._caches[name] = found
        return found

    def _far(self, name: str) -> RedisFar:
        self._fars.append(RedisFar(self._url, name, self._clock, self._patience))
        return self._fars[-1]

    async def ping(self) -> None:
        """Find out whether the second tier answers, where there is one; Unavailable if not."""
        for far in self._fars[:1]:
            await far.ping()

    async def close(self) -> None:
        """Close the connections."""
        for far in self._fars:
            await far.close()


def caches(request: Request) -> Caches:
    """Return the caches of the service."""
    return cast("Caches", request.app.state.caches)
