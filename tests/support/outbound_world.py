"""What outbound requests are judged by: sockets that listen, and a record of what was dialled."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpcore

NAMES = {
    "localtest.example": ["127.0.0.1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "both.example": ["93.184.216.34", "127.0.0.1"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "ula.example": ["fd00:ec2::254"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data.ec2.internal": ["169.254.169.254"],
    "scoped.example": ["fe80::1%lo"],
    "intranet.example": ["10.0.0.5"],
    "nothing.example": [],
    "rubbish.example": ["127.0.0.1\0.example"],
}


async def resolve(host: str, port: int) -> list[str]:
    """Return what `NAMES` says, or what the machine makes of a number; no name server is asked."""
    if host.rstrip(".").lower() in NAMES:
        return NAMES[host.rstrip(".").lower()]
    if host.rstrip(".").lower() in {"localhost", "localhost.localdomain", "ip6-localhost"}:
        return ["127.0.0.1", "::1"]
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )
    return [str(entry[4][0]) for entry in found]


class Spy(httpcore.AnyIOBackend):
    """Notes what is dialled, and dials it."""

    def __init__(self) -> None:
        self.dialled: list[tuple[str, int]] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.dialled.append((host, port))
        if not host.startswith("127.") and host != "::1":
            msg = "tests call nobody outside"
            raise httpcore.ConnectError(msg)
        return await super().connect_tcp(host, port, timeout, local_address, socket_options)


class Listener:
    """A port of every address of this machine, with what came to it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.visits = 0
        self.heads: list[bytes] = []


Reply = Callable[[bytes], Awaitable[bytes] | bytes]


@asynccontextmanager
async def listening(reply: Reply | None = None, ssl: Any = None) -> AsyncIterator[Listener]:
    """Yield a listener on all addresses; it answers what `reply` makes of a request's head."""
    listener = Listener(0)

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.visits += 1
        try:
            while reply is not None:
                head = await reader.readuntil(b"\r\n\r\n")
                listener.heads.append(head)
                answer = reply(head)
                writer.write(answer if isinstance(answer, bytes) else await answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    ours = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    server = await asyncio.start_server(come, sock=ours, ssl=ssl)
    listener.port = ours.getsockname()[1]
    try:
        yield listener
    finally:
        server.close()


def page(status: str, body: bytes = b"", **headers: str) -> bytes:
    """Return an HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
