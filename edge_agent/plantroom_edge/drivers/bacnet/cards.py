"""The network cards of this machine, as the kernel tells them (Linux)."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import Final

_FLAGS, _ADDRESS, _NETMASK = 0x8913, 0x8915, 0x891B  # SIOCGIF...
_UP, _POINT_TO_POINT = 0x1, 0x10
_MOST_PREFIX: Final = 30  # a network with a broadcast address


@dataclass(frozen=True, slots=True)
class Card:
    """A card with an IPv4 network."""

    name: str
    address: str
    prefix: int

    @property
    def network(self) -> ipaddress.IPv4Network:
        """The network it is on."""
        return ipaddress.IPv4Interface(f"{self.address}/{self.prefix}").network


def card(name: str) -> Card | None:
    """Return the card `name` if it is up, has an address and reaches more than one station."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            (flags,) = struct.unpack("h", _ask(probe, _FLAGS, name)[16:18])
            address = socket.inet_ntoa(_ask(probe, _ADDRESS, name)[20:24])
            netmask = socket.inet_ntoa(_ask(probe, _NETMASK, name)[20:24])
        except OSError:
            return None
    prefix = ipaddress.IPv4Network(f"0.0.0.0/{netmask}").prefixlen
    fits = flags & _UP and not flags & _POINT_TO_POINT and prefix <= _MOST_PREFIX
    return Card(name, address, prefix) if fits else None


def cards(*, loopback: bool = False) -> list[Card]:
    """Return the cards that broadcasts can go out of; on request with that of the machine itself."""
    found = [card(name) for _, name in socket.if_nameindex()]
    return [
        one
        for one in found
        if one is not None and (loopback or not ipaddress.IPv4Address(one.address).is_loopback)
    ]


def _ask(probe: socket.socket, what: int, name: str) -> bytes:
    return fcntl.ioctl(probe.fileno(), what, struct.pack("256s", name.encode()[:15]))
