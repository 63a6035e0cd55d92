"""The control socket: where the commands of this machine talk to the running agent.

A unix domain socket in the data folder, for the agent's own user alone. A request is a line of
JSON, ``{"v": 1, "op": "values", ...}``; its answer is a line, ``{"v": 1, "ok": true, ...}`` or
``{"v": 1, "ok": false, "error": {"kind", "text"}}``. Whatever a client does costs that client.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import ValidationError

from plantroom_shared.cancelling import heed_cancellation
from plantroom_shared.errors import ConfigError, PlantroomError, Rejected, Unavailable

VERSION: Final = 1
"""Of the protocol; a client of another one is told so."""

MAX_LINE: Final = 1 << 20
"""Bytes of a request at most: a configuration fits in it."""

MAX_CLIENTS: Final = 8
"""Connections at a time; one more is closed at once."""

IDLE: Final = 60.0
"""Seconds that a client may say nothing, or not take what it asked for."""

Handler = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


@contextlib.contextmanager
def short_path(file: Path) -> Iterator[str]:
    """Yield a path of `file` that fits into a socket's address, however deep its folder is."""
    folder = os.open(file.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{file.name}"
    finally:
        os.close(folder)


class Control:
    """Serves the socket.

    Args:
        file: the socket; its folder is there and belongs to this process alone.
        handlers: by operation; they take the request and return what the answer has.
    """

    def __init__(self, file: Path, handlers: Mapping[str, Handler]) -> None:
        self._file, self._handlers = file, handlers
        self._clients: set[asyncio.Task[Any] | None] = set()

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            Unavailable: the socket cannot be made now.
        """
        server = await asyncio.start_unix_server(self._serve, sock=self._bind(), limit=MAX_LINE)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for client in self._clients:
                if client is not None:
                    client.cancel()
            with contextlib.suppress(OSError):
                self._file.unlink()

    def _bind(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Whoever left one here is gone: this process alone holds the folder.
            self._file.unlink(missing_ok=True)
            with short_path(self._file) as path:
                sock.bind(path)
            self._file.chmod(0o600)  # before it listens nobody can connect
        except OSError as error:
            sock.close()
            msg = f"control socket {self._file}: {error.strerror or error}"
            raise Unavailable(msg) from error
        return sock

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        try:
            if len(self._clients) < MAX_CLIENTS:
                self._clients.add(task)
                await self._converse(reader, writer)
        except (OSError, TimeoutError, ValueError):
            heed_cancellation()  # it left, it sleeps, or its line has no end
        finally:
            self._clients.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(IDLE):
                line = await reader.readline()  # ValueError where it is too long
            if not line.endswith(b"\n"):
                return
            answer = {"v": VERSION, **await self._answer(line)}
            writer.write(orjson.dumps(answer, default=str) + b"\n")
            async with asyncio.timeout(IDLE):
                await writer.drain()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = orjson.loads(line)
        except orjson.JSONDecodeError:
            return _error("request", "a request is one line of JSON")
        if not isinstance(request, dict) or request.get("v") != VERSION:
            what = f"a request is an object with `v`: {VERSION}; use the agent's own version"
            return _error("version", what)
        handler = self._handlers.get(str(request.get("op")))
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            return _error("request", f"there is no such operation; there are: {known}")
        try:
            return {"ok": True, **await handler(request)}
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            return _error("request", f"{where}: {first['msg']}")
        except PlantroomError as error:
            return _error(_kind(error), str(error))


def _kind(error: PlantroomError) -> str:
    if isinstance(error, Rejected):
        return error.reason
    return "config" if isinstance(error, ConfigError) else "unavailable"


def _error(kind: str, text: str) -> dict[str, Any]:
    return {"ok": False, "error": {"kind": kind, "text": text}}
