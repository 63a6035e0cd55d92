"""An open-loop load on the API, as a process of its own: requests are due by the clock alone.

A request that is due while all connections are busy waits, and its waiting counts: its time runs
from the moment it was due (no coordinated omission). Called with a JSON plan on standard input;
writes the times, in seconds, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import uvloop

_PATIENCE = 20.0
"""Seconds after the last due moment for which answers are waited for."""


@dataclass
class Load:
    """What is due, what waits for a connection, and how long each took."""

    requests: list[bytes]
    wanted: bytes = b"200"
    """The status of a good answer."""
    waiting: deque[float] = field(default_factory=deque)
    idle: list[Connection] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    wrong: dict[str, int] = field(default_factory=dict)
    chosen: random.Random = field(default_factory=lambda: random.Random(1))

    def due(self, moment: float) -> None:
        """Send a request that was due at `moment`, or let it wait."""
        if self.idle:
            self.idle.pop().send(self.chosen.choice(self.requests), moment)
        else:
            self.waiting.append(moment)

    def answered(self, connection: Connection, moment: float, status: bytes) -> None:
        """Note how long a request took that was due at `moment`; give its connection the next."""
        if status == self.wanted:
            self.took.append(time.perf_counter() - moment)
        else:
            self.wrong[status.decode()] = self.wrong.get(status.decode(), 0) + 1
        if self.waiting:
            connection.send(self.chosen.choice(self.requests), self.waiting.popleft())
        else:
            self.idle.append(connection)


class Connection(asyncio.Protocol):
    """One connection that is kept alive, with one request at a time on it."""

    def __init__(self, load: Load) -> None:
        self._load, self._data, self._moment = load, b"", 0.0

    def connection_made(self, transport: Any) -> None:
        """Be ready."""
        self._transport = transport
        self._load.idle.append(self)

    def send(self, request: bytes, moment: float) -> None:
        """Send a request that was due at `moment`."""
        self._moment = moment
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Note the answer once all of it is here."""
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self._data = b""
            self._load.answered(self, self._moment, head[9:12])


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Send `rate` requests a second for `seconds`; return the times and what went wrong."""
    loop = asyncio.get_running_loop()
    load = Load([one.encode() for one in plan["requests"]], plan["wanted"].encode())
    ports = plan["ports"]
    for number in range(plan["connections"]):
        port = ports[number % len(ports)]
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", port)
    count = round(plan["rate"] * plan["seconds"])
    start = time.perf_counter() + 0.1
    for number in range(count):
        moment = start + number / plan["rate"]
        if (early := moment - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        load.due(moment)
    end = time.perf_counter() + _PATIENCE
    while len(load.took) + sum(load.wrong.values()) < count and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    done = time.perf_counter()
    unanswered = count - len(load.took) - sum(load.wrong.values())
    wrong = load.wrong | ({"unanswered": unanswered} if unanswered else {})
    return {"took": load.took, "wrong": wrong, "seconds": done - start, "count": count}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(json.load(sys.stdin)))))
