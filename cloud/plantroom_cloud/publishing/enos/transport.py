"""One HTTP request to EnOS, with a deadline and a bound on the answer."""

from __future__ import annotations

import asyncio
import email.utils
from typing import Any

import httpx
import orjson

from plantroom_cloud.kit.breakers import Breaker, Manner
from plantroom_cloud.kit.dependencies import Dependency
from plantroom_cloud.publishing.enos.errors import Stale, Unclear, code_of, judge, succeeded
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected, Unavailable

MAX_REPLY = 8 * 1024 * 1024
"""Bytes; the largest lawful answer is a page of 200 devices."""
_LONGEST_WAIT = 3600.0
_MANNER = Manner(failures=8, pause=2.0)
"""Whoever publishes waits by itself, and longer each time; this is for all that ask beside it."""


class _Away(Unavailable):
    """It does not answer, or answers that it cannot: what opens its breaker."""


def _works(error: Exception) -> bool | None:
    if isinstance(error, _Away):
        return False
    # It has answered, whatever it said.
    return True if isinstance(error, Unavailable | Rejected | Stale) else None


class Transport:
    """Sends requests; every failure comes back as an error that says what to do next.

    Args:
        clock: for a ``Retry-After`` that names a date.
        deadline: seconds for one request, from the connect to the last byte.
    """

    def __init__(self, clock: Clock, *, deadline: float = 20.0) -> None:
        self._clock, self._deadline = clock, deadline
        self._breaker = Breaker("enos", clock, _MANNER)
        self._dependency = Dependency("enos", clock, self._breaker)
        # A proxy of the environment is for the internet: never for a platform on this machine.
        direct = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}
        self._http = httpx.AsyncClient(timeout=deadline, mounts=direct)

    async def send(
        self,
        method: str,
        url: str,
        what: str,
        *,
        publishing: bool = False,
        **parts: Any,
    ) -> dict[str, Any]:
        """Return the reply of a request that EnOS took.

        Args:
            method: GET or POST.
            url: absolute, without a query.
            what: the call, for messages.
            publishing: the call goes to the integration channel, see `judge`.
            parts: `params`, `headers`, `content`, `files` of httpx.

        Raises:
            Stale: the token was refused.
            BreakerOpen: EnOS kept failing and is left alone for two seconds.
            Unavailable: no answer, an answer that makes no sense, or one that says "later".
            Rejected: EnOS will never take this request.
        """
        self._breaker.check()
        with self._breaker.attempt(self._dependency, _works):
            return await self._send(method, url, what, publishing=publishing, **parts)

    async def _send(
        self, method: str, url: str, what: str, *, publishing: bool, **parts: Any
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._deadline):
                request = self._http.build_request(method, url, **parts)
                response = await self._http.send(request, stream=True)
                try:
                    body = await _read(response, what)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            msg = f"EnOS did not answer {what} within {self._deadline:g} s"
            raise _Away(msg) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            kind = type(error).__name__
            msg = f"EnOS cannot be reached at {url} for {what}: {kind}: {error}"
            raise _Away(msg) from error
        return self._understand(response, body, what, publishing=publishing)

    def _understand(
        self, response: httpx.Response, body: bytes, what: str, *, publishing: bool
    ) -> dict[str, Any]:
        status = response.status_code
        said = f"EnOS answered {what} with HTTP {status}"
        if status == httpx.codes.UNAUTHORIZED:
            raise Stale(said)
        if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            raise Rejected(said, reason="413")
        if status >= 500:
            raise _Away(said, retry_after=self._retry_after(response))
        if status == httpx.codes.TOO_MANY_REQUESTS:
            raise Unavailable(said, retry_after=self._retry_after(response))
        try:
            reply = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            msg = f"{said} and no JSON; check the address in the enos settings"
            raise Unavailable(msg) from error
        if not isinstance(reply, dict) or not code_of(reply):
            msg = f"{said} and JSON without a code; check the address in the enos settings"
            raise Unavailable(msg)
        judge(reply, what, publishing=publishing)
        if not response.is_success or not succeeded(reply):
            msg = f"{said}, yet a code of success"
            raise Unclear(msg, str(status))
        return reply

    def _retry_after(self, response: httpx.Response) -> float | None:
        text = response.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text), _LONGEST_WAIT)
        try:
            at = email.utils.parsedate_to_datetime(text).timestamp()
        except (ValueError, OverflowError):
            return None
        return min(max(at - self._clock.now_us() / 1e6, 0.0), _LONGEST_WAIT)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


async def _read(response: httpx.Response, what: str) -> bytes:
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MAX_REPLY:
            msg = f"EnOS answered {what} with more than {MAX_REPLY} bytes"
            raise Unavailable(msg)
        chunks.append(chunk)
    return b"".join(chunks)
