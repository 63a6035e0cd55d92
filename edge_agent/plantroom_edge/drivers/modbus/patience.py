"""How long to wait for whom: units that do not answer get a small share of the line; pure.

Behind one socket or on one serial line, waiting for a dead unit takes time from all others. A unit
that answers may take the whole time-out, unless another has just failed. After it failed, it is asked with a shorter one, and from
the second failure on only while all failures together have taken less than `SHARE` of the time.
Where several die at once, their second chances are some time apart.
Where nobody on the line answers, there is nobody to protect.

Whoever passes requests on may still be waiting for a dead unit after we have given up. What is
asked next, of whomever, may therefore take as much longer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

SHARE: Final = 0.03
"""Of the line's time, what waiting in vain may take in the long run."""
DEBT: Final = 1.0
"""Time-outs by which the share may be exceeded; what goes beyond is forgiven."""
SHORT: Final = 0.25
"""Of the time-out, how long to wait at least for a unit that has failed."""
CALM: Final = 2.0
"""Time-outs after any failure on the line until all is as usual."""
LONG_EVERY: Final = 4
"""Every so many failures, the whole time-out is waited: some wake up slowly."""
_FORGET: Final = 0.98
"""With each answer, what the slowest one took counts less."""


@dataclass(slots=True)
class Record:
    """What is known of a unit's answers."""

    answered: bool = False
    failures: int = 0
    """Requests without an answer, in a row."""
    reason: str = "timeout"
    """Of the last failure."""
    slowest: float = 0.0
    """Seconds of the slowest answer of late."""
    average: float = 0.0
    """Seconds, moving."""
    longest: float = 0.0
    """Seconds of the slowest answer ever."""
    requests: int = 0
    lost: int = 0
    """Requests without a usable answer."""
    sent: int = 0
    received: int = 0
    """Bytes."""


@dataclass(slots=True)
class Patience:
    """The time budget of one line.

    Args:
        timeout: seconds to wait for an answer.
    """

    timeout: float
    units: dict[int, Record] = field(default_factory=dict)
    _credit: float = 0.0
    _free_at: float = float("-inf")
    """When the far end has surely given up, too, what we gave up."""
    _failed_at: float = float("-inf")
    _at: float | None = None

    def record(self, unit: int) -> Record:
        """Return the record of a unit."""
        record = self.units.get(unit)
        if record is None:
            record = self.units[unit] = Record()
        return record

    def limit(self, unit: int, now: float) -> float | None:
        """Return how many seconds to wait for an answer; None if it is not to be asked now."""
        self._refill(now)
        limit = self._limit(unit, now)
        return None if limit is None else limit + self.backlog(now)

    def _limit(self, unit: int, now: float) -> float | None:
        record = self.record(unit)
        if not self._others(unit):
            return self.timeout
        calm = now - self._failed_at >= CALM * self.timeout
        if record.failures == 0:
            return self.timeout if calm or self._credit > 0 else self._short(record)
        if record.failures == 1 and record.answered and calm:
            return self._short(record)
        if self._credit <= 0:
            return None
        return self.timeout if record.failures % LONG_EVERY == 1 else self._short(record)

    def backlog(self, now: float) -> float:
        """Return for how many seconds the far end may still be busy with what was given up."""
        return min(max(self._free_at - now, 0.0), self.timeout)

    def answer(self, unit: int, took: float, now: float) -> None:
        """Note an answer of the unit itself, after `took` seconds."""
        took -= min(self.backlog(now - took), took)
        self._free_at = float("-inf")
        record = self.record(unit)
        record.average = took if not record.answered else 0.9 * record.average + 0.1 * took
        record.answered, record.failures = True, 0
        record.slowest = max(took, _FORGET * record.slowest)
        record.longest = max(took, record.longest)

    def failure(self, unit: int, took: float, reason: str, now: float) -> None:
        """Note that `took` seconds were spent in vain."""
        self._refill(now)
        record = self.record(unit)
        record.failures += 1
        record.lost += 1
        record.reason = reason
        self._failed_at = now
        # Who says why there is no answer is free again.
        busy = reason == "timeout"
        self._free_at = now + max(self.timeout - took, 0.0) if busy else float("-inf")
        self._credit = max(self._credit - took, -DEBT * self.timeout)

    def _refill(self, now: float) -> None:
        passed = now - self._at if self._at is not None else self.timeout / SHARE
        self._at = now
        self._credit = min(self._credit + SHARE * max(passed, 0.0), self.timeout)

    def _others(self, unit: int) -> bool:
        """Return whether another unit on the line is well."""
        return any(
            record.answered and not record.failures
            for other, record in self.units.items()
            if other != unit
        )

    def _short(self, record: Record) -> float:
        slowest = record.slowest
        if not record.answered:
            slowest = max(one.slowest for one in self.units.values())
        return min(self.timeout, max(SHORT * self.timeout, 4 * slowest))
