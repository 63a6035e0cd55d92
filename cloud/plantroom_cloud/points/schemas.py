"""What the API says of devices and points."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from plantroom_cloud.kit.repository import AnyRow


class DeviceOut(BaseModel):
    """A thing that a driver addresses."""

    id: int
    site: int
    gateway: str
    key: str = Field(examples=["bacnet:1001"], description="Stable on its gateway.")
    name: str
    protocol: str = Field(examples=["bacnet"])
    address: str
    vendor: str
    model: str
    description: str


class DevicePage(BaseModel):
    """A page of devices."""

    items: list[DeviceOut]
    next: str | None


class Meaning(BaseModel):
    """What a point was mapped to."""

    equipment: str = Field(examples=["AHU-3"])
    equip_class: str = Field(examples=["AHU"], description="Brick equipment class.")
    point_class: str = Field(
        examples=["Supply_Air_Temperature_Sensor"], description="Brick point class."
    )
    model: str = Field(examples=["EnOS_HVAC_AHU"], description="Thing model; empty: none.")
    model_point: str
    confidence: float | None = Field(description="Probability that the class is right.")
    source: str = Field(examples=["offline"])
    state: str = Field(examples=["proposed"])


class PointOut(BaseModel):
    """One readable value of a device."""

    id: int = Field(description="Stable for ever.")
    site: int
    gateway: str
    device: int
    key: str = Field(examples=["bacnet:1001:analog-input:3"])
    name: str = Field(examples=["AHU3.SupplyTemp"])
    description: str
    unit: str = Field(examples=["degrees-celsius"], description="As the bus or profile says it.")
    object_type: str
    states: list[str]
    writable: bool | None
    meaning: Meaning | None


class PointPage(BaseModel):
    """A page of points."""

    items: list[PointOut]
    next: str | None


_DEVICE = tuple(DeviceOut.model_fields)
_POINT = tuple(name for name in PointOut.model_fields if name != "meaning")
_MEANING = tuple(Meaning.model_fields)


def show_device(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a device; its columns are named as there."""
    return {name: getattr(row, name) for name in _DEVICE}


def show_point(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a point; its columns are named as there."""
    shown = {name: getattr(row, name) for name in _POINT}
    mapped = row.state is not None
    shown["meaning"] = {name: getattr(row, name) for name in _MEANING} if mapped else None
    return shown
