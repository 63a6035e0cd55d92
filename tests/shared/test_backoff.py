"""Waits that double."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from plantroom_shared.backoff import doubling, full, half


def test_a_wait_doubles_up_to_its_most() -> None:
    """In any unit, and however often it failed."""
    waits = [doubling(failures, first=0.5, most=30.0) for failures in (1, 2, 3, 7, 9999)]
    assert waits == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert doubling(3, first=1.0, most=30.0, jitter=lambda longest: longest / 4) == 1.0


@pytest.mark.parametrize(("jitter", "least"), [(full, 0.0), (half, 2.0)])
def test_chance_takes_away_and_never_adds(jitter: Callable[[float], float], least: float) -> None:
    """Whoever failed together does not come back together."""
    waits = [doubling(3, first=1.0, most=30.0, jitter=jitter) for _ in range(200)]
    assert least <= min(waits) < max(waits) <= 4.0
    assert len(set(waits)) > 1
