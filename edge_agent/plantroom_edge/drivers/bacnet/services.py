"""The two read services of BACnet: requests out of references, results out of acknowledgements.

Pure. A result carries the object and the property it is about; who asked looks each of them up,
and never counts on their order.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

from plantroom_edge.drivers.bacnet.values import (
    Failure,
    Malformed,
    context,
    enclosed,
    error_at,
    number_at,
)
from plantroom_edge.drivers.bacnet.vocabulary import error_reason

Ref = tuple[int, int, int]
"""Object identifier (type in the upper 10 bits), property, array index or `WHOLE`."""

WHOLE: Final = -1
_U32: Final = struct.Struct(">I").unpack_from


@functools.lru_cache(maxsize=256)  # 500 dead objects share one failure; the bound is for rubbish
def failure_of(code: int) -> Failure:
    """Return the failure that stands for a BACnet error code."""
    return Failure(error_reason(code))


def _guarded(
    decode: Callable[[bytes], list[tuple[Ref, Any]]],
) -> Callable[[bytes], list[tuple[Ref, Any]]]:
    @functools.wraps(decode)
    def guard(data: bytes) -> list[tuple[Ref, Any]]:
        try:
            return decode(data)
        except (IndexError, struct.error) as error:
            msg = "octets end in the middle of a value"
            raise Malformed(msg) from error

    return guard


@_guarded
def decode_multiple(data: bytes) -> list[tuple[Ref, Any]]:
    """Return what a ReadPropertyMultiple-ACK says, in its order; errors as `Failure`.

    Nothing is matched here: whoever asked must look each reference up.
    """
    out: list[tuple[Ref, Any]] = []
    pos, end = 0, len(data)
    while pos < end:
        if data[pos] != 0x0C or data[pos + 5] != 0x1E:
            msg = "a result without its object"
            raise Malformed(msg)
        (oid,) = _U32(data, pos + 1)
        pos += 6
        while data[pos] != 0x1F:
            if data[pos] == 0x29:
                prop, pos = data[pos + 1], pos + 2
            else:
                prop, pos = number_at(data, pos, 2)
            index = WHOLE
            if data[pos] & 0xF8 == 0x38:
                index, pos = number_at(data, pos, 3)
            value, pos = _outcome(data, pos)
            out.append(((oid, prop, index), value))
        pos += 1
    return out


def _outcome(data: bytes, pos: int) -> tuple[Any, int]:
    """Return the value or the failure of one property, and the position behind it."""
    if data[pos] == 0x4E:
        return enclosed(data, pos + 1, 0x4F)
    if data[pos] != 0x5E:
        msg = "a property with neither value nor error"
        raise Malformed(msg)
    _, code, pos = error_at(data, pos + 1)
    if data[pos] != 0x5F:
        msg = "an error that does not close"
        raise Malformed(msg)
    return failure_of(code), pos + 1


@_guarded
def decode_single(data: bytes) -> list[tuple[Ref, Any]]:
    """Return the one result of a ReadProperty-ACK."""
    if data[0] != 0x0C:
        msg = "a result without its object"
        raise Malformed(msg)
    (oid,) = _U32(data, 1)
    prop, pos = number_at(data, 5, 1)
    index = WHOLE
    if data[pos] & 0xF8 == 0x28:
        index, pos = number_at(data, pos, 2)
    if data[pos] != 0x3E:
        msg = "a property without its value"
        raise Malformed(msg)
    value, pos = enclosed(data, pos + 1, 0x3F)
    if pos != len(data):
        msg = "octets behind the value"
        raise Malformed(msg)
    return [((oid, prop, index), value)]


def encode_multiple(refs: Iterable[Ref]) -> bytes:
    """Return the body of a ReadPropertyMultiple request; runs of one object share its header."""
    out = bytearray()
    open_oid = -1
    for oid, prop, index in refs:
        if oid != open_oid:
            if out:
                out.append(0x1F)
            out += b"\x0c" + oid.to_bytes(4, "big") + b"\x1e"
            open_oid = oid
        out += context(0, prop)
        if index != WHOLE:
            out += context(1, index)
    out.append(0x1F)
    return bytes(out)


def encode_single(ref: Ref) -> bytes:
    """Return the body of a ReadProperty request."""
    oid, prop, index = ref
    body = b"\x0c" + oid.to_bytes(4, "big") + context(1, prop)
    return body if index == WHOLE else body + context(2, index)
