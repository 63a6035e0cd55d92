"""The gateway that the kit plays against a cloud: what it sends, by hand, and what it was told."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_cloud.conformance import shapes
from plantroom_cloud.conformance.checks import Check
from plantroom_cloud.conformance.kit import Line, Patience
from plantroom_cloud.conformance.verdicts import Verdicts
from plantroom_cloud.conformance.waiting import until
from plantroom_shared import ranges
from plantroom_shared.ranges import Range

Document = dict[str, Any]
Lane = tuple[str, str]

_CHECKS: Final[dict[str, tuple[str, Check]]] = {
    "resume": ("SV1-M-11", shapes.RESUME),
    "ack": ("SV1-M-12", shapes.ACK),
    "nack": ("SV1-M-13", shapes.NACK),
    "flow": ("SV1-M-14", shapes.FLOW),
}


@dataclass(slots=True)
class PlayedGateway:
    """One run against one cloud: everything it says is judged and kept.

    Args:
        line: the way to it.
        verdicts: where the findings go.
        patience: how long to wait for what.
    """

    line: Line
    verdicts: Verdicts
    patience: Patience = field(default_factory=Patience)
    epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    resumes: list[Document] = field(default_factory=list)
    nacks: list[Document] = field(default_factory=list)
    acks: list[Document] = field(default_factory=list)
    sent: dict[Lane, list[Range]] = field(default_factory=dict)
    """Rows, or dictionary positions, that went out."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    # ------------------------------------------------------------ what comes

    async def receive(self, channel: str, payload: bytes, qos: int | None, retain: bool) -> None:
        """Take one message of the cloud and judge it."""
        where = f"message on {channel}"
        good = channel in ("resume", "ack", "flow") and qos in (1, None) and not retain
        self.verdicts.judge("SV1-T-11", good, where, f"{where}: QoS {qos}, retain {retain}")
        try:
            document = shapes.unpack(payload)
        except shapes.Unreadable as error:
            self.verdicts.fails("SV1-P-11", f"{where}: {error}")
            return
        version = type(document.get("v")) is int and document["v"] == 1
        self.verdicts.judge("SV1-P-11", version, where, f"{where}: v is not 1")
        kind = "nack" if channel == "ack" and "nack" in document else channel
        if kind not in _CHECKS:
            return
        name, check = _CHECKS[kind]
        trouble = check(document)
        if self.verdicts.judge(name, not trouble, where, f"{where}: {trouble}"):
            self._keep(kind, document)
        self._changed.set()

    def _keep(self, kind: str, document: Document) -> None:
        match kind:
            case "resume":
                self.resumes.append(document)
            case "nack":
                self.nacks.append(document)
            case "ack":
                self.acks.append(document)
                lane = (document["ep"], document["st"])
                spans = [(lo, hi) for lo, hi in document["ranges"]]
                foreign = ranges.subtract(spans, self.sent.get(lane, []))
                words = f"ack of {lane[1]} {spans[:3]}"
                self.verdicts.judge("SV1-A-12", not foreign, words, f"{words}: not sent {foreign}")

    def acked(self, stream: str, since: int = 0) -> list[Range]:
        """Return what acks of our epoch have named from ack number `since` on."""
        found = [
            item for item in self.acks[since:] if (item["ep"], item["st"]) == self.lane(stream)
        ]
        return ranges.merge((lo, hi) for item in found for lo, hi in item["ranges"])

    def has_ack(self, stream: str, span: Range) -> bool:
        """Say whether all of `span` is acked."""
        return ranges.covers(self.acked(stream), *span)

    def lane(self, stream: str) -> Lane:
        """Return our epoch and `stream`."""
        return self.epoch, stream

    def refused(self, why: str, stream: str, since: int = 0) -> list[Document]:
        """Return nacks of that kind about our epoch from nack number `since` on."""
        return [
            item
            for item in self.nacks[since:]
            if (item["ep"], item["st"], item["nack"]) == (self.epoch, stream, why)
        ]

    async def until(self, condition: Callable[[], Any], seconds: float = 0.0) -> bool:
        """Return whether `condition` came about in time."""
        return await until(self._changed, condition, seconds or self.patience.answer)

    async def quiet(self) -> None:
        """Let time pass for what must not happen."""
        await asyncio.sleep(self.patience.quiet)

    # ------------------------------------------------------------ what goes

    async def send(self, channel: str, document: Document) -> None:
        """Send a message as it is."""
        await self.line.send(channel, shapes.pack(document))

    async def hello(self, *streams: str, **more: Any) -> str:
        """Say hello, naming `streams` of our epoch; return the session."""
        session = secrets.token_hex(8)
        tops = {stream: self.top(stream) for stream in streams}
        holding = {"ep": self.epoch, "accepted": tops, "held": {}}
        head = {"v": 1, "session": session, "agent": "conformance", "at": now_us()}
        await self.send("hello", {**head, "epochs": [holding], **more})
        return session

    def top(self, stream: str) -> int:
        """Return the highest row of `stream` that went out."""
        spans = self.sent.get(self.lane(stream), [])
        return spans[-1][1] if spans else 0

    async def describe(self, a0: int, keys: Iterable[str], **more: Any) -> None:
        """Send a dictionary chunk whose points have these keys."""
        points = [{"key": key, "device": "kit", "name": key} for key in keys]
        devices = [{"key": "kit", "name": "conformance kit", "protocol": "test"}]
        self._went("inv", (a0 + 1, a0 + len(points)))
        head = {"v": 1, "ep": self.epoch, "a0": a0}
        await self.send("inv", {**head, "points": points, "devices": devices, **more})

    async def samples(
        self, s0: int, n: int, *, channel: str = "tel", alias: int = 0, **more: Any
    ) -> None:
        """Send rows ``s0 .. s0 + n - 1`` of one point, one millisecond apart."""
        self._went("tel", (s0, s0 + n - 1))
        columns = {
            "t0": _BEGIN + s0 * 1000,
            "p": [alias] * n,
            "dt": [0, *([1000] * (n - 1))],
            "x": [float(row) for row in range(s0, s0 + n)],
            "q": {},
        }
        head = {"v": 1, "ep": self.epoch, "st": "tel", "s0": s0, "n": n, "dv": alias + 1}
        await self.send(channel, {**head, **columns, **more})

    async def rows(self, stream: str, s0: int, n: int, **more: Any) -> None:
        """Send a message of another stream, or a gap record."""
        self._went(stream, (s0, s0 + n - 1))
        head = {"v": 1, "ep": self.epoch, "st": stream, "s0": s0, "n": n}
        await self.send(stream, {**head, **more})

    def _went(self, stream: str, span: Range) -> None:
        lane = self.lane(stream)
        self.sent[lane] = ranges.merge([*self.sent.get(lane, []), span])


def now_us() -> int:
    """Return microseconds since 1970."""
    return time.time_ns() // 1000


_BEGIN: Final = now_us() - 3_600_000_000
"""An hour ago: no row of a run is ahead of any clock."""
