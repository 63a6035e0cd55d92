"""Decoding is total: whatever arrives becomes a message or a counted refusal."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.ingest.messages import FindingRows, Incoming, Refused, Unreadable, read
from plantroom_cloud.ingest.rows import (
    AHEAD_US,
    EARLIEST_US,
    sample_rows,
    stored_value,
    tie,
    tie_base,
)
from plantroom_shared import topics, wire
from support import cloud_site as site
from support.cloud_site import EPOCH, GATEWAY, NOW

CHANNELS = ("hello", "tel", "evt", "inv", "state")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def packed(text: bytes) -> bytes:
    """Return `text` gzipped, the same at every time of day: test ids are made of it."""
    return gzip.compress(text, mtime=0)


def incoming(channel: str, document: Any) -> Incoming | Refused:
    """Return what becomes of `document` sent on `channel`."""
    return read(topics.up(GATEWAY, channel), gzip.compress(orjson.dumps(document)))


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b"\x00" * 100, "malformed"),
        (packed(b"{"), "malformed"),
        (packed(b"[1]"), "malformed"),
        (packed(b"\xff\xfe"), "malformed"),
        (packed(b"[" * 10_000 + b"]" * 10_000), "malformed"),
        (packed(b'{"v":1}')[:-4], "malformed"),
        (bytes(wire.MAX_WIRE + 1), "too_big"),
        (packed(b" " * (wire.MAX_PLAIN + 1)), "too_big"),
        (zlib.compress(b"{}"), "malformed"),
        (packed(b'{"v":2}'), "version"),
        (packed(b'{"v":1}'), "schema"),
        (packed(b'{"v":1,"x":NaN}'), "malformed"),
    ],
)
def test_rubbish_is_refused_with_its_kind(channel: str, payload: bytes, reason: str) -> None:
    """Bombs, cut payloads, other versions and deep nesting have each a name to be counted by."""
    assert read(topics.up(GATEWAY, channel), payload) == Refused(GATEWAY, reason)


@pytest.mark.parametrize(
    ("topic", "gateway"),
    [
        ("", ""),
        ("sv1", ""),
        (f"sv1/{GATEWAY}/up/other", GATEWAY),
        (f"sv1/{GATEWAY}/up/tel/more", GATEWAY),
        (f"sv1/{GATEWAY}/down/ack", GATEWAY),
        (f"sv2/{GATEWAY}/up/tel", ""),
        ("sv1/Not-An-Id/up/tel", ""),
        ("sv1/short/up/tel", ""),
    ],
)
def test_unknown_topics_are_refused(topic: str, gateway: str) -> None:
    """The sender is named where the topic names one, so that it can be counted for its company."""
    assert read(topic, b"") == Refused(gateway, "topic")


@given(channel=st.sampled_from(CHANNELS), payload=st.binary(max_size=200))
def test_any_bytes(channel: str, payload: bytes) -> None:
    """No payload raises."""
    assert isinstance(read(topics.up(GATEWAY, channel), payload), Refused)


@given(channel=st.sampled_from(CHANNELS), document=st.dictionaries(st.text(), json_values))
def test_any_document(channel: str, document: dict[str, Any]) -> None:
    """No JSON document raises."""
    read(topics.up(GATEWAY, channel), gzip.compress(orjson.dumps(document | {"v": 1})))


@given(
    key=st.sampled_from(["ep", "st", "s0", "n", "dv", "t0", "p", "dt", "x", "q", "h", "v"]),
    value=json_values,
)
def test_any_field_replaced(key: str, value: Any) -> None:
    """A message with anything at all in one field is refused, quarantined, or becomes good rows."""
    document = wire.unpack(site.samples(1, 4))
    item = read(topics.up(GATEWAY, "tel"), gzip.compress(orjson.dumps(document | {key: value})))
    if isinstance(item, Incoming) and isinstance(item.content, wire.Samples):
        message = item.content
        span = (message.s0, message.s0 + message.n - 1)
        column, refused = sample_rows(message, item.payload, [span], [1, 2, 3], NOW)
        assert len(column) + len(refused) == message.n
        assert all(EARLIEST_US <= ts <= NOW + AHEAD_US for ts in column.ts_us)


@pytest.mark.parametrize("channel", ["tel", "evt"])
def test_rows_belong_on_their_channel(channel: str) -> None:
    """Samples sent as findings, or the other way round, are refused."""
    payloads = {"evt": site.samples(1, 2), "tel": site.findings(1, [site.finding("f")])}
    assert read(topics.up(GATEWAY, channel), payloads[channel]) == Refused(GATEWAY, "schema")
    gap = wire.Gap(ep=EPOCH, st="evt" if channel == "tel" else "tel", s0=1, n=1, gap="x")
    assert read(topics.up(GATEWAY, channel), wire.encode(gap)) == Refused(GATEWAY, "schema")


@pytest.mark.parametrize("change", [{"s0": 2**63 - 1}, {"s0": 2**63 - 1, "x": 3}])
def test_order_numbers_beyond_any_database_are_refused(change: dict[str, Any]) -> None:
    """They would overflow the columns they are kept in."""
    payload = site.tampered(site.samples(1, 2), **change)
    assert read(topics.up(GATEWAY, "tel"), payload) == Refused(GATEWAY, "schema")


def test_head_must_be_whole_to_be_quarantined() -> None:
    """Without order numbers there is nothing to acknowledge; with them there is."""
    good = wire.unpack(site.samples(7, 3))
    item = incoming("tel", good | {"q": None})
    assert isinstance(item, Incoming)
    assert item.content == Unreadable(EPOCH, 7, 3, "schema")
    for key, value in (("s0", 0), ("n", "three"), ("ep", "x"), ("st", "evt"), ("n", 10**6)):
        assert incoming("tel", good | {"q": None, key: value}) == Refused(GATEWAY, "schema")


def test_findings_are_checked_one_by_one() -> None:
    """A list of which some fail still yields the others; a list of another length does not."""
    good = wire.unpack(site.findings(1, [site.finding("a"), site.finding("b")]))
    item = incoming("evt", good | {"ev": [good["ev"][0], 5]})
    assert isinstance(item, Incoming)
    assert isinstance(item.content, FindingRows)
    assert (list(item.content.rows), item.content.bad_rows) == ([0], {1: "schema"})
    item = incoming("evt", good | {"ev": [5]})
    assert isinstance(item, Incoming)
    assert item.content == Unreadable(EPOCH, 1, 2, "schema")


def test_set_aside_keeps_what_any_database_takes() -> None:
    """Rows become their head and their bytes; control messages become a count."""
    item = site.tel(3, 4)
    assert isinstance(item, Incoming)
    aside = item.set_aside("store")
    assert isinstance(aside, Incoming)
    assert (aside.content, aside.payload) == (Unreadable(EPOCH, 3, 4, "store"), item.payload)
    state = site.incoming("state", wire.encode(wire.State(online=True)))
    assert isinstance(state, Incoming)
    assert state.set_aside("store") == Refused(GATEWAY, "store")


@given(st.integers(1, 2**40), st.integers(1, 2**40))
def test_ties_of_an_epoch_differ(one: int, two: int) -> None:
    """Within four thousand million rows no two ties are equal, and all fit a signed 64-bit column."""
    base = tie_base(EPOCH)
    assert 0 <= tie(base, one) < 2**63
    assert (tie(base, one) == tie(base, two)) == ((one - two) % 2**32 == 0)


def test_ties_are_stable() -> None:
    """They are part of the key of stored samples: another hash would double them on a replay."""
    assert tie_base("00000000000000aa") == 0x721857FA << 32
    assert tie(tie_base("00000000000000aa"), 3) == (0x721857FA << 32) + 3


@given(st.integers())
def test_integers_keep_every_digit(value: int) -> None:
    """Either the double is exact or the text is."""
    if abs(value) >= 2**64:
        return
    number, text = stored_value(value)
    assert int(text) == value if text is not None else number == value
