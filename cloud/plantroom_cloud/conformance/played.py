"""The cloud that the kit plays: it remembers what it would have stored, and answers. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from plantroom_cloud.conformance import shapes
from plantroom_cloud.conformance.told import LATE, Lane, Sent, holdings
from plantroom_shared import ranges
from plantroom_shared.ranges import Range

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """The head of a message of rows."""

    ep: str
    st: str
    s0: int
    n: int
    need: int
    """Aliases that a reader must know; 0 where there are none."""

    @property
    def lane(self) -> Lane:
        """Epoch and stream."""
        return self.ep, self.st

    @property
    def whole(self) -> Range:
        """The order numbers."""
        return self.s0, self.s0 + self.n - 1

    @property
    def sent(self) -> Sent:
        """What names the message."""
        return self.ep, self.st, self.s0


def head(document: Document) -> Rows:
    """Return the head of a message of rows."""
    need = max(shapes.aliases(document["p"])) + 1 if "p" in document else 0
    return Rows(document["ep"], document["st"], document["s0"], document["n"], need)


@dataclass(slots=True)
class PlayedCloud:
    """What it has, and how it behaves just now."""

    committed: dict[Lane, list[Range]] = field(default_factory=dict)
    dictionary: dict[str, int] = field(default_factory=dict)
    """Epoch → aliases known."""
    greet: bool = False
    """Whether a hello is answered."""
    old: bool = False
    """Whether it is a cloud of 1.0, which takes no later channels."""
    refused: set[Sent] = field(default_factory=set)
    """Messages refused for good in this session."""
    mute: Callable[[Rows], bool] = lambda _: False
    """Whether to leave this message of rows unanswered, as if it had never come."""

    def resume(self, hello: Document, now_us: int) -> Document:
        """Return the answer to `hello`."""
        self.refused.clear()
        named: dict[str, set[str]] = {epoch["ep"]: set() for epoch in hello["epochs"]}
        for epoch, stream in holdings(hello):
            named[epoch].add(stream)
        resume: Document = {
            "v": 1,
            "session": hello["session"],
            "time": now_us,
            "epochs": [
                {
                    "ep": epoch,
                    "ranges": {
                        stream: self.committed[epoch, stream][:64]
                        for stream in sorted(streams)
                        if self.committed.get((epoch, stream))
                    },
                    "dictionary": self.dictionary.get(epoch, 0),
                }
                for epoch, streams in named.items()
            ],
        }
        return resume if self.old else resume | {"hello_at": hello.get("at", 0), "takes": [*LATE]}

    def learn(self, chunk: Document) -> Document:
        """Return the answer to a dictionary chunk."""
        epoch, known = chunk["ep"], self.dictionary.get(chunk["ep"], 0)
        if chunk["a0"] > known:
            nack = {"nack": "need_dict", "s0": chunk["a0"], "have": known}
            return {"v": 1, "ep": epoch, "st": "inv", **nack}
        self.dictionary[epoch] = known = max(known, chunk["a0"] + len(chunk["points"]))
        return {"v": 1, "ep": epoch, "st": "inv", "ranges": [[1, known]] if known else []}

    def take(self, rows: Rows) -> Document | None:
        """Return the answer to a message of rows."""
        if rows.sent in self.refused or self.mute(rows):
            return None
        if rows.need > (have := self.dictionary.get(rows.ep, 0)):
            return need_dict(rows, have)
        return self.commit(rows)

    def commit(self, rows: Rows) -> Document:
        """Store the rows and return their ack."""
        lane = self.committed[rows.lane] = ranges.merge(
            [*self.committed.get(rows.lane, []), rows.whole]
        )
        around = next(span for span in lane if span[0] <= rows.s0 <= span[1])
        return ack(rows.ep, rows.st, around)

    def forget(self) -> None:
        """Lose everything, as a cloud restored from an old backup has."""
        self.committed.clear()
        self.dictionary.clear()


def ack(epoch: str, stream: str, *spans: Range) -> Document:
    """Return an ack."""
    return {"v": 1, "ep": epoch, "st": stream, "ranges": [list(span) for span in spans]}


def need_dict(rows: Rows, have: int) -> Document:
    """Return the nack that asks for aliases."""
    head = {"v": 1, "ep": rows.ep, "st": rows.st}
    return {**head, "nack": "need_dict", "s0": rows.s0, "have": have}
