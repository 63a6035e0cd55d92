"""Ids of messages, and fields that every line of a task bears."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_shared import log
from plantroom_shared.tracing import root_of, trace_of

MESSAGE = st.tuples(
    st.from_regex(r"[a-z0-9-]{8,40}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    st.sampled_from(["tel", "evt", "aud", "cmd"]),
    st.integers(1, 2**53),
)


@given(MESSAGE, MESSAGE)
def test_ids_are_of_the_message_and_of_no_other(
    one: tuple[str, str, str, int], two: tuple[str, str, str, int]
) -> None:
    """As W3C writes them; the same for the same message wherever it is asked."""
    ids = trace_of(*one), trace_of(*two)
    assert (ids[0] == ids[1]) == (one == two)
    assert [len(bytes.fromhex(one)) for one in ids] == [16, 16]
    assert len(bytes.fromhex(root_of(ids[0]))) == 8


def test_an_id_stays_what_it_is() -> None:
    """A trace that is looked for next year is found by the id of today."""
    assert trace_of("gw-tower-0001", "00000000000000aa", "tel", 1) == _STANDING


_STANDING = "4335d3d0cd8c5cdf471a4b32f79a135c"


async def test_bound_fields_are_of_their_task_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """And of those that it starts; a record's own field wins."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logger = logging.getLogger("plantroom_cloud.x")
    try:
        log.configure()

        async def say(text: str) -> None:
            logger.info(text)

        with log.bound(trace_id="a", site=1), log.bound(site=2):
            await asyncio.gather(asyncio.create_task(say("inner")))
            logger.info("own", extra={"trace_id": "b"})
        await say("outer")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(one.get("trace_id"), one.get("site")) for one in said] == [
        ("a", 2),
        ("b", 2),
        (None, None),
    ]
