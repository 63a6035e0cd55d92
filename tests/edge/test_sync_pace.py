"""How soon the gateway connects again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_edge.sync_pace import Pacer


def test_a_hiccup_is_over_at_once() -> None:
    """After a connection that held, the next attempt comes within half a second."""
    pacer = Pacer(12)
    pacer.note(0.0)
    assert 0.0 <= pacer.pause(1000.0) <= 0.5


def test_an_outage_is_over_within_eight_seconds() -> None:
    """However long the broker is away, the next attempt is never far; what it takes to fail counts."""
    pacer, now = Pacer(12, jitter=lambda _low, high: high), 0.0
    for _ in range(50):
        pacer.note(now)
        now += 5.0  # nobody answers
        pause = pacer.pause(now)
        assert 5.0 + pause <= 8.0 or pause <= 4.0
        now += pause
    assert pause == pytest.approx(60 / 8 * 1.06 - 5.0)


@given(seed=st.integers(0, 10**6), per_minute=st.integers(3, 30), lives=st.floats(0.0, 6.0))
def test_a_flapping_link_makes_no_storm(seed: int, per_minute: int, lives: float) -> None:
    """However long each connection lives, no minute sees more connects than allowed."""
    pacer = Pacer(per_minute, jitter=random.Random(seed).uniform)
    now, made = 0.0, []
    while now < 600:
        made.append(now)
        pacer.note(now)
        now += lives
        pause = pacer.pause(now)
        assert pause >= 0
        now += pause + 1e-9
    assert all(sum(at <= other < at + 60 for other in made) <= per_minute for at in made)


def test_a_broker_that_comes_back_is_found_at_once() -> None:
    """While nobody listens it is asked every few seconds; that counts for no connect of the minute."""
    pacer, now = Pacer(12, jitter=lambda _low, high: high), 1000.0
    pacer.note(now)
    pauses = []
    while now < 1000.0 + 299.0:
        pauses.append(pacer.pause(now, heard=False))
        now += pauses[-1]
        pacer.note(now)
    assert pauses[:2] == [0.5, 1.0]
    assert max(pauses) == 2.5
    assert pacer.pause(now) <= 0.5


def test_a_broker_that_stays_away_is_asked_at_an_even_pace() -> None:
    """After some minutes the limit of the minute holds for tries, too, until there is a connection."""
    pacer, now = Pacer(12), 0.0
    made: list[float] = []
    while now < 1200.0:
        made.append(now)
        pacer.note(now)
        now += pacer.pause(now, heard=False) + 1e-9
    late = [at for at in made if at > 400.0]
    assert all(sum(at <= other < at + 60 for other in late) <= 12 for at in late)
    pacer.note(now)
    assert pacer.pause(now) > 2.5  # these were tries of the last minute
    pacer.note(now + 100)
    assert pacer.pause(now + 100) <= 0.5
    pacer.note(now + 200)
    assert pacer.pause(now + 200, heard=False) <= 0.5


def test_many_connects_are_quick_where_they_are_allowed() -> None:
    """With a generous limit the first attempts are not slower than the later ones."""
    pacer = Pacer(6000)
    pacer.note(0.0)
    assert pacer.pause(0.0) < 0.02
