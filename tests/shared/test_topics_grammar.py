"""The topic grammar, and who may be called what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_shared import topics
from plantroom_shared.topics import GATEWAY_ID

ids = st.from_regex(r"[a-z0-9][a-z0-9-]{6,38}[a-z0-9]", fullmatch=True)


@given(ids, st.sampled_from(topics.UP_CHANNELS), st.sampled_from(topics.DOWN_CHANNELS))
def test_topics_are_read_as_they_are_written(gateway: str, up: str, down: str) -> None:
    """A topic made by `up` or `down` parses into its parts."""
    assert topics.parse(topics.up(gateway, up)) == (gateway, "up", up)
    assert topics.parse(topics.down(gateway, down)) == (gateway, "down", down)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "sv1",
        "sv1/gw-demo-0001/up",
        "sv1/gw-demo-0001/up/tel/x",
        "sv2/gw-demo-0001/up/tel",
        "sv1/gw-demo-0001/up/ack",
        "sv1/gw-demo-0001/down/tel",
        "sv1/gw-demo-0001/sideways/tel",
        "sv1/GW-DEMO-0001/up/tel",
        "sv1/+/up/tel",
        "sv1/short/up/tel",
        "sv1/-gw-demo-0001/up/tel",
        "sv1/gw-demo-0001\n/up/tel",
        "/sv1/gw-demo-0001/up/tel",
    ],
)
def test_everything_else_is_none_of_ours(topic: str) -> None:
    """Topics outside the grammar are not parsed."""
    assert topics.parse(topic) is None


@given(st.text(max_size=60))
def test_an_id_holds_nothing_that_means_something_in_a_topic(text: str) -> None:
    """No id contains a level separator, a wildcard or a line break, and its length is bounded."""
    if GATEWAY_ID.match(text):
        assert 8 <= len(text) <= 40
        assert not set(text) & set("/+#$ \n")
