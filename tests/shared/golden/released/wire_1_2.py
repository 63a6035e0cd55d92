"""The codec of sync v1 as released in 1.2: frozen, never to be edited."""

# ruff: noqa: F811, I001 -- put together from several files
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import accumulate
from operator import sub
from plantroom_shared.errors import Rejected
from plantroom_shared.ranges import Range
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic import BaseModel, ValidationError
from typing import Annotated, Any
from typing import Annotated, Any, Final, Literal, Self
from typing import Annotated, Any, Literal, get_args
from typing import Any
from typing import Any, Final, TypeVar
from typing import Any, TypeVar
import hashlib
import json
import math
import orjson
import struct
import zlib


# model.py
"""The nouns that travel: device, point, sample, batch, finding."""


Value = float | int | bool | str | None
"""What a point can hold; None where there was nothing to read."""

Text = Annotated[str, StringConstraints(max_length=512)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Quality(IntEnum):
    """The OPC UA triad."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Device(_Frozen):
    """A thing a driver addresses: a BACnet device instance, a Modbus unit."""

    key: Key
    """Stable within the gateway: ``bacnet:1001``, ``modbus:main-meter``."""
    name: Text
    protocol: Text
    address: Text = ""
    vendor: Text = ""
    model: Text = ""
    description: Text = ""


class Point(_Frozen):
    """One readable value of a device."""

    key: Key
    """Stable within the gateway: ``bacnet:1001:analog-input:3``, ``modbus:main-meter:power``."""
    device: Key
    """The key of its device."""
    name: Text
    """The raw name as the vendor wrote it; untrusted data."""
    description: Text = ""
    unit: Text = ""
    """As the bus or the profile says it: ``degrees-celsius``, ``kW``; see `units.py`."""
    object_type: Text = ""
    """A BACnet object type, or ``holding``, ``input``, ``coil``, ``discrete`` of Modbus."""
    states: tuple[Text, ...] = ()
    """Texts of a binary or multi-state point, lowest state first."""
    writable: bool | None = None
    equip_class: Text = ""
    """Brick equipment class, where a profile knows it."""
    point_class: Text = ""
    """Brick point class, where a profile knows it."""
    enos: Text = ""
    """``model/point`` of the EnOS thing model, where a profile knows it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The value of one point at one moment."""

    point: str
    """The point's key."""
    ts: int
    """Microseconds since 1970-01-01 UTC, taken when the value was read."""
    value: Value
    quality: Quality = Quality.GOOD
    reason: str = ""
    """Why it is not good: ``timeout``, ``exception-2``, ``short-reply`` ..."""


@dataclass(slots=True)
class Batch:
    """Samples in buffer order, column by column; all four describe the same rows."""

    points: list[int] = field(default_factory=list)
    """Aliases: indices into the dictionary of the epoch."""
    times: list[int] = field(default_factory=list)
    """Microseconds since 1970-01-01 UTC."""
    values: list[Value] = field(default_factory=list)
    quality: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Row index → (`Quality`, reason); a row that is not here is good."""

    def __len__(self) -> int:
        return len(self.points)

    def append(
        self,
        alias: int,
        ts: int,
        value: Value,
        quality: Quality = Quality.GOOD,
        reason: str = "",
    ) -> None:
        """Add one row."""
        if quality is not Quality.GOOD:
            self.quality[len(self.points)] = (int(quality), reason)
        self.points.append(alias)
        self.times.append(ts)
        self.values.append(value)


class Finding(_Frozen):
    """What a detector found: an event with its evidence."""

    id: Key
    """The same for every report of one event; the start report and the end report share it."""
    detector: Text
    subject: Key
    """The key of the device it is about."""
    points: tuple[Key, ...] = ()
    """Point keys, the strongest contributor first."""
    started: int
    """Microseconds since 1970-01-01 UTC."""
    ended: int | None = None
    score: float
    """How far beyond the detector's threshold: 1 is the threshold itself."""
    text: Text
    """One sentence for a person."""
    evidence: dict[str, Any] = Field(default_factory=dict)


# wire/packing.py
"""Packing: a JSON object to gzipped bytes and back, within limits; everything inflated is bounded."""


VERSION: Final = 1
MAX_WIRE = 120 * 1024
MAX_PLAIN = 4 * 1024 * 1024


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
        document = _loads(plain)
    except (ValueError, RecursionError) as error:
        msg = f"payload is not JSON: {error}"
        raise Rejected(msg, reason="malformed") from error
    if not isinstance(document, dict):
        msg = "payload is not a JSON object"
        raise Rejected(msg, reason="malformed")
    return document


def _loads(plain: bytes) -> Any:
    try:
        return orjson.loads(plain)
    except orjson.JSONDecodeError:
        # A number that no double holds is JSON, and one bad row: it must not cost its neighbours.
        return json.loads(plain, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


M = TypeVar("M", bound=BaseModel)


def encode(message: BaseModel) -> bytes:
    """Return a control message, a gap or findings as bytes for the wire."""
    return pack(message.model_dump(mode="json"))


def decode(kind: type[M], payload: bytes) -> M:
    """Return the message of type `kind` in `payload`; Rejected names what is wrong."""
    return validate(kind, unpack(payload))


def validate(kind: type[M], document: dict[str, Any]) -> M:
    """Return `document` as a message of type `kind`; Rejected names what is wrong."""
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


# wire/messages.py
"""The messages of sync v1 but for samples: who they come from, and what every key means."""


MAX_ROWS = 2000
MAX_RANGES = 64
MAX_CERTIFICATE = 8192
STREAMS: tuple[Stream, ...] = ("cmd", "evt", "aud", "tel")
"""Streams of rows, most urgent first: results of commands, findings, the edge's audit, samples."""

CHANNELS = ("now", "cmd", "aud", "fill")
"""Up-channels that a cloud need not have: a gateway uses them only where `Resume.takes` names them."""

DOWN = ("cmd", "cfg")
"""Down-channels that a gateway need not have: the cloud uses them only where `Hello.takes` names them."""

Stream = Literal["cmd", "evt", "aud", "tel"]
Answered = Literal["cmd", "evt", "aud", "tel", "inv"]
"""What an ack or nack is about: a stream, or the dictionary."""
Epoch = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Seq = Annotated[int, Field(ge=1, lt=2**63)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Span = tuple[Count, Count]
ClockState = Literal["sync", "holdover", "unset"]
"""Set by the network; set once and running free since; never set since the machine started."""


def _known_streams(value: Any) -> Any:
    """Leave out streams of a later version: their rows are not for us."""
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if key in get_args(Stream)}


Counts = Annotated[dict[Stream, Count], BeforeValidator(_known_streams)]
Spans = Annotated[dict[Stream, list[Span]], BeforeValidator(_known_streams)]


class Message(BaseModel):
    """What every message has: a version; keys it does not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = VERSION


class Holding(BaseModel):
    """What a gateway still holds of one epoch, by stream: order numbers not yet confirmed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ep: Epoch
    accepted: Counts = Field(default_factory=dict)
    """The highest order number ever accepted, 0 where none was."""
    held: Spans = Field(default_factory=dict)
    """Inclusive ranges still on the edge."""


class Hello(Message):
    """Up, after every connect: who is here and what it holds."""

    session: Epoch
    """Random per connect; the answer echoes it."""
    agent: str = Field(max_length=64)
    """Software version."""
    boot: Count = 0
    """How often the agent has started."""
    clock: ClockState = "sync"
    at: Count = 0
    """The gateway's clock when it sent this, microseconds since 1970; 0 where it has none."""
    epochs: list[Holding] = Field(max_length=4096)
    used_bytes: Count = 0
    limit_bytes: Count = 0
    certificate: Annotated[str, StringConstraints(max_length=MAX_CERTIFICATE)] = ""
    """PEM of its certificate, by which the signatures of its gap records can be checked."""
    takes: list[Annotated[str, StringConstraints(max_length=16)]] = Field(
        default_factory=list, max_length=64
    )
    """Which of `DOWN`, and of what later versions add, the gateway heeds."""


class Known(BaseModel):
    """What the cloud has committed of one epoch."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ep: Epoch
    ranges: Spans = Field(default_factory=dict)
    dictionary: Count = 0
    """How many aliases of this epoch's dictionary it knows."""


class Resume(Message):
    """Down, the answer to hello: what need not be sent again."""

    session: Epoch
    epochs: list[Known]
    time: Count
    """The cloud's clock, microseconds since 1970."""
    hello_at: Count = 0
    """`Hello.at` again: with it the gateway tells how far the two clocks are apart."""
    takes: list[Annotated[str, StringConstraints(max_length=16)]] = Field(
        default_factory=list, max_length=64
    )
    """Which of `CHANNELS`, and of what later versions add, the cloud reads."""


class Dictionary(Message):
    """Up on ``inv``: aliases ``a0 .. a0 + len(points) - 1`` of an epoch and the devices they name.

    The list only grows: alias i is the i-th point of the epoch, for ever.
    """

    ep: Epoch
    a0: Count
    points: list[Point] = Field(max_length=MAX_ROWS)
    devices: list[Device] = Field(default_factory=list, max_length=MAX_ROWS)


class Ack(Message):
    """Down: these rows are committed in the cloud's database (or quarantined there)."""

    ep: Epoch
    st: Answered
    """For ``inv`` the ranges hold 1-based dictionary positions."""
    ranges: list[Span] = Field(max_length=MAX_RANGES)


class Nack(Message):
    """Down on ``ack`` too: this message was not stored; what to do about it."""

    ep: Epoch
    st: Answered
    nack: Literal["need_dict", "fork", "schema"]
    """``fork``: the cloud holds other rows under these numbers; they stay on the edge."""
    s0: Count = 0
    have: Count = 0
    """With ``need_dict``: how many aliases the cloud knows."""


class Flow(Message):
    """Down: how fast the gateway may send; it lasts until the next one or the next connect."""

    pause_ms: Annotated[int, Field(ge=0, le=600_000)] = 0
    """Send no rows for so long from now; 0 goes on at once."""
    window: Annotated[int, Field(ge=1, le=64)] | None = None
    """Messages that may be unacked at a time; None leaves that to the gateway."""


class State(Message):
    """Up, every few seconds, at the end, and as the will: the gateway's own account."""

    online: bool
    at: Count = 0
    clock: ClockState = "sync"
    oldest_us: Count | None = None
    """When the oldest row that is not yet confirmed was accepted; None where all are."""
    epochs: list[Holding] = Field(default_factory=list, max_length=4096)
    counters: dict[str, float] = Field(default_factory=dict)


class Envelope(Message):
    """The head of a message of rows: epoch, stream, first order number, how many rows."""

    ep: Epoch
    st: Stream
    s0: Seq
    n: Annotated[int, Field(ge=1, le=2**31)]


class Gap(Envelope):
    """In the place of rows ``s0 .. s0 + n - 1``, which are lost: how many and why."""

    gap: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    from_us: Count = 0
    """Accepted from when to when, as far as that is known; 0 where it is not."""
    to_us: Count = 0
    sig: Annotated[str, StringConstraints(max_length=1024)] = ""
    """Base64 signature by the gateway's key over `signed_part`; empty where it has no key."""

    def signed_part(self, gateway: str) -> bytes:
        """Return the bytes that the gateway signs: whose rows are lost, which, and why."""
        parts = (gateway, self.ep, self.st, self.s0, self.n, self.gap, self.from_us, self.to_us)
        return ("plantroom gap v1\n" + "\n".join(map(str, parts))).encode()


class Findings(Envelope):
    """Rows of the ``evt`` stream."""

    ev: list[Finding] = Field(max_length=MAX_ROWS)


class Record(BaseModel):
    """Something that happened on the gateway: a row of ``aud``, or the result of a command."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: Count
    """Microseconds since 1970."""
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
    """What happened: ``agent.start``, ``buffer.full`` ..."""
    doc: dict[str, Any] = Field(default_factory=dict)
    """The details, as small as they can be."""


class Records(Envelope):
    """Rows of the ``aud`` or ``cmd`` stream."""

    rc: list[Record] = Field(max_length=MAX_ROWS)


def decode_reply(payload: bytes) -> Ack | Nack:
    """Return the ack or nack in a message of the ``ack`` channel."""
    document = unpack(payload)
    return validate(Nack, document) if "nack" in document else validate(Ack, document)


def spans(ranges: list[Span]) -> list[Range]:
    """Return ranges from a message as checked ranges; Rejected if one runs backwards."""
    if any(lo > hi for lo, hi in ranges):
        msg = "a range runs backwards"
        raise Rejected(msg, reason="schema")
    return list(ranges)


# wire/columns.py
"""Columns made small without losing a bit: aliases as runs, 32-bit floats by their short names."""


Run = tuple[int, int]
"""The first, and how many."""


def runs(aliases: Sequence[int]) -> list[int | list[int]]:
    """Return aliases as they are sent: a run that counts up by one as ``[first, how many]``.

    A poll reads its points in the order of their aliases: runs save a quarter of a message.
    """
    out: list[int | list[int]] = []
    first = last = aliases[0]
    for alias in (*aliases[1:], -1):
        if alias == last + 1:
            last = alias
            continue
        out.append(first if first == last else [first, last - first + 1])
        first = last = alias
    return out


def expand_points(column: Any, n: int) -> list[Any]:
    """Return an alias for each of `n` rows; what is no run and no alias stays for its row.

    Raises:
        Rejected: the column is none, or does not hold `n` rows.
    """
    out: list[Any] = []
    for item in column if isinstance(column, list) else ():
        match item:
            case [int(first), int(many)] if 0 <= first <= 2**53 and 1 <= many <= n - len(out):
                out.extend(range(first, first + many))
            case _:
                out.append(item)
    if not isinstance(column, list) or len(out) != n:
        msg = f"samples: column 'p' does not hold {n} rows"
        raise Rejected(msg, reason="schema")
    return out


def shorten(values: Sequence[Any]) -> tuple[list[Any], list[Run]]:
    """Return values with the 32-bit floats among them by their shortest decimal, and where.

    A device's REAL 21.3 is the double 21.299999237060547: seventeen digits that say no more than
    three do, once the reader knows to round to 32 bits. Every float in the runs is such a one.
    """
    out = list(values)
    rows = [row for row, value in enumerate(out) if type(value) is float]
    narrow = _narrow([out[row] for row in rows])
    exact = [row for row, value in zip(rows, narrow, strict=True) if value == out[row]]
    # 21.5 and 0.125 are as short as they get.
    long = [row for row in exact if out[row] * 8 % 1 or abs(out[row]) >= 1e4]
    shortened = []
    for row, short in zip(long, _short([out[row] for row in long]), strict=True):
        if short != out[row]:
            out[row] = short
            shortened.append(row)
    if not shortened:
        return out, []
    barriers = sorted(set(rows).difference(exact))
    return out, list(_between(barriers, shortened, len(out)))


def _between(barriers: Sequence[int], marks: Sequence[int], n: int) -> Iterable[Run]:
    """Yield the stretches between `barriers` that hold a marked row."""
    at = first = 0
    for barrier in (*barriers, n):
        begin = at
        while at < len(marks) and marks[at] < barrier:
            at += 1
        if at > begin:
            yield first, barrier - first
        first = barrier + 1


def restore(values: list[Any], column: Any) -> None:
    """Undo `shorten` in place; runs that are none, or beyond the rows, are ignored."""
    for item in column if isinstance(column, list) else ():
        match item:
            case [int(first), int(many)] if 0 <= first < len(values) and many >= 1:
                rows = [
                    row
                    for row in range(first, min(first + many, len(values)))
                    if type(values[row]) is float
                ]
                for row, value in zip(rows, _narrow([values[row] for row in rows]), strict=True):
                    values[row] = values[row] if math.isnan(value) else value


def _narrow(values: list[float]) -> Sequence[float]:
    """Return `values` rounded to 32 bits; NaN for what is beyond these."""
    shape = f"<{len(values)}f"
    try:
        return struct.unpack(shape, struct.pack(shape, *values))
    except OverflowError:
        return [_narrow_one(value) for value in values]


def _narrow_one(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.nan


def _short(values: list[float]) -> list[float]:
    """Return the shortest decimals that round to the 32-bit floats `values`; 9 digits always do."""
    out = _rounded(values, 7)
    for digits in (8, 9):
        wrong = [at for at, value in enumerate(_narrow(out)) if value != values[at]]
        for at, value in zip(wrong, _rounded([values[at] for at in wrong], digits), strict=True):
            out[at] = value
    return out


def _rounded(values: list[float], digits: int) -> list[float]:
    # One formatting for all: a quarter of the time of one each.
    return list(map(float, (f"%.{digits}g " * len(values) % tuple(values)).split()))


# wire/samples.py
"""Samples as columns: the ``tel`` stream, and snapshots of what points say now."""


MAX_TEXT = 4096

_EARLIEST = 1_577_836_800_000_000  # 2020-01-01, before which no gateway clock is believed
_LATEST = 4_102_444_800_000_000  # 2100-01-01


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
    boot: int = 0
    """How often the agent had started."""
    mono_us: int = 0
    """The gateway's monotonic clock at the first row; 0 where it is not told."""
    bad_rows: dict[int, str] = field(default_factory=dict)
    """Row → why it cannot be stored; its columns hold placeholders."""


def encode_samples(
    ep: str, s0: int, batch: Batch, *, clock: str = "sync", boot: int = 0, mono_us: int = 0
) -> bytes:
    """Return `batch` as one ``tel`` message; its rows get the order numbers from `s0` on.

    Args:
        ep: the epoch, 16 hex digits.
        s0: order number of the first row, from 1.
        batch: 1 to `MAX_ROWS` rows.
        clock: ``sync``, ``holdover`` or ``unset``.
        boot: how often the agent has started.
        mono_us: the monotonic clock at the first row, microseconds.

    Raises:
        Rejected: the batch is empty or over a limit.
    """
    columns = _columns(batch)
    digest = _digest(columns | {"p": batch.points})
    since_start = {"bt": boot, "mo": mono_us} if mono_us else {}
    return pack(
        {
            "v": VERSION,
            "ep": ep,
            "st": "tel",
            "s0": s0,
            "n": len(batch),
            "dv": max(batch.points) + 1,
            "cs": clock,
            "h": digest,
            **since_start,
            **columns,
        }
    )


def _columns(batch: Batch) -> dict[str, Any]:
    """Return the columns of 1 to `MAX_ROWS` rows."""
    if not 1 <= len(batch) <= MAX_ROWS:
        msg = f"a message holds 1 to {MAX_ROWS} rows, not {len(batch)}"
        raise Rejected(msg, reason="too_big")
    times = batch.times
    values, narrow = shorten(batch.values)
    columns: dict[str, Any] = {
        "t0": times[0],
        "p": runs(batch.points),
        "dt": [0, *map(sub, times[1:], times)],
        "x": values,  # orjson writes NaN and infinities as null
        "q": {str(row): [code, reason] for row, (code, reason) in batch.quality.items()},
    }
    return columns | {"f": narrow} if narrow else columns


def _digest(columns: dict[str, Any]) -> str:
    try:
        body = orjson.dumps([columns[key] for key in ("t0", "p", "dt", "x", "q")])
    except orjson.JSONEncodeError:  # read, but nested deeper than can be written: rows are bad
        return ""
    return hashlib.sha256(body).hexdigest()[:16]


def encode_snapshot(ep: str, batch: Batch, order: list[int]) -> bytes:
    """Return what points say now, for ``now``: rows that are held under the order numbers `order`.

    A snapshot is not stored: the same rows come by their own way. It only makes the latest values
    right before a backlog has drained.
    """
    return pack({"v": VERSION, "ep": ep, "s": order, "n": len(batch), **_columns(batch)})


def decode_snapshot(payload: bytes) -> tuple[Samples, list[int]]:
    """Return the rows of a snapshot, and their order numbers; rows with a bad number are bad.

    Raises:
        Rejected: the message as a whole cannot be understood.
    """
    document = unpack(payload)
    columns = _decode_samples(document | {"st": "tel", "s0": 1})
    order = _column({"s": document.get("s")}, "s", columns.n)
    for row in _not_ints(order, low=1):
        columns.bad_rows[row] = "seq"
        order[row] = 1
    return columns, order


def decode_rows(payload: bytes) -> Samples | Findings | Records | Gap:
    """Return what a message of ``cmd``, ``evt``, ``aud``, ``tel`` or ``fill`` carries.

    Raises:
        Rejected: with reason ``malformed``, ``too_big``, ``version`` or ``schema``: the message as
            a whole cannot be understood. Single bad rows do not raise: they are in `bad_rows`.
    """
    document = unpack(payload)
    if "gap" in document:
        return validate(Gap, document)
    match document.get("st"):
        case "evt":
            found = validate(Findings, document)
            return _counted(found, len(found.ev))
        case "aud" | "cmd":
            records = validate(Records, document)
            return _counted(records, len(records.rc))
        case _:
            return _decode_samples(document)


R = TypeVar("R", Findings, Records)


def _counted(message: R, rows: int) -> R:
    if rows != message.n:
        msg = f"{message.st}: {rows} rows where the header says {message.n}"
        raise Rejected(msg, reason="schema")
    return message


def _decode_samples(document: dict[str, Any]) -> Samples:
    head = validate(Envelope, document)
    if head.st != "tel" or head.n > MAX_ROWS:
        msg = f"samples: {head.n} rows of stream {head.st!r}"
        raise Rejected(msg, reason="schema")
    columns = {key: document.get(key) for key in ("t0", "p", "dt", "x", "q")}
    columns["p"] = expand_points(columns["p"], head.n)
    points, deltas, values = (_column(columns, key, head.n) for key in ("p", "dt", "x"))
    quality = columns["q"]
    if type(columns["t0"]) is not int or not isinstance(quality, dict):
        msg = "samples: t0 must be an integer and q an object"
        raise Rejected(msg, reason="schema")
    bad: dict[int, str] = {}
    for row in _no_aliases(points, document.get("dv")):
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
        if value is None or (type(value) is float and value - value == 0.0):  # finite
            continue
        if (why := _bad_value(value)) == "":
            continue
        bad[row] = why
        values[row] = None
    restore(values, document.get("f"))
    batch = Batch(points, times, values, _quality(quality, head.n, bad))
    return Samples(
        ep=head.ep,
        s0=head.s0,
        n=head.n,
        dv=max(points) + 1,
        batch=batch,
        digest=_digest(columns),
        clock=str(document.get("cs", "sync"))[:16],
        boot=_count(document.get("bt")),
        mono_us=_count(document.get("mo")),
        bad_rows=bad,
    )


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**53 else 0


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


def _no_aliases(points: list[Any], size: Any) -> list[int]:
    """Return the rows that name no point: no integer, or one beyond the header's own dictionary.

    No dictionary will ever explain the latter, so nobody needs to ask and wait for one.
    """
    bad = _not_ints(points, low=0)
    if type(size) is int:
        bad += [row for row, alias in enumerate(points) if type(alias) is int and alias >= size]
    return bad


def _bad_value(value: Any) -> str:
    """Say why `value` is none that a point can hold; the empty text if it is one."""
    if isinstance(value, str):
        return "text_too_long" if len(value) > MAX_TEXT else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "value"
    if isinstance(value, int):
        return "" if -(2**63) <= value < 2**64 else "value"
    return "" if value is None else "value"


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


# wire/commands.py
"""Commands: what the cloud may ask a gateway to write, signed; down on ``cmd``, never retained.

What is signed is the very text that is read, so no two ways to write the same JSON can differ in
meaning. An order is for one gateway, for a short while, and is carried out at most once.
"""


MAX_BODY: Final = 65_536
"""Characters of an order as JSON."""
MAX_WRITES: Final = 64
"""Writes of one order: all of them are carried out, or none."""

_BANNER: Final = b"plantroom command v1\n"


def _settable(value: Any) -> Any:
    """Return `value` if a point can be set to it."""
    if isinstance(value, bool | int):
        if abs(value) >= 2**63:
            msg = "is too big"
            raise ValueError(msg)
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and len(value) <= 512:
        return value
    msg = "must be a number, true, false or a text of at most 512 characters"
    raise ValueError(msg)


def _shown(value: Any) -> Any:
    return None if value is None else _settable(value)


Settable = Annotated[Any, AfterValidator(_settable)]
Shown = Annotated[Any, AfterValidator(_shown)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Kid = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class _Signed(BaseModel):
    # A key that is not known may be a condition: what has one is refused, not carried out without.
    model_config = ConfigDict(frozen=True, extra="forbid")


class Expected(_Signed):
    """What a write is to replace; it is refused where something else is there."""

    value: Shown
    """The point's value; on a bus with priorities the content of the slot, null where it is free."""


class Write(_Signed):
    """One value for one point."""

    point: Key
    value: Settable
    """In the point's unit."""
    priority: Annotated[int, Field(ge=1, le=16)] | None = None
    """Slot of the priority array, where the bus has one; None leaves it to the gateway."""
    expect: Expected | None = None


class Order(_Signed):
    """The signed part of a command."""

    v: Literal[1] = VERSION
    gateway: Annotated[str, StringConstraints(max_length=40)]
    """The one gateway that it is for."""
    id: Name
    kind: Literal["write", "dry_run", "release"]
    """``dry_run`` checks all that ``write`` would and writes nothing; ``release`` ends a lease."""
    issued: Seq
    """Microseconds since 1970, by the cloud's clock ..."""
    expires: Seq
    """... and from when on it must not be carried out any more."""
    nonce: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    actor: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Who wants it, for the audit."""
    writes: list[Write] = Field(default_factory=list, max_length=MAX_WRITES)
    lease_s: Annotated[float, Field(gt=0, le=604_800, allow_inf_nan=False)] | None = None
    """Seconds after which the gateway takes the values back; None leaves it to the gateway."""
    release: Name | None = None
    """With ``release``: the id of the command whose values are to be taken back."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.kind == "release") != (self.release is not None):
            msg = "release goes with the kind release, and with no other"
            raise ValueError(msg)
        if (self.kind == "release") == bool(self.writes):
            msg = "a release has no writes, all else has at least one"
            raise ValueError(msg)
        if len({(write.point, write.priority) for write in self.writes}) != len(self.writes):
            msg = "one point is written twice"
            raise ValueError(msg)
        if self.expires <= self.issued:
            msg = "it expires before it is issued"
            raise ValueError(msg)
        return self


class Command(Message):
    """Down: an order as JSON text, and the signature over exactly that text."""

    kid: Kid
    """Which key has signed; the gateway has its public half in a file."""
    sig: Annotated[str, StringConstraints(max_length=128)]
    """Base64 of the Ed25519 signature over `signed_part`."""
    body: Annotated[str, StringConstraints(max_length=MAX_BODY)]
    """An `Order` as JSON."""


def signed_part(body: str) -> bytes:
    """Return the bytes that are signed: a banner, so that no other signature fits, and the text."""
    return _BANNER + body.encode()


def read_order(body: str) -> Order:
    """Return the order in `body`; Rejected names what is wrong."""
    try:
        document = orjson.loads(body)
        return Order.model_validate(document, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = f"order: {where}: {first['msg']}"
        raise Rejected(msg, reason="schema") from error
    except ValueError as error:
        msg = f"order is not JSON: {error}"
        raise Rejected(msg, reason="malformed") from error


# wire/configuration.py
"""Desired configurations: what the cloud wants a gateway to read, signed; down on ``cfg``, never retained.

As with commands, what is signed is the very text that is read. An assignment is for one gateway, and
carries a number that only rises: one that comes late, or again, takes no newer one back.
"""


MAX_CONFIGURATION: Final = 1_048_576
"""Characters of an assignment as JSON."""

SECTIONS: Final = ("site", "buses", "detectors")
"""What of a gateway's configuration the cloud may want; all else is for the site alone."""

_CONFIGURATION_BANNER: Final = b"plantroom configuration v1\n"


class Assignment(BaseModel):
    """The signed part: which configuration one gateway is to have."""

    # As in an order: a key that is not known may be a condition.
    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = VERSION
    gateway: Annotated[str, StringConstraints(max_length=40)]
    """The one gateway that it is for."""
    id: Name
    serial: Seq
    """Rises with each assignment to this gateway; one that is not above the last is not heeded."""
    version: Seq
    """Which version of the gateway's configuration it is, as the cloud counts them."""
    issued: Seq
    """Microseconds since 1970 when it was sent, by the cloud's clock ..."""
    expires: Seq
    """... and from when on this copy of it counts no more."""
    actor: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Who wants it, for the audit."""
    why: Annotated[str, StringConstraints(max_length=500)] = ""
    force: bool = False
    """Also where a fifth of the points goes away, or all that may be written."""
    document: dict[str, Any]
    """Sections of the configuration by key; those that it does not name stay as they are."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not self.document or not self.document.keys() <= set(SECTIONS):
            msg = f"document: it has one or more of {', '.join(SECTIONS)}, and nothing else"
            raise ValueError(msg)
        if self.expires <= self.issued:
            msg = "it expires before it is issued"
            raise ValueError(msg)
        return self


class Configuration(Message):
    """Down: an assignment as JSON text, and the signature over exactly that text."""

    kid: Kid
    """Which key has signed; the gateway has its public half in a file."""
    sig: Annotated[str, StringConstraints(max_length=128)]
    """Base64 of the Ed25519 signature over `signed_configuration`."""
    body: Annotated[str, StringConstraints(max_length=MAX_CONFIGURATION)]
    """An `Assignment` as JSON."""


class Report(BaseModel):
    """``doc`` of a record ``desired.*`` on ``aud``: what became of an assignment, or what runs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    journal: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,16}$")]
    n: Seq
    """The event's number there: the same journal and number is the same event."""
    id: Annotated[str, StringConstraints(max_length=64)] = ""
    """Of the assignment; empty where there is none."""
    version: Annotated[int, Field(ge=0, lt=2**63)] = 0
    reason: Annotated[str, StringConstraints(max_length=64)] = ""
    errors: list[Annotated[str, StringConstraints(max_length=400)]] = Field(
        default_factory=list, max_length=20
    )
    config: Annotated[str, StringConstraints(max_length=16)] = ""
    """Hash of the configuration that runs."""
    document: dict[str, Any] | None = None
    """With ``desired.running``: the sections that run, where they are small enough."""


def signed_configuration(body: str) -> bytes:
    """Return the bytes that are signed: a banner, so that no signature of an order fits, and the text."""
    return _CONFIGURATION_BANNER + body.encode()


def read_assignment(body: str) -> Assignment:
    """Return the assignment in `body`; Rejected names what is wrong."""
    try:
        return Assignment.model_validate(orjson.loads(body), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = f"assignment: {where}: {first['msg']}"
        raise Rejected(msg, reason="schema") from error
    except ValueError as error:
        msg = f"assignment is not JSON: {error}"
        raise Rejected(msg, reason="malformed") from error
