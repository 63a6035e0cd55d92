"""BACnet/IP datagrams: BVLC, NPDU and the head of the APDU, both ways.

Pure. Only what a reading client speaks: no routing of its own, no segmentation (requests are sized
so that answers fit one datagram), no BBMD. Whatever else arrives raises `Malformed`.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from plantroom_edge.drivers.bacnet.values import (
    Malformed,
    ObjectId,
    context,
    error_at,
    value_at,
)
from plantroom_edge.drivers.bacnet.vocabulary import (
    DEVICE,
    MAX_INSTANCE,
    error_reason,
    refusal_reason,
    split,
)

MIN_APDU: Final = 50
MAX_APDU: Final = 1476
"""Octets of the longest APDU of BACnet/IP, which every request says we take."""

_FORWARDED, _UNICAST, _BROADCAST = 0x04, 0x0A, 0x0B
_MAX_APDU_CODE: Final = 5  # 1476 octets; the upper half, 0, says nothing about segments
_GLOBAL: Final = 0xFFFF


class Peer(NamedTuple):
    """Where a device is: an IP address and port, and a network behind a router there."""

    host: str
    port: int
    net: int = 0
    """0 on the IP network itself, else 1 to 65534."""
    mac: bytes = b""

    def __str__(self) -> str:
        behind = f" network {self.net} station {self.mac.hex()}" if self.net else ""
        return f"{self.host}:{self.port}{behind}"


@dataclass(frozen=True, slots=True)
class IAm:
    """A device's announcement."""

    peer: Peer
    instance: int
    max_apdu: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a confirmed request: an acknowledgement, or why there is none."""

    peer: Peer
    invoke: int
    service: int | None
    """None where the answer does not say: reject and abort."""
    body: bytes = b""
    refusal: str = ""
    """Empty for an acknowledgement; else ``error-...``, ``reject-...`` or ``abort-...``."""


def encode_request(peer: Peer, invoke: int, service: int, body: bytes) -> bytes:
    """Return a confirmed request as a datagram for ``peer.host:peer.port``."""
    if peer.net:
        route = struct.pack(">HB", peer.net, len(peer.mac)) + peer.mac + b"\xff"
        npdu = b"\x01\x24" + route
    else:
        npdu = b"\x01\x04"
    return _datagram(_UNICAST, npdu + bytes((0, _MAX_APDU_CODE, invoke, service)) + body)


def encode_who_is(limits: tuple[int, int] | None, *, broadcast: bool) -> bytes:
    """Return a Who-Is for device instances within `limits`; a broadcast reaches through routers."""
    apdu = b"\x10\x08"
    if limits is not None:
        apdu += context(0, limits[0]) + context(1, limits[1])
    if broadcast:
        return _datagram(_BROADCAST, b"\x01\x20" + struct.pack(">HB", _GLOBAL, 0) + b"\xff" + apdu)
    return _datagram(_UNICAST, b"\x01\x00" + apdu)


def _datagram(function: int, rest: bytes) -> bytes:
    return struct.pack(">BBH", 0x81, function, len(rest) + 4) + rest


def decode(data: bytes, source: tuple[str, int]) -> IAm | Reply:
    """Return what the datagram `data` from `source` says to a reading client.

    Raises:
        Malformed: it is no BACnet/IP, or nothing that is meant for us.
    """
    try:
        peer, pos = _decode_network(data, source)
        return _decode_apdu(peer, data, pos)
    except (IndexError, struct.error) as error:
        msg = "the datagram ends too early"
        raise Malformed(msg) from error


def _decode_network(data: bytes, source: tuple[str, int]) -> tuple[Peer, int]:
    """Return the sender and where the APDU starts."""
    kind, function, length = struct.unpack_from(">BBH", data)
    if kind != 0x81 or length != len(data):
        msg = "no BACnet/IP"
        raise Malformed(msg)
    host, port = source
    pos = 4
    if function == _FORWARDED:  # by a BBMD: the first sender stands in front
        (port,) = struct.unpack_from(">H", data, 8)
        host, pos = socket.inet_ntoa(data[4:8]), 10
    elif function not in (_UNICAST, _BROADCAST):
        msg = f"BVLC function {function:#04x}"
        raise Malformed(msg)
    version, control = data[pos], data[pos + 1]
    if version != 1 or control & 0x80:
        msg = "no application message"
        raise Malformed(msg)
    pos += 2
    if control & 0x20:
        pos += 3 + data[pos + 2]
    net, mac = 0, b""
    if control & 0x08:
        net, size = struct.unpack_from(">HB", data, pos)
        pos += 3 + size
        mac = data[pos - size : pos]
        if not 1 <= net < _GLOBAL or not size:
            msg = f"a sender in network {net}"
            raise Malformed(msg)
    if control & 0x20:
        pos += 1  # hop count
    return Peer(host, port, net, mac), pos


def _decode_apdu(peer: Peer, data: bytes, pos: int) -> IAm | Reply:
    kind = data[pos] >> 4
    if kind == 1 and data[pos + 1] == 0:
        return _decode_i_am(peer, data, pos + 2)
    if kind == 3:
        if data[pos] & 0x08:
            # We said that we take no segments; as a refusal it makes the next request smaller.
            return Reply(peer, data[pos + 1], None, refusal="abort-segmented-reply")
        return Reply(peer, data[pos + 1], data[pos + 2], data[pos + 3 :])
    if kind == 5:
        _, code, _ = error_at(data, pos + 3)
        return Reply(peer, data[pos + 1], data[pos + 2], refusal=error_reason(code))
    if kind in (6, 7):
        refusal = refusal_reason("reject" if kind == 6 else "abort", data[pos + 2])
        return Reply(peer, data[pos + 1], None, refusal=refusal)
    msg = f"APDU type {kind}"
    raise Malformed(msg)


def _decode_i_am(peer: Peer, data: bytes, pos: int) -> IAm:
    oid, pos = value_at(data, pos)
    max_apdu, pos = value_at(data, pos)
    if not isinstance(oid, ObjectId) or type(max_apdu) is not int:
        msg = "an I-Am without device or size"
        raise Malformed(msg)
    object_type, instance = split(oid)
    if object_type != DEVICE or instance > MAX_INSTANCE:
        msg = f"an I-Am of object type {object_type}, instance {instance}"
        raise Malformed(msg)
    return IAm(peer, instance, min(max(max_apdu, MIN_APDU), MAX_APDU))
