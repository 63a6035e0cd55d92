"""What may be written, by whom and within which limits: the section ``writes:``; nothing by default."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plantroom_edge.commands.moments import LONGEST_US
from plantroom_shared.model import Value

LIFE_SAFETY: Final = 2
"""Priorities up to this one are never written: they are for the safety of life."""

BY_GRANT: Final = 8
"""Priorities up to this one are those of operators and equipment: only where that is granted."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Grant(_Strict):
    """Points that may be written, and how; the first entry whose pattern fits a point counts."""

    point: str = Field(min_length=1, max_length=200)
    """Key of the point; ``*`` stands for any characters: ``bacnet:1001:analog-value:*``."""
    min: float | None = None
    """Lowest value, in the point's unit; numbers need `min` and `max`, or `values`."""
    max: float | None = None
    values: tuple[bool | int | float | str, ...] = ()
    """The only values there are: for what is switched, not set."""
    max_change: float | None = Field(default=None, gt=0)
    """Most that one command may change, in the point's unit."""
    min_interval: float = Field(default=10, ge=0, le=86400)
    """Seconds between two commands for the point, at least."""
    priority: int | None = Field(default=13, ge=LIFE_SAFETY + 1, le=16)
    """BACnet priority where a command names none; null writes points without a priority array."""
    priority_min: int = Field(default=BY_GRANT + 1, ge=LIFE_SAFETY + 1, le=16)
    priority_max: int = Field(default=16, ge=LIFE_SAFETY + 1, le=16)
    allow_high_priority: bool = False
    """Needed for priorities 3 to 8."""
    lease: float = Field(default=900, ge=1, le=604_800)
    """Seconds after which a value is taken back where the command says nothing."""
    max_lease: float = Field(default=3600, ge=1, le=604_800)
    safe_value: bool | int | float | str | None = None
    """What to write at the end of a lease; without it what was there before comes back."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        faults = (
            ((self.min is None) != (self.max is None), "give both `min` and `max`"),
            (self.min is None and not self.values, "say what may be written: `min` and `max`, or `values`"),
            (self.min is not None and bool(self.values), "give `min` and `max` or `values`, not both"),
            (_above(self.min, self.max), "`min` must not be above `max`"),
            (self.lease > self.max_lease, "`lease` must not be above `max_lease`"),
            (self.priority_min > self.priority_max, "`priority_min` must not be above `priority_max`"),
            (
                self.priority is not None
                and not self.priority_min <= self.priority <= self.priority_max,
                "`priority` must lie between `priority_min` and `priority_max`",
            ),
            (
                self.priority_min <= BY_GRANT and not self.allow_high_priority,
                "priorities 3 to 8 need `allow_high_priority: true`",
            ),
            (
                self.safe_value is not None and self.unfit(self.safe_value) != "",
                "`safe_value` must be a value that may be written",
            ),
        )  # fmt: skip
        for wrong, what in faults:
            if wrong:
                raise ValueError(what)
        return self

    def unfit(self, value: Value) -> str:
        """Return why `value` may not be written; empty if it may."""
        if self.values:
            return "" if any(same(value, one) for one in self.values) else "value-not-allowed"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "not-a-number"
        low, high = self.min, self.max
        inside = low is not None and high is not None and low <= value <= high
        return "" if inside else "out-of-range"


class WritesConfig(_Strict):
    """Whether, by whom and what may be written."""

    enabled: bool = False
    keys: dict[str, Path] = {}
    """Name → PEM file of an Ed25519 public key whose commands are heeded."""
    allow: tuple[Grant, ...] = Field(default=(), max_length=10_000)
    per_minute: int = Field(default=60, ge=1, le=6000)
    """Commands in a minute, over all points."""
    device_interval: float = Field(default=1, ge=0, le=3600)
    """Seconds between two commands for one device, at least."""
    max_validity: float = Field(default=60, ge=5, le=LONGEST_US / 1e6)
    """Seconds from issue to expiry, at most."""

    def grant(self, point: str) -> Grant | None:
        """Return the entry that counts for `point`; None where it must not be written."""
        return next((one for one in self.allow if fnmatchcase(point, one.point)), None)

    def resolved(self, folder: Path) -> WritesConfig:
        """Return this with the key files taken from `folder`."""
        keys = {kid: folder / path for kid, path in self.keys.items()}
        return self.model_copy(update={"keys": keys})


def same(one: Value, other: Value) -> bool:
    """Say whether two values are the same to a device: scaling may cost the last digits."""
    if isinstance(one, str) or isinstance(other, str) or one is None or other is None:
        return type(one) is type(other) and one == other
    return math.isclose(float(one), float(other), rel_tol=1e-6, abs_tol=1e-9)


def _above(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low > high
