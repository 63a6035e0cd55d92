"""What a Modbus bus has in the configuration."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plantroom_edge.drivers import BusConfig


class ModbusDevice(BaseModel):
    """One unit: a meter, an inverter, a battery."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    """Unique on the gateway and stable: point keys are ``modbus:<name>:<register id>``."""
    unit: int = Field(default=1, ge=0, le=255)
    """The unit id; a device that is reached directly mostly answers 1 or 255."""
    profile: str = Field(min_length=1, max_length=200)
    """``class/vendor-model``, without ``.yaml``; or ``sunspec``: the device says what it has."""
    interval: float | None = Field(default=None, gt=0, le=86400)
    """Seconds between two reads; what the profile says if it is not given."""
    profile_dir: Path | None = None
    """A folder of your own profiles; they come before those of the product."""


class ModbusBus(BusConfig):
    """One TCP connection and the units behind it."""

    driver: Literal["modbus"] = "modbus"
    host: str = Field(max_length=253, pattern=r"^[A-Za-z0-9:][A-Za-z0-9._:%-]*$")
    """Name or address."""
    port: int = Field(default=502, ge=1, le=65535)
    timeout: float = Field(default=1.0, ge=0.05, le=60)
    """Seconds to wait for a connection, and for a reply."""
    devices: tuple[ModbusDevice, ...] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        count = Counter(device.name for device in self.devices)
        if twice := sorted(name for name, times in count.items() if times > 1):
            msg = f"the device names {', '.join(twice)} stand twice: rename one of each"
            raise ValueError(msg)
        return self
