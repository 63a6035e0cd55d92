"""Cursors: opaque, bound to their list, useless when changed."""

from __future__ import annotations

import base64

import orjson
import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.kit import pages
from plantroom_cloud.kit.pages import (
    decode_cursor,
    encode_cursor,
    listing_of,
    next_link,
    read_page,
)
from plantroom_cloud.kit.problems import InvalidRequest

_INTS = st.integers(-(2**63) + 1, 2**63 - 1)
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50)


@given(_INTS, _TEXTS, _TEXTS)
def test_a_position_survives_the_journey(number: int, one: str, two: str) -> None:
    """What is encoded is what is decoded, for every key that a row can have."""
    position = (number, one, two)
    text = encode_cursor("findings", position)
    assert decode_cursor("findings", text, (int, str, str)) == position
    assert text.isascii()


@given(_INTS, st.integers(0, 200), st.integers(1, 255))
def test_any_changed_byte_is_noticed(number: int, at: int, change: int) -> None:
    """A cursor with one byte changed is refused."""
    text = encode_cursor("points", (number,))
    raw = bytearray(text.encode())
    raw[at % len(raw)] ^= change
    changed = raw.decode("latin-1")
    with pytest.raises(InvalidRequest, match=r"^after: "):
        decode_cursor("points", changed, (int,))


@given(st.text(max_size=60))
def test_any_text_is_refused(text: str) -> None:
    """Nothing that was not made here is a cursor."""
    with pytest.raises(InvalidRequest):
        decode_cursor("points", text, (int,))


def test_a_cursor_belongs_to_one_list_with_its_filters() -> None:
    """The same position of another list, or under other filters, is another cursor."""
    text = encode_cursor(listing_of("points", q="a"), (1,))
    assert read_page(listing_of("points", q="a"), 10, text, (int,)).after == (1,)
    assert read_page(listing_of("points", q="a"), 10, None, (int,)).after is None
    for other in (listing_of("points", q="b"), listing_of("devices", q="a")):
        with pytest.raises(InvalidRequest):
            decode_cursor(other, text, (int,))


@pytest.mark.parametrize("position", [(2**63,), (-(2**63),), ("1",), (True,), (1, 2), (), ("a\0",)])
def test_a_forged_position_cannot_reach_the_database(position: tuple[object, ...]) -> None:
    """Even with a valid check a position must be numbers and texts that a database takes."""
    body = orjson.dumps(position)
    raw = pages._check("points", body) + body
    text = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    for shape in ((int,), (str,)):
        if len(position) == 1 and type(position[0]) is shape[0] and position == ("1",):
            continue
        with pytest.raises(InvalidRequest):
            decode_cursor("points", text, shape)


def test_the_link_repeats_the_request() -> None:
    """The next page's link keeps every filter and replaces the cursor."""
    query = b"q=a%26b&point=1&point=2&after=old"
    scope = {"type": "http", "path": "/v1/points", "query_string": query, "root_path": ""}
    scope |= {"headers": [], "server": ("api", 80), "scheme": "http"}
    link = next_link(Request(scope), "new")["Link"]
    assert link == '</v1/points?q=a%26b&point=1&point=2&after=new>; rel="next"'
    assert next_link(Request(scope), None) == {}
