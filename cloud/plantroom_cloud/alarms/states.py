"""The states of an alarm and what leads from one to another, after ISA-18.2 and IEC 62682. Pure.

An alarm has a *condition* (the plant's: on or off) and a *standing* (what a person has yet to do).
Three things hide it, each on its own: a person shelves it for a time, the equipment's state
suppresses it by design, a person takes it out of service. While it is hidden only the condition is
followed; when nothing hides it any more it comes back as what the condition says by then.

::

    normal ──on──▶ unacknowledged ──acknowledge──▶ acknowledged ──off──▶ normal
                     │  ▲                                        └─off─▶ latched_acknowledged
                    off on                                                  (reset ▶ normal)
                     ▼  │
                   returned ──acknowledge──▶ normal
                   latched_unacknowledged ──acknowledge──▶ latched_acknowledged
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Standing(StrEnum):
    """What is shown of an alarm: the nine states of the standard."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"
    """The condition has gone, and nobody has acknowledged it."""
    LATCHED_UNACKNOWLEDGED = "latched_unacknowledged"
    LATCHED_ACKNOWLEDGED = "latched_acknowledged"
    """The condition has gone; somebody must reset it all the same."""
    SHELVED = "shelved"
    SUPPRESSED = "suppressed"
    """By design: by the state of the equipment."""
    OUT_OF_SERVICE = "out_of_service"


class Act(StrEnum):
    """What can happen to an alarm."""

    ON = "on"
    OFF = "off"
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    EXPIRE = "expire"
    """The time on the shelf is over."""
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    REMOVE = "remove"
    """Out of service."""
    RESTORE = "restore"
    """Back into service."""


HIDDEN: Final = frozenset({Standing.SHELVED, Standing.SUPPRESSED, Standing.OUT_OF_SERVICE})
NEEDS_PERSON: Final = frozenset(
    {Standing.UNACKNOWLEDGED, Standing.RETURNED, Standing.LATCHED_UNACKNOWLEDGED}
)
"""Somebody has yet to acknowledge these."""


class NotPossible(Exception):
    """An act that the present state does not allow; the text says why."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything that decides what an alarm does next."""

    base: Standing = Standing.NORMAL
    """What would be shown if nothing hid it; ``normal`` while something does."""
    active: bool = False
    """The condition."""
    latched: bool = False
    """While it is hidden: somebody will have to reset it."""
    shelved_until: int | None = None
    """Microseconds; None: it is not on the shelf."""
    suppressed: bool = False
    out_of_service: bool = False

    @property
    def shown(self) -> Standing:
        """Return the state that people see: what hides it for longest comes first."""
        if self.out_of_service:
            return Standing.OUT_OF_SERVICE
        if self.suppressed:
            return Standing.SUPPRESSED
        if self.shelved_until is not None:
            return Standing.SHELVED
        return self.base

    @property
    def hidden(self) -> bool:
        """Tell whether it is kept from the operator."""
        return self.shown in HIDDEN


_N, _U, _A, _R = Standing.NORMAL, Standing.UNACKNOWLEDGED, Standing.ACKNOWLEDGED, Standing.RETURNED
_LU, _LA = Standing.LATCHED_UNACKNOWLEDGED, Standing.LATCHED_ACKNOWLEDGED

_ON: Final[Mapping[Standing, Standing]] = {_N: _U, _R: _U, _LU: _U, _LA: _U}
_OFF: Final[Mapping[Standing, Standing]] = {_U: _R, _A: _N}
_OFF_LATCHING: Final[Mapping[Standing, Standing]] = {_U: _LU, _A: _LA}
_ACKNOWLEDGE: Final[Mapping[Standing, Standing]] = {_U: _A, _R: _N, _LU: _LA}


def annunciates(before: State, after: State) -> bool:
    """Tell whether a step calls the operator: the alarm stands unacknowledged, and did not."""
    return after.shown is _U and before.shown is not _U


def step(state: State, act: Act, *, latching: bool = False, until: int | None = None) -> State:
    """Return the state after an act.

    Args:
        state: before it.
        act: what happens.
        latching: the rule says that the alarm stays until it is reset.
        until: with SHELVE: when it comes back, microseconds.

    Raises:
        NotPossible: a person asks for what this state does not allow. What the plant, the clock or
            the equipment does is always possible.
    """
    if act in {Act.ON, Act.OFF}:
        return _condition(state, on=act is Act.ON, latching=latching)
    if act in {Act.ACKNOWLEDGE, Act.RESET}:
        return _handled(state, act)
    return _surface(state, _hide(state, act, until), latching=latching)


def _condition(state: State, *, on: bool, latching: bool) -> State:
    if state.active is on:
        return state
    if state.hidden:
        return replace(state, active=on, latched=state.latched or (latching and on))
    table = _ON if on else (_OFF_LATCHING if latching else _OFF)
    return replace(state, active=on, base=table[state.base])


def _handled(state: State, act: Act) -> State:
    if state.hidden:
        msg = f"it is {_words(state.shown)}; bring it back first"
        raise NotPossible(msg)
    if act is Act.ACKNOWLEDGE:
        if state.base not in _ACKNOWLEDGE:
            msg = f"it is {_words(state.base)}: there is nothing to acknowledge"
            raise NotPossible(msg)
        return replace(state, base=_ACKNOWLEDGE[state.base])
    if state.base is not _LA:
        msg = f"it is {_words(state.base)}: only what is latched and acknowledged is reset"
        raise NotPossible(msg)
    return replace(state, base=_N)


def _hide(state: State, act: Act, until: int | None) -> State:
    """Return `state` with what hides it changed, and nothing else."""
    match act:
        case Act.SHELVE:
            if state.out_of_service:
                msg = "it is out of service: nothing to shelve"
                raise NotPossible(msg)
            if until is None:
                msg = "a shelf needs an end"
                raise NotPossible(msg)
            return replace(state, shelved_until=until)
        case Act.UNSHELVE:
            if state.shelved_until is None:
                msg = f"it is {_words(state.shown)}, not shelved"
                raise NotPossible(msg)
            return replace(state, shelved_until=None)
        case Act.EXPIRE:
            return replace(state, shelved_until=None)
        case Act.SUPPRESS | Act.UNSUPPRESS:
            return replace(state, suppressed=act is Act.SUPPRESS)
        case _:
            removing = act is Act.REMOVE
            if state.out_of_service is removing:
                msg = "it is out of service already" if removing else "it is in service"
                raise NotPossible(msg)
            return replace(state, out_of_service=removing)


def _surface(before: State, after: State, *, latching: bool) -> State:
    """Return `after` with the base that goes with coming into, or out of, sight."""
    if before.hidden is after.hidden:
        return after
    if after.hidden:
        latched = before.base in {_LU, _LA} or (latching and before.active)
        return replace(after, base=_N, latched=latched)
    base = _U if after.active else (_LU if after.latched else _N)
    return replace(after, base=base, latched=False)


def _words(standing: Standing) -> str:
    return standing.value.replace("_", " ")
