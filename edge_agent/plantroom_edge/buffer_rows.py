"""From samples and findings to messages that fit: joining small batches, splitting big ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic_core import PydanticSerializationError

from plantroom_shared.errors import Rejected
from plantroom_shared.model import Batch, Device, Finding, Point, Quality, Value
from plantroom_shared.wire import (
    MAX_ROWS,
    MAX_TEXT,
    Dictionary,
    Findings,
    Record,
    Records,
    Stream,
    encode,
    encode_samples,
)

_INT_LOW, _INT_HIGH = -(2**63), 2**64  # what JSON integers of the wire can hold


@dataclass(frozen=True, slots=True)
class Message:
    """One encoded message of rows."""

    s0: int
    n: int
    dv: int
    blob: bytes


def unfit(value: Value) -> str:
    """Say why `value` cannot travel; the empty text if it can."""
    kind = type(value)
    if kind is float:
        return "" if math.isfinite(value) else "nan"  # type: ignore[arg-type] # a float, just seen
    if kind is bool or value is None:
        return ""
    if isinstance(value, int):
        return "" if _INT_LOW <= value < _INT_HIGH else "overrange"
    if isinstance(value, str):
        return _unfit_text(value)
    return "" if isinstance(value, float) and math.isfinite(value) else "value"


def _unfit_text(value: str) -> str:
    if len(value) > MAX_TEXT:
        return "text_too_long"
    return "" if value.isascii() or not any(0xD800 <= ord(ch) < 0xE000 for ch in value) else "text"


def clean(batch: Batch) -> None:
    """Turn every value that cannot travel into a bad row, in place; the others stay as they are."""
    for row, value in enumerate(batch.values):
        if type(value) is float and math.isfinite(value):
            continue
        if why := unfit(value):
            batch.values[row] = None
            batch.quality[row] = (int(Quality.BAD), why)


def join(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield `batches` in order as few batches of at most `MAX_ROWS` rows.

    A batch that stays alone is yielded itself, not copied: nobody may change it.
    """
    out, ours = Batch(), True
    for batch in batches:
        if len(out) == 0 and len(batch) <= MAX_ROWS:
            out, ours = batch, False
            continue
        if not ours:
            out, ours = _part(out, 0, len(out)), True
        start = 0
        while start < len(batch):
            stop = min(len(batch), start + MAX_ROWS - len(out))
            _extend(out, batch, start, stop)
            start = stop
            if len(out) == MAX_ROWS and start < len(batch):
                yield out
                out = Batch()
        if len(out) == MAX_ROWS:
            yield out
            out = Batch()
    if len(out):
        yield out


def _extend(out: Batch, batch: Batch, start: int, stop: int) -> None:
    shift = len(out) - start
    out.points += batch.points[start:stop]
    out.times += batch.times[start:stop]
    out.values += batch.values[start:stop]
    for row, entry in batch.quality.items():
        if start <= row < stop:
            out.quality[row + shift] = entry


def _part(batch: Batch, start: int, stop: int) -> Batch:
    out = Batch()
    _extend(out, batch, start, stop)
    return out


def encode_rows(
    ep: str, s0: int, batch: Batch, *, clock: str = "sync", boot: int = 0, mono_us: int = 0
) -> Iterator[Message]:
    """Yield `batch` as messages that are each small enough, rows numbered from `s0` on.

    The other arguments are those of `encode_samples`.
    """
    try:
        blob = encode_samples(ep, s0, batch, clock=clock, boot=boot, mono_us=mono_us)
    except Rejected:
        if len(batch) > 1:
            half = len(batch) // 2
            later = mono_us and max(1, mono_us + batch.times[half] - batch.times[0])
            first, second = _part(batch, 0, half), _part(batch, half, len(batch))
            yield from encode_rows(ep, s0, first, clock=clock, boot=boot, mono_us=mono_us)
            yield from encode_rows(ep, s0 + half, second, clock=clock, boot=boot, mono_us=later)
            return
        batch = Batch(batch.points, batch.times, [None], {0: (int(Quality.BAD), "too_big")})
        blob = encode_samples(ep, s0, batch, clock=clock, boot=boot, mono_us=mono_us)
    except TypeError:
        # A value that JSON cannot hold: that row goes bad, its neighbours are none the worse.
        batch = _part(batch, 0, len(batch))
        clean(batch)
        blob = encode_samples(ep, s0, batch, clock=clock, boot=boot, mono_us=mono_us)
    yield Message(s0, len(batch), max(batch.points) + 1, blob)


def encode_findings(ep: str, s0: int, findings: Sequence[Finding]) -> Iterator[Message]:
    """Yield `findings` as messages that are each small enough, rows numbered from `s0` on."""
    if len(findings) > MAX_ROWS:
        yield from encode_findings(ep, s0, findings[:MAX_ROWS])
        yield from encode_findings(ep, s0 + MAX_ROWS, findings[MAX_ROWS:])
        return
    message = Findings(ep=ep, st="evt", s0=s0, n=len(findings), ev=list(findings))
    try:
        blob = encode(message)
    except (Rejected, PydanticSerializationError, TypeError):
        if len(findings) > 1:
            half = len(findings) // 2
            yield from encode_findings(ep, s0, findings[:half])
            yield from encode_findings(ep, s0 + half, findings[half:])
            return
        # The event itself is worth more than its evidence.
        bare = findings[0].model_copy(
            update={"evidence": {"dropped": "too_big"}, "points": findings[0].points[:64]}
        )
        blob = encode(Findings(ep=ep, st="evt", s0=s0, n=1, ev=[bare]))
    yield Message(s0, len(findings), 0, blob)


def encode_records(
    ep: str, stream: Stream, s0: int, records: Sequence[Record]
) -> Iterator[Message]:
    """Yield rows of ``aud`` or ``cmd`` as messages that are each small enough."""
    if len(records) > MAX_ROWS:
        yield from encode_records(ep, stream, s0, records[:MAX_ROWS])
        yield from encode_records(ep, stream, s0 + MAX_ROWS, records[MAX_ROWS:])
        return
    message = Records(ep=ep, st=stream, s0=s0, n=len(records), rc=list(records))
    try:
        blob = encode(message)
    except (Rejected, PydanticSerializationError, TypeError):
        if len(records) > 1:
            half = len(records) // 2
            yield from encode_records(ep, stream, s0, records[:half])
            yield from encode_records(ep, stream, s0 + half, records[half:])
            return
        # That it happened is worth more than the details.
        bare = records[0].model_copy(update={"doc": {"dropped": "too_big"}})
        blob = encode(Records(ep=ep, st=stream, s0=s0, n=1, rc=[bare]))
    yield Message(s0, len(records), 0, blob)


def encode_dictionary(
    ep: str, a0: int, points: Sequence[Point], devices: dict[str, Device]
) -> Iterator[bytes]:
    """Yield aliases from `a0` on, of all of `points`, as messages that are each small enough."""
    for start in range(a0, len(points), MAX_ROWS):
        yield from _encode_chunk(ep, start, points[start : start + MAX_ROWS], devices)


def _encode_chunk(
    ep: str, a0: int, points: Sequence[Point], devices: dict[str, Device]
) -> Iterator[bytes]:
    named = {point.device: devices[point.device] for point in points if point.device in devices}
    chunk = Dictionary(ep=ep, a0=a0, points=list(points), devices=list(named.values()))
    try:
        blob = encode(chunk)
    except Rejected:
        if len(points) == 1:
            blob = encode(Dictionary(ep=ep, a0=a0, points=[_short(points[0])]))
        else:
            half = len(points) // 2
            yield from _encode_chunk(ep, a0, points[:half], devices)
            yield from _encode_chunk(ep, a0 + half, points[half:], devices)
            return
    yield blob


def _short(point: Point) -> Point:
    """Return `point` without the one field that has no bound of its own."""
    return point.model_copy(update={"states": ()})
