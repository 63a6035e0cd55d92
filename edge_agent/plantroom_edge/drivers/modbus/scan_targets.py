"""Where a Modbus scan looks: hosts, networks and serial ports, as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

from plantroom_shared.errors import ConfigError

PORT: Final = 502
MAX_HOSTS: Final = 4096
"""A larger network is a slip of the pen: it would take hours at a gentle rate."""
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_ARP = Path("/proc/net/arp")


@dataclass(frozen=True, slots=True)
class Host:
    """One address with the ports to try on it, one after the other."""

    host: str
    ports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Serial:
    """One serial port, and how it is set."""

    path: str
    baud: int = 9600
    parity: str = "none"

    @property
    def bus(self) -> dict[str, Any]:
        """The keys of a bus that reads it."""
        keys = {"driver": "modbus", "transport": "rtu", "serial": self.path}
        return keys | {"baud": self.baud, "parity": self.parity}


def tcp_bus(host: str, port: int) -> Mapping[str, Any]:
    """Return the keys of a bus that reads a host."""
    return {"driver": "modbus", "host": host, "port": port}


def parse(targets: Iterable[str]) -> tuple[list[Host], list[Serial]]:
    """Return what is meant by targets; ConfigError for one that is none, or too large.

    Without any target these are the neighbours that the system has talked to lately.
    """
    targets = list(targets) or _neighbours()
    ports: dict[str, list[int]] = {}
    serials: list[Serial] = []
    for target in targets:
        if target.startswith("/dev/"):
            serials.append(_serial(target))
            continue
        for host, port in _hosts(target):
            if port not in ports.setdefault(host, []):
                ports[host].append(port)
        if len(ports) > MAX_HOSTS:
            what = f"these are more than {MAX_HOSTS} addresses"
            raise ConfigError(what, key="targets", fix="name a smaller network")
    return [Host(host, tuple(found)) for host, found in ports.items()], serials


def _hosts(target: str) -> list[tuple[str, int]]:
    text, port = _split_port(target)
    if "/" in text:
        try:
            network = ip_network(text, strict=False)
        except ValueError as error:
            raise _wrong(target) from error
        if network.num_addresses > MAX_HOSTS + 2:
            what = f"{target} has {network.num_addresses} addresses, at most {MAX_HOSTS} are asked"
            raise ConfigError(what, key="targets", fix="name a smaller network")
        return [(str(one), port) for one in network.hosts()]
    if not _is_address(text) and not _HOST.fullmatch(text):
        raise _wrong(target)
    return [(text, port)]


def _split_port(target: str) -> tuple[str, int]:
    """Return the address and the port of ``host``, ``host:1502``, ``[fe80::1]:1502``."""
    text, port = target, str(PORT)
    if target.startswith("["):
        text, _, rest = target[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif target.count(":") == 1:
        text, _, port = target.partition(":")
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise _wrong(target)
    return text, int(port)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _serial(target: str) -> Serial:
    path, _, settings = target.partition(":")
    baud, _, parity = settings.partition(",")
    parity = parity or "none"
    if (baud and not baud.isdecimal()) or parity not in {"none", "even", "odd"}:
        raise _wrong(target)
    return Serial(path, int(baud or 9600), parity)


def _wrong(target: str) -> ConfigError:
    what = f"{target[:100]!r} is no place to scan"
    fix = "write 192.168.1.20, 192.168.1.20:1502, 192.168.1.0/24 or /dev/ttyUSB0:9600,even"
    return ConfigError(what, key="targets", fix=fix)


def _neighbours() -> list[str]:
    """Return the addresses that the system knows on its own networks: asks nobody."""
    try:
        rows = _ARP.read_text("ascii", "replace").splitlines()[1:]
    except OSError:
        return []
    known = [row.split() for row in rows]
    return [row[0] for row in known if len(row) >= 4 and row[2] != "0x0"][:256]
