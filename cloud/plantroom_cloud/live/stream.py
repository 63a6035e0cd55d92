"""Server-sent events."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from plantroom_cloud.live.events import Event, Resync
from plantroom_cloud.live.following import Beat, Bye, Connection, Ready, Told
from plantroom_shared.cancelling import ended

PATIENCE: Final = 30.0
"""Seconds that a client may take nothing at all; then it is left."""
_RETRY_MS: Final = 2000


class EventStream(Response):
    """An answer that goes on until the client goes, or is told to."""

    media_type = "text/event-stream"

    def __init__(self, connection: Connection) -> None:
        super().__init__(b"")
        del self.headers["content-length"]
        self.headers["X-Accel-Buffering"] = "no"  # a proxy in between must not collect
        self._connection = connection

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send what there is to be told."""
        head = {"status": self.status_code, "headers": self.raw_headers}
        tasks: list[asyncio.Task[None]] = []
        try:
            await send({"type": "http.response.start", **head})
            if self.background is not None:
                await self.background()  # what waits for the end of others has a beginning here
            tasks = [
                asyncio.create_task(_until_gone(receive), name="live gone"),
                asyncio.create_task(self._stream(send), name="live stream"),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            outcomes = await ended(*tasks)
            await self._connection.close()
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, OSError | TimeoutError):
                raise outcome

    async def _stream(self, send: Send) -> None:
        async for told in self._connection.told():
            async with asyncio.timeout(PATIENCE):
                message = {"type": "http.response.body", "body": as_sse(told), "more_body": True}
                await send(message)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def as_sse(told: Told) -> bytes:
    """Return what is told as a server-sent event."""
    match told:
        case Event():
            return told.as_sse
        case Ready(id=where):
            head = f"retry: {_RETRY_MS}\n"
            return head.encode() + _sse("ready", {"topics": told.topics}, where)
        case Beat(id=where):
            return _sse("beat", {}, where)
        case Resync(why=why):
            return _sse("resync", {"why": why})
        case Bye(why=why):
            return _sse("bye", {"why": why})


def _sse(name: str, data: dict[str, Any], where: str | None = None) -> bytes:
    line = f"id: {where}\n" if where else ""
    return f"{line}event: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"
