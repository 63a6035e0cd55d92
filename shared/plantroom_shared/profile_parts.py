"""What profiles of every protocol have in common: the head of the file, and what a point says."""

from __future__ import annotations

import math
import re
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plantroom_shared.units import Unit, convert

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
Words = Annotated[str, Field(max_length=200)]
Pattern = Annotated[str, Field(min_length=1, max_length=200)]
"""A text with the wildcards ``*`` and ``?``; upper and lower case are the same."""
Version = Annotated[str, Field(pattern=r"\d", max_length=64)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Percent = Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,6})?%$")]

_NEAR = 1e-9
"""By how much of itself a number of steps may differ from a whole one."""


def fits(pattern: str, text: str) -> bool:
    """Say whether `text` is what the wildcards of `pattern` ask for, whatever its case."""
    return fnmatchcase(text.strip().casefold(), pattern.casefold())


class Frozen(BaseModel):
    """Plain data: nothing changes it and no key is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Write(Frozen):
    """What may be written; a point without it is never written."""

    min: float | None = None
    """Lowest value, in the unit of the point."""
    max: float | None = None
    step: float | None = Field(default=None, gt=0)
    """The device takes multiples of it, counted from `min`."""

    def refusal(self, value: float) -> str:
        """Return why `value` must not be written; empty if it may."""
        if self.min is not None and value < self.min:
            return "below-minimum"
        if self.max is not None and value > self.max:
            return "above-maximum"
        if self.step is None:
            return ""
        steps = (value - (self.min or 0)) / self.step
        on_step = math.isclose(steps, round(steps), rel_tol=_NEAR, abs_tol=_NEAR)
        return "" if on_step else "off-step"

    def converted(self, source: Unit, target: Unit) -> Self:
        """Return the same limits in another unit of the same dimension."""
        ends = {
            key: convert(value, source, target)
            for key, value in (("min", self.min), ("max", self.max))
            if value is not None
        }
        step = self.step and convert(self.step, source, target) - convert(0, source, target)
        return self.model_copy(update={**ends, "step": step})

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            msg = "`min` must not be above `max`"
            raise ValueError(msg)
        return self


class Span(Frozen):
    """The versions from `min` to `max`, both included."""

    min: Version | None = None
    max: Version | None = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.min is None and self.max is None:
            msg = "say `min`, `max` or both"
            raise ValueError(msg)
        return self


class Entry(Frozen):
    """One value of a device: what it means, wherever it is."""

    id: Id
    """Unique in the profile and stable."""
    name: Words = Field(min_length=1)
    description: Annotated[str, Field(max_length=500)] = ""
    unit: Words = ""
    states: dict[int, Words] = {}
    range: tuple[float, float] | None = None
    """Lowest and highest plausible value; a value beyond is uncertain."""
    interval: Seconds | None = None
    """Read no more often than this, in seconds: for what hardly changes."""
    deadband: Annotated[float, Field(ge=0)] | Percent | None = None
    """The least change worth a sample, in the unit or as a percentage of the value: a hint."""
    counter: bool = False
    """It only grows, and starts again at 0 after `rollover`."""
    rollover: float | None = Field(default=None, gt=0)
    """The value, in the unit, that a counter never reaches: there it is 0 again."""
    point_class: Words = ""
    """Brick point class."""
    enos: Annotated[str, Field(pattern=r"^([A-Za-z0-9_]+/[A-Za-z0-9_.]+)?$")] = ""
    """``model/point`` of the EnOS thing model."""

    @property
    def turns_at(self) -> float | None:
        """The value at which a counter is 0 again, where that is known."""
        return self.rollover

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        low, high = self.range or (0, 0)
        if low > high:
            msg = "the first number of `range` must not be above the second"
            raise ValueError(msg)
        if self.rollover is not None and not self.counter:
            msg = "only a counter rolls over: write `counter: true`, or remove `rollover`"
            raise ValueError(msg)
        return self


class Head(Frozen):
    """What the file says about the device model as a whole."""

    profile: Literal[1]
    """The version of the format."""
    vendor: Words = Field(min_length=1)
    model: Words = Field(min_length=1)
    description: Annotated[str, Field(max_length=2000)] = ""
    firmware: tuple[Version, ...] | Span = ()
    """The versions that the facts hold for: a list, or a range; empty: the source names none."""
    source: Annotated[str, Field(min_length=1, max_length=500)]
    """Where the facts come from: the public document or model, and its version."""
    equip_class: Words = ""
    """Brick equipment class."""

    def holds_for(self, version: str) -> bool | None:
        """Say whether the facts hold for a firmware; None where one of both is not known."""
        asked = _numbers(version)
        if not asked or not self.firmware:
            return None
        if isinstance(self.firmware, tuple):
            return any(asked[: len(_numbers(one))] == _numbers(one) for one in self.firmware)
        low, high = _numbers(self.firmware.min or ""), _numbers(self.firmware.max or "")
        return low <= asked and (not high or asked[: len(high)] <= high)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, most significant first: ``V1.10 b3`` is (1, 10, 3)."""
    return tuple(int(part[:9]) for part in re.findall(r"[0-9]+", version[:64]))


def write_fault(write: Write | None, entry: Entry, *, is_number: bool) -> str:
    """Return what is wrong with what `entry` lets be written; empty if nothing is."""
    if write is None:
        return ""
    ends = [end for end in (write.min, write.max) if end is not None]
    if not is_number:
        return "only a number has `min`, `max` or `step`" if ends or write.step else ""
    low, high = entry.range or (-float("inf"), float("inf"))
    if any(not low <= end <= high for end in ends):
        return "it may not be written beyond its `range`"
    return ""
