"""The kit at work: what comes is judged and answered, and scenarios wait for what must follow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from plantroom_cloud.conformance import shapes
from plantroom_cloud.conformance.played import Document, PlayedCloud, Rows, head
from plantroom_cloud.conformance.told import ROW_CHANNELS, Up
from plantroom_cloud.conformance.verdicts import Verdicts
from plantroom_cloud.conformance.waiting import until
from plantroom_cloud.conformance.watch import Watch


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds."""

    client: float = 120.0
    """For the client's first word."""
    rows: float = 60.0
    """For new rows, where nothing is in their way."""
    answer: float = 30.0
    """For what must be repeated or answered."""
    connect: float = 60.0
    """For a new connection."""
    quiet: float = 2.0
    """Watching whether something happens that must not."""
    pause: float = 3.0
    """The pause that is asked for by flow."""


class Line(Protocol):
    """The way to the gateway."""

    async def send(self, channel: str, payload: bytes) -> None:
        """Publish on a down-channel."""

    async def kick(self) -> bool:
        """End the gateway's connection; return False where that is not possible."""

    async def restart_broker(self) -> bool:
        """Restart the broker; return False where it is not ours."""

    async def kill_client(self) -> bool:
        """Kill the client without warning and start it again; False where it is not ours."""

    async def stop_client(self) -> bool:
        """Ask the client to end; return False where it is not ours."""


class Kit:
    """One run against one gateway."""

    def __init__(
        self, line: Line, verdicts: Verdicts, gateway: str, patience: Patience | None = None
    ) -> None:
        self.line, self.verdicts = line, verdicts
        self.patience = patience or Patience()
        self.watch, self.cloud = Watch(verdicts, gateway), PlayedCloud()
        self.log: list[tuple[str, Document]] = []
        """Everything understood, in order: channel and document."""
        self._changed = asyncio.Event()

    # ------------------------------------------------------------ what comes

    async def receive(self, channel: str, payload: bytes, qos: int | None, retain: bool) -> None:
        """Take one message of the gateway: judge it, then answer as the cloud does now."""
        document = self.watch.up(Up(channel, payload, qos, retain, self.now()))
        if document is not None:
            self.log.append((channel, document))
            await self._answer(channel, document)
        self._changed.set()

    async def _answer(self, channel: str, document: Document) -> None:
        if channel == "hello" and self.cloud.greet:
            await self.resume()
        elif channel == "inv":
            await self.tell("ack", self.cloud.learn(document))
        elif channel in ROW_CHANNELS:
            rows = head(document)
            if (answer := self.cloud.take(rows)) is not None:
                await self.tell("ack", answer)

    # ------------------------------------------------------------ what goes

    async def resume(self, **more: Any) -> None:
        """Answer the last hello; `more` is added to what it says."""
        resume = self.cloud.resume(self.watch.told.hello, time.time_ns() // 1000) | more
        self.watch.resumed(resume)
        await self.tell("resume", resume)

    async def tell(self, channel: str, document: Document) -> None:
        """Send `document`; what it means is put down for the judge first."""
        if channel == "ack" and "ranges" in document and document["st"] != "inv":
            spans = [(lo, hi) for lo, hi in document["ranges"]]
            self.watch.acked((document["ep"], document["st"]), spans, self.now())
        await self.line.send(channel, shapes.pack(document))

    async def refuse(self, rows: Rows, why: str) -> None:
        """Refuse a message for good."""
        self.watch.refused(rows.sent, rows.whole, self.now())
        self.cloud.refused.add(rows.sent)
        nack = {"v": 1, "ep": rows.ep, "st": rows.st, "nack": why, "s0": rows.s0}
        await self.tell("ack", nack)

    async def flow(self, pause: float = 0.0, window: int | None = None) -> None:
        """Tell the gateway how fast it may send."""
        self.watch.flow(pause, window, self.now())
        document = {"v": 1, "pause_ms": int(pause * 1000), "window": window}
        await self.tell("flow", document)

    # ------------------------------------------------------------ waiting

    @staticmethod
    def now() -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    async def until(self, condition: Callable[[], Any], seconds: float) -> bool:
        """Return whether `condition` came about within `seconds`."""
        return await until(self._changed, condition, seconds)

    async def quiet(self, parts: float = 1.0) -> None:
        """Let time pass for what must not happen."""
        await asyncio.sleep(self.patience.quiet * parts)

    @staticmethod
    async def sleep(seconds: float) -> None:
        """Let so much time pass."""
        await asyncio.sleep(seconds)

    async def goes_on(self, seconds: float) -> bool:
        """Return whether new rows come within `seconds`."""
        mark = len(self.log)
        return await self.until(lambda: self.rows_since(mark), seconds)

    @staticmethod
    def packed(document: Any) -> bytes:
        """Return any JSON as the kit sends it, whether it is a message or not."""
        return shapes.pack(document)

    def place_of_hello(self) -> int:
        """Return where in the log the last hello is."""
        return max(place for place, (channel, _) in enumerate(self.log) if channel == "hello")

    def rows_since(self, mark: int, stream: str = "") -> list[Rows]:
        """Return the messages of rows that came after place `mark` of the log."""
        found = [head(item) for channel, item in self.log[mark:] if channel in ROW_CHANNELS]
        return [rows for rows in found if stream in ("", rows.st)]

    async def next_rows(self, count: int = 1, stream: str = "tel") -> list[Rows]:
        """Wait for new messages of rows; return fewer where they do not come."""
        mark = len(self.log)
        known = {rows.sent for rows in self.rows_since(0)}

        def fresh() -> list[Rows]:
            return [rows for rows in self.rows_since(mark, stream) if rows.sent not in known]

        await self.until(lambda: len(fresh()) >= count, self.patience.rows)
        return fresh()


Scenario = Callable[[Kit], Awaitable[None]]
