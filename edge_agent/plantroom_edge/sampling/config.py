"""The section ``sampling:`` of the configuration."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from plantroom_edge.sampling.definition import DerivedPoint, known_unit
from plantroom_edge.sampling.order import check_declared, in_order
from plantroom_shared.model import Point
from plantroom_shared.units import known_units, parse_unit

_POWER: Final = re.compile(r"(2|10)\^([1-9][0-9]?)")
_WITH_UNIT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s+(\S.*?)\s*")

Pattern = Annotated[str, Field(max_length=200)]
UnitText = Annotated[str, Field(max_length=64)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Selector(_Strict):
    """Which points a rule is for: all that it says must hold; ``*`` stands for anything."""

    point: Pattern = ""
    """Point key or pattern: ``bacnet:1001:analog-*``."""
    device: Pattern = ""
    """Device key or pattern: ``modbus:meter-*``."""
    point_class: Pattern = ""
    """Brick point class or pattern: ``*_Temperature_Sensor``."""
    quantity: Pattern = ""
    """What the unit measures: ``temperature``, ``power``, ``energy`` ..."""
    unit: UnitText = ""
    """In any spelling: ``kW`` also finds ``kilowatts``."""

    @field_validator("quantity")
    @classmethod
    def _known_quantity(cls, value: str) -> str:
        known = sorted({unit.quantity for unit in known_units()})
        if value and value not in known:
            msg = f"no unit measures {value!r}; known: {', '.join(known)}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _selects(self) -> Self:
        if not any(getattr(self, key) for key in Selector.model_fields):
            keys = ", ".join(Selector.model_fields)
            msg = f'says nothing of which points it is for: add one of {keys} (`point: "*"` is all)'
            raise ValueError(msg)
        return self

    def picks(self, point: Point) -> bool:
        """Say whether the rule is for `point`."""
        for pattern, text in (
            (self.point, point.key),
            (self.device, point.device),
            (self.point_class, point.point_class),
        ):
            if pattern and not fnmatchcase(text, pattern):
                return False
        if not (self.quantity or self.unit):
            return True
        unit = parse_unit(point.unit)
        if self.quantity and (unit is None or unit.quantity != self.quantity):
            return False
        wanted = parse_unit(self.unit)
        return not self.unit or self.unit == point.unit or (unit is not None and unit == wanted)


class BandRule(Selector):
    """How far a value must move to be a sample."""

    deadband: float | str | None = None
    """In the point's own unit, or with a unit: ``50 W`` fits every point that measures power."""
    percent: float | None = Field(default=None, ge=0, le=100)
    """Of the last reported value; of `span`, where that is given."""
    span: tuple[float, float] | None = None
    """Lowest and highest value, in the point's unit: what `percent` is a part of."""
    heartbeat: float | None = Field(default=None, gt=0, le=86400)
    """Seconds of silence at most; what `sampling.heartbeat` says if it is not given."""
    every: bool = False
    """Report every poll, whatever else is said."""

    @field_validator("deadband")
    @classmethod
    def _measurable(cls, value: float | str | None) -> float | str | None:
        if isinstance(value, str) and with_unit(value) is None:
            msg = f"{value!r} is no deadband: write a number, or one with a unit such as '0.1 K'"
            raise ValueError(msg)
        if isinstance(value, float) and value < 0:
            msg = "a deadband is not below 0"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [self.deadband is not None, self.percent is not None, self.every]
        if sum(given) > 1:
            msg = "give one of `deadband`, `percent` and `every`"
            raise ValueError(msg)
        if self.span is not None and (self.percent is None or self.span[0] >= self.span[1]):
            msg = "a `span` is what `percent` is a part of: [lowest, highest]"
            raise ValueError(msg)
        return self


def with_unit(text: str) -> tuple[float, str] | None:
    """Return number and unit of ``0.1 K``; None where it is something else."""
    match = _WITH_UNIT.fullmatch(text)
    if match is None or parse_unit(match[2]) is None:
        return None
    return float(match[1]), match[2]


class UnitRule(Selector):
    """Which unit values are kept in."""

    to: UnitText
    """Points that measure something else, or can be written, stay as they are."""

    @field_validator("to")
    @classmethod
    def _known(cls, value: str) -> str:
        return known_unit(value)


class CounterRule(Selector):
    """Which points are counters: each gets a point ``<key>:total`` that never falls."""

    modulus: int | None = Field(default=None, ge=2, le=2**64)
    """Where the raw number starts again at 0: ``65536``, ``2^32``, ``10^6``.

    Absent: where its profile says, else nowhere.
    """
    fastest: float | None = Field(default=None, gt=0)
    """The most it can count in an hour, in the point's unit: beyond it is a reset."""
    total: bool = True
    """False: it gets no such point, whatever its profile says."""

    @field_validator("modulus", mode="before")
    @classmethod
    def _power(cls, value: Any) -> Any:
        match = _POWER.fullmatch(value) if isinstance(value, str) else None
        return int(match[1]) ** int(match[2]) if match else value


class SamplingConfig(_Strict):
    """What of the polls becomes samples, in which units, and what is calculated from them."""

    report: Literal["every-poll", "by-exception"] = "every-poll"
    """What a point reports that no rule of `bands` is for; by exception: see ``docs/sampling.md``."""
    heartbeat: float = Field(default=900.0, gt=0, le=86400)
    """Seconds after which an unchanged value is reported all the same."""
    stale_after: float = Field(default=3.0, ge=2, le=1000)
    """Intervals without a read after which a point is reported as stale."""
    bands: tuple[BandRule, ...] = Field(default=(), max_length=1000)
    """The first that is for a point holds."""
    units: tuple[UnitRule, ...] = Field(default=(), max_length=1000)
    totals: Literal["by-rule", "by-profile"] = "by-rule"
    """Which points are counters: those of `counters`, or those their profile calls so as well."""
    counters: tuple[CounterRule, ...] = Field(default=(), max_length=1000)
    derived: tuple[DerivedPoint, ...] = Field(default=(), max_length=1000)

    @property
    def gated(self) -> bool:
        """Whether some points may keep silent while they do not change."""
        return self.report == "by-exception" or bool(self.bands)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        ids = [one.id for one in self.derived]
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            msg = f"derived: the ids {', '.join(twice)} stand twice: rename one of each"
            raise ValueError(msg)
        for one in in_order(self.derived):
            check_declared(one, self.derived)
        return self
