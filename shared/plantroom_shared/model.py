"""The nouns that travel: device, point, sample, batch, finding."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Value = float | int | bool | str | None
"""What a point can hold; None where there was nothing to read."""

Text = Annotated[str, StringConstraints(max_length=512)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Quality(IntEnum):
    """The OPC UA triad."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Device(_Frozen):
    """A thing a driver addresses: a BACnet device instance, a Modbus unit."""

    key: Key
    """Stable within the gateway: ``bacnet:1001``, ``modbus:main-meter``."""
    name: Text
    protocol: Text
    address: Text = ""
    vendor: Text = ""
    model: Text = ""
    description: Text = ""


class Point(_Frozen):
    """One readable value of a device."""

    key: Key
    """Stable within the gateway: ``bacnet:1001:analog-input:3``, ``modbus:main-meter:power``."""
    device: Key
    """The key of its device."""
    name: Text
    """The raw name as the vendor wrote it; untrusted data."""
    description: Text = ""
    unit: Text = ""
    """As the bus or the profile says it: ``degrees-celsius``, ``kW``; see `units.py`."""
    object_type: Text = ""
    """A BACnet object type, or ``holding``, ``input``, ``coil``, ``discrete`` of Modbus."""
    states: tuple[Text, ...] = ()
    """Texts of a binary or multi-state point, lowest state first."""
    writable: bool | None = None
    equip_class: Text = ""
    """Brick equipment class, where a profile knows it."""
    point_class: Text = ""
    """Brick point class, where a profile knows it."""
    enos: Text = ""
    """``model/point`` of the EnOS thing model, where a profile knows it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The value of one point at one moment."""

    point: str
    """The point's key."""
    ts: int
    """Microseconds since 1970-01-01 UTC, taken when the value was read."""
    value: Value
    quality: Quality = Quality.GOOD
    reason: str = ""
    """Why it is not good: ``timeout``, ``exception-2``, ``short-reply`` ..."""


@dataclass(slots=True)
class Batch:
    """Samples in buffer order, column by column; all four describe the same rows."""

    points: list[int] = field(default_factory=list)
    """Aliases: indices into the dictionary of the epoch."""
    times: list[int] = field(default_factory=list)
    """Microseconds since 1970-01-01 UTC."""
    values: list[Value] = field(default_factory=list)
    quality: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Row index → (`Quality`, reason); a row that is not here is good."""

    def __len__(self) -> int:
        return len(self.points)

    def append(
        self,
        alias: int,
        ts: int,
        value: Value,
        quality: Quality = Quality.GOOD,
        reason: str = "",
    ) -> None:
        """Add one row."""
        if quality is not Quality.GOOD:
            self.quality[len(self.points)] = (int(quality), reason)
        self.points.append(alias)
        self.times.append(ts)
        self.values.append(value)


class Finding(_Frozen):
    """What a detector found: an event with its evidence."""

    id: Key
    """The same for every report of one event; the start report and the end report share it."""
    detector: Text
    subject: Key
    """The key of the device it is about."""
    points: tuple[Key, ...] = ()
    """Point keys, the strongest contributor first."""
    started: int
    """Microseconds since 1970-01-01 UTC."""
    ended: int | None = None
    score: float
    """How far beyond the detector's threshold: 1 is the threshold itself."""
    text: Text
    """One sentence for a person."""
    evidence: dict[str, Any] = Field(default_factory=dict)
