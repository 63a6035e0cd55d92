"""``/metrics`` and ``/health`` on the gateway: a server so small that nothing can be done to it.

It answers a GET without a body and closes. What it says is what the agent has written down anyway, at
most a second old, and is made once in that second, however many ask.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from plantroom_edge import health
from plantroom_edge.exposition import CONTENT_TYPE, Traffic, render
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable

log = logging.getLogger(__name__)

MOST_CALLERS: Final = 8
"""Connections at a time; a further one is closed at once."""
LONGEST_HEAD: Final = 8192
"""Octets of a request, line and headers together."""
PATIENCE: Final = 5.0
"""Seconds that a caller has from connecting to having read the answer."""
_REST: Final = 16
"""Times that octets behind the request are read and forgotten."""

_TEXT: Final = "text/plain; charset=utf-8"
_WORDS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


class Answer(NamedTuple):
    """What a caller gets."""

    status: int
    body: bytes
    kind: str = _TEXT

    def encode(self) -> bytes:
        """Return it as it goes over the line."""
        allow = "Allow: GET\r\n" if self.status == 405 else ""
        head = (
            f"HTTP/1.1 {self.status} {_WORDS[self.status]}\r\nContent-Type: {self.kind}\r\n"
            f"Content-Length: {len(self.body)}\r\n{allow}Connection: close\r\n\r\n"
        )
        return head.encode("ascii") + self.body


class MetricsServer:
    """Answers Prometheus, and whoever asks whether the agent is well.

    Args:
        host: address to listen on.
        port: TCP port; 0 lets the system choose.
        document: returns what the agent last said of itself.
        traffic: returns what drivers tell of their devices.
        clock: by which the document is dated.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        document: Callable[[], dict[str, Any]],
        traffic: Callable[[], Traffic],
        clock: Clock,
    ) -> None:
        self._host, self.port = host, port
        self._document, self._traffic, self._clock = document, traffic, clock
        self._callers: set[asyncio.Task[None]] = set()
        self._rendered: tuple[int, bytes] = (-1, b"")
        """The last exposition, and of which document."""

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            Unavailable: the address cannot be had now; run again.
        """
        try:
            server = await asyncio.start_server(
                self._call, self._host, self.port, limit=LONGEST_HEAD
            )
        except OSError as error:
            where = f"{self._host}:{self.port}"
            msg = f"metrics cannot be served on {where}: {error.strerror}; change `metrics.listen`"
            raise Unavailable(msg) from error
        self.port = server.sockets[0].getsockname()[1]
        log.info("metrics are served", extra={"host": self._host, "port": self.port})
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for caller in self._callers:
                caller.cancel()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._callers) >= MOST_CALLERS:
            writer.transport.abort()
            return
        self._callers.add(task)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._converse(reader, writer)
        except (TimeoutError, OSError):  # gone, or too slow: it cost us a few seconds of a socket
            writer.transport.abort()
        finally:
            self._callers.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            answer = _refused(400, "the request is too long")
        except asyncio.IncompleteReadError:
            return
        else:
            answer = self.answer(head)
        writer.write(answer.encode())
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        # What is still on its way must be read, or the system resets what we have said.
        for _ in range(_REST):
            if not await reader.read(LONGEST_HEAD):
                break

    def answer(self, head: bytes) -> Answer:
        """Return what a request of this head gets; what stands in its headers does not matter."""
        line = head.split(b"\r\n", 1)[0].split(b" ")
        if len(line) != 3 or not line[2].startswith(b"HTTP/1."):
            return _refused(400, "this is no HTTP/1 request")
        method, target, _ = line
        path = target.split(b"?", 1)[0]
        if path not in {b"/metrics", b"/health"}:
            return _refused(404, "there is only /metrics and /health")
        if method != b"GET":
            return _refused(405, "only GET")
        if path == b"/metrics":
            return Answer(200, self._metrics(), CONTENT_TYPE)
        why = list(health.reasons(self._document(), self._clock.now_us()))
        return Answer(503 if why else 200, "".join(f"{one}\n" for one in why or ["ok"]).encode())

    def _metrics(self) -> bytes:
        """Return the exposition, made once for each document, however many ask."""
        document = self._document()
        at = document.get("at_us", 0)
        if self._rendered[0] != at:
            self._rendered = (at, render(document, self._traffic()))
        return self._rendered[1]


def _refused(status: int, why: str) -> Answer:
    return Answer(status, f"{why}\n".encode())
