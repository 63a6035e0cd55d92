"""From checked messages to rows that both databases can hold. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import le
from typing import Any

import orjson

from plantroom_cloud.ingest.messages import Snapshot
from plantroom_shared import wire
from plantroom_shared.model import Batch, Value
from plantroom_shared.ranges import Range

EARLIEST_US = 1_577_836_800_000_000
"""2020-01-01: before that no gateway's clock is believed; `wire` sees to it for samples."""
AHEAD_US = 300_000_000
"""Five minutes: a timestamp further ahead of our clock than that is none."""
MAX_ALIAS = 100_000
"""No epoch names more points than this; a higher alias is a damaged row, not an unknown point."""
COLUMNS = ("point_id", "ts_us", "tie", "value", "text", "quality", "reason")
_EXACT = 2**53
_SEQ = 0xFFFF_FFFF


@dataclass(slots=True)
class Refusal:
    """One row for the quarantine."""

    seq: int
    reason: str
    payload: bytes
    n: int = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """The dictionary that samples go by."""

    epoch: str
    several: frozenset[int] = frozenset()
    """Points that have more than one alias there: they have changed since the start."""
    begins: tuple[int, ...] = ()
    """First row of each message that they came in: by it they are followed."""


@dataclass(slots=True)
class Column:
    """Samples to store, column by column; all describe the same rows."""

    point_id: list[int] = field(default_factory=list)
    ts_us: list[int] = field(default_factory=list)
    tie: list[int] = field(default_factory=list)
    value: list[float | None] = field(default_factory=list)
    text: list[str | None] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)
    raw: list[Value] = field(default_factory=list)
    """The value as it was sent, for the outbox."""
    alias: list[int] = field(default_factory=list)
    """By which it was sent, for the outbox; empty where nothing goes by aliases."""

    def __len__(self) -> int:
        return len(self.point_id)

    def take(
        self, batch: Batch, rows: Sequence[int], dictionary: Sequence[int], ties: Iterable[int]
    ) -> None:
        """Append some `rows` of a batch from the wire; column by column, as there are many."""
        values, start = [batch.values[row] for row in rows], len(self)
        self.point_id += [dictionary[batch.points[row]] for row in rows]
        self.ts_us += [batch.times[row] for row in rows]
        self.tie += ties
        self.raw += values
        self.alias += [batch.points[row] for row in rows]
        if set(map(type, values)) == {float}:
            self.value += values  # type: ignore[arg-type]  # mypy does not follow the types of a set
            self.text += [None] * len(rows)
        else:
            pairs = [stored_value(value) for value in values]
            self.value += [number for number, _ in pairs]
            self.text += [words for _, words in pairs]
        self.quality += [0] * len(rows)
        self.reason += [""] * len(rows)
        for index, row in enumerate(rows, start) if batch.quality else ():
            code, reason = batch.quality.get(row, (0, ""))
            self.quality[index] = int(code)  # `true` passes for 1 on the wire, not in a database
            self.reason[index] = clean(reason)

    def firsts(self, points: frozenset[int]) -> dict[int, int]:
        """Return alias → the lowest order number (32 bits) under it, for rows of `points`."""
        found: dict[int, int] = {}
        for point, alias, number in zip(self.point_id, self.alias, self.tie, strict=True):
            if point in points:
                seq = number & _SEQ
                found[alias] = min(found.get(alias, seq), seq)
        return found

    def extend(self, other: Column) -> None:
        """Append the rows of `other`."""
        for name in self.__slots__:
            getattr(self, name).extend(getattr(other, name))

    def row(self, index: int) -> dict[str, Any]:
        """Return one row as parameters of an insert."""
        return {name: getattr(self, name)[index] for name in COLUMNS}

    def rows(self, company_id: int) -> list[dict[str, Any]]:
        """Return all rows as parameters of an insert."""
        columns = [getattr(self, name) for name in COLUMNS]
        return [
            {"company_id": company_id, **dict(zip(COLUMNS, row, strict=True))}
            for row in zip(*columns, strict=True)
        ]

    def newest(self) -> dict[int, int]:
        """Return point id → index of its newest row, by time, then tie."""
        if _rises(self.ts_us) and _rises(self.tie):  # as live rows do: the last is the newest
            return dict(zip(self.point_id, range(len(self)), strict=True))
        best: dict[int, int] = {}
        for row, point in enumerate(self.point_id):
            old = best.get(point)
            if old is None or (self.ts_us[row], self.tie[row]) > (self.ts_us[old], self.tie[old]):
                best[point] = row
        return best

    def packed(self, origin: Origin | None = None) -> bytes:
        """Return the rows as the outbox keeps them.

        A point that changes has a further alias: with `origin`, and the alias where a point has
        several, a publisher finds the unit that a row had when it was read.
        """
        document: dict[str, Any] = {
            "p": self.point_id,
            "t": self.ts_us,
            "v": self.raw,
            "q": self.quality,
        }
        if origin is not None:
            document["e"] = origin.epoch
            if origin.begins:
                document["b"] = origin.begins
            if origin.several:
                document["a"] = {
                    str(row): alias
                    for row, (point, alias) in enumerate(
                        zip(self.point_id, self.alias, strict=True)
                    )
                    if point in origin.several
                }
        return orjson.dumps(document)


def _rises(numbers: list[int]) -> bool:
    return all(map(le, numbers, islice(numbers, 1, None)))


def tie_base(epoch: str) -> int:
    """Return what the ties of an epoch start from: 31 stable bits of it, above 32 bits of seq."""
    head = hashlib.sha256(epoch.encode()).digest()[:4]
    return (int.from_bytes(head, "big") >> 1) << 32


def tie(base: int, seq: int) -> int:
    """Return the tie of a row: different for any two rows of one point and moment."""
    return base | (seq & _SEQ)


def clean(text: str) -> str:
    """Return `text` without the one character that PostgreSQL cannot hold."""
    return text.replace("\x00", "\ufffd")


def stored_value(value: Value) -> tuple[float | None, str | None]:
    """Return a value as number and text: exact integers beyond a double's reach keep both."""
    if isinstance(value, str):
        return None, clean(value)
    if value is None:
        return None, None
    if isinstance(value, int) and abs(value) > _EXACT:
        return float(value), str(value)
    return float(value), None


def sample_rows(
    message: wire.Samples,
    payload: bytes,
    wanted: Iterable[Range],
    dictionary: Sequence[int],
    now_us: int,
) -> tuple[Column, list[Refusal]]:
    """Return the rows of `message` to store and those to quarantine.

    Args:
        message: checked columns; its aliases may go beyond `dictionary`.
        payload: the message as it came, to quote the rows that are refused.
        wanted: order numbers not dealt with before, within the message.
        dictionary: alias → point id.
        now_us: our clock.
    """
    column, refused = Column(), dict[int, str]()
    base, s0 = tie_base(message.ep), message.s0
    bad = _bad_rows(message, len(dictionary), now_us + AHEAD_US)
    for lo, hi in wanted:
        rows = range(lo - s0, hi - s0 + 1)
        refused |= {row: bad[row] for row in rows if row in bad} if bad else {}
        good = [row for row in rows if row not in refused] if refused else rows
        ties = [tie(base, s0 + row) for row in good]
        column.take(message.batch, good, dictionary, ties)
    return column, _quote(message, payload, refused) if refused else []


def _bad_rows(message: wire.Samples, known: int, latest: int) -> dict[int, str]:
    """Return row → why it cannot be stored."""
    points, times = message.batch.points, message.batch.times
    bad = dict(message.bad_rows)
    if max(points) >= known or max(times) > latest:
        for row, (alias, ts) in enumerate(zip(points, times, strict=True)):
            if why := _why_not(alias, ts, known, latest):
                bad.setdefault(row, why)
    return bad


def _why_not(alias: int, ts: int, known: int, latest: int) -> str:
    if alias >= known:
        return "alias"
    return "future_ts" if ts > latest else ""


def _quote(message: wire.Samples, payload: bytes, refused: dict[int, str]) -> list[Refusal]:
    """Return refused rows as they were sent, bad values and all."""
    sent = wire.unpack(payload)
    sent["p"] = wire.expand_points(sent["p"], message.n)
    return [
        Refusal(
            message.s0 + row,
            why,
            dump(
                {key: sent[key][row] for key in ("p", "dt", "x")}
                | {"q": sent["q"].get(str(row)), "t": str(message.batch.times[row])}
            ),
        )
        for row, why in refused.items()
    ]


def unknown_aliases(message: wire.Samples, known: int) -> bool:
    """Say whether `message` names points that a longer dictionary would explain."""
    if message.dv <= known:
        return False
    bad = message.bad_rows
    return any(
        known <= alias < MAX_ALIAS and row not in bad
        for row, alias in enumerate(message.batch.points)
    )


def latest_rows(message: Snapshot, dictionary: Sequence[int], now_us: int) -> Column:
    """Return the rows of a snapshot whose points are known and whose times can be."""
    column, samples = Column(), message.samples
    base, bad = tie_base(samples.ep), _bad_rows(samples, len(dictionary), now_us + AHEAD_US)
    good = [row for row in range(samples.n) if row not in bad]
    column.take(samples.batch, good, dictionary, [tie(base, message.order[row]) for row in good])
    return column


def dump(value: Any) -> bytes:
    """Return `value` as JSON, for a person who looks into the quarantine."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # nested deeper, or an integer longer, than orjson writes
        return b'"cannot be shown"'
