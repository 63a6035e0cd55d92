"""What this process depends on, and how each was when it was last used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from weakref import WeakSet

from plantroom_cloud.kit import figures
from plantroom_cloud.kit.breakers import Breaker
from plantroom_shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Standing:
    """How a dependency is."""

    name: str
    state: str
    """``ok``, ``failing``, ``left_alone`` (its breaker is open), or ``unknown``: not used yet."""
    ok_us: int | None = None
    """When it last did what it was asked."""
    latency: float | None = None
    """Seconds that took."""
    failure: str = ""
    """The kind of its last failure, if that came after; never a text of another's."""


class Dependency:
    """One thing outside of the process: told how each use of it went, it says how it is.

    Args:
        name: of the kind, for metrics: never of a company.
        clock: for when.
        breaker: what keeps calls from it while it fails; None where nothing does.
    """

    def __init__(self, name: str, clock: Clock, breaker: Breaker | None = None) -> None:
        self.name, self._clock, self._breaker = name, clock, breaker
        self._ok_us: int | None = None
        self._latency: float | None = None
        self._failure = ""
        _KNOWN.add(self)

    def worked(self, seconds: float | None = None) -> None:
        """Note that it did what it was asked; `seconds` is how long that took, where known."""
        self._ok_us, self._failure = self._clock.now_us(), ""
        if seconds is not None:
            self._latency = seconds
            figures.CALL_SECONDS.labels(self.name, "ok").observe(seconds)

    def failed(self, error: BaseException, seconds: float = 0.0) -> None:
        """Note that it did not."""
        self._failure = type(error).__name__
        figures.CALL_SECONDS.labels(self.name, "failed").observe(seconds)

    @contextmanager
    def used(self, *trouble: type[BaseException]) -> Iterator[None]:
        """Note how the block went: `trouble` is its failure, any other error says nothing of it."""
        began = self._clock.monotonic()
        try:
            yield
        except trouble as error:
            self.failed(error, self._clock.monotonic() - began)
            raise
        except (Exception, asyncio.CancelledError):
            raise
        self.worked(self._clock.monotonic() - began)

    @property
    def standing(self) -> Standing:
        """How it is."""
        state = "failing" if self._failure else "ok" if self._ok_us is not None else "unknown"
        if self._breaker is not None and self._breaker.open:
            state = "left_alone"
        return Standing(self.name, state, self._ok_us, self._latency, self._failure)


_KNOWN: Final[WeakSet[Dependency]] = WeakSet()
_WORST: Final = ("left_alone", "failing", "ok", "unknown")


def standings() -> list[Standing]:
    """Return how everything is that this process has used; of several of one name the worst."""
    found: dict[str, Standing] = {}
    for dependency in list(_KNOWN):
        new = dependency.standing
        old = found.get(new.name)
        if old is None or _WORST.index(new.state) < _WORST.index(old.state):
            found[new.name] = new
    return [found[name] for name in sorted(found)]
