"""``/metrics``, ``/livez`` and ``/readyz`` of one process, on an address of their own.

Prometheus comes here and never to the API: what it reads is of all companies together. There is no
password; the address is one that only the operator reaches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from plantroom_cloud.kit import figures
from plantroom_cloud.kit.draining import Draining

Check = Callable[[], Awaitable[bool]]
"""Whether something is as it must be for the process to be of use."""
_GET: Final = frozenset({"GET", "HEAD"})


class Probes:
    """The application behind that address.

    Args:
        draining: whether the process is about to end.
        checks: name → what makes it ready.
    """

    def __init__(self, draining: Draining, checks: Mapping[str, Check]) -> None:
        self._draining, self._checks = draining, dict(checks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            answer = await self._answer(scope["method"], scope["path"])
            await answer(scope, receive, send)

    async def _answer(self, method: str, path: str) -> Response:
        if path not in {"/metrics", "/livez", "/readyz"}:
            return PlainTextResponse("there is only /metrics, /livez and /readyz\n", 404)
        if method not in _GET:
            return PlainTextResponse("only GET\n", 405, {"Allow": "GET, HEAD"})
        if path == "/metrics":
            return Response(figures.exposition(), media_type=figures.CONTENT_TYPE)
        if path == "/livez":
            return PlainTextResponse("ok\n")
        missing = await self._missing()
        text = "".join(f"{one}\n" for one in missing or ["ok"])
        return PlainTextResponse(text, 503 if missing else 200)

    async def _missing(self) -> list[str]:
        if self._draining.on:
            return ["about to end"]
        return [f"not ready: {name}" for name, check in self._checks.items() if not await check()]


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
