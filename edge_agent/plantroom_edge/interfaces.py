"""This machine's network cards and serial ports: what there is, and whether we may use it."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final

from plantroom_shared.errors import ConfigError

_SIOCGIFADDR: Final = 0x8915
_SIOCGIFNETMASK: Final = 0x891B


def cards() -> dict[str, str]:
    """Return the cards that have an IPv4 address: name → ``address/prefix``."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            asked = struct.pack("256s", name.encode()[:15])
            try:
                address = fcntl.ioctl(sock, _SIOCGIFADDR, asked)[20:24]
                mask = fcntl.ioctl(sock, _SIOCGIFNETMASK, asked)[20:24]
            except OSError:  # it has none
                continue
            network = f"{socket.inet_ntoa(address)}/{socket.inet_ntoa(mask)}"
            found[name] = ipaddress.IPv4Interface(network).with_prefixlen
    return found


def card(text: str) -> str:
    """Return a card as ``address/prefix[:port]``; what is no name of a card is left as it is.

    Raises:
        ConfigError: there is no such card; names those that there are.
    """
    name, _, port = text.partition(":")
    if not name or name[0].isdigit():
        return text
    there = cards()
    if name not in there:
        shown = ", ".join(f"{one} ({network})" for one, network in there.items()) or "none"
        what = f"there is no network card {name!r} with an IPv4 address"
        raise ConfigError(what, key="--bacnet", fix=f"there are: {shown}")
    return f"{there[name]}:{port}" if port else there[name]


def check_serial(text: str) -> None:
    """See that a serial port is there and may be used.

    Raises:
        ConfigError: it is not; says what to do.
    """
    path = Path(text.partition(":")[0])  # behind it may be how it is set
    try:
        mode = path.stat().st_mode
    except OSError as error:
        there = ", ".join(sorted(str(one) for one in serial_ports())) or "none"
        what = f"there is no serial port {text}"
        raise ConfigError(what, key="--modbus", fix=f"there are: {there}") from error
    if not stat.S_ISCHR(mode):
        msg = f"{text} is no serial port"
        raise ConfigError(msg, key="--modbus", fix="name one such as /dev/ttyUSB0")
    if not os.access(path, os.R_OK | os.W_OK):
        what = f"you may not use {text}"
        fix = "join its group: `sudo usermod -aG dialout $USER`, then log in again"
        raise ConfigError(what, key="--modbus", fix=fix)


def serial_ports() -> list[Path]:
    """Return the serial ports of this machine, as far as they look like one of a field bus."""
    return [
        path
        for pattern in ("ttyUSB*", "ttyACM*", "ttyAMA*", "ttyS[0-9]", "ttymxc*")
        for path in Path("/dev").glob(pattern)
    ]
