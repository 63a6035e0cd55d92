"""Counters: totals through roll-overs, resets and restarts."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_edge.sampling import keeping
from plantroom_edge.sampling.counters import Counter, Memory
from plantroom_shared.model import Quality

RESET = (int(Quality.UNCERTAIN), "counter-reset")
BACKWARDS = (int(Quality.UNCERTAIN), "counter-backwards")


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 65535),
    st.lists(st.integers(0, 20_000), max_size=50),
    st.sets(st.integers(0, 49)),
)
def test_a_total_through_roll_overs_is_what_was_counted(
    start: int, steps: list[int], restarts: set[int]
) -> None:
    """With a roll-over at 2^16 the total grows by exactly what was counted, restarts or not."""
    counter, true = Counter(modulus=65536), start
    counter.take(start, 0.0)
    for number, step in enumerate(steps):
        if number in restarts:  # what is kept is all that a new run knows
            counter = Counter(modulus=65536, memory=counter.memory)
        true += step
        # Only a step that the time allows is a roll-over: here any below half the range.
        if counter.memory is not None:
            counter.memory.pace = 0.0
        total, doubt = counter.take(true % 65536, float(number + 1))
        assert (total, doubt) == (true, None)


def test_a_reset_counts_on_from_zero() -> None:
    """After a device began anew its new reading is added, and the sample is flagged once."""
    counter = Counter()
    assert counter.take(1000.0, 0.0) == (1000.0, None)
    assert counter.take(1010.0, 60.0) == (1010.0, None)
    assert counter.take(3.0, 120.0) == (1013.0, RESET)
    assert counter.take(5.0, 180.0) == (1015.0, None)
    assert counter.resets == 1


def test_a_fall_that_time_does_not_allow_is_a_reset_though_it_could_be_a_roll_over() -> None:
    """A counter of 16 bits at 40,000 that counts one a second does not get to 5 in ten seconds."""
    counter = Counter(modulus=65536)
    for second in range(10):
        counter.take(40_000 + second, float(second))
    assert counter.take(5, 20.0) == (40_014, RESET)
    assert (counter.resets, counter.rollovers) == (1, 0)


def test_a_fall_that_time_allows_is_a_roll_over() -> None:
    """Near the end, at the pace it has shown, the same fall is a roll-over."""
    counter = Counter(modulus=65536)
    for second in range(10):
        counter.take(65_520 + second, float(second))
    assert counter.take(4, 20.0) == (65_540, None)
    assert (counter.resets, counter.rollovers) == (0, 1)


def test_the_fastest_pace_decides_where_it_is_known() -> None:
    """With the most it can count given, nothing has to be guessed from what was seen."""
    slow, fast = Counter(100.0, fastest=1.0), Counter(100.0, fastest=10.0)
    for counter in (slow, fast):
        counter.take(95.0, 0.0)
    assert slow.take(15.0, 10.0) == (110.0, RESET)
    assert fast.take(15.0, 10.0) == (115.0, None)


def test_time_that_stands_still_decides_nothing() -> None:
    """After the clock was set back the size of the step alone decides."""
    counter = Counter(65536, fastest=0.1)
    counter.take(65_530, 100.0)
    assert counter.take(4, 50.0) == (65_540, None)


def test_a_small_step_back_is_held_and_flagged() -> None:
    """A meter that corrects its last digit loses nothing, and counts nothing twice."""
    counter = Counter()
    counter.take(1000.0, 0.0)
    assert counter.take(999.5, 1.0) == (1000.0, BACKWARDS)
    assert counter.take(1001.0, 2.0) == (1001.0, None)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=40), st.none() | st.floats(1, 1e9))
def test_a_total_never_falls(readings: list[float], modulus: float | None) -> None:
    """Whatever a device shows, its total only grows."""
    counter = Counter(modulus)
    totals = [counter.take(reading, float(at))[0] for at, reading in enumerate(readings)]
    assert all(a <= b for a, b in pairwise(totals))


def test_the_memory_survives_on_the_disk(tmp_path: Path) -> None:
    """What was saved is read back; counters that are not there now are kept for later."""
    file = tmp_path / "counters.json"
    assert keeping.load(file) == {}
    old = Memory(1.0, 2.0, 3.0, 0.5)
    counter = Counter()
    counter.take(7.0, 9.0)
    content = keeping.dump({"a": counter, "never-read": Counter()}, {"b": old, "a": old})
    keeping.write(file, content)
    assert keeping.load(file) == {"a": Memory(7.0, 7.0, 9.0), "b": old}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"counters": 3}', '{"counters": {"a": {}}}', '{"counters": {"a": [1]}}',
     '{"counters": {"a": {"last": "x", "total": 1, "at": 1, "pace": 1}}}',
     '{"counters": {"a": {"last": "inf", "total": 1, "at": 1, "pace": 1}}}', "\xff\x00"],
)  # fmt: skip
def test_a_broken_memory_is_said_and_begins_anew(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that makes no sense costs the totals, not the agent."""
    caplog.set_level(logging.ERROR)
    file = tmp_path / "counters.json"
    file.write_text(text, encoding="latin-1")
    assert keeping.load(file) == {}
    assert "cannot be read" in caplog.text
