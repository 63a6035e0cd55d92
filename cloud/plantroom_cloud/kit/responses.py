"""Answers as ready bytes: orjson straight from rows, no model in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from fastapi import Request, Response

from plantroom_cloud.kit.pages import Page, Position, encode_cursor, next_link

SECRET: Final = "plantroom.secret"  # noqa: S105 - the name of a mark
"""Key of the ASGI scope of a request whose answer holds a secret."""


def json_response(body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return `body` as JSON."""
    return Response(orjson.dumps(body), 200, dict(headers or {}), "application/json")


def secret_response(request: Request, body: Any) -> Response:
    """Return `body` as JSON that is shown this once: nothing on our side keeps it."""
    request.scope[SECRET] = True
    return json_response(body)


def page_response(
    request: Request,
    listing: str,
    page: Page,
    rows: Sequence[Any],
    *,
    show: Callable[[Any], Any],
    key: Callable[[Any], Position],
) -> Response:
    """Return one page of a list, with the cursor and link of the next.

    Args:
        request: the one being answered.
        listing: what the cursor belongs to, see `pages.listing_of`.
        page: what was asked for.
        rows: up to ``page.limit + 1`` rows: one more than asked says that there is a next page.
        show: makes the JSON of a row.
        key: makes the position of a row.
    """
    shown = rows[: page.limit]
    more = len(rows) > page.limit
    cursor = encode_cursor(listing, key(shown[-1])) if more else None
    body = {"items": [show(row) for row in shown], "next": cursor}
    return json_response(body, next_link(request, cursor))


def showable(value: Any) -> Any:
    """Return a JSON document from the field as it can be sent, or a note in its place.

    Evidence is whatever a gateway wrote: nesting that JSON writers refuse must not cost the list.
    """
    try:
        return orjson.Fragment(orjson.dumps(value))
    except TypeError:
        return {"error": "this cannot be shown: it is nested too deeply or holds a huge number"}
