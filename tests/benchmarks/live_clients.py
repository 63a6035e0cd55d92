"""The clients of ``bench live``: half follow by server-sent events, half by WebSocket.

``live_clients.py KEY SITE COUNT SECONDS BASE...`` opens COUNT connections, spread over the addresses of
the API, listens for so many seconds once all are open, and prints one JSON object. A delay is the time from
the device's answer, which is its value, to the moment at which a client has read and parsed the event; of
an event that holds several, the longest.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect

OPENING = 25
"""Connections that are being opened at a time."""
LIMIT = 180.0
"""Seconds until all are open, at most."""


@dataclass
class Heard:
    """What one client has heard since all are open."""

    delays: list[float] = field(default_factory=list)
    resyncs: int = 0

    def take(self, message: dict[str, Any]) -> None:
        """Note one message."""
        if message.get("topic", "").startswith("samples/"):
            # What cannot be shown is text: a clock always can.
            self.delays.append(time.time() - min(message["data"]["values"]))
        elif message.get("topic") == "resync":
            self.resyncs += 1


@dataclass
class Crowd:
    """All clients.

    Args:
        key: of the API.
        topic: that they follow.
        bases: addresses of the API.
        count: of clients.
        client: asks for tickets.
    """

    key: str
    topic: str
    bases: list[str]
    count: int
    client: httpx.AsyncClient
    heard: list[Heard] = field(default_factory=list)
    opened: int = 0
    all_open: asyncio.Event = field(default_factory=asyncio.Event)
    door: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(OPENING))

    async def run(self, seconds: float) -> None:
        """Open everything, listen, and leave."""
        tasks = []
        for number in range(self.count):
            base = self.bases[number // 2 % len(self.bases)]
            follow = self._by_socket if number % 2 else self._by_events
            self.heard.append(Heard())
            tasks.append(asyncio.create_task(follow(base, self.heard[-1])))
        waiting = asyncio.create_task(self.all_open.wait())
        await asyncio.wait([*tasks, waiting], timeout=LIMIT, return_when=asyncio.FIRST_COMPLETED)
        if not self.all_open.is_set():
            print(f"after {LIMIT:g} s {self.opened} of {self.count} are open", file=sys.stderr)
        else:
            self._begin()
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, *tasks):
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def _begin(self) -> None:
        for one in self.heard:
            one.delays.clear()

    def _is_open(self) -> None:
        self.opened += 1
        self.door.release()
        if self.opened == self.count:
            self.all_open.set()

    async def _by_events(self, base: str, heard: Heard) -> None:
        await self.door.acquire()
        host, port = base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**22)
        lines = (f"GET /v1/live/events?topics={self.topic} HTTP/1.1", f"Host: {host}")
        writer.write("\r\n".join((*lines, f"Authorization: Bearer {self.key}", "", "")).encode())
        while line := await reader.readline():
            if line.startswith(b"event: ready"):
                self._is_open()
            elif line.startswith(b'data: {"id"'):
                heard.take(json.loads(line[6:]))
            elif line.startswith(b"event: resync"):
                heard.resyncs += 1
        raise ConnectionError(base)

    async def _by_socket(self, base: str, heard: Heard) -> None:
        await self.door.acquire()
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = await self.client.post(f"{base}/v1/live/tickets", headers=headers)
        opening = {"ticket": answer.raise_for_status().json()["ticket"], "topics": [self.topic]}
        async with connect(f"ws{base.removeprefix('http')}/v1/live/socket") as opened:
            await opened.send(json.dumps(opening))
            async for text in opened:
                message = json.loads(text)
                if message.get("topic") == "ready":
                    self._is_open()
                heard.take(message)
        raise ConnectionError(base)


async def main(key: str, site: str, count: str, seconds: str, *bases: str) -> None:
    """Listen, and print what was heard."""
    async with httpx.AsyncClient(timeout=LIMIT, verify=False) as client:
        crowd = Crowd(key, f"samples/{site}", list(bases), int(count), client)
        await crowd.run(float(seconds))
    if crowd.opened < crowd.count:
        sys.exit(1)
    delays = sorted(delay for one in crowd.heard for delay in one.delays)
    if not delays:
        msg = "no client has heard anything"
        raise RuntimeError(msg)
    each = [len(one.delays) for one in crowd.heard]
    found = {
        "median": delays[len(delays) // 2],
        "p99": delays[len(delays) * 99 // 100],
        "longest": delays[-1],
        "events": len(delays),
        "fewest": min(each),
        "most": max(each),
        "resyncs": sum(one.resyncs for one in crowd.heard),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
