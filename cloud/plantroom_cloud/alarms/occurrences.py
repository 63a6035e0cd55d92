"""What is entered of an alarm's condition against what the samples say now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from plantroom_cloud.alarms.conditions import Span
from plantroom_cloud.alarms.states import Act


@dataclass(frozen=True, slots=True)
class Entered:
    """An occurrence that is in the table."""

    id: int
    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Move:
    """The condition came or went."""

    act: Literal[Act.ON, Act.OFF]
    at: int
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes the table say what the samples say."""

    new: tuple[Span, ...]
    changed: tuple[tuple[Entered, Span], ...]
    gone: tuple[Entered, ...]
    """Later samples say that there was none."""

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to do."""
        return not (self.new or self.changed or self.gone)


def compare(entered: Iterable[Entered], found: Sequence[Span]) -> Plan:
    """Return what to enter; an occurrence that only moved in time stays the same occurrence.

    What begins at the same time is the same. What is left of the entered is looked at from the
    latest on, and takes the latest of what it overlaps.
    """
    free = {span.start: span for span in found}
    changed: list[tuple[Entered, Span]] = []
    gone: list[Entered] = []
    moved: list[Entered] = []
    for old in entered:
        same = free.pop(old.start, None)
        if same is None:
            moved.append(old)
        elif old.end != same.end:
            changed.append((old, same))
    for old in sorted(moved, key=lambda item: item.start, reverse=True):
        near = [start for start, span in free.items() if _overlap(old, span)]
        if near:
            changed.append((old, free.pop(max(near))))
        else:
            gone.append(old)
    new = sorted(free.values(), key=lambda span: span.start)
    return Plan(tuple(new), tuple(changed), tuple(reversed(gone)))


def _overlap(old: Entered, span: Span) -> bool:
    return (old.end is None or span.start < old.end) and (span.end is None or old.start < span.end)


def moves(plan: Plan, *, active: bool, now: int, over_before: int) -> tuple[list[Move], list[Span]]:
    """Return what the state machine is told, in order, and what is only entered.

    Args:
        plan: what was found out.
        active: the condition, as the alarm knows it.
        now: for what later samples took back, which ends when that is found out.
        over_before: what was over before this moment (microseconds) is history: nobody is called.
    """
    told: list[Move] = []
    history: list[Span] = []
    still = any(span.end is None for span in (*plan.new, *(span for _, span in plan.changed)))
    if not still and any(old.end is None for old in plan.gone):
        told.append(Move(Act.OFF, now))
    for old, span in plan.changed:
        if old.end is None and span.end is not None:
            told.append(Move(Act.OFF, span.end))
        elif old.end is not None and span.end is None:
            told.append(Move(Act.ON, span.start, span.value))
    # Nobody is called again for what was while the alarm stood anyway.
    stood_until = min((move.at for move in told), default=None) if active else 0
    for span in plan.new:
        if span.end is None:
            told.append(Move(Act.ON, span.start, span.value))
        elif span.end < over_before or stood_until is None or span.start < stood_until:
            history.append(span)
        else:
            told += [Move(Act.ON, span.start, span.value), Move(Act.OFF, span.end)]
    return _in_order(told, active=active), history


def _in_order(told: Iterable[Move], *, active: bool) -> list[Move]:
    """Return the moves by time, each of which changes something, and the last as it must end."""
    ordered = sorted(told, key=lambda move: (move.at, move.act is Act.ON))
    out: list[Move] = []
    on = active
    for move in ordered:
        if (move.act is Act.ON) is not on:
            out.append(move)
            on = not on
    return out
