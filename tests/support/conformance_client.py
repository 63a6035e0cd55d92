"""A small gateway for the conformance kit: right in everything but the flaws it is given."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

from plantroom_cloud.gateways.pki import TlsFiles, client_context
from plantroom_shared import ranges, wire
from plantroom_shared.cancelling import ended
from plantroom_shared.errors import Rejected
from plantroom_shared.model import Batch, Device, Point
from plantroom_shared.ranges import Range

T0 = 1_767_225_600_000_000
TICK = 0.03
POINTS = [Point(key=f"p{number}", device="d1", name=f"P {number}") for number in range(3)]
DEVICES = [Device(key="d1", name="D", protocol="test")]

Publish = Callable[[str, bytes], Awaitable[None]]


@dataclass
class Frame:
    """One message of samples."""

    s0: int
    n: int
    payload: bytes
    due: float = 0.0

    @property
    def whole(self) -> Range:
        return self.s0, self.s0 + self.n - 1


@dataclass
class SmallGateway:
    """Makes two rows every other tick, holds them until they are acked, and speaks sync v1."""

    publish: Publish
    flaws: frozenset[str] = frozenset()
    epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    frames: dict[int, Frame] = field(default_factory=dict)
    again: float = 0.6
    """Seconds until what is not acked is sent again."""

    def __post_init__(self) -> None:
        self._next, self._opening = 1, 0
        self._session = secrets.token_hex(8)
        self._fixed = self._session
        self._dictionary = 0
        self._unacked: dict[int, Frame] = {}
        self._refused: set[int] = set()
        self._sent = 0
        """The highest row sent in this session."""
        self._takes: list[str] = []
        self._live = False
        self._pause, self._window = 0.0, 8
        self._hello_due = self._state_due = 0.0
        self._out: list[tuple[str, bytes]] = []

    def has(self, flaw: str) -> bool:
        return flaw in self.flaws

    # ------------------------------------------------------------ the connection

    @property
    def will(self) -> bytes:
        return wire.encode(wire.State(online=False))

    def connected(self) -> None:
        self._session = self._fixed if self.has("same session") else secrets.token_hex(8)
        self._live = self.has("early rows")
        self._unacked, self._refused, self._sent = {}, set(), 0
        self._pause, self._window = 0.0, 20 if self.has("big window") else 8
        self._dictionary, self._takes = 0, []
        self._opening = -1
        self._hello_due = self._state_due = 0.0
        self._out = []

    async def tick(self, now: float) -> None:
        """Make rows, and send what is due."""
        self._make()
        if now >= self._hello_due and not self._answered:
            once = self.has("no second hello") and self._hello_due
            self._hello_due = now + 0.5
            if not once:
                self._out.append(("hello", self._hello()))
        if now >= self._state_due and not self.has("no state"):
            self._state_due = now + 0.5
            state = wire.encode(wire.State(online=True, at=T0))
            self._states += 1
            if self.has("wrong state") and self._states % 2:
                state = wire.pack(wire.unpack(state) | {"at": "now"})
            self._out.append(("state", state))
        if self._live and now >= self._pause:
            self._send(now)
        out, self._out = self._out, []
        for channel, payload in out:
            await self.publish(channel, payload)

    _answered = False
    _states = 0

    # ------------------------------------------------------------ rows

    def _make(self) -> None:
        if len(self.frames) > 200 or self.has("no rows"):
            return
        n, s0 = 1 if self.has("one row a message") else 2, self._next
        if self.has("holes") and s0 == 41:
            s0 = self._next = 43
        rows = range(s0, s0 + n)
        self.frames[s0] = Frame(s0, n, self._message(rows))
        self._next += n

    def _message(self, rows: Iterable[int], more: float = 0.0) -> bytes:
        numbers = list(rows)
        times = [T0 + number * 1000 for number in numbers]
        aliases = [number % 3 for number in numbers]
        values: list[Any] = [float(number) + more for number in numbers]
        return wire.encode_samples(self.epoch, numbers[0], Batch(aliases, times, values))

    def _send(self, now: float) -> None:
        for frame in list(self._unacked.values()):
            if now >= frame.due and not self.has("never again"):
                self._put(frame, now, again=True)
        for s0 in sorted(self.frames):
            if len(self._unacked) >= self._window:
                break
            frame = self.frames[s0]
            if s0 in self._unacked or s0 in self._refused or frame.whole[1] <= self._sent:
                continue
            self._unacked[s0] = frame
            self._put(frame, now)
            self._sent = frame.whole[1]

    def _put(self, frame: Frame, now: float, *, again: bool = False) -> None:
        frame.due = now + self.again
        if not self._dictionary and not self.has("rows first"):
            self._describe(0)
        payload = frame.payload
        if again and self.has("changed rows"):
            payload = self._message(range(frame.s0, frame.s0 + frame.n), now)
        old = frame.whole[1] <= self._opening and ("fill" in self._takes)
        if self.has("always fill"):
            old = True
        if self.has("never fill"):
            old = False
        self._out.append(("fill" if old else "tel", payload))

    def _describe(self, a0: int) -> None:
        message = wire.Dictionary(ep=self.epoch, a0=a0, points=POINTS[a0:], devices=DEVICES)
        self._out.append(("inv", wire.encode(message)))
        self._dictionary = len(POINTS)

    def _hello(self) -> bytes:
        if self._opening < 0:
            self._opening = self._next - 1
        held = ranges.merge(frame.whole for frame in self.frames.values())
        if self.has("forgets"):
            held = []
        holding = wire.Holding(ep=self.epoch, accepted={"tel": self._next - 1}, held={"tel": held})
        hello = wire.Hello(session=self._session, agent="small", epochs=[holding])
        return wire.encode(hello)

    # ------------------------------------------------------------ what comes down

    def receive(self, channel: str, payload: bytes, now: float) -> None:
        try:
            match channel:
                case "resume":
                    self._resume(wire.decode(wire.Resume, payload))
                case "ack":
                    self._reply(wire.decode_reply(payload))
                case "flow":
                    self._flow(payload, now)
                case _:
                    pass
        except Rejected:
            if self.has("fragile") and channel == "ack":
                raise

    def _resume(self, resume: wire.Resume) -> None:
        if resume.session != self._session and not self.has("any session"):
            return
        self._live = self._answered = True
        self._takes = resume.takes
        for known in resume.epochs:
            if known.ep != self.epoch:
                continue
            self._dictionary = min(known.dictionary, len(POINTS))
            claims = wire.spans(known.ranges.get("tel", []))
            if not self.has("ignores resume"):
                self._confirm(claims, everything=self.has("believes resume"))

    def _confirm(self, claims: list[Range], *, everything: bool = False) -> None:
        for s0, frame in list(self.frames.items()):
            if ranges.covers(ranges.merge(claims), *frame.whole) and (
                everything or frame.whole[1] <= self._opening
            ):
                del self.frames[s0]
                self._unacked.pop(s0, None)
        if everything and claims:
            self._next = max(self._next, claims[-1][1] + 1)

    def _reply(self, reply: wire.Ack | wire.Nack) -> None:
        if reply.ep != self.epoch or reply.st != "tel":
            return
        if isinstance(reply, wire.Nack):
            self._nack(reply)
            return
        spans = wire.spans(reply.ranges)
        for s0, frame in list(self.frames.items()):
            if s0 not in self._unacked and not self.has("believes acks"):
                continue
            whole = frame.whole
            if self.has("part is all"):
                whole = (frame.s0, frame.s0)
            if ranges.covers(spans, *whole):
                self._unacked.pop(s0, None)
                self.frames.pop(s0)

    def _nack(self, nack: wire.Nack) -> None:
        if nack.nack == "need_dict":
            if not self.has("keeps its dictionary"):
                self._describe(nack.have)
                for frame in self._unacked.values():
                    frame.due = 0.0
            return
        if nack.s0 not in self._unacked or self.has("stubborn"):
            return
        del self._unacked[nack.s0]
        self._refused.add(nack.s0)
        if self.has("drops refused"):
            del self.frames[nack.s0]

    def _flow(self, payload: bytes, now: float) -> None:
        if self.has("deaf to flow"):
            return
        if self.has("believes flow"):
            with contextlib.suppress(Rejected, ValueError, TypeError):
                document = wire.unpack(payload)
                if isinstance(pause := document.get("pause_ms", 0), int):
                    self._pause = now + pause / 1000
                self._window = document.get("window") or 8
            return
        flow = wire.decode(wire.Flow, payload)
        self._pause, self._window = now + flow.pause_ms / 1000, flow.window or 8


async def keep_ticking(gateway: SmallGateway) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await gateway.tick(loop.time())
        await asyncio.sleep(TICK)


async def over_mqtt(facts: dict[str, Any], flaws: frozenset[str]) -> None:
    """Run a small gateway over MQTT until cancelled."""
    name, loop = str(facts["gateway"]), asyncio.get_running_loop()
    tls = TlsFiles(Path(facts["ca"]), Path(facts["certificate"]), Path(facts["key"]))
    current: list[aiomqtt.Client] = []

    async def publish(channel: str, payload: bytes) -> None:
        qos = 0 if "careless" in flaws and channel == "state" else 1
        await current[-1].publish(f"sv1/{name}/up/{channel}", payload, qos=qos)

    gateway = SmallGateway(publish, flaws)
    while True:
        will = (
            None
            if "no will" in flaws
            else aiomqtt.Will(f"sv1/{name}/up/state", gateway.will, qos=1)
        )
        try:
            async with aiomqtt.Client(
                facts["host"], facts["port"], identifier=name, will=will,
                protocol=aiomqtt.ProtocolVersion.V311, tls_context=client_context(tls), timeout=5,
            ) as client:  # fmt: skip
                current.append(client)
                await client.subscribe(f"sv1/{name}/down/#", qos=1)
                gateway.connected()
                gateway._answered = False
                ticking = asyncio.create_task(keep_ticking(gateway))
                try:
                    async for message in client.messages:
                        assert isinstance(message.payload, bytes)
                        channel = str(message.topic).rsplit("/", 1)[1]
                        gateway.receive(channel, message.payload, loop.time())
                finally:
                    await ended(ticking)
        except (aiomqtt.MqttError, Rejected):
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(
            over_mqtt(
                json.loads((Path(sys.argv[1]) / "connection.json").read_text()),
                frozenset(sys.argv[2:]),
            )
        )
