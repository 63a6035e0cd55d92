"""The octets of COV: subscriptions out, notifications in. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from plantroom_edge.drivers.bacnet.services import WHOLE
from plantroom_edge.drivers.bacnet.values import Malformed, context, enclosed, number_at

PROCESS: Final = 0x504C
"""Our process identifier: the same over restarts, so that a device renews instead of adding."""
_MOST_VALUES: Final = 64  # in one notification


@dataclass(frozen=True, slots=True)
class Notice:
    """What a device says of one of its objects."""

    process: int
    device: int
    """Object identifier."""
    oid: int
    remaining: int
    """Seconds that the subscription goes on."""
    values: dict[int, Any]
    """By property."""


def encode_subscribe(oid: int, *, confirmed: bool, lifetime: int) -> bytes:
    """Return the body of a SubscribeCOV request for `lifetime` seconds."""
    head = context(0, PROCESS) + b"\x1c" + oid.to_bytes(4, "big")
    return head + bytes((0x29, confirmed)) + context(3, lifetime)


def encode_cancel(oid: int) -> bytes:
    """Return the body of the SubscribeCOV request that ends a subscription."""
    return context(0, PROCESS) + b"\x1c" + oid.to_bytes(4, "big")


def decode_notice(data: bytes) -> Notice:
    """Return what a COV notification says.

    Raises:
        Malformed: it is none.
    """
    try:
        process, pos = number_at(data, 0, 0)
        device, pos = _object(data, pos, 1)
        oid, pos = _object(data, pos, 2)
        remaining, pos = number_at(data, pos, 3)
        if data[pos] != 0x4E:
            msg = "a notification without values"
            raise Malformed(msg)
        values = _values(data, pos + 1)
    except (IndexError, struct.error) as error:
        msg = "octets end in the middle of a notification"
        raise Malformed(msg) from error
    return Notice(process, device, oid, remaining, values)


def _object(data: bytes, pos: int, tag: int) -> tuple[int, int]:
    if data[pos] != tag << 4 | 0x0C:
        msg = f"octet {data[pos]:#04x} where an object belongs"
        raise Malformed(msg)
    return number_at(data, pos, tag)


def _values(data: bytes, pos: int) -> dict[int, Any]:
    out: dict[int, Any] = {}
    while data[pos] != 0x4F:
        prop, pos = number_at(data, pos, 0)
        index = WHOLE
        if data[pos] & 0xF8 == 0x18:
            index, pos = number_at(data, pos, 1)
        if data[pos] != 0x2E or len(out) >= _MOST_VALUES:
            msg = "a property without its value, or too many"
            raise Malformed(msg)
        value, pos = enclosed(data, pos + 1, 0x2F)
        if data[pos] & 0xF8 == 0x38:
            _, pos = number_at(data, pos, 3)
        if index == WHOLE:
            out[prop] = value
    return out
