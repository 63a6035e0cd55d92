"""ETag, If-None-Match and If-Match: nobody overwrites what they have not seen.

An ETag names the state of a resource, whichever way it is encoded: a digest of its JSON before
compression. Every single resource under /v1 has one. A route that changes a resource takes
`IfMatch`, or `IfMatchNeeded` where a lost update would hurt, and compares within its transaction.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

import orjson
from fastapi import Depends, Header
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plantroom_cloud.kit.problems import ApiError, InvalidRequest, refusals

_TAG: Final = re.compile(r'\s*(?:W/)?("[\x21\x23-\x7e]*")\s*')
_LARGEST: Final = 256 * 1024
"""Bytes of an answer that gets an ETag."""


class Changed(ApiError):
    """Somebody has changed the resource since it was read."""

    status: ClassVar[int] = 412
    code: ClassVar[str] = "changed_meanwhile"
    title: ClassVar[str] = "It has changed since you read it"


class MustMatch(ApiError):
    """The request does not say which state it changes."""

    status: ClassVar[int] = 428
    code: ClassVar[str] = "if_match_needed"
    title: ClassVar[str] = "Say which state you have seen"


STALE: Final = refusals(Changed)
"""For a route's ``responses``: it takes If-Match."""


def etag(body: Any) -> str:
    """Return the ETag of what `body` shows of a resource."""
    return _etag(orjson.dumps(body))


def _etag(data: bytes) -> str:
    digest = hashlib.blake2b(data, digest_size=15).digest()
    return f'"{base64.urlsafe_b64encode(digest).decode()}"'


@dataclass(frozen=True, slots=True)
class Precondition:
    """Which states a request accepts; None: whichever."""

    tags: frozenset[str] | None = None

    def check(self, body: Any) -> None:
        """Raise Changed unless the state that `body` shows is one of those accepted."""
        if self.tags is not None and etag(body) not in self.tags:
            msg = "read it again, and decide anew; nothing was changed"
            raise Changed(msg, headers={"ETag": etag(body)})


ANY: Final = Precondition()
"""Whatever the state is."""


def read_tags(text: str, name: str) -> frozenset[str] | None:
    """Return the tags of a list; None for ``*``.

    Raises:
        InvalidRequest: it is no list of tags.
    """
    if text.strip() == "*":
        return None
    found = [_TAG.fullmatch(part) for part in text.split(",")]
    if not all(found):
        detail = 'write the ETag as it came, with its quotes: "..."'
        error = {"where": "header", "name": name, "detail": detail}
        msg = f"{name}: {detail}"
        raise InvalidRequest(msg, errors=[error])
    return frozenset(one[1] for one in found if one)


_Given = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="The ETag of what you have seen: if it has changed since, nothing is done.",
        examples=[None],
    ),
]


async def _precondition(given: _Given = None) -> Precondition:
    return Precondition(None if given is None else read_tags(given, "If-Match"))


async def _needed(given: _Given = None) -> Precondition:
    if given is None:
        msg = "send the ETag of the GET before as If-Match, or * to overwrite whatever is there"
        raise MustMatch(msg)
    return await _precondition(given)


IfMatch = Annotated[Precondition, Depends(_precondition)]
"""The state that a request is about, if it says."""
IfMatchNeeded = Annotated[Precondition, Depends(_needed)]
"""The same where it must say."""


class ETags:
    """Gives JSON answers to GET their ETag, and a 304 to whoever has them already."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the ETag on with the answer."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        start: Message = {}

        async def tagging(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and message["status"] == 200:
                start = message  # until its body is seen
                return
            if start:
                first, start = start, {}
                if not message.get("more_body", False) and _is_json(first):
                    first, message = _tagged(scope, first, message)
                await send(first)
            await send(message)

        await self.app(scope, receive, tagging)


def _is_json(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type") == "application/json"


def _tagged(scope: Scope, start: Message, body: Message) -> tuple[Message, Message]:
    data = body.get("body", b"")
    if len(data) > _LARGEST:
        return start, body
    tag = _etag(data)
    MutableHeaders(scope=start)["ETag"] = tag
    known = Headers(scope=scope).get("if-none-match", "")
    if tag not in {found[1] for part in known.split(",") if (found := _TAG.fullmatch(part))}:
        return start, body
    kept = [
        pair for pair in start["headers"] if pair[0] not in {b"content-length", b"content-type"}
    ]
    return {**start, "status": 304, "headers": kept}, {**body, "body": b""}
