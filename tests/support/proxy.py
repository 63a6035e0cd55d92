"""A TCP proxy that makes bad weather: latency, jitter, low rate, stalls, corruption, resets, black holes.

It runs on a thread of its own, so that a test can start processes and wait meanwhile. What is held back
is not lost: TCP would send it again when the network heals, and so does the proxy, unless the
connection was forgotten (`forget`: a peer that vanished without a word) or reset (`reset`).
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Way = Literal["up", "down"]
"""``up``: from the client to the server."""

_CHUNK: Final = 4096
_LINGER_0: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Weather:
    """What a direction does to what passes; it can be changed at any time."""

    latency: float = 0.0
    """Seconds."""
    jitter: float = 0.0
    """Seconds more or less than `latency`, evenly spread; the order of bytes stays."""
    rate: float = 0.0
    """Bytes per second; 0 is without limit."""
    slice: int = 0
    """Most bytes to pass on at once; 0 is without limit."""
    loss: float = 0.0
    """Share of chunks that wait for a retransmission: 0.2 to 1 s."""
    corrupt: float = 0.0
    """Share of chunks in which a bit is flipped."""
    held: bool = False
    """A black hole: nothing passes until it ends."""


@dataclass(slots=True, eq=False)
class _Link:
    """One connection through the proxy."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    forgotten: bool = False


class Proxy:
    """Passes connections on to `host`:`port`; `running` starts it."""

    def __init__(self, host: str, port: int, *, seed: int = 0, listen: str = "127.0.0.1") -> None:
        self.target, self._listen = (host, port), listen
        self._dice = random.Random(f"{seed} proxy")
        self.up, self.down = Weather(), Weather()
        self.refusing = False
        """Whether new connections are reset at once."""
        self.connects: list[float] = []
        """When clients connected, by the loop's clock."""
        self.port = 0
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    # ------------------------------------------------------------ for the test

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """Listen on a free port until the block ends."""
        self._thread.start()
        server: asyncio.Server = self._call(
            asyncio.start_server(self._accept, self._listen, 0, limit=_CHUNK)
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._call(self._end(server))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def weather(self, **change: Any) -> None:
        """Change the weather of both directions; without arguments it clears up."""
        for each in (self.up, self.down):
            for key, value in {**_CLEAR, **change}.items():
                setattr(each, key, value)

    def reset(self) -> int:
        """Reset every connection (RST); return how many."""
        return int(self._call(self._drop()))

    def forget(self) -> None:
        """Let every connection hang for ever, half open: new ones pass."""
        for link in self._links:
            link.forgotten = True

    # ------------------------------------------------------------ on the proxy's thread

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects.append(self._loop.time())
        if self.refusing:
            _abort(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target, limit=_CHUNK)
        except OSError:
            _abort(writer)
            return
        link = _Link((writer, far_writer))
        self._links.add(link)
        link.tasks = [
            asyncio.ensure_future(self._pump(link, self.up, reader, far_writer)),
            asyncio.ensure_future(self._pump(link, self.down, far_reader, writer)),
        ]
        await asyncio.gather(*link.tasks, return_exceptions=True)
        self._links.discard(link)
        for each in link.writers:
            each.close()

    async def _pump(
        self,
        link: _Link,
        weather: Weather,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Pass bytes on in one direction; the end of one direction ends its writer."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)
        sender = asyncio.ensure_future(self._send(link, weather, queue, writer))
        due = 0.0
        try:
            while True:
                data = await reader.read(_CHUNK)
                due = max(due, self._loop.time() + self._delay(weather, len(data)))
                await queue.put((due, data))
                if not data:
                    break
            await sender
        except OSError:
            _abort(writer)
        finally:
            sender.cancel()

    def _delay(self, weather: Weather, size: int) -> float:
        delay = max(0.0, weather.latency + self._dice.uniform(-1, 1) * weather.jitter)
        if weather.loss and self._dice.random() < weather.loss:
            delay += self._dice.uniform(0.2, 1.0)
        return delay

    async def _send(
        self,
        link: _Link,
        weather: Weather,
        queue: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
    ) -> None:
        with suppress(OSError):
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - self._loop.time())
                while weather.held or link.forgotten:
                    await asyncio.sleep(0.02)
                if not data:
                    writer.write_eof() if writer.can_write_eof() else writer.close()
                    return
                await self._write(weather, data, writer)

    async def _write(self, weather: Weather, data: bytes, writer: asyncio.StreamWriter) -> None:
        if weather.corrupt and self._dice.random() < weather.corrupt:
            spoilt = bytearray(data)
            spoilt[self._dice.randrange(len(data))] ^= 1 << self._dice.randrange(8)
            data = bytes(spoilt)
        step = weather.slice or len(data)
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            writer.write(piece)
            await writer.drain()
            if weather.rate:
                await asyncio.sleep(len(piece) / weather.rate)

    async def _drop(self) -> int:
        links = list(self._links)
        for link in links:
            for task in link.tasks:
                task.cancel()
            for writer in link.writers:
                _abort(writer)
        return len(links)

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        await self._drop()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_CLEAR: Final = {name: Weather.__dataclass_fields__[name].default for name in Weather.__slots__}


def _abort(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset."""
    with suppress(OSError):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    writer.transport.abort()
