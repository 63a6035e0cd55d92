"""Breakers: what keeps failing is left alone for a while, then tried by one caller at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from plantroom_cloud.kit import figures
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable

_NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Manner:
    """When a breaker opens, and for how long; all times in seconds."""

    failures: int = 5
    """Within `window`, before it opens ..."""
    share: float = 0.9
    """... if they are more than this part of all attempts: one in three may fail."""
    window: float = 30.0
    pause: float = 30.0
    """How long it stays open before somebody tries."""


class Told(Protocol):
    """Who else is told how an attempt went: a `Dependency`."""

    def worked(self, seconds: float) -> None:
        """Note that it took so long and worked."""

    def failed(self, error: BaseException, seconds: float) -> None:
        """Note that it took so long and failed."""


class BreakerOpen(Unavailable):
    """The call was not made: what was called kept failing."""


class Breaker:
    """Stops calling a dependency that keeps failing.

    It opens after `failures` within `window` beside which fewer than one attempt in ten worked.
    After `pause` a single attempt finds out whether it works again.

    Args:
        name: of the kind of dependency, for metrics: never of a company.
        clock: monotonic time.
        manner: when it opens.
    """

    def __init__(self, name: str, clock: Clock, manner: Manner | None = None) -> None:
        self.name, self._clock, self._manner = name, clock, manner or Manner()
        self._seen: deque[tuple[float, bool]] = deque()
        self._open_until = _NEVER
        self._trying = False
        figures.watch(self, _read)

    @property
    def open(self) -> bool:
        """Tell whether calling is pointless for now."""
        return self._clock.monotonic() < self._open_until

    @property
    def state(self) -> str:
        """``closed``; ``open``; or ``trying``, where it was open and somebody may try."""
        if self.open:
            return "open"
        return "closed" if self._open_until == _NEVER else "trying"

    def left(self) -> float:
        """Return the seconds until somebody may try; 0 where calls are made."""
        return max(0.0, self._open_until - self._clock.monotonic())

    def allow(self) -> bool:
        """Tell whether to call; after it was open, only one caller at a time is let through.

        Whoever is let through says how it went: by `attempt`, or `worked`, `failed`, `undecided`.
        """
        if self.open or (self._open_until != _NEVER and self._trying):
            figures.BREAKER_REFUSED.labels(self.name).inc()
            return False
        self._trying = self._open_until != _NEVER
        return True

    def check(self) -> None:
        """Be let through, or raise BreakerOpen with the seconds that are left."""
        if not self.allow():
            msg = f"{self.name} kept failing and is left alone for a while"
            raise BreakerOpen(msg, retry_after=self.left() or None)

    @contextmanager
    def attempt(self, told: Told, judge: Callable[[Exception], bool | None]) -> Iterator[None]:
        """Note how the block went; whoever enters has been let through.

        Args:
            told: is told as well.
            judge: of an error: whether what was called works all the same; None where the error
                says nothing of that, as a cancellation never does.
        """
        began = self._clock.monotonic()
        try:
            yield
        except BaseException as error:
            works = judge(error) if isinstance(error, Exception) else None
            if works is None:
                self.undecided()
            elif works:
                self._worked(told, began)
            else:
                self.failed()
                told.failed(error, self._clock.monotonic() - began)
            raise
        self._worked(told, began)

    def _worked(self, told: Told, began: float) -> None:
        self.worked()
        told.worked(self._clock.monotonic() - began)

    def failed(self) -> None:
        """Note that an attempt failed."""
        now, manner = self._clock.monotonic(), self._manner
        self._note(now, worked=False)
        failures = sum(not worked for _, worked in self._seen)
        often = failures >= manner.failures and failures > manner.share * len(self._seen)
        if often or self._trying:
            figures.BREAKER_OPENED.labels(self.name).inc()
            self._open_until = now + manner.pause
            self._trying = False
            self._seen.clear()

    def worked(self) -> None:
        """Note that an attempt worked."""
        self._note(self._clock.monotonic(), worked=True)
        self._open_until = _NEVER
        self._trying = False

    def undecided(self) -> None:
        """Note that an attempt ended without telling anything: it was cancelled, or told to wait."""
        self._trying = False

    def _note(self, now: float, *, worked: bool) -> None:
        self._seen.append((now, worked))
        while self._seen and self._seen[0][0] < now - self._manner.window:
            self._seen.popleft()


def _read(breaker: Breaker) -> Iterable[figures.Reading]:
    for state in ("closed", "open", "trying"):
        labels = (("breaker", breaker.name), ("state", state))
        text = "Breakers of this process, by state."
        yield "breakers", text, labels, float(breaker.state == state)
