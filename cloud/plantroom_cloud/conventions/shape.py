"""So large and no larger: the query string, and what the JSON of a body may be made of."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import ClassVar, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plantroom_cloud.kit.problems import ApiError, InvalidRequest

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")
_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_IN_LOOP: Final = 64 * 1024
"""Bytes that are looked through where requests are served; more goes to a thread."""


class QueryTooLong(ApiError):
    """The query string is over the limit."""

    status: ClassVar[int] = 414
    code: ClassVar[str] = "query_too_long"
    title: ClassVar[str] = "The query string is too long"


def check_json(body: bytes, depth: int, members: int) -> None:
    """Refuse JSON that is nested too deeply, holds too many values, or texts that are none.

    What is no JSON may pass: whoever reads it says so.

    Raises:
        InvalidRequest: it is over a limit.
    """
    bare = _STRING.sub(b"", body)
    if sum(map(bare.count, (b",", b"[", b"{"))) > members:
        msg = f"the JSON of a body may hold at most {members} values; send less at once"
        raise InvalidRequest(msg, code="too_many_values")
    level = 0
    for found in _BRACKET.finditer(bare):
        level += 1 if found[0] in b"[{" else -1
        if level > depth:
            msg = f"the JSON of a body may be nested at most {depth} deep"
            raise InvalidRequest(msg, code="too_deep")
    if b"\\u" in body and _has_no_text(body):
        msg = "a text of the body holds NUL or half of a surrogate pair, which no database takes"
        raise InvalidRequest(msg, code="no_text")


def _has_no_text(body: bytes) -> bool:
    """Say whether an escape stands for what is no character of a text."""
    pair_at = -1
    for found in _ESCAPE.finditer(body):
        code = int(found[1], 16) if found[1] else -1
        low = 0xDC00 <= code <= 0xDFFF
        if code == 0 or low != (found.start() == pair_at) or (pair_at >= 0 and not low):
            return True
        pair_at = found.end() if 0xD800 <= code < 0xDC00 else -1
    return pair_at >= 0


class Shape:
    """Refuses long queries, and JSON that costs more to read than its length says.

    Args:
        app: what is behind it.
        query: bytes of a query string.
        depth: how deep JSON may be nested.
        members: how many values it may hold.
        files: patterns of whole paths whose bodies are files, read elsewhere and by other rules.
    """

    def __init__(
        self,
        app: ASGIApp,
        query: int,
        depth: int,
        members: int,
        files: Sequence[re.Pattern[str]] = (),
    ) -> None:
        self.app, self._query, self._files = app, query, tuple(files)
        self._depth, self._members = depth, members

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while it is within the limits."""
        if scope["type"] == "http":
            if len(scope["query_string"]) > self._query:
                msg = f"a query string may have {self._query} bytes; ask for less at once"
                raise QueryTooLong(msg)
            if self._has_json(scope):
                receive = await self._checked(receive)
        await self.app(scope, receive, send)

    def _has_json(self, scope: Scope) -> bool:
        if scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return False
        if any(path.fullmatch(scope["path"]) for path in self._files):
            return False
        kind = Headers(scope=scope).get("content-type", "json")
        return "json" in kind.lower()

    async def _checked(self, receive: Receive) -> Receive:
        """Read the whole body, which is limited before us, and return what gives it again."""
        messages: list[Message] = []
        while not messages or messages[-1].get("more_body", False):
            messages.append(await receive())
        body = b"".join(message.get("body", b"") for message in messages)
        if len(body) > _IN_LOOP:
            await asyncio.to_thread(check_json, body, self._depth, self._members)
        else:
            check_json(body, self._depth, self._members)
        messages.reverse()

        async def again() -> Message:
            return messages.pop() if messages else await receive()

        return again
