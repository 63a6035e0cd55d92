"""NPDUs and the heads of APDUs, both ways; no link knows more of BACnet than this.

Pure. What a client speaks: requests in one datagram, answers in one or in segments, Who-Is, COV
notifications, and what routers say. Whatever else arrives raises `Malformed`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from plantroom_edge.drivers.bacnet.bvlc import Address
from plantroom_edge.drivers.bacnet.config import ALL_NETWORKS
from plantroom_edge.drivers.bacnet.segments import Receipt, Segment
from plantroom_edge.drivers.bacnet.values import (
    Malformed,
    ObjectId,
    context,
    error_at,
    value_at,
)
from plantroom_edge.drivers.bacnet.vocabulary import (
    CONFIRMED_COV_NOTIFICATION,
    DEVICE,
    MAX_INSTANCE,
    UNCONFIRMED_COV_NOTIFICATION,
    error_reason,
    refusal_reason,
    split,
)

MIN_APDU: Final = 50
MAX_APDU: Final = 1476
"""Octets of the longest APDU of BACnet/IP, which every request says we take."""

_MAX_APDU_CODE: Final = 5  # 1476 octets
_MAX_SEGMENTS_CODE: Final = 6 << 4  # `MOST_SEGMENTS`
_TAKES_SEGMENTS: Final = 0x02
_BUFFER_OVERFLOW: Final = 1
_WHO_IS_ROUTER, _I_AM_ROUTER, _REJECT_TO_NETWORK = 0x00, 0x01, 0x03
_MOST_NETWORKS: Final = 256  # in one message of a router
NO_SEGMENTATION: Final = 3


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

    @property
    def station(self) -> tuple[object, object]:
        """What stays the same when another router leads to its network."""
        return self[2:] if self.net else self[:2]


@dataclass(frozen=True, slots=True)
class IAm:
    """A device's announcement."""

    peer: Peer
    instance: int
    max_apdu: int
    segmentation: int = NO_SEGMENTATION
    """0 both ways, 1 what it sends, 2 what it receives, 3 not at all."""

    @property
    def segments(self) -> bool:
        """Whether it can send answers in segments."""
        return self.segmentation in {0, 1}


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
    simple: bool = False
    """Whether it is an acknowledgement that has no body."""


@dataclass(frozen=True, slots=True)
class Part:
    """A segment of an answer."""

    peer: Peer
    invoke: int
    service: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class Notification:
    """What a device says of an object without being asked."""

    peer: Peer
    body: bytes
    invoke: int | None = None
    """It wants an acknowledgement under this id."""


@dataclass(frozen=True, slots=True)
class RouterSays:
    """A message of a router about networks behind it."""

    router: Address
    networks: tuple[int, ...]
    reachable: bool
    """Whether it leads there, or has just dropped a message to there."""


Message = IAm | Reply | Part | Notification | RouterSays

# ---------------------------------------------------------------- NPDUs out


def encode_request(
    peer: Peer, invoke: int, service: int, body: bytes, *, segments: bool = False
) -> bytes:
    """Return a confirmed request; `segments` says whether the answer may come in some."""
    if segments:
        head = bytes((_TAKES_SEGMENTS, _MAX_SEGMENTS_CODE | _MAX_APDU_CODE, invoke, service))
    else:
        head = bytes((0, _MAX_APDU_CODE, invoke, service))
    return _to(peer, reply=True) + head + body


def encode_receipt(peer: Peer, invoke: int, receipt: Receipt) -> bytes:
    """Return a segment-ack."""
    kind = 0x42 if receipt.refused else 0x40
    # More segments are expected, and NPDUs say so as they do of requests.
    return _to(peer, reply=True) + bytes((kind, invoke, receipt.number, receipt.window))


def encode_abort(peer: Peer, invoke: int) -> bytes:
    """Return an abort that says that an answer is too long for us."""
    return _to(peer) + bytes((0x70, invoke, _BUFFER_OVERFLOW))


def encode_thanks(peer: Peer, invoke: int) -> bytes:
    """Return the acknowledgement of a confirmed COV notification."""
    return _to(peer) + bytes((0x20, invoke, CONFIRMED_COV_NOTIFICATION))


def encode_unconfirmed(peer: Peer, service: int, body: bytes) -> bytes:
    """Return an unconfirmed request for one device."""
    return _to(peer) + bytes((0x10, service)) + body


def _to(peer: Peer, *, reply: bool = False) -> bytes:
    expecting = 0x04 if reply else 0
    if not peer.net:
        return bytes((1, expecting))
    route = struct.pack(">HB", peer.net, len(peer.mac)) + peer.mac + b"\xff"
    return bytes((1, 0x20 | expecting)) + route


def encode_who_is(limits: tuple[int, int] | None, net: int = 0) -> bytes:
    """Return a Who-Is for instances within `limits`, on network `net`: 0 is the local one."""
    apdu = b"\x10\x08"
    if limits is not None:
        apdu += context(0, limits[0]) + context(1, limits[1])
    if net:
        return b"\x01\x20" + struct.pack(">HB", net, 0) + b"\xff" + apdu
    return b"\x01\x00" + apdu


def encode_who_is_router(net: int) -> bytes:
    """Return the question which router leads to network `net`."""
    return struct.pack(">BBBH", 1, 0x80, _WHO_IS_ROUTER, net)


# ---------------------------------------------------------------- NPDUs in


def decode(npdu: bytes, source: Address) -> Message:
    """Return what `npdu` from `source` says to a client.

    Raises:
        Malformed: it is no BACnet, or nothing that is meant for us.
    """
    try:
        version, control = npdu[0], npdu[1]
        if version != 1:
            msg = "another version of the protocol"
            raise Malformed(msg)
        peer, pos = _sender(npdu, control, source)
        if control & 0x80:
            return _router_says(npdu, pos, source)
        return _application(peer, npdu, pos)
    except (IndexError, struct.error) as error:
        msg = "the datagram ends too early"
        raise Malformed(msg) from error


def _sender(data: bytes, control: int, source: Address) -> tuple[Peer, int]:
    """Return the sender, and where what it says starts."""
    pos = 2
    if control & 0x20:
        pos += 3 + data[pos + 2]
    net, mac = 0, b""
    if control & 0x08:
        net, size = struct.unpack_from(">HB", data, pos)
        pos += 3 + size
        mac = data[pos - size : pos]
        if not 1 <= net < ALL_NETWORKS or not size or len(mac) != size:
            msg = f"a sender in network {net}"
            raise Malformed(msg)
    if control & 0x20:
        pos += 1  # hop count
    return Peer(*source, net, mac), pos


def _router_says(data: bytes, pos: int, source: Address) -> RouterSays:
    kind, pos = data[pos], pos + 1
    if kind == _REJECT_TO_NETWORK:
        return RouterSays(source, struct.unpack_from(">xH", data, pos), reachable=False)
    count, odd = divmod(len(data) - pos, 2)
    if kind != _I_AM_ROUTER or odd or not 1 <= count <= _MOST_NETWORKS:
        msg = f"network message {kind:#04x}"
        raise Malformed(msg)
    return RouterSays(source, struct.unpack_from(f">{count}H", data, pos), reachable=True)


def _application(peer: Peer, data: bytes, pos: int) -> Message:
    octet = data[pos]
    kind = octet >> 4
    if kind == 3:
        if octet & 0x08:
            number, window, service = data[pos + 2], data[pos + 3], data[pos + 4]
            segment = Segment(number, window, bool(octet & 0x04), data[pos + 5 :])
            return Part(peer, data[pos + 1], service, segment)
        return Reply(peer, data[pos + 1], data[pos + 2], data[pos + 3 :])
    if kind == 2:
        return Reply(peer, data[pos + 1], data[pos + 2], simple=True)
    if kind == 5:
        _, code, _ = error_at(data, pos + 3)
        return Reply(peer, data[pos + 1], data[pos + 2], refusal=error_reason(code))
    if kind in (6, 7):
        refusal = refusal_reason("reject" if kind == 6 else "abort", data[pos + 2])
        return Reply(peer, data[pos + 1], None, refusal=refusal)
    return _unasked(peer, data, pos)


def _unasked(peer: Peer, data: bytes, pos: int) -> IAm | Notification:
    octet = data[pos]
    if octet >> 4 == 1:
        service = data[pos + 1]
        if service == 0:
            return _decode_i_am(peer, data, pos + 2)
        if service == UNCONFIRMED_COV_NOTIFICATION:
            return Notification(peer, data[pos + 2 :])
    elif octet & 0xF8 == 0 and data[pos + 3] == CONFIRMED_COV_NOTIFICATION:
        return Notification(peer, data[pos + 4 :], invoke=data[pos + 2])
    msg = f"APDU {octet:#04x}"
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
    # What is missing or odd here only costs segments.
    segmentation = NO_SEGMENTATION
    if data[pos : pos + 1] == b"\x91" and len(data) > pos + 1:
        segmentation = data[pos + 1]
    return IAm(peer, instance, min(max(max_apdu, MIN_APDU), MAX_APDU), segmentation)
