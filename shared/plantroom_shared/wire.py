"""sync v1 on the wire: every message between a gateway and the cloud, encoded and decoded.

A row is known for ever by ``(gateway, epoch, stream, seq)``: `epoch` is 64 random bits per process
start, written as 16 hex digits, `seq` counts from 1 within epoch and stream. Two streams carry
rows: ``tel`` (samples) and ``evt`` (findings). All else is control.

Messages are UTF-8 JSON, gzipped, at most `MAX_WIRE` bytes on the wire and `MAX_PLAIN` inflated.
Receivers ignore unknown keys, so a version only ever adds. Everything that arrives is untrusted:
decoders return checked objects or raise `Rejected`, and a bad row never costs its neighbours.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Annotated, Any, Final, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from plantroom_shared.errors import Rejected
from plantroom_shared.model import Batch, Device, Finding, Point, Quality, Value
from plantroom_shared.ranges import Range

VERSION: Final = 1
MAX_WIRE = 120 * 1024
MAX_PLAIN = 4 * 1024 * 1024
MAX_ROWS = 2000
MAX_TEXT = 4096
MAX_RANGES = 64
STREAMS = ("tel", "evt")

Stream = Literal["tel", "evt"]
Epoch = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Seq = Annotated[int, Field(ge=1, lt=2**63)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Span = tuple[Count, Count]

_EARLIEST = 1_577_836_800_000_000  # 2020-01-01, before which no gateway clock is believed
_LATEST = 4_102_444_800_000_000  # 2100-01-01


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = VERSION


class Holding(BaseModel):
    """What a gateway still holds of one epoch, by stream: order numbers not yet confirmed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ep: Epoch
    accepted: dict[Stream, Count] = Field(default_factory=dict)
    """The highest order number ever accepted, 0 where none was."""
    held: dict[Stream, list[Span]] = Field(default_factory=dict)
    """Inclusive ranges still on the edge."""


class Hello(_Message):
    """Up, after every connect: who is here and what it holds."""

    session: Epoch
    """Random per connect; the answer echoes it."""
    agent: str = Field(max_length=64)
    """Software version."""
    boot: Count = 0
    """How often the agent has started."""
    clock: Literal["sync", "holdover", "unset"] = "sync"
    epochs: list[Holding] = Field(max_length=4096)
    used_bytes: Count = 0
    limit_bytes: Count = 0


class Known(BaseModel):
    """What the cloud has committed of one epoch."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ep: Epoch
    ranges: dict[Stream, list[Span]] = Field(default_factory=dict)
    dictionary: Count = 0
    """How many aliases of this epoch's dictionary it knows."""


class Resume(_Message):
    """Down, the answer to hello: what need not be sent again."""

    session: Epoch
    epochs: list[Known]
    time: Count
    """The cloud's clock, microseconds since 1970."""


class Dictionary(_Message):
    """Up on ``inv``: aliases ``a0 .. a0 + len(points) - 1`` of an epoch and the devices they name.

    The list only grows: alias i is the i-th point of the epoch, for ever.
    """

    ep: Epoch
    a0: Count
    points: list[Point] = Field(max_length=MAX_ROWS)
    devices: list[Device] = Field(default_factory=list, max_length=MAX_ROWS)


class Ack(_Message):
    """Down: these rows are committed in the cloud's database (or quarantined there)."""

    ep: Epoch
    st: Literal["tel", "evt", "inv"]
    """For ``inv`` the ranges hold 1-based dictionary positions."""
    ranges: list[Span] = Field(max_length=MAX_RANGES)


class Nack(_Message):
    """Down on ``ack`` too: this message was not stored; what to do about it."""

    ep: Epoch
    st: Literal["tel", "evt", "inv"]
    nack: Literal["need_dict", "fork", "schema"]
    s0: Count = 0
    have: Count = 0
    """With ``need_dict``: how many aliases the cloud knows."""


class State(_Message):
    """Up, every few seconds, at the end, and as the will: the gateway's own account."""

    online: bool
    at: Count = 0
    epochs: list[Holding] = Field(default_factory=list, max_length=4096)
    counters: dict[str, float] = Field(default_factory=dict)


class _Envelope(_Message):
    ep: Epoch
    st: Stream
    s0: Seq
    n: Annotated[int, Field(ge=1, le=2**31)]


class Gap(_Envelope):
    """In the place of rows ``s0 .. s0 + n - 1``, which are lost: how many and why."""

    gap: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Findings(_Envelope):
    """Rows of the ``evt`` stream."""

    ev: list[Finding] = Field(max_length=MAX_ROWS)


@dataclass(slots=True)
class Samples:
    """Rows of the ``tel`` stream: the header and the columns, row by row checked."""

    ep: str
    s0: int
    n: int
    dv: int
    """How many aliases a reader must know: highest alias + 1."""
    batch: Batch
    digest: str
    """Of the rows as sent: two senders of one identity are told apart by it."""
    clock: str = "sync"
    bad_rows: dict[int, str] = field(default_factory=dict)
    """Row → why it cannot be stored; its columns hold placeholders."""


# ---------------------------------------------------------------- packing


def pack(document: Any) -> bytes:
    """Return `document` as gzipped JSON; Rejected if it is too big for one message."""
    plain = orjson.dumps(document)
    # Level 1 costs a third of level 6 and saves nearly as much on columns of small numbers.
    squeezer = zlib.compressobj(1, zlib.DEFLATED, 31)
    data = squeezer.compress(plain) + squeezer.flush()
    if len(data) > MAX_WIRE or len(plain) > MAX_PLAIN:
        msg = f"message of {len(data)} bytes ({len(plain)} inflated) is over the limit"
        raise Rejected(msg, reason="too_big")
    return data


def unpack(payload: bytes) -> dict[str, Any]:
    """Return the JSON object in `payload`, never inflating more than `MAX_PLAIN` bytes."""
    if len(payload) > MAX_WIRE:
        msg = f"message of {len(payload)} bytes is over the limit of {MAX_WIRE}"
        raise Rejected(msg, reason="too_big")
    inflater = zlib.decompressobj(31)
    try:
        plain = inflater.decompress(payload, MAX_PLAIN + 1)
    except zlib.error as error:
        msg = f"payload is not gzip: {error}"
        raise Rejected(msg, reason="malformed") from error
    if len(plain) > MAX_PLAIN:
        msg = f"message inflates to more than {MAX_PLAIN} bytes"
        raise Rejected(msg, reason="too_big")
    if not inflater.eof:
        msg = "gzip payload is cut short"
        raise Rejected(msg, reason="malformed")
    try:
        document = orjson.loads(plain)
    except orjson.JSONDecodeError as error:
        msg = f"payload is not JSON: {error}"
        raise Rejected(msg, reason="malformed") from error
    if not isinstance(document, dict):
        msg = "payload is not a JSON object"
        raise Rejected(msg, reason="malformed")
    return document


M = TypeVar("M", bound=BaseModel)


def encode(message: BaseModel) -> bytes:
    """Return a control message, a gap or findings as bytes for the wire."""
    return pack(message.model_dump(mode="json"))


def decode(kind: type[M], payload: bytes) -> M:
    """Return the message of type `kind` in `payload`; Rejected names what is wrong."""
    return _validate(kind, unpack(payload))


def _validate(kind: type[M], document: dict[str, Any]) -> M:
    if document.get("v") != VERSION:
        msg = f"version {document.get('v')!r} is not spoken here"
        raise Rejected(msg, reason="version")
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = f"{kind.__name__.lower()}: {where}: {first['msg']}"
        raise Rejected(msg, reason="schema") from error


def decode_reply(payload: bytes) -> Ack | Nack:
    """Return the ack or nack in a message of the ``ack`` channel."""
    document = unpack(payload)
    return _validate(Nack, document) if "nack" in document else _validate(Ack, document)


# ---------------------------------------------------------------- samples


def encode_samples(ep: str, s0: int, batch: Batch, *, clock: str = "sync") -> bytes:
    """Return `batch` as one ``tel`` message; its rows get the order numbers from `s0` on.

    Args:
        ep: the epoch, 16 hex digits.
        s0: order number of the first row, from 1.
        batch: 1 to `MAX_ROWS` rows.
        clock: ``sync``, ``holdover`` or ``unset``.

    Raises:
        Rejected: the batch is empty or over a limit.
    """
    n = len(batch)
    if not 1 <= n <= MAX_ROWS:
        msg = f"a message holds 1 to {MAX_ROWS} rows, not {n}"
        raise Rejected(msg, reason="too_big")
    times = batch.times
    columns = {
        "t0": times[0],
        "p": batch.points,
        "dt": [0, *(b - a for a, b in pairwise(times))],
        "x": batch.values,  # orjson writes NaN and infinities as null
        "q": {str(row): [code, reason] for row, (code, reason) in batch.quality.items()},
    }
    return pack(
        {
            "v": VERSION,
            "ep": ep,
            "st": "tel",
            "s0": s0,
            "n": n,
            "dv": max(batch.points) + 1,
            "cs": clock,
            "h": _digest(columns),
            **columns,
        }
    )


def _digest(columns: dict[str, Any]) -> str:
    try:
        body = orjson.dumps([columns[key] for key in ("t0", "p", "dt", "x", "q")])
    except orjson.JSONEncodeError:  # read, but nested deeper than can be written: rows are bad
        return ""
    return hashlib.sha256(body).hexdigest()[:16]


def decode_rows(payload: bytes) -> Samples | Findings | Gap:
    """Return what a message of ``tel`` or ``evt`` carries.

    Raises:
        Rejected: with reason ``malformed``, ``too_big``, ``version`` or ``schema``: the message as
            a whole cannot be understood. Single bad rows do not raise: they are in `bad_rows`.
    """
    document = unpack(payload)
    if "gap" in document:
        return _validate(Gap, document)
    if document.get("st") == "evt":
        found = _validate(Findings, document)
        if len(found.ev) != found.n:
            msg = f"findings: {len(found.ev)} rows where the header says {found.n}"
            raise Rejected(msg, reason="schema")
        return found
    return _decode_samples(document)


def _decode_samples(document: dict[str, Any]) -> Samples:
    head = _validate(_Envelope, document)
    if head.st != "tel" or head.n > MAX_ROWS:
        msg = f"samples: {head.n} rows of stream {head.st!r}"
        raise Rejected(msg, reason="schema")
    columns = {key: document.get(key) for key in ("t0", "p", "dt", "x", "q")}
    points, deltas, values = (_column(columns, key, head.n) for key in ("p", "dt", "x"))
    quality = columns["q"]
    if type(columns["t0"]) is not int or not isinstance(quality, dict):
        msg = "samples: t0 must be an integer and q an object"
        raise Rejected(msg, reason="schema")
    bad: dict[int, str] = {}
    for row in _not_ints(points, low=0):
        bad[row] = "alias"
        points[row] = 0
    if broken := _not_ints(deltas):
        # Times are sums of deltas: where one is lost, no later row knows its own time any more.
        bad |= dict.fromkeys(range(broken[0], head.n), "time")
        deltas[broken[0] :] = [0] * (head.n - broken[0])
    times = list(accumulate(deltas, initial=columns["t0"]))[1:]
    if not (min(times) >= _EARLIEST and max(times) < _LATEST):
        bad |= {row: "time" for row, ts in enumerate(times) if not _EARLIEST <= ts < _LATEST}
    for row, value in enumerate(values):
        if type(value) is float or value is None or (why := _bad_value(value)) == "":
            continue
        bad[row] = why
        values[row] = None
    batch = Batch(points, times, values, _quality(quality, head.n, bad))
    return Samples(
        ep=head.ep,
        s0=head.s0,
        n=head.n,
        dv=max(points) + 1,
        batch=batch,
        digest=_digest(columns),
        clock=str(document.get("cs", "sync"))[:16],
        bad_rows=bad,
    )


def _column(columns: dict[str, Any], key: str, n: int) -> list[Any]:
    column = columns[key]
    if not isinstance(column, list) or len(column) != n:
        msg = f"samples: column {key!r} does not hold {n} rows"
        raise Rejected(msg, reason="schema")
    return list(column)


def _not_ints(column: list[Any], *, low: int = -(2**53)) -> list[int]:
    return [
        row for row, item in enumerate(column) if type(item) is not int or not low <= item <= 2**53
    ]


def _bad_value(value: Any) -> str:
    """Say why `value` is none that a point can hold; the empty text if it is one."""
    if isinstance(value, str):
        return "text_too_long" if len(value) > MAX_TEXT else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "value"
    return "" if value is None or isinstance(value, bool | int) else "value"


def _quality(quality: dict[str, Any], n: int, bad: dict[int, str]) -> dict[int, tuple[int, str]]:
    out: dict[int, tuple[int, str]] = {}
    for key, entry in quality.items():
        row = int(key) if key.isascii() and key.isdigit() and len(key) < 6 else -1
        if not 0 <= row < n:
            continue
        match entry:
            case [int(code), str(reason)] if code in (Quality.UNCERTAIN, Quality.BAD):
                out[row] = (code, reason[:64])
            case _:
                bad[row] = "quality"
    return out


def spans(ranges: list[Span]) -> list[Range]:
    """Return ranges from a message as checked ranges; Rejected if one runs backwards."""
    if any(lo > hi for lo, hi in ranges):
        msg = "a range runs backwards"
        raise Rejected(msg, reason="schema")
    return list(ranges)


__all__ = [
    "MAX_PLAIN", "MAX_ROWS", "MAX_WIRE", "STREAMS", "VERSION",
    "Ack", "Dictionary", "Findings", "Gap", "Hello", "Holding", "Known", "Nack", "Resume",
    "Samples", "State", "Value",
    "decode", "decode_reply", "decode_rows", "encode", "encode_samples", "pack", "spans", "unpack",
]  # fmt: skip
