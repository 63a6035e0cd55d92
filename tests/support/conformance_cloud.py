"""A small cloud for the conformance kit: right in everything but the flaws it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from plantroom_shared import ranges, wire
from plantroom_shared.errors import Rejected
from plantroom_shared.ranges import Range

Tell = Callable[[str, bytes, int], Awaitable[None]]
Lane = tuple[str, str]


@dataclass
class SmallCloud:
    """Keeps what it is sent in memory and answers at once."""

    tell: Tell
    flaws: frozenset[str] = frozenset()
    points: dict[str, list[str]] = field(default_factory=dict)
    stored: dict[Lane, list[Range]] = field(default_factory=dict)
    digests: dict[tuple[str, str, int], str] = field(default_factory=dict)
    once: set[Range] = field(default_factory=set)
    down: bool = False

    def has(self, flaw: str) -> bool:
        return flaw in self.flaws

    async def receive(self, channel: str, payload: bytes) -> None:
        """Take one message, as the broker hands it over."""
        if self.down:
            return
        try:
            if self.has("strict keys") and b"later" in bytes(str(wire.unpack(payload)), "utf-8"):
                return
            await self._take(channel, payload)
        except Rejected:
            self.down = self.has("fragile")

    async def _say(self, channel: str, message: wire.Message, qos: int = 1) -> None:
        payload = wire.encode(message)
        if self.has("no gzip"):
            payload = b"{}"
        if self.has("odd resume") and channel == "resume":
            payload = wire.pack(wire.unpack(payload) | {"time": "now"})
        await self.tell(channel, payload, 0 if self.has("qos 0") else qos)

    async def _take(self, channel: str, payload: bytes) -> None:
        match channel:
            case "hello":
                await self._greet(wire.decode(wire.Hello, payload))
            case "inv":
                await self._learn(wire.decode(wire.Dictionary, payload))
            case "now":
                rows, order = wire.decode_snapshot(payload)
                if self.has("acks snapshots"):
                    await self._ack(rows.ep, "tel", (order[0], order[0]))
            case "state":
                pass
            case _:
                await self._rows(payload)

    async def _greet(self, hello: wire.Hello) -> None:
        if self.has("silent"):
            return
        known = []
        for epoch in hello.epochs[: 1 if self.has("one epoch") else None]:
            named = wire.STREAMS if self.has("all streams") else ("evt", "tel")
            spans = {stream: self.stored.get((epoch.ep, stream), []) for stream in named}
            if self.has("forgetful"):
                spans["tel"] = spans["tel"][:1] and [(1, 5)]
            size = 0 if self.has("no size") else len(self.points.get(epoch.ep, []))
            document = {"ep": epoch.ep, "ranges": spans, "dictionary": size}
            known.append(wire.Known.model_validate(document))
        at = 0 if self.has("no echo") else hello.at
        session = "0" * 16 if self.has("wrong session") else hello.session
        await self._say("resume", wire.Resume(session=session, epochs=known, time=1, hello_at=at))

    async def _learn(self, chunk: wire.Dictionary) -> None:
        known = self.points.setdefault(chunk.ep, [])
        keys = [point.key for point in chunk.points]
        if chunk.a0 > len(known):
            if self.has("silent about holes"):
                return
            await self._nack(chunk.ep, "inv", "need_dict", chunk.a0, len(known))
            return
        overlap = known[chunk.a0 : chunk.a0 + len(keys)]
        if overlap != keys[: len(overlap)] and not self.has("renames"):
            await self._nack(chunk.ep, "inv", "fork", chunk.a0, 0)
            return
        known += keys[len(overlap) :]
        if not self.has("no dictionary acks"):
            await self._ack(chunk.ep, "inv", (1, max(len(known), 1)))

    async def _rows(self, payload: bytes) -> None:
        rows = wire.decode_rows(payload)
        stream = "tel" if isinstance(rows, wire.Samples) else rows.st
        span = (rows.s0, rows.s0 + rows.n - 1)
        if isinstance(rows, wire.Samples):
            have = len(self.points.get(rows.ep, []))
            if rows.dv > have and not self.has("takes any alias"):
                await self._nack(rows.ep, "tel", "need_dict", rows.s0, have)
                return
            if rows.bad_rows and self.has("bad rows block"):
                return
            digest = self.digests.setdefault((rows.ep, stream, rows.s0), rows.digest)
            if digest != rows.digest and not self.has("blind to forks"):
                await self._nack(rows.ep, "tel", "fork", rows.s0, 0)
                return
        lane = (rows.ep, stream)
        if self.has("in order only") and span[0] > self._top(lane) + 1 and span not in self.once:
            self.once.add(span)
            return
        if self.has("acks once") and ranges.covers(self.stored.get(lane, []), *span):
            return
        if self.has("samples only") and stream != "tel":
            return
        self.stored[lane] = ranges.merge([*self.stored.get(lane, []), span])
        more = 1000 if self.has("acks ahead") else 0
        await self._ack(rows.ep, stream, (span[0], span[1] + more))

    def _top(self, lane: Lane) -> int:
        spans = self.stored.get(lane, [])
        return spans[-1][1] if spans else 0

    async def _ack(self, ep: str, stream: str, span: Range) -> None:
        await self._say("ack", wire.Ack.model_validate({"ep": ep, "st": stream, "ranges": [span]}))

    async def _nack(self, ep: str, stream: str, why: str, s0: int, have: int) -> None:
        document = {"ep": ep, "st": stream, "nack": why, "s0": s0, "have": have}
        await self._say("ack", wire.Nack.model_validate(document))
