"""A device that takes writes, by the functions that a test gives it."""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass, field

from simulators.modbus_scripted import Request
from support.modbus_image import Image

READS = frozenset({1, 2, 3, 4})
ALL = frozenset({1, 2, 3, 4, 5, 6, 15, 16, 22})


@dataclass(slots=True)
class Writable:
    """Holds an image and changes it."""

    image: Image
    knows: Collection[int] = ALL
    deaf: set[int] = field(default_factory=set)
    """Functions that it confirms without doing them."""
    mute: set[int] = field(default_factory=set)
    """Functions that it does without confirming them."""
    asked: list[tuple[int, int]] = field(default_factory=list)
    """Function and address of every request."""

    def __call__(self, request: Request) -> bytes:
        """Answer a request."""
        self.asked.append((request.function, request.address))
        if request.function not in self.knows:
            return request.refuse(1)
        if request.function in READS:
            return request.answer(self.image)
        places = self._places(request)
        table = self.image["coil" if request.function in {5, 15} else "holding"]
        if not set(places) <= set(table):
            return request.refuse(2)
        if request.function not in self.deaf:
            table |= places
        if request.function in self.mute:
            return b""
        echo = struct.pack(">BHH", request.function, request.address, request.count)
        return request.frame(echo + (request.data if request.function == 22 else b""))

    def _places(self, request: Request) -> dict[int, int]:
        at, value, data = request.address, request.count, request.data
        if request.function == 5:
            return {at: int(value == 0xFF00)}
        if request.function == 6:
            return {at: value}
        if request.function == 22:
            (put,) = struct.unpack(">H", data)
            return {at: self.image["holding"].get(at, 0) & value | put & ~value & 0xFFFF}
        assert data[0] == len(data) - 1
        if request.function == 15:
            bits = int.from_bytes(data[1:], "little")
            return {at + place: bits >> place & 1 for place in range(value)}
        words = struct.unpack(f">{value}H", data[1:])
        return {at + place: word for place, word in enumerate(words)}
