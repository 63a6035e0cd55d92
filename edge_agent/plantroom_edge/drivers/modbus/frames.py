"""From bytes to replies: what fits the request that is open is its reply, and nothing else; pure.

On TCP a reply carries the transaction of its request. What belongs to a request that was given up
is dropped; what belongs to none means that the far end has lost the thread: there is no way to
know what comes next, so the connection is given up at once. A whole frame of rubbish with the right
transaction and nothing behind it is its unit's fault alone: the connection stays for the others.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final, NoReturn, Protocol

from plantroom_edge.drivers.modbus.pdu import LARGEST, Ask, plausible

_HEADER: Final = struct.Struct(">HHHBB")
"""Transaction, protocol, length, unit, function."""
REMEMBERED: Final = 64
"""Transactions given up that a reply may still come for."""


class Unfit(Exception):
    """The far end says what cannot be: nothing that follows could be trusted."""


class Wrong(Exception):
    """The reply to the open request is none, but what follows can be trusted."""


class Frames(Protocol):
    """Puts requests into frames and takes replies out of a stream of bytes."""

    def ask(self, unit: int, ask: Ask) -> bytes:
        """Return the bytes of a request, which is open from now on."""
        ...

    def take(self, data: bytes) -> bytes | None:
        """Take bytes as they come; return the reply to the open request once it is whole.

        Raises:
            Unfit: the connection is of no use any more.
            Wrong: it is, but the open request gets no reply over it.
        """
        ...

    def in_step(self) -> bool:
        """Return whether nothing half received would stand before the reply to a new request."""
        ...

    def give_up(self) -> tuple[str, bool]:
        """Close the open request; return why it has no reply, and whether to connect anew."""
        ...

    def marker(self, unit: int, ask: Ask) -> Ask | None:
        """Return what to ask first, so that no late reply can be taken for that to `ask`."""
        ...

    def restart(self) -> None:
        """Forget what was half received: there is a new connection."""
        ...


class TcpFrames:
    """Frames of Modbus TCP and of Modbus/TCP Security."""

    def __init__(self) -> None:
        self._tid = 0
        self._open: tuple[int, int, int] | None = None
        """Transaction, unit and function."""
        self._rest = b""
        self._given_up: deque[int] = deque(maxlen=REMEMBERED)
        self._late = False

    def ask(self, unit: int, ask: Ask) -> bytes:
        """Return the bytes of a request, which is open from now on."""
        self._tid = self._tid % 0xFFFF + 1
        self._open, self._late = (self._tid, unit, ask.function), False
        return struct.pack(">HHHB", self._tid, 0, len(ask.pdu) + 1, unit) + ask.pdu

    def take(self, data: bytes) -> bytes | None:
        """Take bytes as they come; return the reply to the open request once it is whole."""
        data = self._rest + data if self._rest else data
        at, reply = 0, None
        while len(data) - at >= _HEADER.size:
            tid, protocol, length, unit, function = _HEADER.unpack_from(data, at)
            if protocol or not 3 <= length <= LARGEST + 1:
                raise Unfit
            wanted = self._wanted(tid)
            end = at + 6 + length
            if wanted and not self._fits(unit, function, data[at + 8 : end], end - at - 8):
                self._reject(in_step=end == len(data))
            if len(data) < end:
                break
            if wanted:
                reply, self._open = data[at + 7 : end], None
            else:
                self._given_up.remove(tid)
                self._late = True
            at = end
        self._rest = data[at:]
        return reply

    def _wanted(self, tid: int) -> bool:
        """Return whether this begins the reply, or else one that is merely late.

        What a late one says is nobody's, and so need not be right.
        """
        if self._open is not None and tid == self._open[0]:
            return True
        if tid not in self._given_up:
            raise Unfit
        return False

    def _fits(self, unit: int, function: int, body: bytes, size: int) -> bool:
        """Return whether this is the reply to the open request, as far as it has come."""
        if self._open is None or (unit, function & 0x7F) != self._open[1:]:
            return False
        return len(body) < size or plausible(function, body)

    def _reject(self, *, in_step: bool) -> NoReturn:
        """Close the open request, which has got rubbish."""
        self._rest, self._open = b"", None
        raise Wrong if in_step else Unfit

    def give_up(self) -> tuple[str, bool]:
        """Close the open request; return why it has no reply, and whether to connect anew.

        Half a reply would be taken for the start of the next one; and who answers late all the
        time will not catch up by itself.
        """
        if self._open is not None:
            self._given_up.append(self._open[0])
        self._open = None
        return "timeout", bool(self._rest) or self._late

    def in_step(self) -> bool:
        """Return whether nothing half received would stand before the reply to a new request."""
        return not self._rest

    def marker(self, unit: int, ask: Ask) -> Ask | None:  # noqa: ARG002 -- transactions tell replies apart
        """Return None: a reply says which request it is for."""
        return None

    def restart(self) -> None:
        """Forget what was half received; transactions go on: old replies may come on any path."""
        self._open, self._rest, self._late = None, b"", False
        self._given_up.clear()
