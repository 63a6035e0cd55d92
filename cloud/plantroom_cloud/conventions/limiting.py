"""So often and no oftener: by address before anybody is known, by key and company afterwards.

What a flood costs is kept small: of a credential that was seen before it is remembered whose it is,
so a request too many is refused before anything is looked up. That memory refuses only; who is let
in is decided by the gate alone.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections.abc import Sequence
from typing import ClassVar, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plantroom_cloud.config_api import ApiSettings, RateLimit
from plantroom_cloud.conventions.buckets import Bucket, Buckets, Level
from plantroom_cloud.kit.problems import ApiError
from plantroom_shared.clock import Clock

_LIMITER: Final = "plantroom.limiter"
_TAKEN: Final = "plantroom.taken"
_PROBES: Final = frozenset({"/livez", "/readyz"})
_MOST: Final = 50_000
"""Credentials of which a process remembers whose they are."""


class TooManyRequests(ApiError):
    """Somebody asks more often than is allowed."""

    status: ClassVar[int] = 429
    code: ClassVar[str] = "rate_limited"
    title: ClassVar[str] = "Too many requests"

    def __init__(self, worst: Level) -> None:
        limit = worst.bucket.limit
        seconds = max(1, math.ceil(worst.wait))
        msg = (
            f"this {worst.bucket.kind} may ask {limit.burst} times at once and {limit.rate:g} times"
            f" a second; try again in {seconds} s"
        )
        super().__init__(msg, headers={"Retry-After": str(seconds)})


class Limiter:
    """Takes tokens for requests.

    Args:
        settings: how large the buckets are.
        buckets: where they stand.
        clock: by which they fill.
    """

    def __init__(self, settings: ApiSettings, buckets: Buckets, clock: Clock) -> None:
        self._settings, self._buckets, self._clock = settings, buckets, clock
        self._whose: dict[bytes, tuple[str, int]] = {}

    async def by_address(self, scope: Scope) -> None:
        """Take a token of the caller's address; TooManyRequests where there is none."""
        client = scope.get("client")
        limit = self._settings.per_address
        if limit is not None and client is not None and scope["path"] not in _PROBES:
            await self._take(scope, [Bucket("address", network(client[0]), limit)])

    async def by_memory(self, scope: Scope) -> None:
        """Take tokens of whoever had the request's credential last, if anybody."""
        if (known := self._whose.get(_credential(scope))) is not None:
            await self._of(scope, *known)

    async def by_name(self, scope: Scope, who: str, company: int) -> None:
        """Take tokens of who asks, unless that was done already."""
        if scope.get(_TAKEN) == (who, company):
            return
        if len(self._whose) >= _MOST:
            self._whose.clear()
        self._whose[_credential(scope)] = (who, company)
        if _TAKEN not in scope:  # else the memory was wrong, and is not any more
            await self._of(scope, who, company)

    async def _of(self, scope: Scope, who: str, company: int) -> None:
        scope[_TAKEN] = (who, company)
        wanted: tuple[tuple[str, str, RateLimit | None], ...] = (
            ("key", f"{company}:{who}", self._settings.per_key),
            ("company", str(company), self._settings.per_company),
        )
        buckets = [Bucket(kind, whose, limit) for kind, whose, limit in wanted if limit]
        await self._take(scope, buckets)

    async def _take(self, scope: Scope, buckets: Sequence[Bucket]) -> None:
        levels = await self._buckets.take(buckets, self._clock.monotonic())
        scope.setdefault(_LIMITER, []).extend(levels)
        worst = max(levels, key=lambda one: one.wait, default=None)
        if worst is not None and worst.wait > 0:
            raise TooManyRequests(worst)


def network(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _credential(scope: Scope) -> bytes:
    """Return a digest of what the request presents; secrets are not kept."""
    headers = Headers(scope=scope)
    given = f"{headers.get('authorization', '')}\0{headers.get('x-api-key', '')}"
    return hashlib.sha256(given.encode()).digest()


class RateLimits:
    """Refuses what is too often before anything is looked up; tells everybody how they stand."""

    def __init__(self, app: ASGIApp, limiter: Limiter) -> None:
        self.app, self._limiter = app, limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if there are tokens, and the levels on with the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start" and scope.get(_LIMITER):
                MutableHeaders(scope=message).update(headers(scope[_LIMITER]))
            await send(message)

        try:
            await self._limiter.by_address(scope)
            await self._limiter.by_memory(scope)
        except TooManyRequests as error:
            error.headers |= headers(scope[_LIMITER])
            raise
        await self.app(scope, receive, telling)


def headers(levels: Sequence[Level]) -> dict[str, str]:
    """Return the headers that say how buckets stand (draft-ietf-httpapi-ratelimit-headers-10)."""
    policies = (
        f'"{one.bucket.kind}";q={one.bucket.limit.burst}'
        f";w={max(1, round(one.bucket.limit.burst / one.bucket.limit.rate))}"
        for one in levels
    )
    standing = (
        f'"{one.bucket.kind}";r={one.remaining};t={math.ceil(one.full_in)}' for one in levels
    )
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(standing)}
