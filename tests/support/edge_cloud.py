"""A model of the cloud's side of sync v1: what it committed, and what it answers."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

from plantroom_shared import ranges
from plantroom_shared.model import Device, Point
from plantroom_shared.wire import (
    CHANNELS,
    STREAMS,
    Ack,
    Dictionary,
    Gap,
    Hello,
    Known,
    Nack,
    Records,
    Resume,
    Samples,
    State,
    Stream,
    decode,
    decode_rows,
    decode_snapshot,
    encode,
)

Row = tuple[str, Stream, int]


class ModelCloud:
    """Stores each row once, and says so; a row that comes twice must be the same."""

    def __init__(self) -> None:
        self.rows: dict[Row, object] = {}
        self.times: dict[Row, int] = {}
        """When samples were taken."""
        self.gaps: dict[Row, str] = {}
        self.signed: list[Gap] = []
        """Gap records as they came."""
        self.points: dict[str, list[Point]] = {}
        self.devices: dict[str, Device] = {}
        self.hellos: list[Hello] = []
        self.states: list[State] = []
        self.snapshots: list[tuple[Samples, list[int]]] = []
        self.came: list[tuple[str, int]] = []
        """Channel and first order number of every message of rows, in the order of arrival."""
        self.refuse: str = ""
        """A nack reason for every message of rows; empty to store them."""
        self.takes: tuple[str, ...] = CHANNELS
        self.now_us: Callable[[], int] = lambda: time.time_ns() // 1000

    def backup(self) -> dict[str, Any]:
        """Return what is committed."""
        kept = ("rows", "times", "gaps", "points", "devices")
        return {name: copy.copy(getattr(self, name)) for name in kept} | {
            "points": {ep: list(known) for ep, known in self.points.items()}
        }

    def restore(self, backup: dict[str, Any]) -> None:
        """Forget what was committed since `backup` was made."""
        for name, value in copy.deepcopy(backup).items():
            setattr(self, name, value)

    def receive(self, channel: str, payload: bytes) -> list[tuple[str, bytes]]:
        match channel:
            case "hello":
                return [("resume", encode(self._hello(decode(Hello, payload))))]
            case "inv":
                return self._dictionary(decode(Dictionary, payload))
            case "state":
                self.states.append(decode(State, payload))
                return []
            case "now":
                self.snapshots.append(decode_snapshot(payload))
                return []
            case _:
                return [("ack", encode(self._rows(channel, payload)))]

    def known(self, ep: str, stream: Stream) -> list[ranges.Range]:
        keys = [*self.rows, *self.gaps]
        return ranges.merge((seq, seq) for e, s, seq in keys if (e, s) == (ep, stream))

    def _hello(self, hello: Hello) -> Resume:
        self.hellos.append(hello)
        return Resume(
            session=hello.session,
            time=self.now_us(),
            hello_at=hello.at,
            takes=list(self.takes),
            epochs=[
                Known(
                    ep=held.ep,
                    ranges={stream: self.known(held.ep, stream) for stream in STREAMS},
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

    def _rows(self, channel: str, payload: bytes) -> Ack | Nack:
        message = decode_rows(payload)
        self.came.append((channel, message.s0))
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

    def _store(self, message: Samples | Gap | object, stream: Stream) -> None:
        if isinstance(message, Gap):
            self.signed.append(message)
            for seq in range(message.s0, message.s0 + message.n):
                if (message.ep, stream, seq) not in self.rows:
                    self.gaps[message.ep, stream, seq] = message.gap
            return
        times: list[int] = []
        if isinstance(message, Samples):
            assert not message.bad_rows, message.bad_rows
            values, times = list[object](message.batch.values), message.batch.times
        elif isinstance(message, Records):
            values = list(message.rc)
        else:
            values = list(message.ev)  # type: ignore[attr-defined] # findings
        for seq, value in enumerate(values, message.s0):  # type: ignore[attr-defined] # rows
            key = (message.ep, stream, seq)  # type: ignore[attr-defined] # rows
            if key in self.gaps:
                continue
            assert self.rows.setdefault(key, value) == value, "one row came with two values"
            if times:
                ts = times[seq - message.s0]  # type: ignore[attr-defined] # rows
                assert self.times.setdefault(key, ts) == ts, "one row came with two times"
