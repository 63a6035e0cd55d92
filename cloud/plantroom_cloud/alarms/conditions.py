"""From samples to the times at which a condition was on: limits, dead band and delays. Pure.

What comes out depends on the samples and their times alone, never on when or in which portions
they are looked at. So a portion that came late is folded again from a checkpoint before it, and
whatever crashed is simply done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import isfinite
from typing import Final, Literal, NamedTuple

SECOND: Final = 1_000_000

Kind = Literal["above", "below", "outside", "equals", "differs"]


@dataclass(frozen=True, slots=True)
class Limit:
    """When a value is a reason for an alarm; in the unit of the point."""

    kind: Kind
    high: float = 0.0
    """Of ``above`` and ``outside``: beyond it, not at it."""
    low: float = 0.0
    """Of ``below`` and ``outside``."""
    dead_band: float = 0.0
    """How far within the limit a value must come back to end the condition."""
    value: float | str = 0.0
    """Of ``equals`` and ``differs``; a boolean is 0 or 1."""

    def judge(self, value: float | None, text: str | None, *, on: bool) -> bool | None:
        """Say whether a value is beyond the limit; None where it cannot be compared.

        Args:
            value: a number, or a boolean as 0 or 1.
            text: what a point says that is no number.
            on: the condition is on: the dead band counts.
        """
        if self.kind in {"equals", "differs"}:
            said: float | str | None = text if value is None else value
            if said is None:
                return None
            return (said == self.value) is (self.kind == "equals")
        if value is None or not isfinite(value):
            return None
        band = self.dead_band if on else 0.0
        above = self.kind != "below" and value > self.high - band
        below = self.kind != "above" and value < self.low + band
        return above or below


class Reading(NamedTuple):
    """One good sample."""

    ts: int
    value: float | None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The condition was on: ``start <= t < end``, microseconds."""

    start: int
    end: int | None
    """None: it is on as far as is known."""
    value: float | None = None
    """What was beyond the limit when it began."""


@dataclass(frozen=True, slots=True)
class Fold:
    """How far the samples are taken in, and what must be known of them: a checkpoint."""

    ts: int
    """Everything up to and with this moment is taken in."""
    since: int | None = None
    """The condition is on since then; None: it is off."""
    turning: int | None = None
    """Values say the contrary since then, and the delay is not over."""
    value: float | None = None
    """What was beyond the limit first."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A limit with its delays, microseconds."""

    limit: Limit
    on_delay: int = 0
    """Beyond the limit for so long before the condition is on."""
    off_delay: int = 0
    """Within it for so long before the condition is off."""

    def due(self, fold: Fold) -> int | None:
        """Return when the condition changes by the clock alone; None where it does not."""
        if fold.turning is None:
            return None
        return fold.turning + (self.on_delay if fold.since is None else self.off_delay)

    def take(self, fold: Fold, readings: Iterable[Reading]) -> tuple[Fold, list[Span]]:
        """Take in readings after `fold`, in order of time; return how far it is, and what ended.

        Of several readings of one moment the last counts.
        """
        ended: list[Span] = []
        for ts, same in groupby(readings, key=lambda reading: reading.ts):
            *_, reading = same
            fold = self._ring(fold, ts, ended)
            fold = self._look(replace(fold, ts=ts), reading)
            fold = self._ring(fold, ts, ended)
        return fold, ended

    def until(self, fold: Fold, now: int) -> list[Span]:
        """Return what begins or is on after `fold` up to `now`, should nothing else come."""
        spans: list[Span] = []
        fold = self._ring(fold, now, spans)
        if fold.since is not None:
            spans.append(Span(fold.since, None, fold.value))
        return spans

    def _look(self, fold: Fold, reading: Reading) -> Fold:
        beyond = self.limit.judge(reading.value, reading.text, on=fold.since is not None)
        if beyond is None:
            return fold
        if beyond is (fold.since is not None):
            return replace(fold, turning=None)
        if fold.turning is not None:
            return fold
        value = reading.value if beyond else fold.value
        return replace(fold, turning=reading.ts, value=value)

    def _ring(self, fold: Fold, now: int, ended: list[Span]) -> Fold:
        """Return `fold` with the delay over, if that is so by `now`."""
        due = self.due(fold)
        if due is None or due > now:
            return fold
        if fold.since is None:
            return replace(fold, since=due, turning=None)
        if due > fold.since:
            ended.append(Span(fold.since, due, fold.value))
        return replace(fold, since=None, turning=None, value=None)


def thin(folds: Sequence[Fold], keep_from: int) -> list[Fold]:
    """Return few of `folds`, which are sorted: the newest, and ever fewer the older they are.

    To fold again from a moment costs no more than twice what came since. One that is not after
    `keep_from` stays, so that everything later can be done again.
    """
    newest = folds[-1].ts
    kept: dict[int, Fold] = {}
    for fold in folds:  # the oldest of each power of two stays
        kept.setdefault(((newest - fold.ts) // SECOND).bit_length(), fold)
    kept[-1] = folds[-1]
    out = sorted(set(kept.values()), key=lambda fold: fold.ts)
    floor = [fold for fold in folds if fold.ts <= keep_from][-1:] or list(folds[:1])
    return floor + [fold for fold in out if fold.ts > floor[0].ts]


def before(folds: Sequence[Fold], ts: int) -> Fold | None:
    """Return the newest checkpoint that does not know of `ts`; None where all do."""
    return next((fold for fold in reversed(folds) if fold.ts < ts), None)
