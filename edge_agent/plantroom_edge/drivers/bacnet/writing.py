"""Writing properties: the right type for the object, the priority array, and a look at the result.

A value that no priority array holds cannot be given back, so an object without one is only written
without a priority.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Callable
from typing import Any, Final

from plantroom_edge.drivers import Written
from plantroom_edge.drivers.bacnet.services import WHOLE, Ref, decode_single, encode_single
from plantroom_edge.drivers.bacnet.session import Session
from plantroom_edge.drivers.bacnet.values import Failure, Malformed, context
from plantroom_edge.drivers.bacnet.vocabulary import (
    BINARY_TYPES,
    MULTI_STATE_TYPES,
    PRESENT_VALUE,
    PRIORITY_ARRAY,
    READ_PROPERTY,
    WRITE_PROPERTY,
    split,
)
from plantroom_shared.model import Value

PRIORITIES: Final = range(1, 17)
NOT_COMMANDABLE: Final = "not-commandable"
_HEAD: Final = 4  # octets of a request in front of its body
_LOOKS: Final = 3
_PAUSE: Final = 0.3
"""Seconds between two looks: many controllers take a value over once a cycle."""

_NULL, _BOOLEAN, _UNSIGNED, _SIGNED, _REAL, _DOUBLE, _TEXT, _ENUMERATED = 0, 1, 2, 3, 4, 5, 7, 9
_PLAIN: Final = frozenset({bool, int, float, str})
_DATES: Final = frozenset({42, 44, 50})
"""Date, datetime and time values: read as texts, not written."""
_NO_ARRAY: Final = frozenset({
    "error-unknown-property", "error-property-is-not-an-array", "error-invalid-array-index",
    "error-optional-functionality-not-supported",
})  # fmt: skip

# By object type; of the others the value itself says what it is.
_TAGS: Final = {
    0: _REAL, 1: _REAL, 2: _REAL, 12: _REAL, 24: _REAL, 54: _REAL,
    23: _UNSIGNED, 48: _UNSIGNED, 45: _SIGNED, 46: _DOUBLE, 40: _TEXT, 55: _ENUMERATED,
    **dict.fromkeys(BINARY_TYPES, _ENUMERATED), **dict.fromkeys(MULTI_STATE_TYPES, _UNSIGNED),
}  # fmt: skip


class Unfit(Exception):
    """The value cannot be that of the object."""


# ---------------------------------------------------------------- octets


def encode_value(kind: int, value: Value) -> bytes:
    """Return `value` with the application tag that a present-value of object type `kind` has.

    Raises:
        Unfit: the type cannot hold it.
    """
    if value is None:
        return b"\x00"
    if kind in _DATES:
        msg = "unsupported-type"
        raise Unfit(msg)
    return _ENCODERS[_TAGS.get(kind, _tag_of(value))](value)


def _tag_of(value: Value) -> int:
    if isinstance(value, bool):
        return _BOOLEAN
    if isinstance(value, int):
        return _UNSIGNED if value >= 0 else _SIGNED
    return _TEXT if isinstance(value, str) else _REAL


def _tagged(tag: int, body: bytes) -> bytes:
    if len(body) < 5:
        return bytes((tag << 4 | len(body),)) + body
    if len(body) < 254:
        return bytes((tag << 4 | 5, len(body))) + body
    return bytes((tag << 4 | 5, 254)) + struct.pack(">H", len(body)) + body


def _integer(value: Value) -> int:
    if isinstance(value, str) or value is None or not math.isfinite(value) or value % 1:
        msg = "not-an-integer"
        raise Unfit(msg)
    return int(value)


def _unsigned(tag: int) -> Callable[[Value], bytes]:
    def encode(value: Value) -> bytes:
        number = _integer(value)
        if not 0 <= number < 1 << 32 or (tag == _ENUMERATED and number > 1):
            msg = "value-out-of-range"
            raise Unfit(msg)
        return _tagged(tag, number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big"))

    return encode


def _signed(value: Value) -> bytes:
    number = _integer(value)
    if not -(1 << 31) <= number < 1 << 31:
        msg = "value-out-of-range"
        raise Unfit(msg)
    return _tagged(_SIGNED, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def _float(tag: int, layout: str) -> Callable[[Value], bytes]:
    def encode(value: Value) -> bytes:
        if isinstance(value, str) or value is None or not math.isfinite(value):
            msg = "not-a-number"
            raise Unfit(msg)
        try:
            return _tagged(tag, struct.pack(layout, value))
        except OverflowError as error:
            msg = "value-out-of-range"
            raise Unfit(msg) from error

    return encode


def _text(value: Value) -> bytes:
    if not isinstance(value, str):
        msg = "not-a-text"
        raise Unfit(msg)
    return _tagged(_TEXT, b"\0" + value.encode())


_ENCODERS: Final[dict[int, Callable[[Value], bytes]]] = {
    _BOOLEAN: lambda value: bytes((0x10 | bool(value),)),
    _UNSIGNED: _unsigned(_UNSIGNED),
    _SIGNED: _signed,
    _REAL: _float(_REAL, ">f"),
    _DOUBLE: _float(_DOUBLE, ">d"),
    _TEXT: _text,
    _ENUMERATED: _unsigned(_ENUMERATED),
}


def encode_write(ref: Ref, value: bytes, priority: int | None) -> bytes:
    """Return the body of a WriteProperty request."""
    body = encode_single(ref) + b"\x3e" + value + b"\x3f"
    return body if priority is None else body + context(4, priority)


# ---------------------------------------------------------------- one device


class Writer:
    """Writes the objects of one device."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def held(self, oid: int, priority: int | None) -> tuple[Value, str]:
        """Return what a release has to give back, and why that cannot be read."""
        if priority is None:
            return _plain(await self._look((oid, PRESENT_VALUE, WHOLE)))
        if priority not in PRIORITIES:
            return None, "no-such-priority"
        slot = await self._look((oid, PRIORITY_ARRAY, priority))
        return (None, "") if slot is None else _plain(slot)

    async def write(self, oid: int, value: Value, priority: int | None) -> Written:
        """Write the present-value, and look what has become of it."""
        why, body = self._request(oid, value, priority)
        if not why and priority is not None:
            why = (await self.held(oid, priority))[1]
        if why:
            return Written(ok=False, reason=why, reached=False)
        reply = await self._session.ask(WRITE_PROPERTY, body)
        if reply is None:
            return Written(ok=False, reason="timeout")
        if reply.refusal:
            return Written(ok=False, reason=_reason(reply.refusal))
        return await self._confirm(oid, value, priority)

    def _request(self, oid: int, value: Value, priority: int | None) -> tuple[str, bytes]:
        """Return why not to ask at all, or the body of the request."""
        if priority is None and value is None:
            return "no-priority-to-relinquish", b""
        try:
            encoded = encode_value(split(oid)[0], value)
        except Unfit as error:
            return str(error), b""
        body = encode_write((oid, PRESENT_VALUE, WHOLE), encoded, priority)
        # Requests are never cut into segments: no value of the field needs it.
        return (
            ("", body) if len(body) + _HEAD <= self._session.max_apdu else ("value-too-long", b"")
        )

    async def _confirm(self, oid: int, value: Value, priority: int | None) -> Written:
        """Look at the slot and at the present-value; the device may take a moment."""
        shows: Value = None
        why = "read-back"
        for look in range(_LOOKS):
            if look:
                await asyncio.sleep(_PAUSE)
            shows, unread = _plain(await self._look((oid, PRESENT_VALUE, WHOLE)))
            if unread:
                why = f"read-back-{unread}"
                continue
            slot, unread = await self.held(oid, priority)
            if not unread and same(slot, value) and (value is None or same(shows, value)):
                return Written(ok=True, shows=shows)
            why = unread or ("outranked" if same(slot, value) else "read-back")
        if why == "outranked":
            why = await self._winner(oid, priority)
        return Written(ok=False, reason=why, shows=shows)

    async def _winner(self, oid: int, priority: int | None) -> str:
        """Say which slot keeps ours from being shown."""
        slots = await self._look((oid, PRIORITY_ARRAY, WHOLE))
        if priority is None or not isinstance(slots, list):
            return "outranked"
        taken = [number for number, slot in enumerate(slots[: priority - 1], 1) if slot is not None]
        return f"outranked-by-{taken[0]}" if taken else "outranked"

    async def _look(self, ref: Ref) -> Any:
        """Return what the device says of `ref`, or a `Failure`."""
        reply = await self._session.ask(READ_PROPERTY, encode_single(ref))
        if reply is None:
            return Failure("timeout")
        if reply.refusal in _NO_ARRAY and ref[1] == PRIORITY_ARRAY:
            return Failure(NOT_COMMANDABLE)
        if reply.refusal:
            return Failure(_reason(reply.refusal))
        try:
            [(said, value)] = decode_single(reply.body)
        except Malformed:
            return Failure("malformed")
        return value if said == ref else Failure("no-value")


def _reason(refusal: str) -> str:
    return refusal.removeprefix("error-")


def _plain(value: Any) -> tuple[Value, str]:
    if isinstance(value, Failure):
        return None, value.reason
    if type(value) in _PLAIN:
        return value, ""
    return None, "unsupported-type"


def same(shown: Value, wanted: Value) -> bool:
    """Say whether a device that shows `shown` has taken `wanted`, as exactly as its type can."""
    if shown is None or wanted is None or isinstance(shown, str) or isinstance(wanted, str):
        return shown == wanted
    return shown == wanted or math.isclose(shown, wanted, rel_tol=1e-6)
