"""Licences: plans, limits, dates and status. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from plantroom_cloud.kit.times import DAY, SECOND
from plantroom_shared.errors import ConfigError

_WARN_AT: Final = 0.8
"""Share of a limit from which on is warned, unless the licence says otherwise."""
HIGHEST: Final = 2**53
"""Of any limit: what JSON readers can count to."""


class Limit(StrEnum):
    """What a licence may limit."""

    SITES = "sites"
    GATEWAYS = "gateways"
    POINTS = "points"
    USERS = "users"
    JOBS = "jobs_per_day"
    REQUESTS = "requests_per_day"
    SAMPLES = "samples_per_day"
    LLM_TOKENS = "llm_tokens_per_month"


class Status(StrEnum):
    """How a licence stands."""

    TRIAL = "trial"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    """All goes on, with a warning."""
    SUSPENDED = "suspended"
    ENDED = "ended"
    """Nothing new is made, asked of a model or published; what is there can be read, and samples
    are stored."""


OVER: Final = frozenset({Status.SUSPENDED, Status.ENDED})


@dataclass(frozen=True, slots=True)
class Amount:
    """How much there may be."""

    most: int | None = None
    """What is beyond is refused; None: any number."""
    warn: int | None = None
    """From this number on is warned; None: never."""

    def state(self, used: int) -> str:
        """Return ``ok``, ``warning`` or ``reached``."""
        if self.most is not None and used >= self.most:
            return "reached"
        return "warning" if self.warn is not None and used >= self.warn else "ok"


@dataclass(frozen=True, slots=True)
class Licence:
    """What one company may have."""

    plan: str
    status: Status = Status.ACTIVE
    limits: Mapping[Limit, Amount] = field(default_factory=dict)
    from_us: int = 0
    until_us: int | None = None
    """From then on it has ended, whatever `status` says; None: it does not end by itself."""

    def status_at(self, now_us: int) -> Status:
        """Return how it stands at a moment."""
        over = self.until_us is not None and now_us >= self.until_us
        return Status.ENDED if over else self.status

    def amount(self, limit: Limit) -> Amount:
        """Return how much of something there may be."""
        return self.limits.get(limit, Amount())


UNLIMITED: Final = Licence("own")
"""Of a company to which none was given: an installation of one's own."""


def day_of(now_us: int) -> int:
    """Return the number of a moment's day, UTC; 1970-01-01 is day 0."""
    return now_us // DAY


def day_text(day: int) -> str:
    """Return a day as ``2026-01-31``."""
    return datetime.fromtimestamp(day * DAY // SECOND, UTC).strftime("%Y-%m-%d")


def month_of(now_us: int) -> str:
    """Return the month of a moment, UTC, as ``2026-01``."""
    return day_text(day_of(now_us))[:7]


def parse_limit(text: str) -> tuple[Limit, Amount]:
    """Return what ``sites=5``, ``sites=5:4`` (warned from 4 on) or ``sites=:4`` says.

    Raises:
        ConfigError: it is none of these.
    """
    name, _, said = text.partition("=")
    most, colon, warn = said.partition(":")
    known = ", ".join(Limit)
    try:
        limit = Limit(name.strip())
        least = _number(most)
        amount = Amount(least, _number(warn) if colon else _warned(least))
    except ValueError as error:
        fix = f"write NAME=MOST, NAME=MOST:WARN or NAME=:WARN, with one of: {known}"
        what = f"{text[:80]!r} is no limit"
        raise ConfigError(what, key="limit", fix=fix) from error
    if amount == Amount():
        what = f"{text[:80]!r} limits nothing"
        raise ConfigError(what, key="limit", fix="leave it out where there is no limit")
    return limit, amount


def _number(text: str) -> int | None:
    if not text.strip():
        return None
    number = int(text)
    if not 0 <= number <= HIGHEST:
        msg = "out of range"
        raise ValueError(msg)
    return number


def _warned(most: int | None) -> int | None:
    return None if most is None else math.ceil(most * _WARN_AT)


def to_json(limits: Mapping[Limit, Amount]) -> dict[str, list[int | None]]:
    """Return limits as they are kept."""
    return {limit.value: [amount.most, amount.warn] for limit, amount in limits.items()}


def from_json(kept: Mapping[str, Any]) -> dict[Limit, Amount]:
    """Return limits as they were kept; one that nobody knows any more limits nothing."""
    known = set(Limit)
    return {Limit(name): Amount(*pair) for name, pair in kept.items() if name in known}
