"""Samples as columns: the ``tel`` stream, and snapshots of what points say now."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from itertools import accumulate
from operator import sub
from typing import Any, TypeVar

import orjson

from plantroom_shared.errors import Rejected
from plantroom_shared.model import Batch, Quality
from plantroom_shared.wire.columns import expand_points, restore, runs, shorten
from plantroom_shared.wire.messages import MAX_ROWS, Envelope, Findings, Gap, Records
from plantroom_shared.wire.packing import VERSION, pack, unpack, validate

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
