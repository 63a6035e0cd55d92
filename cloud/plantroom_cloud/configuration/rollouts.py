"""When the next wave of a rollout opens, and when it halts: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

FAILED: Final = ("refused", "rolled_back", "set_aside")
_GONE: Final = ("superseded", "cancelled")
"""Somebody wants something else of this gateway by now: it is no part of the rollout any more."""


class Placed(Protocol):
    """What is asked of an assignment."""

    @property
    def wave(self) -> int:
        """Which it is in."""
        ...

    @property
    def state(self) -> str:
        """How far it is."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with a rollout."""

    what: Literal["wait", "open", "halt", "done"]
    wave: int = 0
    reason: str = ""


def cut(gateways: Sequence[str], sizes: Sequence[int]) -> list[list[str]]:
    """Return gateways in waves of `sizes`; the last wave takes what is left."""
    waves, at = [], 0
    for size in sizes:
        if part := list(gateways[at : at + size]):
            waves.append(part)
        at += size
    if rest := list(gateways[at:]):
        waves.append(rest)
    return waves


def step(
    assignments: Sequence[Placed],
    *,
    wave: int,
    waves: int,
    most_failed: int,
    waited_s: float,
    patience_s: float,
) -> Step:
    """Return what is to be done.

    Args:
        assignments: of the rollout.
        wave: the one that is open.
        waves: how many there are.
        most_failed: how many may fail, over all waves.
        waited_s: seconds since the wave was opened.
        patience_s: seconds after which those that have not been reached are not waited for.
    """
    failed = sum(one.state in FAILED for one in assignments)
    if failed > most_failed:
        return Step("halt", wave, f"{failed} failed, {most_failed} may")
    here = [one.state for one in assignments if one.wave == wave]
    trying = any(state == "pending" for state in here)
    away = any(state in {"staged", "sent"} for state in here)
    if trying or (away and waited_s < patience_s):
        return Step("wait", wave)
    # A wave of which nothing has come good says nothing of the next.
    if not any(state == "applied" or state in _GONE for state in here):
        return Step("halt", wave, "nobody of the wave could be reached") if here else Step("wait")
    if wave + 1 < waves:
        return Step("open", wave + 1)
    open_still = any(one.state in {"staged", "sent", "pending"} for one in assignments)
    return Step("wait", wave) if open_still else Step("done", wave)
