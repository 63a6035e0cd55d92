"""What a Modbus bus has in the configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plantroom_edge.drivers import ON_SITE, BusConfig
from plantroom_edge.drivers.modbus.serial_port import Baud, Parity

Transport = Literal["tcp", "rtu", "rtu-over-tcp", "tls"]

SERIAL_KEYS = ("serial", "baud", "parity", "stop_bits")
_LAST_SERIAL_UNIT = 247


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


class ModbusTls(BaseModel):
    """Modbus/TCP Security: both ends show a certificate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca: Path
    """PEM file of the authority that has signed the device's certificate."""
    cert: Path | None = None
    """PEM file of the certificate to show."""
    key: Path | None = None
    """PEM file of its key, unencrypted."""
    server_name: str = Field(default="", max_length=253)
    """Name in the device's certificate; `host` if it is not given."""
    check_name: bool = True
    """False for devices whose certificates carry no usable name: the authority alone decides."""


class ModbusBus(BusConfig):
    """One connection or serial port, and the units behind it."""

    driver: Literal["modbus"] = "modbus"
    transport: Transport = "tcp"
    host: str = Field(default="", max_length=253, pattern=r"^([A-Za-z0-9:][A-Za-z0-9._:%-]*)?$")
    """Name or address; not for `transport: rtu`."""
    port: int = Field(default=502, ge=1, le=65535)
    """802 if it is not given, for `transport: tls`."""
    serial: str = Field(default="", max_length=200, pattern=r"^(/.+)?$", json_schema_extra=ON_SITE)
    """The port, for `transport: rtu`: ``/dev/ttyUSB0``, better ``/dev/serial/by-id/...``."""
    baud: Baud = 9600
    parity: Parity = "none"
    stop_bits: Literal[1, 2] = 1
    tls: ModbusTls | None = Field(default=None, json_schema_extra=ON_SITE)
    timeout: float = Field(default=1.0, ge=0.05, le=60)
    """Seconds to wait for a connection, and for a reply."""
    pause: float = Field(default=0.0, ge=0, le=10)
    """Seconds of rest between an answer and the next request, for devices that need it."""
    devices: tuple[ModbusDevice, ...] = Field(min_length=1, max_length=1000)

    @property
    def on_serial_line(self) -> bool:
        """Whether the frames are those of a serial line."""
        return self.transport in {"rtu", "rtu-over-tcp"}

    @model_validator(mode="before")
    @classmethod
    def _apply_port(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("transport") == "tls" and "port" not in data:
            return {**data, "port": 802}
        return data

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for what in self._faults():
            raise ValueError(what)
        return self

    def _faults(self) -> Iterator[str]:
        count = Counter(device.name for device in self.devices)
        if twice := sorted(name for name, times in count.items() if times > 1):
            yield f"the device names {', '.join(twice)} stand twice: rename one of each"
        if self.transport == "rtu":
            if not self.serial:
                yield "serial: which port? write `serial: /dev/ttyUSB0`"
            if self.host:
                yield "host: a serial port has none: remove it, or write `transport: rtu-over-tcp`"
        else:
            if not self.host:
                yield "host: where is it? write `host: 192.168.1.20`"
            if given := [key for key in SERIAL_KEYS if key in self.model_fields_set]:
                yield f"{given[0]}: only for a serial port: remove it, or write `transport: rtu`"
        if (self.transport == "tls") != (self.tls is not None):
            yield "tls: write `transport: tls` and, under `tls`, `ca`, `cert` and `key`, or neither"
        if self.on_serial_line:
            yield from self._serial_units()

    def _serial_units(self) -> Iterator[str]:
        for device in self.devices:
            if not 1 <= device.unit <= _LAST_SERIAL_UNIT:
                why = "0 is for all at once, and nobody answers" if not device.unit else "reserved"
                yield f"devices: {device.name} has unit {device.unit}: {why}: write 1 to 247"
