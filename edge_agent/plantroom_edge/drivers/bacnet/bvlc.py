"""The envelope of BACnet/IP (BVLC, annex J of the standard): what goes around an NPDU in UDP.

Pure. What is not for a client or a foreign device raises `Malformed`.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

from plantroom_edge.drivers.bacnet.values import Malformed

Address = tuple[str, int]
"""A station on the link: on IP, host and port."""

_RESULT, _FORWARDED, _REGISTER, _DISTRIBUTE = 0x00, 0x04, 0x05, 0x09
_UNICAST, _BROADCAST = 0x0A, 0x0B

_ACCEPTED: Final = 0x0000
_RESULTS: Final = {
    0x0030: "it refuses to register foreign devices",
    0x0060: "it refuses to distribute a broadcast",
}
"""What the results of a BBMD mean that a foreign device can get; all but these are `_ACCEPTED`."""


class Arrived(NamedTuple):
    """An NPDU."""

    npdu: bytes
    source: Address
    """Who sent it first."""
    forwarded: bool
    """Whether a BBMD stands between, and vouches for `source`."""


class Result(NamedTuple):
    """What a BBMD says to a request of ours."""

    code: int

    @property
    def refusal(self) -> str:
        """Why it refuses, for a person; empty where it does not."""
        if self.code == _ACCEPTED:
            return ""
        return _RESULTS.get(self.code, f"it answers {self.code:#06x}")

    @property
    def about_broadcast(self) -> bool:
        """Whether a broadcast was refused, rather than the registration."""
        return self.code == 0x0060


def unicast(npdu: bytes) -> bytes:
    """Return `npdu` as a datagram for one station."""
    return _wrap(_UNICAST, npdu)


def broadcast(npdu: bytes) -> bytes:
    """Return `npdu` as a datagram for all stations of the local network."""
    return _wrap(_BROADCAST, npdu)


def distribute(npdu: bytes) -> bytes:
    """Return `npdu` as a datagram that a BBMD is to broadcast in all of its networks."""
    return _wrap(_DISTRIBUTE, npdu)


def register(ttl: int) -> bytes:
    """Return the request to be a foreign device for `ttl` seconds, 1 to 65,535."""
    return _wrap(_REGISTER, struct.pack(">H", ttl))


def _wrap(function: int, rest: bytes) -> bytes:
    return struct.pack(">BBH", 0x81, function, len(rest) + 4) + rest


def unwrap(data: bytes, source: Address) -> Arrived | Result:
    """Return what the datagram `data` from `source` holds.

    Raises:
        Malformed: it is no BACnet/IP, or nothing that is meant for us.
    """
    try:
        kind, function, length = struct.unpack_from(">BBH", data)
        if kind != 0x81 or length != len(data):
            msg = "no BACnet/IP"
            raise Malformed(msg)
        if function in (_UNICAST, _BROADCAST):
            return Arrived(data[4:], source, forwarded=False)
        if function == _FORWARDED:
            (port,) = struct.unpack_from(">H", data, 8)
            return Arrived(data[10:], (socket.inet_ntoa(data[4:8]), port), forwarded=True)
        if function == _RESULT:
            return Result(struct.unpack_from(">H", data, 4)[0])
    except struct.error as error:
        msg = "the datagram ends too early"
        raise Malformed(msg) from error
    msg = f"BVLC function {function:#04x}"
    raise Malformed(msg)
