"""Around every request, as plain ASGI: trace id, security headers, body limit, the last resort."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plantroom_cloud.kit.problems import TRACE_ID, ApiError, TooLarge, problem_response
from plantroom_shared.log import bound

log = logging.getLogger(__name__)

MAX_BODY: Final = 1024 * 1024
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.{0,200}")

_SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HSTS: Final = "max-age=31536000"


class TraceId:
    """Gives every request an id, taken from W3C ``traceparent`` where the caller sent one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its id, and the id on with the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = _TRACEPARENT.fullmatch(Headers(scope=scope).get("traceparent", ""))
        trace_id = given[1] if given and set(given[1]) != {"0"} else secrets.token_hex(16)
        scope[TRACE_ID] = trace_id
        with bound(trace_id=trace_id):
            await self.app(scope, receive, _adding(send, [("X-Trace-Id", trace_id)]))


class SecurityHeaders:
    """Sets the headers that keep a browser from guessing, framing and storing.

    A route that needs another policy sets the header itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the headers on with the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        tls = [("Strict-Transport-Security", _HSTS)] if scope.get("scheme") == "https" else []
        await self.app(scope, receive, _adding(send, [*_SECURITY.items(), *tls]))


def _adding(send: Send, headers: Iterable[tuple[str, str]]) -> Send:
    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = MutableHeaders(scope=message)
            for name, value in headers:
                present.setdefault(name, value)
        await send(message)

    return adding


class LastResort:
    """Turns what nobody caught into a 500 without a stack trace; the log has it, by trace id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; answer in its place if that fails before the first byte."""
        started = False

        async def watching(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watching)
        except Exception as error:  # one request must not take the server's loop down
            if scope["type"] != "http" or started:
                raise
            answer = error if isinstance(error, ApiError) else _internal(scope, error)
            await problem_response(scope, answer)(scope, receive, send)


def _internal(scope: Scope, error: Exception) -> ApiError:
    fields = {"trace_id": scope.get(TRACE_ID, ""), "path": scope["path"]}
    log.error("request failed", extra=fields, exc_info=error)
    return ApiError("this is our fault; report the trace_id to who runs this service")


class BodyLimit:
    """Refuses a body of more than `MAX_BODY` bytes, whether announced or only sent.

    Args:
        app: what is behind it.
        limit: bytes of a body.
        larger: a pattern of whole paths, and the limit of those that take files; the first counts.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit: int = MAX_BODY,
        larger: Sequence[tuple[re.Pattern[str], int]] = (),
    ) -> None:
        self.app, self.limit, self.larger = app, limit, tuple(larger)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while its body stays within the limit."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limits = (most for paths, most in self.larger if paths.fullmatch(scope["path"]))
        limit = next(limits, self.limit)
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced[:20]) > limit:
            raise _refused(limit)
        await self._count(limit, scope, receive, send)

    async def _count(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0

        async def counting() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                # The reader sees an end; what it answers is replaced by the refusal below.
                return {"type": "http.disconnect"}
            return message

        async def holding(message: Message) -> None:
            if seen <= limit:
                await send(message)

        try:
            await self.app(scope, counting, holding)
        finally:  # whatever the reader made of half a body
            if seen > limit:
                raise _refused(limit)


def _refused(limit: int) -> TooLarge:
    return TooLarge(f"send at most {limit} bytes")
