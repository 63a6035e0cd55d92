"""A name server that changes its mind with every question, and a resolver that asks it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

_HEADER = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHHIH")
_QUESTION_TAIL = 4


class RebindingServer(asyncio.DatagramProtocol):
    """Answers each question with the next of `answers`, the last one for ever; a TTL of nothing."""

    def __init__(self, answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        number, *_ = _HEADER.unpack_from(data)
        text = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        packed = socket.inet_pton(family, text)
        kind = 28 if family is socket.AF_INET6 else 1
        record = _RECORD.pack(0xC00C, kind, 1, 0, len(packed)) + packed
        answer = _HEADER.pack(number, 0x8180, 1, 1, 0, 0) + data[_HEADER.size :] + record
        assert self._transport is not None
        self._transport.sendto(answer, addr)


class _Asker(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.answer.done():
            self.answer.set_result(data)


class Asking:
    """A resolver that asks a name server at a port of this machine, every time anew."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the address that the server gives for `host`."""
        loop = asyncio.get_running_loop()
        transport, asker = await loop.create_datagram_endpoint(
            _Asker, remote_addr=("127.0.0.1", self._port)
        )
        labels = b"".join(bytes([len(part)]) + part.encode() for part in host.split("."))
        question = labels + b"\0" + struct.pack(">HH", 1, 1)
        try:
            transport.sendto(_HEADER.pack(7, 0x0100, 1, 0, 0, 0) + question)
            async with asyncio.timeout(5):
                data = await asker.answer
        finally:
            transport.close()
        at = _HEADER.size + len(question)
        *_, length = _RECORD.unpack_from(data, at)
        packed = data[at + _RECORD.size : at + _RECORD.size + length]
        family = socket.AF_INET6 if length == 16 else socket.AF_INET
        return [socket.inet_ntop(family, packed)]


@asynccontextmanager
async def rebinding(answers: Sequence[str]) -> AsyncIterator[tuple[RebindingServer, Asking]]:
    """Yield a running server with `answers`, and a resolver that asks it."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: RebindingServer(answers), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server, Asking(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()
