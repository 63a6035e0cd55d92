"""A BACnet/IP client of a few screens, from the standard alone: no stack of ours, no bacpypes.

It does what an independent reader needs: Who-Is, ReadProperty and ReadPropertyMultiple without
segmentation (ASHRAE 135, clauses 15, 16 and 20).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

TYPES = {
    "analog-input": 0, "analog-output": 1, "analog-value": 2, "binary-input": 3,
    "binary-output": 4, "binary-value": 5, "device": 8, "multi-state-value": 19,
}  # fmt: skip
DESCRIPTION, NAME, OBJECT_LIST, PRESENT_VALUE, STATE_TEXT, UNITS = 28, 77, 76, 85, 110, 117
ACTIVE_TEXT, INACTIVE_TEXT, STATUS_FLAGS, MAX_APDU = 4, 46, 111, 62

Object = tuple[str, int]


class BacnetError(Exception):
    """The device answered with an error, a reject or an abort."""


class RawClient:
    """Talks to one BACnet/IP device from a socket of its own."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address, self._invoke = address, 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def who_is(self) -> int:
        """Send a Who-Is to the device alone; return the instance in its I-Am."""
        self._send(b"\x10\x08", reply=False)
        answer = self._receive()
        if answer[:2] != b"\x10\x00" or answer[2] != 0xC4:
            msg = f"no I-Am: {answer.hex()}"
            raise BacnetError(msg)
        (word,) = struct.unpack(">I", answer[3:7])
        return int(word & 0x3FFFFF)

    def read(self, what: Object, prop: int) -> Any:
        """Return one property; a list for an array."""
        answer = self._confirmed(12, _context(0, _object_id(what)) + _context(1, _number(prop)))
        values = [value for tag, value in _items(answer) if tag is None]
        return values if prop in {OBJECT_LIST, STATE_TEXT} else values[0]

    def read_many(self, wanted: Sequence[tuple[Object, Sequence[int]]]) -> list[dict[int, Any]]:
        """Return the properties of many objects; one that the device refuses is left out."""
        request = b"".join(
            _context(0, _object_id(what))
            + b"\x1e"
            + b"".join(_context(0, _number(prop)) for prop in props)
            + b"\x1f"
            for what, props in wanted
        )
        found: list[dict[int, Any]] = []
        prop = 0
        for tag, value in _items(self._confirmed(14, request)):
            if tag == 0:
                found.append({})
            elif tag == 2:
                prop = int.from_bytes(value, "big")
            elif tag == 4:
                found[-1][prop] = []
            elif tag is None and prop in found[-1]:
                found[-1][prop].append(value)
        return [
            {prop: values if prop == STATE_TEXT else values[0] for prop, values in one.items()}
            for one in found
        ]

    def _confirmed(self, service: int, request: bytes) -> bytes:
        self._invoke = (self._invoke + 1) % 256
        # No segments, APDUs of up to 1476 bytes.
        self._send(bytes([0x00, 0x05, self._invoke, service]) + request, reply=True)
        answer = self._receive()
        if answer[0] != 0x30 or answer[1] != self._invoke:
            msg = f"refused: {answer.hex()}"
            raise BacnetError(msg)
        return answer[3:]

    def _send(self, apdu: bytes, *, reply: bool) -> None:
        npdu = bytes([0x01, 0x04 if reply else 0x00]) + apdu
        self._socket.sendto(struct.pack(">BBH", 0x81, 0x0A, len(npdu) + 4) + npdu, self._address)

    def _receive(self) -> bytes:
        return self._socket.recv(2048)[6:]


def _object_id(what: Object) -> bytes:
    return struct.pack(">I", TYPES[what[0]] << 22 | what[1])


def _number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def _context(tag: int, data: bytes) -> bytes:
    return bytes([tag << 4 | 0x08 | len(data)]) + data


def _items(data: bytes) -> Iterator[tuple[int | None, Any]]:
    """Yield (context tag, bytes), (context tag, None) for an opening, (None, value) of the rest."""
    at = 0
    inside = 0
    while at < len(data):
        head = data[at]
        tag, context, size = head >> 4, bool(head & 0x08), head & 0x07
        at += 1
        if context and size in {6, 7}:
            inside += 1 if size == 6 else -1
            if size == 6:
                yield tag, None
            continue
        if size == 5:
            size, at = data[at], at + 1
            if size == 254:
                (size,), at = struct.unpack(">H", data[at : at + 2]), at + 2
        body = b"" if tag == 1 and not context else data[at : at + size]
        at += len(body)
        yield (tag, body) if context else (None, _value(tag, size, body))


def _value(tag: int, size: int, body: bytes) -> Any:
    if tag == 1:
        return bool(size)
    if tag == 4:
        return struct.unpack(">f", body)[0]
    if tag == 7:
        return body[1:].decode("utf-8")
    if tag == 8:
        return [bool(byte >> 7 - bit & 1) for byte in body[1:] for bit in range(8)]
    if tag == 12:
        (word,) = struct.unpack(">I", body)
        names = {number: name for name, number in TYPES.items()}
        return names[word >> 22], word & 0x3FFFFF
    return int.from_bytes(body, "big")
