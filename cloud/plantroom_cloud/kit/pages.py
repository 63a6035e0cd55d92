"""Pages of a list: an opaque cursor holds the place, never an offset.

A cursor is the key of the last row shown, so rows that arrive meanwhile neither repeat nor hide a
row. It carries a check over itself and the list it belongs to: a changed or foreign cursor is told
as such. The check is no secret and protects nothing: whose rows a page may hold is decided by the
API key alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import orjson
from fastapi import Query, Request

from plantroom_cloud.kit.problems import InvalidRequest, invalid

MAX_LIMIT: Final = 1000
MAX_CURSOR: Final = 1024
MAX_INT: Final = 2**63 - 1
_CHECK: Final = 8

Position = tuple[int | str, ...]
"""Key of a row: what the list is ordered by."""

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows of a page.", examples=[100])]
After = Annotated[
    str | None,
    Query(max_length=MAX_CURSOR, description="`next` of the page before.", examples=[None]),
]


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows are asked for: at most `limit` after `after`."""

    limit: int
    after: Position | None


def encode_cursor(listing: str, position: Position) -> str:
    """Return `position` of `listing` as an opaque text for a URL."""
    body = orjson.dumps(position)
    return base64.urlsafe_b64encode(_check(listing, body) + body).rstrip(b"=").decode()


def decode_cursor(listing: str, text: str, shape: Sequence[type]) -> Position:
    """Return the position in a cursor of `listing`; its parts have the types of `shape`.

    Raises:
        InvalidRequest: it was changed, or made for another list.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        position = tuple(orjson.loads(data[_CHECK:]))
    except (ValueError, TypeError, binascii.Error):
        raise _refused() from None
    fits = len(position) == len(shape) and all(map(_fits, position, shape))
    # Encoding again also finds the bits that base64 leaves unread.
    if not fits or encode_cursor(listing, position) != text:
        raise _refused()
    return position


def _check(listing: str, body: bytes) -> bytes:
    return hashlib.sha256(listing.encode() + b"\0" + body).digest()[:_CHECK]


def _fits(item: Any, kind: type[Any]) -> bool:
    if type(item) is not kind:
        return False
    return bool(-MAX_INT <= item <= MAX_INT if kind is int else "\0" not in item)


def _refused() -> InvalidRequest:
    detail = "take `next` of the page before, with the same filters, or leave it out to start anew"
    return invalid(detail, parameter="after")


def listing_of(name: str, **filters: Any) -> str:
    """Return the name of a list with its filters: what its cursors belong to."""
    return name + orjson.dumps(filters, option=orjson.OPT_SORT_KEYS).decode()


def read_page(listing: str, limit: int, after: str | None, shape: Sequence[type]) -> Page:
    """Return the page asked for; InvalidRequest if the cursor is none of `listing`."""
    return Page(limit, None if after is None else decode_cursor(listing, after, shape))


def next_link(request: Request, cursor: str | None, **fixed: str) -> dict[str, str]:
    """Return the ``Link`` header of the next page: the same URL with another cursor.

    Args:
        request: the one being answered.
        cursor: of the next page; None where this is the last.
        fixed: parameters that the next page must spell out, such as a defaulted window.
    """
    if cursor is None:
        return {}
    given = [(k, v) for k, v in request.query_params.multi_items() if k not in {"after", *fixed}]
    query = urlencode([*given, *fixed.items(), ("after", cursor)])
    return {"Link": f'<{request.scope["root_path"]}{request.url.path}?{query}>; rel="next"'}
