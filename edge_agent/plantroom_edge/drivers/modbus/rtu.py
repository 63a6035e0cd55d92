"""Frames of Modbus RTU, where a reply does not say which request it is for; pure.

A reply is taken by its shape: unit, function, number of bytes and checksum. A late reply to a
request that was given up can have the shape of the next one. Therefore, before a shape that may
still come is asked for again, another one is asked for: a device answers one request after the
other, so after data of that shape nothing older can follow.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from plantroom_edge.drivers.modbus import pdu
from plantroom_edge.drivers.modbus.frames import Unfit
from plantroom_edge.drivers.modbus.pdu import Ask

FLOOD: Final = 4096
"""Bytes during one request after which nobody is believed to be answering it."""
REMEMBERED: Final = 4
"""Requests given up, for each unit, whose replies may still come."""

Shape = tuple[int, int]
"""Function and number of bytes of a reply."""


def _table() -> list[int]:
    table = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        table.append(crc)
    return table


_CRC = _table()


def crc(data: bytes) -> bytes:
    """Return the two bytes of the checksum of `data`, as they stand behind it."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value.to_bytes(2, "little")


class RtuFrames:
    """Frames of a serial line, also where TCP carries them."""

    def __init__(self) -> None:
        self._open: tuple[int, Ask] | None = None
        self._sent = b""
        self._heard = bytearray()
        self._total = 0
        self._echoes: bool | None = None
        """Whether the adapter hears itself; None while that is not known."""
        self._late: dict[int, deque[Shape]] = {}

    def ask(self, unit: int, ask: Ask) -> bytes:
        """Return the bytes of a request, which is open from now on."""
        self._open, self._total = (unit, ask), 0
        self._heard.clear()
        data = bytes([unit]) + ask.pdu
        self._sent = data + crc(data)
        return self._sent

    def take(self, data: bytes) -> bytes | None:
        """Take bytes as they come; return the reply to the open request once it is whole."""
        if self._open is None:
            return None
        self._total += len(data)
        if self._total > FLOOD:
            raise Unfit
        self._heard += data
        unit, ask = self._open
        start = self._behind_echo(ask)
        reply = self._find(unit, ask, start)
        if reply is not None:
            self._open = None
            self._settle(unit, ask, refused=bool(reply[0] & 0x80))
            if self._echoes is None and ask.reads:
                self._echoes = start > 0
        return reply

    def _behind_echo(self, ask: Ask) -> int:
        """Return where to look for the reply: behind what the adapter has heard of the request."""
        if self._echoes is False or not self._heard.startswith(self._sent):
            return 0
        # The reply to a write repeats it: whether that is an echo, reads have to show.
        return len(self._sent) if self._echoes or ask.reads else 0

    def _find(self, unit: int, ask: Ask, start: int) -> bytes | None:
        """Return the first reply of the right shape; what stands before it is noise."""
        heard = self._heard
        refused = ask.function | 0x80
        at = heard.find(unit, start)
        while 0 <= at <= len(heard) - 5:
            function = heard[at + 1]
            size = ask.size if function == ask.function else 2 if function == refused else 0
            end = at + 1 + size
            if size and end + 2 <= len(heard):
                frame = bytes(heard[at:end])
                fits = pdu.plausible(function, frame[2:])
                if fits and crc(frame) == heard[end : end + 2]:
                    return frame[1:]
            at = heard.find(unit, at + 1)
        return None

    def give_up(self) -> tuple[str, bool]:
        """Close the open request; return why it has no reply, and whether to connect anew."""
        if self._open is None:
            return "timeout", False
        unit, ask = self._open
        self._open = None
        self._remember(unit, ask)
        heard = len(self._heard) > self._behind_echo(ask)
        return "bad-reply" if heard else "timeout", False

    def in_step(self) -> bool:
        """Return True: what was heard before a request is forgotten with it."""
        return True

    def marker(self, unit: int, ask: Ask) -> Ask | None:
        """Return what to ask first, so that no late reply can be taken for that to `ask`."""
        late = self._late.get(unit)
        if not late or not ask.reads or (ask.function, ask.size) not in late:
            return None
        start = int.from_bytes(ask.pdu[1:3], "big")
        space = next(space for space, code in pdu.READ.items() if code == ask.function)
        step = 8 if ask.function <= 2 else 1
        for count in range(1, REMEMBERED * step + 2, step):
            other = pdu.read(space, min(start, 0x10000 - count), count)
            if (other.function, other.size) not in late:
                return other
        raise AssertionError  # there is one more count than shapes are remembered

    def restart(self) -> None:
        """Forget what was half received; late replies may come on the new connection, too."""
        self._open = None
        self._heard.clear()

    def _settle(self, unit: int, ask: Ask, *, refused: bool) -> None:
        """Note an answer: what is older than data has come, or never will."""
        if not refused:
            self._late.pop(unit, None)
        elif unit in self._late:
            # All refusals look alike: it may be that of an older request. But each answer, of
            # whichever, is one that no longer comes, and the oldest come first.
            self._late[unit].append((ask.function, ask.size))
            self._late[unit].popleft()

    def _remember(self, unit: int, ask: Ask) -> None:
        late = self._late.setdefault(unit, deque())
        late.append((ask.function, ask.size))
        if len(late) > REMEMBERED:
            late.popleft()
