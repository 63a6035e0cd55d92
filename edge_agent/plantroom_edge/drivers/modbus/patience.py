"""How long to wait for whom: units that do not answer get a small share of the line; pure.

Behind one socket or on one serial line, waiting for a dead unit takes time from all others. A unit
that answers may take the whole time-out, unless another has just failed. After it failed, it is asked
with a shorter one. Where several die at once, their second chances are some time apart; from the
second failure on, each is asked only so often that all of them together take `SHARE` of the time.
Where nobody on the line answers, there is nobody to protect.

Each unit pays for its own failures only. A unit that fails again and again, but answers in between,
is not trusted: its failures are no news, hurry nobody else, and have a share of their own.

Whoever passes requests on may still be waiting for a dead unit after we have given up. What is
asked next, of whomever, may therefore take as much longer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

SHARE: Final = 0.03
"""Of the line's time, what waiting for dead units may take in the long run."""
FLAPPING: Final = 0.1
"""The same for those that answer now and then."""
TRUSTED: Final = 10
"""Answers in a row after which a unit that has failed may be trusted again."""
PROBATION: Final = 30.0
"""Seconds after a failure until it is: nobody makes news more often."""
REST: Final = 300.0
"""Seconds after which a dead unit is asked again, whatever its share."""
NEWS: Final = 60.0
"""Seconds between two times that the return of one dead unit lets the others be asked at once."""
DEBT: Final = 1.0
"""Time-outs by which a share may be exceeded; what goes beyond is forgiven."""
SHORT: Final = 0.25
"""Of the time-out, how long to wait at least for a unit that has failed."""
CALM: Final = 2.0
"""Time-outs after a failure that is news until all is as usual."""
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
    trusted: bool = True
    """It did not fail of late, or once."""
    since: int = TRUSTED
    """Answers in a row."""
    failed_at: float = float("-inf")
    """When its last failure was."""
    again_at: float = float("-inf")
    """When a dead unit has paid for what it has cost; it may be asked a little before."""
    spare: float = 0.0
    """Seconds for which may still be waited in vain for a unit that is not trusted."""
    spare_at: float = 0.0
    """When that was true."""
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

    def proven(self, now: float) -> bool:
        """Return whether its last failure is long past."""
        return self.since >= TRUSTED and now - self.failed_at >= PROBATION

    @property
    def dead(self) -> bool:
        """Whether nothing speaks for another answer soon."""
        return self.failures > 1 or (self.failures == 1 and not self.answered)


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
    _returned_at: float = float("-inf")
    """When a dead unit last let the others be asked."""
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
        if record.dead:
            long = record.failures % LONG_EVERY == 0
            limit = self.timeout if long else self._short(record)
            # Failures that took next to nothing are let pass.
            return limit if now >= record.again_at - CALM * self.timeout else None
        if not record.trusted:
            self._save(record, now)
            if record.spare >= self.timeout and not record.failures:
                return self.timeout
            return self._short(record) if record.spare > 0 else None
        calm, rich = now - self._failed_at >= CALM * self.timeout, self._credit > 0
        if record.failures:
            return self._short(record) if calm else self.timeout if rich else None
        return self.timeout if calm or rich else self._short(record)

    def backlog(self, now: float) -> float:
        """Return for how many seconds the far end may still be busy with what was given up."""
        return min(max(self._free_at - now, 0.0), self.timeout)

    def answer(self, unit: int, took: float, now: float) -> None:
        """Note an answer of the unit itself, after `took` seconds."""
        took -= min(self.backlog(now - took), took)
        self._free_at = float("-inf")
        record = self.record(unit)
        record.average = took if not record.answered else 0.9 * record.average + 0.1 * took
        returned = record.dead
        record.answered, record.failures = True, 0
        if returned and now - self._returned_at >= NEWS:
            self._encourage(now)
        record.since += 1
        record.trusted = record.trusted or record.proven(now)
        record.slowest = max(took, _FORGET * record.slowest)
        record.longest = max(took, record.longest)

    def failure(self, unit: int, took: float, reason: str, now: float) -> None:
        """Note that `took` seconds were spent in vain."""
        self._refill(now)
        record = self.record(unit)
        if record.trusted:  # news, also for others
            self._failed_at = now
            self._credit = max(self._credit - took, -DEBT * self.timeout)
            record.trusted = record.proven(now)
            if record.trusted:
                record.spare, record.spare_at = self.timeout, now
        record.failed_at = now
        record.failures += 1
        record.lost += 1
        record.since = 0
        record.reason = reason
        self.charge(unit, took, now)
        # Who says why there is no answer is free again.
        busy = reason == "timeout"
        self._free_at = now + max(self.timeout - took, 0.0) if busy else float("-inf")

    def charge(self, unit: int, took: float, now: float) -> None:
        """Note that a unit has cost the line `took` seconds; of no matter for one that is trusted."""
        record = self.record(unit)
        self._save(record, now)
        record.spare = max(record.spare - took, -DEBT * self.timeout)
        if record.dead:
            dead = sum(one.dead for one in self.units.values())
            again_at = max(record.again_at, now) + took * dead / SHARE
            # While nobody answers, all are asked anyway: little of that is held against them later.
            longest = REST if self._others(unit) else DEBT * self.timeout / SHARE
            record.again_at = min(again_at, now + longest)

    def _encourage(self, now: float) -> None:
        """Let dead units be asked soon, one after the other: what kept one away may be over."""
        self._returned_at = now
        dead = [one for one in self.units.values() if one.dead]
        for place, one in enumerate(dead, start=1):
            one.again_at = min(one.again_at, now + place * CALM * self.timeout)

    def _save(self, record: Record, now: float) -> None:
        """Give a unit what its share has grown by."""
        flapping = sum(not one.trusted and not one.dead for one in self.units.values())
        grown = FLAPPING * max(now - record.spare_at, 0.0) / max(flapping, 1)
        record.spare, record.spare_at = min(record.spare + grown, self.timeout), now

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
