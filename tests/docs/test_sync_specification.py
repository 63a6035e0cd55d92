"""The specification of sync v1 and the kit that judges by it say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plantroom_cloud.conformance import shapes
from plantroom_cloud.conformance.assertions import CLOUD, GATEWAY
from plantroom_shared import topics, wire

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "sync-v1.md").read_text()
ASSERTION = re.compile(r"^- \*\*\[(SV1-[A-Z]-\d\d)\]\*\* (.+)$", re.MULTILINE)
CHAPTER = re.compile(r"^#+ (\d+(?:\.\d+)?)[ .]", re.MULTILINE)


def chapter(number: str) -> str:
    """Return the text of one chapter."""
    heads = list(CHAPTER.finditer(TEXT))
    at = next(place for place, head in enumerate(heads) if head[1] == number)
    end = heads[at + 1].start() if at + 1 < len(heads) else len(TEXT)
    return TEXT[heads[at].start() : end]


def test_the_kit_judges_by_every_assertion_word_for_word() -> None:
    """Every assertion of the document is one of the kit's, with the same words, and the other way."""
    written = ASSERTION.findall(TEXT)
    assert len(written) == len(dict(written))
    assert dict(written) == {item.id: item.text for item in (*GATEWAY, *CLOUD)}


def test_an_assertion_names_its_side() -> None:
    """The second digit of an assertion tells whose it is: from 11 on the cloud's."""
    assert {int(item.id[-2:]) < 11 for item in GATEWAY} == {True}
    assert {int(item.id[-2:]) >= 11 for item in CLOUD} == {True}


@pytest.mark.parametrize("number", shapes.CHAPTERS)
def test_every_key_stands_in_its_chapter(number: str) -> None:
    """No message has a key that its chapter does not name."""
    words = set(re.findall(r"`([a-z0-9_]+)`", chapter(number)))
    keys = {key for shape in shapes.CHAPTERS[number] for key in (*shape.required, *shape.optional)}
    common = {"v", "ep", "st", "s0", "n"}  # said once for all messages
    assert keys - common <= words


def test_every_channel_stands_in_chapter_2() -> None:
    """The topic grammar of the code is that of the document."""
    words = set(re.findall(r"`([a-z]+)`", chapter("2")))
    assert {*topics.UP_CHANNELS, *topics.DOWN_CHANNELS} <= words


def test_the_limits_are_those_of_the_code() -> None:
    """Sizes in the document, in the kit and in the codec are the same numbers."""
    assert (shapes.MAX_WIRE, shapes.MAX_PLAIN) == (wire.MAX_WIRE, wire.MAX_PLAIN)
    assert (shapes.MAX_ROWS, shapes.MAX_TEXT) == (wire.MAX_ROWS, wire.MAX_TEXT)
    for limit in (
        wire.MAX_WIRE,
        wire.MAX_PLAIN,
        wire.MAX_ROWS,
        wire.MAX_TEXT,
        wire.MAX_CERTIFICATE,
    ):
        assert f"{limit:,}" in chapter("3")
    assert f"ranges in an ack | {wire.MAX_RANGES}" in chapter("3")
