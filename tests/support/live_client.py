"""Clients of live events, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

PATIENCE = 60.0


@dataclass
class Told:
    """One server-sent event."""

    event: str = ""
    id: str = ""
    data: Any = None


@dataclass
class Events:
    """An open stream of server-sent events."""

    response: httpx.Response
    lines: AsyncIterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.response.aiter_lines()

    async def next(self, *, beats: bool = False) -> Told:
        """Return the next event; signs of life only if asked for."""
        async with asyncio.timeout(PATIENCE):
            told = Told()
            async for line in self.lines:
                name, _, value = line.partition(": ")
                if name == "data":
                    told.data = json.loads(value)
                elif name in {"id", "event"}:
                    setattr(told, name, value)
                elif not line and (told.event != "beat" or beats):
                    return told
                elif not line:
                    told = Told()
        raise EOFError

    async def ended(self) -> None:
        """Wait for the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            async for _ in self.lines:
                pass


@asynccontextmanager
async def events(
    base: str, headers: dict[str, str], topics: str, **more: str
) -> AsyncIterator[Events]:
    """Yield an open stream; what it says first is still to come."""
    async with (
        httpx.AsyncClient(base_url=base, timeout=PATIENCE) as client,
        client.stream(
            "GET", "/v1/live/events", params={"topics": topics}, headers=headers | more
        ) as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield Events(response)


@asynccontextmanager
async def socket(base: str, **more: Any) -> AsyncIterator[ClientConnection]:
    """Yield an open WebSocket, on which nothing has been said yet."""
    async with connect(f"ws{base.removeprefix('http')}/v1/live/socket", **more) as opened:
        yield opened


async def ticket(base: str, headers: dict[str, str]) -> str:
    """Return a new ticket."""
    async with httpx.AsyncClient(base_url=base, timeout=PATIENCE) as client:
        answer = await client.post("/v1/live/tickets", headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["ticket"])


async def heard(opened: ClientConnection) -> Any:
    """Return the next message of a WebSocket."""
    async with asyncio.timeout(PATIENCE):
        return json.loads(await opened.recv())
