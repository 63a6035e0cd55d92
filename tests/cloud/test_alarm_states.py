"""The state machine of ISA-18.2: every transition, and what holds whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.alarms.states import (
    HIDDEN,
    NEEDS_PERSON,
    Act,
    NotPossible,
    Standing,
    State,
    annunciates,
    step,
)

ACTS = st.lists(st.tuples(st.sampled_from(Act), st.booleans()), max_size=40)
N, U, A, R = Standing.NORMAL, Standing.UNACKNOWLEDGED, Standing.ACKNOWLEDGED, Standing.RETURNED
LU, LA = Standing.LATCHED_UNACKNOWLEDGED, Standing.LATCHED_ACKNOWLEDGED
ON = {U, A}


def _in(base: Standing) -> State:
    return State(base, active=base in ON)


def _go(state: State, act: Act, *, latching: bool = False) -> State:
    return step(state, act, latching=latching, until=1 if act is Act.SHELVE else None)


@pytest.mark.parametrize(
    ("before", "act", "latching", "after"),
    [
        (N, Act.ON, False, U),
        (U, Act.ACKNOWLEDGE, False, A),
        (U, Act.OFF, False, R),
        (A, Act.OFF, False, N),
        (R, Act.ACKNOWLEDGE, False, N),
        (R, Act.ON, False, U),
        (U, Act.OFF, True, LU),
        (A, Act.OFF, True, LA),
        (LU, Act.ACKNOWLEDGE, True, LA),
        (LU, Act.ON, True, U),
        (LA, Act.ON, True, U),
        (LA, Act.RESET, True, N),
        (U, Act.SHELVE, False, Standing.SHELVED),
        (A, Act.SHELVE, False, Standing.SHELVED),
        (N, Act.SHELVE, False, Standing.SHELVED),
        (U, Act.SUPPRESS, False, Standing.SUPPRESSED),
        (N, Act.SUPPRESS, False, Standing.SUPPRESSED),
        (U, Act.REMOVE, False, Standing.OUT_OF_SERVICE),
        (N, Act.REMOVE, False, Standing.OUT_OF_SERVICE),
    ],
)
def test_transitions(before: Standing, act: Act, latching: bool, after: Standing) -> None:
    """Each transition of the standard leads where the standard says."""
    assert _go(_in(before), act, latching=latching).shown is after


@pytest.mark.parametrize("hide", [Act.SHELVE, Act.SUPPRESS, Act.REMOVE])
@pytest.mark.parametrize("base", [N, U, A, R, LU, LA])
@pytest.mark.parametrize("change", [None, Act.ON, Act.OFF])
@pytest.mark.parametrize("latching", [False, True])
def test_what_was_hidden_comes_back(
    hide: Act, base: Standing, change: Act | None, latching: bool
) -> None:
    """Brought back, it is what its condition says by then; what was latched is so still."""
    back = {Act.SHELVE: Act.EXPIRE, Act.SUPPRESS: Act.UNSUPPRESS, Act.REMOVE: Act.RESTORE}
    state = _go(_in(base), hide, latching=latching)
    if change is not None:
        state = _go(state, change, latching=latching)
    shown = _go(state, back[hide], latching=latching).shown
    on = change is Act.ON or (change is None and base in ON)
    latched = base in {LU, LA} or (latching and (base in ON or change is Act.ON))
    assert shown is (U if on else LU if latched else N)


@pytest.mark.parametrize(
    ("state", "act"),
    [
        (_in(N), Act.ACKNOWLEDGE),
        (_in(A), Act.ACKNOWLEDGE),
        (_in(LA), Act.ACKNOWLEDGE),
        (_in(N), Act.RESET),
        (_in(U), Act.RESET),
        (_in(LU), Act.RESET),
        (_in(U), Act.UNSHELVE),
        (_in(U), Act.RESTORE),
        (State(shelved_until=1), Act.ACKNOWLEDGE),
        (State(suppressed=True), Act.RESET),
        (State(out_of_service=True), Act.REMOVE),
        (State(out_of_service=True), Act.SHELVE),
    ],
)
def test_what_cannot_be(state: State, act: Act) -> None:
    """What a person asks for at the wrong time is refused, in words."""
    with pytest.raises(NotPossible, match=r"\w"):
        _go(state, act)


def test_a_shelf_has_an_end() -> None:
    """Nothing is shelved for ever; shelved again, the new end counts."""
    with pytest.raises(NotPossible, match="end"):
        step(State(), Act.SHELVE)
    assert step(State(shelved_until=1), Act.SHELVE, until=9).shelved_until == 9


def _run(acts: list[tuple[Act, bool]]) -> list[tuple[State, Act, State]]:
    state, seen = State(), []
    for act, latching in acts:
        try:
            after = _go(state, act, latching=latching)
        except NotPossible:
            continue
        seen.append((state, act, after))
        state = after
    return seen


@given(ACTS)
def test_whatever_happens(acts: list[tuple[Act, bool]]) -> None:
    """After any acts: what stands has its condition on, what is hidden has no standing of its own."""
    for before, act, after in _run(acts):
        assert (after.base in ON) is (after.active and not after.hidden)
        assert (after.shown in HIDDEN) is after.hidden
        if after.hidden:
            assert after.base is N
        else:
            assert not after.latched
            assert after.shown is after.base
        if act in {Act.ON, Act.OFF}:
            assert after.active is (act is Act.ON)
        elif act not in {Act.ON, Act.OFF}:
            assert after.active is before.active


@given(ACTS)
def test_nothing_is_dismissed_unseen(acts: list[tuple[Act, bool]]) -> None:
    """What somebody must see leaves that state by a person, by its return, or by being hidden."""
    for before, act, after in _run(acts):
        if before.shown in NEEDS_PERSON and after.shown not in NEEDS_PERSON:
            hid = {Act.SHELVE, Act.SUPPRESS, Act.REMOVE}
            assert act in hid or act is Act.ACKNOWLEDGE
        if annunciates(before, after):
            assert after.shown is U
            assert act in {Act.ON, Act.UNSHELVE, Act.EXPIRE, Act.UNSUPPRESS, Act.RESTORE}


@given(ACTS, st.sampled_from([Act.ON, Act.OFF, Act.SUPPRESS, Act.UNSUPPRESS, Act.EXPIRE]))
def test_the_plant_may_say_it_twice(acts: list[tuple[Act, bool]], act: Act) -> None:
    """What the plant, the equipment or the clock says is always possible, and once is enough."""
    run = _run(acts)
    state = run[-1][2] if run else State()
    once = _go(state, act)
    assert _go(once, act) == once
