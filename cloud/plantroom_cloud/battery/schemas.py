"""What the API says of batteries."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from plantroom_cloud.battery.analytic import Figure
from plantroom_cloud.battery.equipment import Equipment
from plantroom_cloud.kit.times import rfc3339


class RoleOut(BaseModel):
    """A point that the figures are made from."""

    role: str = Field(examples=["power"])
    point: int
    name: str
    unit: str


class BatteryOut(BaseModel):
    """A battery of a site."""

    site: int
    equipment: str = Field(examples=["battery"])
    equip_class: str = Field(examples=["Battery"])
    model: str = Field(examples=["EnOS_Solar_RE_BS"])
    rated_kwh: float | None = Field(description="From a nameplate point.")
    rated_kw: float | None
    points: list[RoleOut]


class BatteryList(BaseModel):
    """The batteries of a site."""

    items: list[BatteryOut]


class FigureOut(BaseModel):
    """A result with all that is needed to judge it; a value that is not known is null, never 0."""

    model_config = {"populate_by_name": True}

    name: str = Field(examples=["energy_in"])
    value: float | None = Field(examples=[40.0])
    unit: str = Field(examples=["kWh"])
    start: str = Field(alias="from")
    end: str = Field(alias="to")
    method: str = Field(examples=["energy.counter/1"])
    coverage: float = Field(description="Share of the window that is known, 0..1.")
    grade: str = Field(examples=["A"], description="A, B, C (shown only) or N (nothing known).")
    points: list[int]
    flags: list[str] = Field(examples=[["gaps"]], description="What a person should know.")


class BatteryFigures(BaseModel):
    """A battery with its figures."""

    battery: BatteryOut
    figures: list[FigureOut]


def show_battery(site: int, battery: Equipment) -> dict[str, Any]:
    """Return the JSON of a battery."""
    points = sorted(battery.roles.values(), key=lambda point: point.role)
    return {
        "site": site,
        "equipment": battery.key,
        "equip_class": battery.equip_class,
        "model": battery.model,
        "rated_kwh": battery.rating("rated_energy"),
        "rated_kw": battery.rating("rated_power"),
        "points": [
            {"role": point.role, "point": point.id, "name": point.name, "unit": point.unit}
            for point in points
        ],
    }


def show_figure(figure: Figure) -> dict[str, Any]:
    """Return the JSON of a figure."""
    return {
        "name": figure.name,
        "value": figure.value,
        "unit": figure.unit,
        "from": rfc3339(figure.start),
        "to": rfc3339(figure.end),
        "method": figure.method,
        "coverage": round(figure.coverage, 6),
        "grade": figure.grade,
        "points": list(figure.points),
        "flags": list(figure.flags),
    }
