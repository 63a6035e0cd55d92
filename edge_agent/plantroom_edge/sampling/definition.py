"""What a derived point is told in the configuration."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from plantroom_edge.sampling.expression import parse
from plantroom_shared.model import Point
from plantroom_shared.units import parse_unit

DERIVED: Final = "derived"
"""The device of derived points, and how their keys begin."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def known_unit(text: str) -> str:
    """Return `text` if it is a unit; ValueError says how to write one."""
    if parse_unit(text) is None:
        msg = f"{text!r} is no unit known here; write it as °C, kW, L/s ..."
        raise ValueError(msg)
    return text


class Operand(_Strict):
    """A point under a short name."""

    point: str = Field(min_length=1, max_length=200)
    unit: str = Field(default="", max_length=64)
    """Instead of what the bus says, where that is missing or wrong."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"point": value} if isinstance(value, str) else value

    @field_validator("unit")
    @classmethod
    def _known(cls, value: str) -> str:
        return known_unit(value) if value else value


class DerivedPoint(_Strict):
    """A point that is calculated on the gateway; its key is ``derived:<id>``."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)
    name: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=500)
    unit: str = Field(default="", max_length=64)
    expression: str = Field(min_length=1)
    operands: dict[str, Operand] = {}
    """Short names for points; in the expression a point's key may also stand in quotes."""
    interval: float | None = Field(default=None, gt=0, le=86400)
    """Seconds between two values; absent: whenever an operand is read."""
    device: str = Field(default=DERIVED, max_length=200)
    """The key of the device it belongs to."""
    equip_class: str = Field(default="", max_length=200)
    point_class: str = Field(default="", max_length=200)
    enos: str = Field(default="", pattern=r"^([A-Za-z0-9_]+/[A-Za-z0-9_.]+)?$", max_length=200)

    @field_validator("unit")
    @classmethod
    def _known(cls, value: str) -> str:
        return known_unit(value) if value else value

    @field_validator("expression")
    @classmethod
    def _parses(cls, value: str) -> str:
        parse(value)
        return value

    @property
    def key(self) -> str:
        """The point's key."""
        return f"{DERIVED}:{self.id}"

    def point(self) -> Point:
        """Return it as a point."""
        return Point(
            key=self.key,
            device=self.device,
            name=self.name,
            description=self.description or self.expression[:512],
            unit=self.unit,
            object_type=DERIVED,
            writable=False,
            equip_class=self.equip_class,
            point_class=self.point_class,
            enos=self.enos,
        )
