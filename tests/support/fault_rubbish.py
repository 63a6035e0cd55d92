"""What hostile devices say: malformed replies of Modbus and BACnet, of every kind."""

from __future__ import annotations

import random
import struct
from collections import Counter, deque

from simulators.modbus_scripted import Request, Reset
from support.bacnet_device import Field

REGISTERS = 5
HONEST_UNITS = (1, 2, 3, 4)
HOSTILE_UNIT = 9
HOSTILE_UNITS = (HOSTILE_UNIT, 10, 11)
"""Behind the gateway of honest ones, on one connection with them."""
BESIDE = "beside honest units"
BURST = 12
"""Datagrams with which a hostile BACnet device answers one request."""


def image(unit: int) -> dict[str, dict[int, int]]:
    """Return what the registers of an honest unit hold: told apart from those of all others."""
    return {"holding": {at: 1000 * unit + at for at in range(REGISTERS)}}


def flip(dice: random.Random, octets: bytearray, most: int) -> None:
    """Flip one to `most` bits."""
    for _ in range(dice.randint(1, most)):
        octets[dice.randrange(len(octets))] ^= 1 << dice.randrange(8)


class Modbus:
    """Malformed replies of Modbus devices, of every kind, by chance."""

    def __init__(self, dice: random.Random, sent: Counter[str]) -> None:
        self._dice, self._sent = dice, sent
        self._old: deque[bytes] = deque([b"\0"], maxlen=20)
        self._pending = b""
        """What a hostile unit behind the gateway says in the turn of an honest one."""

    def line(self, request: Request) -> bytes:
        """Return what a device of its own line answers: any octets at all."""
        right = request.answer(image(HOSTILE_UNIT))
        self._old.append(right)
        chance = self._dice.random()
        if chance < 0.2:
            return right
        self._sent["modbus"] += 1
        if chance < 0.9:  # who says nothing usable at all is soon left alone, and has lost
            return self._another_length(request, right)
        tricks = (
            self._flipped, self._cut, self._longer, self._old_one, self._strange_head,
            self._refusal, self._noise,
        )  # fmt: skip
        return self._dice.choice(tricks)(request, right)

    def unit(self, request: Request) -> bytes:
        """Return what comes through a gateway: whatever its hostile units say, and when they like."""
        if request.unit in HONEST_UNITS:
            late, self._pending = self._pending, b""
            return late + request.answer(image(request.unit))
        right = request.answer(image(HOSTILE_UNIT))
        self._old.append(right)
        chance = self._dice.random()
        if chance < 0.05:
            return right
        self._sent["modbus"] += 1
        self._sent[BESIDE] += 1
        if chance < 0.7:
            return self._another_length(request, right)
        if chance < 0.85:
            return self._framed_rubbish(request, right)
        tricks = (
            self._flipped, self._cut, self._longer, self._old_one, self._strange_head,
            self._refusal, self._noise, self._twice, self._trailing, self._late, self._hung_up,
        )  # fmt: skip
        return self._dice.choice(tricks)(request, right)

    def _framed_rubbish(self, request: Request, right: bytes) -> bytes:
        """Return a unit's own octets in the frame of a gateway that knows what it does."""
        dice = self._dice
        pdu = bytearray(right[7:])
        flip(dice, pdu, 4)
        pdu = pdu[: dice.randint(1, len(pdu))] if dice.random() < 0.3 else pdu
        pdu += dice.randbytes(dice.choice((0, 0, 0, 1, 100, 240)))[: 250 - len(pdu)]
        unit = dice.choice((request.unit, request.unit, *HONEST_UNITS))
        return request.frame(bytes(pdu), unit=unit)

    def _twice(self, _request: Request, right: bytes) -> bytes:
        return 2 * right

    def _trailing(self, _request: Request, right: bytes) -> bytes:
        return right + self._dice.choice((bytes(self._dice.randint(1, 7)), right[:7], b"\0\1\0\0"))

    def _late(self, request: Request, right: bytes) -> bytes:
        """Say nothing, or the right thing, and more in the turn of the next honest unit."""
        more = (right, self._another_length(request, right), self._strange_head(request, right))
        self._pending += self._dice.choice((*more, right[:8], self._dice.randbytes(30)))
        return self._dice.choice((b"", right))

    def _hung_up(self, _request: Request, _right: bytes) -> bytes:
        raise Reset

    def _flipped(self, _request: Request, right: bytes) -> bytes:
        out = bytearray(right)
        flip(self._dice, out, 8)
        return bytes(out)

    def _cut(self, _request: Request, right: bytes) -> bytes:
        return right[: self._dice.randrange(len(right))] + b"\0"

    def _longer(self, _request: Request, right: bytes) -> bytes:
        return right + self._dice.randbytes(self._dice.choice((1, 9, 300, 70_000)))

    def _old_one(self, _request: Request, _right: bytes) -> bytes:
        return self._dice.choice(self._old)

    def _strange_head(self, request: Request, right: bytes) -> bytes:
        lies = (request.tid ^ self._dice.randrange(4), self._dice.choice((0, 0, 7)))
        length = self._dice.choice((0, 1, len(right) - 6, 255, 65_535))
        return struct.pack(">HHHB", *lies, length, self._dice.choice((1, 9, 77))) + right[7:]

    def _refusal(self, request: Request, _right: bytes) -> bytes:
        return request.refuse(self._dice.randrange(256))

    def _noise(self, _request: Request, _right: bytes) -> bytes:
        return self._dice.randbytes(self._dice.choice((1, 7, 40, 5000)))

    def _another_length(self, request: Request, _right: bytes) -> bytes:
        words = self._dice.choice([*range(REGISTERS), *range(REGISTERS + 1, 120)])
        return request.frame(bytes([request.function, 2 * words]) + self._dice.randbytes(2 * words))


class Bacnet(Field):
    """A BACnet device that, from a moment on, answers everything with a burst of rubbish."""

    dice: random.Random
    sent: Counter[str]
    hostile = False

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        at = 6 + (4 + data[8] if data[5] & 0x20 else 0)
        if data[at] in {0x02, 0x00, 0x10}:  # requests: acknowledged segments it does not hear
            super().datagram_received(data, addr)

    def send(self, apdu: bytes, addr: tuple[str, int]) -> None:
        if not self.hostile:
            super().send(apdu, addr)
            return
        assert self._transport is not None
        body = b"\x01\x00" + apdu
        right = struct.pack(">BBH", 0x81, 0x0A, len(body) + 4) + body
        for _ in range(BURST):
            self.sent["bacnet"] += 1
            self._transport.sendto(self._spoilt(right, apdu), addr)
        if self.dice.random() < 0.5:
            self._transport.sendto(right, addr)

    def _spoilt(self, right: bytes, apdu: bytes) -> bytes:
        dice, invoke = self.dice, apdu[1:2]
        flipped = bytearray(right)
        flip(dice, flipped, 8)
        segment = b"\x3c" + invoke + dice.randbytes(2) + apdu[2:3] + dice.randbytes(400)
        refusal = bytes([dice.choice((0x50, 0x60, 0x70))]) + invoke + dice.randbytes(5)
        network = struct.pack(">BBH", 0x81, dice.randrange(13), dice.choice((0, 4, 65_535)))
        kinds = (
            bytes(flipped),
            right[: dice.randrange(1, len(right))],
            right + dice.randbytes(dice.choice((1, 30, 1000))),
            dice.randbytes(dice.choice((1, 4, 20, 1400))),
            self._framed(segment),
            self._framed(refusal),
            network + dice.randbytes(dice.choice((0, 6, 60))),
        )
        return dice.choice(kinds)

    @staticmethod
    def _framed(apdu: bytes) -> bytes:
        return struct.pack(">BBH", 0x81, 0x0A, len(apdu) + 6) + b"\x01\x00" + apdu
