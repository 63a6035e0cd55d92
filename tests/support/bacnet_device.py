"""A BACnet/IP device in the test's own process, with knobs for every way to be difficult.

It has an encoder and a parser of its own, written from the standard, so that a mistake in the
driver's codec does not cancel out.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import cast

Ref = tuple[int, int, int | None]
"""Object identifier, property, array index."""

NAME, DESCRIPTION, PV, FLAGS, UNITS = 77, 28, 85, 111, 117
UNKNOWN_OBJECT, UNKNOWN_PROPERTY = 31, 32


def oid(kind: int, instance: int) -> int:
    return kind << 22 | instance


def real(value: float) -> bytes:
    return b"\x44" + struct.pack(">f", value)


def unsigned(value: int, tag: int = 2) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return _head(tag, size) + value.to_bytes(size, "big")


def enumerated(value: int) -> bytes:
    return unsigned(value, 9)


def text(value: str) -> bytes:
    raw = b"\0" + value.encode()
    return _head(7, len(raw)) + raw


def object_value(identifier: int) -> bytes:
    return b"\xc4" + identifier.to_bytes(4, "big")


def flags(octet: int) -> bytes:
    return bytes((0x82, 4, octet))


def _head(tag: int, size: int) -> bytes:
    if size < 5:
        return bytes((tag << 4 | size,))
    return (
        bytes((tag << 4 | 5, size))
        if size < 254
        else bytes((tag << 4 | 5, 254)) + struct.pack(">H", size)
    )


def _context(tag: int, value: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes((tag << 4 | 8 | size,)) + value.to_bytes(size, "big")


@dataclass
class Request:
    """A confirmed request, parsed."""

    invoke: int
    service: int
    refs: list[Ref]


@dataclass
class Field(asyncio.DatagramProtocol):
    """The device; every callable knob sees the parsed request."""

    instance: int = 1
    objects: dict[int, dict[int, bytes | list[bytes]]] = field(default_factory=dict)
    max_apdu: int = 1476
    says_max_apdu: int = 1476
    multiple: bool = True
    revision: int | None = 1
    net: int = 0
    mac: bytes = b""
    mute: Callable[[Request], bool] = lambda _: False
    """Requests that get no answer."""
    refuse: Callable[[Request], bytes | None] = lambda _: None
    """An APDU instead of an answer: error, reject or abort, without the invoke id."""
    tamper: Callable[[bytes, Request], list[bytes]] = lambda apdu, _: [apdu]
    """What is sent instead of an acknowledgement."""
    greet: Callable[[bytes], list[bytes]] = lambda apdu: [apdu]
    """What is sent instead of the I-Am."""
    broadcasts_to: str = ""
    """Sends its I-Am there, instead of to who asks."""
    deaf: bool = False
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    _transport: asyncio.DatagramTransport | None = None

    # ---------------------------------------------------------------- contents

    def add(self, kind: int, instance: int, present: bytes, name: str = "", **more: bytes) -> int:
        """Add an object with a present-value, normal flags, a name and units."""
        identifier = oid(kind, instance)
        properties: dict[int, bytes | list[bytes]] = {PV: present, FLAGS: flags(0)}
        if name:
            properties[NAME] = text(name)
        properties |= {int(key[1:]): value for key, value in more.items()}
        self.objects[identifier] = properties
        return identifier

    def lookup(self, ref: Ref) -> bytes | int:
        """Return the encoded value of `ref`, or an error code."""
        identifier, prop, index = ref
        if identifier == oid(8, self.instance):
            value = self._own(prop)
        elif identifier in self.objects:
            value = self.objects[identifier].get(prop, UNKNOWN_PROPERTY)
        else:
            return UNKNOWN_OBJECT
        if isinstance(value, list):
            if index is None:
                return b"".join(value)
            if index == 0:
                return unsigned(len(value))
            return value[index - 1] if index <= len(value) else 42
        return value

    def _own(self, prop: int) -> bytes | list[bytes] | int:
        if prop == 76:
            listed = [oid(8, self.instance), *self.objects]
            return [object_value(identifier) for identifier in listed]
        if prop == 75:
            return object_value(oid(8, self.instance))
        if prop == 155 and self.revision is not None:
            return unsigned(self.revision)
        return text(f"device {prop}") if prop in (NAME, 70, 121) else UNKNOWN_PROPERTY

    # ---------------------------------------------------------------- the wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def error_received(self, exc: Exception) -> None:
        raise exc

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.deaf:
            return
        control, pos = data[5], 6
        routed = b""
        if control & 0x20:
            size = data[pos + 2]
            routed = data[pos : pos + 3 + size]
            pos += 4 + size
        apdu = data[pos:]
        if apdu[0] == 0x10:
            self._answer_who_is(addr)
            return
        if self.net and routed != struct.pack(">HB", self.net, len(self.mac)) + self.mac:
            return
        request = Request(apdu[2], apdu[3], _parse(apdu[3], apdu[4:]))
        self.requests.append(request)
        for out in self._respond(request):
            self.send(out, addr)

    def _answer_who_is(self, addr: tuple[str, int]) -> None:
        who = object_value(oid(8, self.instance))
        apdu = b"\x10\x00" + who + unsigned(self.says_max_apdu) + enumerated(3) + unsigned(999)
        for out in self.greet(apdu):
            self.send(out, (self.broadcasts_to or addr[0], addr[1]))

    def send(self, apdu: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        npdu = b"\x01\x00"
        if self.net:
            npdu = b"\x01\x08" + struct.pack(">HB", self.net, len(self.mac)) + self.mac
        body = npdu + apdu
        self._transport.sendto(struct.pack(">BBH", 0x81, 0x0A, len(body) + 4) + body, addr)

    def _respond(self, request: Request) -> list[bytes]:
        if self.mute(request):
            return []
        invoke = bytes((request.invoke,))
        if (refusal := self.refuse(request)) is not None:
            return [refusal[:1] + invoke + refusal[1:]]
        if request.service == 14 and not self.multiple:
            return [b"\x60" + invoke + b"\x09"]
        head = b"\x30" + invoke + bytes((request.service,))
        if request.service == 12:
            value = self.lookup(request.refs[0])
            if isinstance(value, int):
                return [b"\x50" + invoke + b"\x0c" + enumerated(2) + enumerated(value)]
            identifier, prop, index = request.refs[0]
            head += b"\x0c" + identifier.to_bytes(4, "big") + _context(1, prop)
            head += b"" if index is None else _context(2, index)
            apdu = head + b"\x3e" + value + b"\x3f"
        else:
            apdu = head + b"".join(map(self.result, request.refs))
        if len(apdu) > self.max_apdu:
            return [b"\x71" + invoke + b"\x04"]
        return self.tamper(apdu, request)

    def result(self, ref: Ref) -> bytes:
        """Return one result of a read-property-multiple."""
        identifier, prop, index = ref
        out = b"\x0c" + identifier.to_bytes(4, "big") + b"\x1e" + _context(2, prop)
        if index is not None:
            out += _context(3, index)
        value = self.lookup(ref)
        if isinstance(value, int):
            return out + b"\x5e" + enumerated(2) + enumerated(value) + b"\x5f\x1f"
        return out + b"\x4e" + value + b"\x4f\x1f"


def _parse(service: int, body: bytes) -> list[Ref]:
    """Return what a read service asks for, by a parser of its own."""
    refs: list[Ref] = []
    pos, identifier = 0, 0
    first = 0 if service == 14 else 1  # the context tag of the property
    while pos < len(body):
        tag, size = body[pos] >> 4, body[pos] & 7
        if size >= 6:  # opening and closing
            pos += 1
            continue
        value = int.from_bytes(body[pos + 1 : pos + 1 + size], "big")
        pos += 1 + size
        if tag == 0 and size == 4:
            identifier = value
        elif tag == first:
            refs.append((identifier, value, None))
        else:
            refs[-1] = (*refs[-1][:2], value)
    return refs


def _itself(device: Field) -> Field:
    return device


@asynccontextmanager
async def serving(*devices: Field) -> AsyncIterator[list[str]]:
    """Run `devices` on ports of 127.0.0.1 and yield their addresses."""
    loop = asyncio.get_running_loop()
    transports = []
    for device in devices:
        transport, _ = await loop.create_datagram_endpoint(
            partial(_itself, device),
            local_addr=("127.0.0.1", device.port),
            allow_broadcast=True,
        )
        transports.append(transport)
    try:
        yield [device.address for device in devices]
    finally:
        for transport in transports:
            transport.close()
