"""HTTP servers of the process: an application on a socket, served until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from plantroom_shared.cancelling import ended
from plantroom_shared.errors import ConfigError


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`, which stops all parts in order."""
        yield


class Listening:
    """An application on its socket, bound at once so that a taken port is a clear error.

    Args:
        app: what answers.
        host: address.
        port: 0 means any.
        what: who listens, for the error.
        key: the setting that names the port, for the error.
        grace: seconds for requests under way at the end.
        proxies: addresses whose word for who called counts.
        tls: files of certificate and key; None: plain HTTP.
        largest: bytes of a WebSocket's message; 0: there are none.
        before_end: called when told to stop, while requests still run.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        what: str,
        key: str,
        grace: int,
        proxies: Sequence[str] = (),
        tls: tuple[Path, Path] | None = None,
        largest: int = 0,
        before_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._before_end = before_end
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=512)
        except OSError as error:
            said = f"{what} cannot listen on {host}:{port}: {error}"
            raise ConfigError(said, key=key, fix="choose a free port, or 0 for any") from error
        # Connections inherit it. asyncio sets it only where a socket says that it is TCP, which one
        # of create_server does not: then every answer waits 40 ms for the other side's delayed ACK.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{name}:{self._socket.getsockname()[1]}"
        self._server = _Server(
            uvicorn.Config(
                app,
                ssl_certfile=tls[0] if tls else None,
                ssl_keyfile=tls[1] if tls else None,
                ws_max_size=largest or 1,
                ws_per_message_deflate=False,  # a third of a MiB for each connection, and its time
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=grace,
                forwarded_allow_ips=list(proxies),
            )
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then finish the requests under way."""
        serving = asyncio.create_task(self._server.serve([self._socket]), name="uvicorn")
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if self._before_end is not None:
                await self._before_end()
            self._server.should_exit = True
            await serving
        finally:
            await ended(stopping, serving)
            self._socket.close()
