"""Talking to the running agent over its control socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

import orjson

from plantroom_edge.config import AgentConfig
from plantroom_edge.control import VERSION, short_path
from plantroom_shared.errors import ConfigError, Rejected, Unavailable

MAX_ANSWER: Final = 64 << 20
"""Bytes of an answer at most."""

PATIENCE: Final = 30.0
"""Seconds that the agent has for an answer."""


class NotRunning(Unavailable):
    """No agent listens in this data folder."""


class Line:
    """A connection to the running agent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Return the agent's answer to one request.

        Raises:
            ConfigError: the configuration it was asked to take cannot be used.
            Rejected: it refuses, and says why.
            Unavailable: it gives no answer, or cannot do it now.
        """
        request = {"v": VERSION, "op": op, **arguments}
        try:
            async with asyncio.timeout(PATIENCE):
                self._writer.write(orjson.dumps(request) + b"\n")
                await self._writer.drain()
                answer = orjson.loads(await self._reader.readline())
        except (OSError, TimeoutError, ValueError) as error:
            msg = f"the agent gives no answer: {error or 'it takes too long'}"
            raise Unavailable(msg) from error
        if not isinstance(answer, dict) or not answer.get("ok"):
            _complain(answer)
        return dict(answer)


def _complain(answer: Any) -> None:
    error = answer.get("error") if isinstance(answer, dict) else None
    error = error if isinstance(error, dict) else {}
    kind, text = str(error.get("kind", "unavailable")), str(error.get("text", "no reason given"))
    if kind == "config":
        raise ConfigError(text)
    if kind == "unavailable":
        raise Unavailable(text)
    raise Rejected(text, reason=kind)


@contextlib.asynccontextmanager
async def connect(config: AgentConfig) -> AsyncIterator[Line]:
    """Yield a line to the agent that runs with this data folder.

    Raises:
        NotRunning: there is none.
        Unavailable: there is one, and it may not be asked.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(config.control_file) as path:
            sock.connect(path)  # on this machine: it is there at once, or it is not
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        sock.close()
        msg = f"no agent runs with the data folder {config.data}"
        raise NotRunning(msg) from error
    except OSError as error:
        sock.close()
        msg = (
            f"the agent's control socket {config.control_file}: {error.strerror or error};"
            " run this as the user who runs the agent"
        )
        raise Unavailable(msg) from error
    reader, writer = await asyncio.open_unix_connection(sock=sock, limit=MAX_ANSWER)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


async def ask(config: AgentConfig, op: str, **arguments: Any) -> dict[str, Any]:
    """Return the agent's answer to one request; see `Line.ask` and `connect`."""
    async with connect(config) as line:
        return await line.ask(op, **arguments)
