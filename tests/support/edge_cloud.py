"""A model of the cloud's side of sync v1: what it committed, and what it answers."""

from __future__ import annotations

from plantroom_shared import ranges
from plantroom_shared.model import Device, Point
from plantroom_shared.wire import (
    Ack,
    Dictionary,
    Gap,
    Hello,
    Known,
    Nack,
    Resume,
    Samples,
    State,
    Stream,
    decode,
    decode_rows,
    encode,
)

Row = tuple[str, Stream, int]


class ModelCloud:
    """Stores each row once, and says so; a row that comes twice must be the same."""

    def __init__(self) -> None:
        self.rows: dict[Row, object] = {}
        self.gaps: dict[Row, str] = {}
        self.points: dict[str, list[Point]] = {}
        self.devices: dict[str, Device] = {}
        self.hellos: list[Hello] = []
        self.states: list[State] = []
        self.refuse: str = ""
        """A nack reason for every message of rows; empty to store them."""

    def receive(self, channel: str, payload: bytes) -> list[tuple[str, bytes]]:
        match channel:
            case "hello":
                return [("resume", encode(self._hello(decode(Hello, payload))))]
            case "inv":
                return self._dictionary(decode(Dictionary, payload))
            case "state":
                self.states.append(decode(State, payload))
                return []
            case _:
                return [("ack", encode(self._rows(payload)))]

    def known(self, ep: str, stream: Stream) -> list[ranges.Range]:
        keys = [*self.rows, *self.gaps]
        return ranges.merge((seq, seq) for e, s, seq in keys if (e, s) == (ep, stream))

    def _hello(self, hello: Hello) -> Resume:
        self.hellos.append(hello)
        return Resume(
            session=hello.session,
            time=0,
            epochs=[
                Known(
                    ep=held.ep,
                    ranges={"tel": self.known(held.ep, "tel"), "evt": self.known(held.ep, "evt")},
                    dictionary=len(self.points.get(held.ep, [])),
                )
                for held in hello.epochs
            ],
        )

    def _dictionary(self, chunk: Dictionary) -> list[tuple[str, bytes]]:
        known = self.points.setdefault(chunk.ep, [])
        if chunk.a0 > len(known):
            return []
        for alias, point in enumerate(chunk.points, chunk.a0):
            if alias < len(known):
                assert known[alias] == point, "an alias changed its meaning"
            else:
                known.append(point)
        self.devices |= {device.key: device for device in chunk.devices}
        last = chunk.a0 + len(chunk.points)
        return [("ack", encode(Ack(ep=chunk.ep, st="inv", ranges=[(chunk.a0 + 1, last)])))]

    def _rows(self, payload: bytes) -> Ack | Nack:
        message = decode_rows(payload)
        stream: Stream = "tel" if isinstance(message, Samples) else message.st
        if self.refuse:
            return Nack.model_validate(
                {"ep": message.ep, "st": stream, "nack": self.refuse, "s0": message.s0}
            )
        if isinstance(message, Samples):
            have = len(self.points.get(message.ep, []))
            if message.dv > have:
                return Nack(ep=message.ep, st="tel", nack="need_dict", s0=message.s0, have=have)
        self._store(message, stream)
        last = message.s0 + message.n - 1
        return Ack(ep=message.ep, st=stream, ranges=[(message.s0, last)])

    def _store(self, message: object, stream: Stream) -> None:
        if isinstance(message, Gap):
            for seq in range(message.s0, message.s0 + message.n):
                if (message.ep, stream, seq) not in self.rows:
                    self.gaps[message.ep, stream, seq] = message.gap
            return
        values = message.batch.values if isinstance(message, Samples) else message.ev  # type: ignore[attr-defined] # findings
        for seq, value in enumerate(values, message.s0):  # type: ignore[attr-defined] # rows
            key = (message.ep, stream, seq)  # type: ignore[attr-defined] # rows
            if key in self.gaps:
                continue
            assert self.rows.setdefault(key, value) == value, "one row came with two values"
