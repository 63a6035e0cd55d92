"""What a BACnet/IP bus has in the configuration."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from plantroom_edge.drivers import ON_SITE, BusConfig
from plantroom_edge.drivers.bacnet.ede import read_ede
from plantroom_edge.drivers.bacnet.vocabulary import MAX_INSTANCE
from plantroom_shared.errors import ConfigError

PORT = 47808
"""The registered port of BACnet/IP, 0xBAC0."""
_MAX_PORT = 65_535

Instance = Annotated[int, Field(ge=0, le=MAX_INSTANCE)]
Range = tuple[Instance, Instance]
Seconds = Annotated[float, Field(gt=0, le=86_400)]

_ENDPOINT = re.compile(r"(?P<host>[0-9.]+)(?:/(?P<prefix>\d{1,2}))?(?::(?P<port>\d{1,5}))?\Z")


class Bind(NamedTuple):
    """The socket of ours, and where its broadcasts go."""

    host: str
    port: int
    """0 lets the system choose."""
    broadcast: str
    """The broadcast address of the network that was named, else that of every network."""
    listen: bool
    """Whether `broadcast` needs a socket of its own: a socket on one address hears none."""


ALL_NETWORKS = 0xFFFF
"""The number that stands for every network behind routers, and the local one."""


class Target(NamedTuple):
    """Where a Who-Is goes; an empty host is a broadcast."""

    host: str
    port: int
    net: int = ALL_NETWORKS
    """Of a broadcast: the network that it is for; 0 is the local one."""

    def __str__(self) -> str:
        if self.host:
            return f"{self.host}:{self.port}"
        names = {0: "local", ALL_NETWORKS: "broadcast"}
        return f"{names.get(self.net, f'network {self.net}')}:{self.port}"


def _endpoint(text: str, example: str) -> tuple[str, str | None, int]:
    match = _ENDPOINT.match(text)
    port = int(match["port"] or PORT) if match else -1
    try:
        host = str(ipaddress.IPv4Address(match["host"])) if match else ""
    except ValueError:
        host = ""
    if match is None or not host or port > _MAX_PORT:
        msg = f"{text!r} is no IPv4 address with an optional port; write it like {example!r}"
        raise ValueError(msg)
    return host, match["prefix"], port


def parse_bind(text: str) -> Bind:
    """Return the socket that ``ip``, ``ip:port`` or ``ip/prefix:port`` means.

    Raises:
        ValueError: it means none; the text says how to write it.
    """
    host, prefix, port = _endpoint(text, "192.168.1.10/24:47808")
    if prefix is None:
        return Bind(host, port, "255.255.255.255", listen=False)
    if int(prefix) > 30 or host == "0.0.0.0":  # noqa: S104 - compared, not bound
        msg = f"{text!r}: a prefix goes with the address of one card, and is at most 30"
        raise ValueError(msg)
    network = ipaddress.IPv4Interface(f"{host}/{prefix}").network
    return Bind(host, port, str(network.broadcast_address), listen=True)


def parse_target(text: str) -> Target:
    """Return where ``broadcast``, ``local``, ``network-N`` or ``ip``, each with ``:port``, leads.

    Raises:
        ValueError: it means nothing; the text says how to write it.
    """
    word, _, rest = text.partition(":")
    net = {"broadcast": ALL_NETWORKS, "local": 0}.get(word)
    if word.startswith("network-") and word[8:].isdecimal() and 0 < int(word[8:]) < ALL_NETWORKS:
        net = int(word[8:])
    if net is not None:
        _, _, port = _endpoint(f"0.0.0.0:{rest}" if rest else "0.0.0.0", f"{word}:47808")  # noqa: S104 - parsed, not bound
        return Target("", port, net)
    host, prefix, port = _endpoint(text, "192.168.1.20:47808")
    if prefix is not None or port == 0:
        msg = (
            f"{text!r} names no device; write it like '192.168.1.20:47808', or 'broadcast', or "
            "'local', or 'network-2001' for a network behind a router"
        )
        raise ValueError(msg)
    return Target(host, port)


class DeviceOptions(BaseModel):
    """What is different for one device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    interval: Seconds | None = None
    """Seconds between two reads, instead of the bus's."""
    profile: str | None = Field(default=None, max_length=200)
    """The device profile, ``class/vendor-model``; ``none`` for no profile. Chosen by vendor and
    model name if absent."""
    ignore: tuple[str, ...] = ()
    """Objects that become no points, as ``analog-value:17`` or with wildcards ``analog-value:*``."""


class BacnetConfig(BusConfig):
    """A BACnet/IP network, seen from one socket."""

    driver: Literal["bacnet"] = "bacnet"
    bind: str = f"0.0.0.0:{PORT}"
    """``ip:port`` of our socket; ``ip/prefix:port`` where broadcasts are to go out of one card."""
    who_is: tuple[str, ...] = Field(default=("broadcast",), min_length=1, max_length=4096)
    """Who is asked for devices: addresses as ``ip[:port]``, ``broadcast`` to all networks, ``local``
    to those that need no router, ``network-2001`` to one behind a router."""
    range: tuple[Range, ...] = Field(default=(), max_length=256)
    """``[lowest, highest]`` device instance that is ours, or a list of such pairs, each asked on
    its own: on a large network not all should answer at once. All of them if absent."""
    only_listed: bool = False
    """Whether devices that `devices` does not name are left alone."""
    discover_every: float = Field(default=600.0, ge=30, le=86_400)
    """Seconds between two searches for new devices and changed ones, while nothing is missing."""
    ede: tuple[Path, ...] = Field(default=(), max_length=64)
    """Engineering data (EDE) of devices, a file or a list: their objects are those of the file, and
    little is asked of the device itself. Files of state texts and of units count to them."""
    interval: Seconds = 5.0
    """Seconds between two reads of present-values."""
    timeout: float = Field(default=1.0, gt=0, le=60)
    """Seconds that a device has for an answer."""
    retries: int = Field(default=1, ge=0, le=5)
    """How often an unanswered request is sent again: datagrams get lost."""
    status_flags: bool = True
    """Whether fault, overridden and out-of-service make a point's quality."""
    reliability: bool = True
    """Whether a point in fault is asked why; costs a request only while there are such points."""
    priority_array: bool = False
    """Whether it is asked, slowly, which points a person commands (slots 1 to 8, but for 6)."""
    profile_dir: Path | None = None
    """A folder of your own profiles; they come before those of the product."""
    devices: dict[Instance, DeviceOptions] = Field(default_factory=dict, max_length=4096)
    """By device instance; or a list of entries, each with its ``instance``."""
    bbmd: str = ""
    """``ip[:port]`` of a BBMD in another network that we register with as a foreign device."""
    ttl: int = Field(default=300, ge=5, le=65_535)
    """Seconds for which the registration is asked for; it is renewed after half of them."""
    cov: Literal["off", "auto"] = "off"
    """Whether devices are asked to tell changes by themselves, where that saves requests."""
    time_sync: Literal["off", "utc", "local"] = Field(default="off", json_schema_extra=ON_SITE)
    """Whether devices are told the time, and which, while ours is known to be right."""
    time_sync_hours: float = Field(default=24.0, gt=0, le=168)
    """Hours between telling the time."""

    @field_validator("bbmd")
    @classmethod
    def _bbmd(cls, text: str) -> str:
        if text and not parse_target(text).host:
            msg = f"{text!r} is no BBMD; write it like '192.168.1.5:47808'"
            raise ValueError(msg)
        return text

    @field_validator("bind")
    @classmethod
    def _bind(cls, text: str) -> str:
        parse_bind(text)
        return text

    @field_validator("who_is")
    @classmethod
    def _who_is(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            parse_target(text)
        return tuple(dict.fromkeys(texts))

    @field_validator("range", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and value and not isinstance(value[0], list | tuple):
            return (value,)
        return () if value is None else value

    @field_validator("range")
    @classmethod
    def _range(cls, pairs: tuple[Range, ...]) -> tuple[Range, ...]:
        for limits in pairs:
            if limits[0] > limits[1]:
                msg = f"{list(limits)} runs backwards; write it as [lowest, highest]"
                raise ValueError(msg)
        return pairs

    @field_validator("devices", mode="before")
    @classmethod
    def _entries(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        out: dict[Any, Any] = {}
        for entry in value:
            if not isinstance(entry, dict) or not isinstance(entry.get("instance"), int):
                msg = "each entry needs its device instance, as in `- instance: 1001`"
                raise ValueError(msg)  # noqa: TRY004 - pydantic tells ValueErrors alone to the user
            if entry["instance"] in out:
                msg = f"device instance {entry['instance']} stands twice: remove one"
                raise ValueError(msg)
            out[entry["instance"]] = {key: it for key, it in entry.items() if key != "instance"}
        return out

    @field_validator("ede", mode="before")
    @classmethod
    def _one_file(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Path) else value

    @field_validator("ede")
    @classmethod
    def _ede(cls, paths: tuple[Path, ...], info: ValidationInfo) -> tuple[Path, ...]:
        folder = Path((info.context or {}).get("folder", "."))
        full = tuple(folder / path for path in paths)
        try:
            read_ede(full)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return full

    @field_validator("profile_dir")
    @classmethod
    def _folder(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        return None if path is None else Path((info.context or {}).get("folder", ".")) / path

    def ours(self, instance: int) -> bool:
        """Return whether the device `instance` is to be read."""
        if self.only_listed and instance not in self.devices:
            return False
        return not self.range or any(low <= instance <= high for low, high in self.range)
