"""A device of the test's own process that also tells changes."""

from __future__ import annotations

from dataclasses import dataclass, field

from support.bacnet_device import FLAGS, PV, Field, oid

_SERVICES = bytes.fromhex("850600ffffffffff")


def notification(instance: int, identifier: int, values: dict[int, bytes]) -> bytes:
    """Return the parameters of a notification, written from the standard."""
    out = bytes.fromhex("0a504c") + b"\x1c" + oid(8, instance).to_bytes(4, "big")
    out += b"\x2c" + identifier.to_bytes(4, "big") + b"\x39\x3c\x4e"
    for prop, value in values.items():
        out += b"\x09" + bytes((prop,)) + b"\x2e" + value + b"\x2f"
    return out + b"\x4f"


@dataclass
class CovField(Field):
    """Has COV, with knobs for what devices do to it."""

    subscriptions: dict[int, tuple[bool, int]] = field(default_factory=dict)
    """Object → confirmed, lifetime."""
    asked: int = 0
    confirms: bool = True
    room: int = 1000
    refuses_all: bool = False
    drop: int = 0
    """Requests about subscriptions that get no answer."""
    subscriber: tuple[str, int] = ("", 0)
    thanked: list[int] = field(default_factory=list)

    def _own(self, prop: int) -> bytes | list[bytes] | int:
        return _SERVICES if prop == 97 else super()._own(prop)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        apdu = data[6:]
        if apdu[:1] == b"\x20":
            self.thanked.append(apdu[1])
        elif apdu[0] & 0xF0 == 0 and apdu[3] == 5:
            self.subscriber = addr
            self.asked += 1
            if self.drop:
                self.drop -= 1
                return
            self.send(self._subscribe(apdu[4:], bytes((apdu[2],))), addr)
        else:
            super().datagram_received(data, addr)

    def _subscribe(self, body: bytes, invoke: bytes) -> bytes:
        if self.refuses_all:
            return b"\x60" + invoke + b"\x09"
        identifier = int.from_bytes(body[4:8], "big")
        if len(body) == 8:
            self.subscriptions.pop(identifier, None)
            return b"\x20" + invoke + b"\x05"
        confirmed, lifetime = bool(body[9]), int.from_bytes(body[11:], "big")
        if identifier not in self.subscriptions and len(self.subscriptions) >= self.room:
            return b"\x50" + invoke + b"\x05\x91\x03\x91\x13"
        if confirmed and not self.confirms:
            return b"\x50" + invoke + b"\x05\x91\x05\x91\x2b"
        self.subscriptions[identifier] = confirmed, lifetime
        self.tell(identifier)
        return b"\x20" + invoke + b"\x05"

    def tell(self, identifier: int) -> None:
        """Send a notification of the object as it is."""
        values = {prop: self.objects[identifier][prop] for prop in (PV, FLAGS)}
        known = {prop: value for prop, value in values.items() if isinstance(value, bytes)}
        self.push(self.head(identifier) + notification(self.instance, identifier, known))

    def head(self, identifier: int) -> bytes:
        """Return what stands before the parameters."""
        return b"\x10\x02"

    def push(self, apdu: bytes) -> None:
        """Send something to the subscriber."""
        self.send(apdu, self.subscriber)

    def change(self, identifier: int, value: bytes) -> None:
        """Set a present-value, and tell it if somebody wants to know."""
        self.objects[identifier][PV] = value
        if identifier in self.subscriptions:
            self.tell(identifier)


@dataclass
class ConfirmedField(CovField):
    """Wants an acknowledgement where that was asked for."""

    def head(self, identifier: int) -> bytes:
        confirmed = self.subscriptions.get(identifier, (False, 0))[0]
        return b"\x00\x05\x2a\x01" if confirmed else b"\x10\x02"
