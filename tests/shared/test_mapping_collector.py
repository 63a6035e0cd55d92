"""The search for reference cycles pauses while a site is mapped, and no longer."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from plantroom_shared.mapping.collector import no_cycles


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    was_on = gc.isenabled()
    yield
    (gc.enable if was_on else gc.disable)()


@pytest.mark.parametrize("on", [True, False])
def test_the_search_is_afterwards_as_it_was(*, on: bool) -> None:
    """It pauses within the block; whoever had switched it off finds it off."""
    (gc.enable if on else gc.disable)()
    with no_cycles():
        assert not gc.isenabled()
    assert gc.isenabled() == on


def test_an_error_does_not_leave_it_off() -> None:
    """What fails inside the block lets the search go on."""
    gc.enable()
    with pytest.raises(KeyError), no_cycles():
        raise KeyError
    assert gc.isenabled()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_pauses_at_once_none_leaves_it_off(order: tuple[int, int]) -> None:
    """Threads that overlap, in whatever order they end, leave it on."""
    gc.enable()
    pauses = no_cycles(), no_cycles()
    for pause in pauses:
        pause.__enter__()
    for number in order:
        pauses[number].__exit__(None, None, None)
    assert gc.isenabled()
