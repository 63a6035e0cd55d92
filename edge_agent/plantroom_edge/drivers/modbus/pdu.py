"""Requests and replies of Modbus without their frames; pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from plantroom_shared.registers import BIT_SPACES, Space

READ: dict[Space, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
"""The function that reads a table."""
WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS, MASK_WRITE = 5, 6, 15, 16, 22
LARGEST = 253
"""Bytes of the longest request or reply."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no data."""

    reason: str
    code: int | None = None
    """The exception code with which the device refused; None if it did not say anything."""
    sent: bool = True
    """False if not a byte of the request has left."""
    asked: bool = True
    """False if the line was kept free for others: this says nothing new of the unit."""

    @property
    def silent(self) -> bool:
        """Whether the unit itself said nothing: 10 and 11 are the word of a gateway."""
        return self.code in {None, 10, 11}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, and how long a right reply is."""

    pdu: bytes
    size: int
    """Bytes of the reply from its function code on."""

    @property
    def function(self) -> int:
        """The function code."""
        return self.pdu[0]

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.function <= 4


def read(space: Space, start: int, count: int) -> Ask:
    """Return the request for `count` registers or bits from `start` on."""
    data = (count + 7) // 8 if space in BIT_SPACES else 2 * count
    return Ask(struct.pack(">BHH", READ[space], start, count), 2 + data)


def write_coil(address: int, on: bool) -> Ask:
    """Return the request that sets one coil."""
    return Ask(struct.pack(">BHH", WRITE_COIL, address, 0xFF00 if on else 0), 5)


def write_coils(address: int, on: bool) -> Ask:
    """Return the request that sets one coil by the function for many."""
    return Ask(struct.pack(">BHHBB", WRITE_COILS, address, 1, 1, on), 5)


def write_register(address: int, word: int) -> Ask:
    """Return the request that sets one register."""
    return Ask(struct.pack(">BHH", WRITE_REGISTER, address, word), 5)


def write_registers(address: int, words: Sequence[int]) -> Ask:
    """Return the request that sets registers in a row, all at once."""
    n = len(words)
    return Ask(struct.pack(f">BHHB{n}H", WRITE_REGISTERS, address, n, 2 * n, *words), 5)


def mask_write(address: int, keep: int, put: int) -> Ask:
    """Return the request after which a register is ``(old & keep) | (put & ~keep)``."""
    return Ask(struct.pack(">BHHH", MASK_WRITE, address, keep, put), 7)


def confirmed(ask: Ask, reply: bytes) -> bool:
    """Return whether `reply` repeats the write as it must."""
    return reply == ask.pdu[: ask.size]


def plausible(function: int, body: bytes) -> bool:
    """Return whether `body`, behind a function code, is as long as it says or has to be."""
    if function & 0x80:
        return len(body) == 1
    if 1 <= function <= 4:
        return len(body) >= 1 and body[0] == len(body) - 1
    return len(body) == (6 if function == MASK_WRITE else 4)


def refusal(reply: bytes) -> Fault | None:
    """Return what a reply refuses with; None if it does not refuse."""
    if reply[0] & 0x80:
        return Fault(f"exception-{reply[1]}", reply[1])
    return None
