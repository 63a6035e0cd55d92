"""Messages of plain JSON devices: from untrusted bytes to readings, row by row. Pure."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from pydantic import ValidationError

from plantroom_cloud.ingest.messages import Refused
from plantroom_cloud.streaming.readings import Reading, Readings, key_of, time_trouble
from plantroom_cloud.streaming.schema import MAX_SAMPLES, MAX_SEQ, SAMPLE, Sample
from plantroom_shared.model import Quality
from plantroom_shared.wire import MAX_WIRE

ROOT: Final = "dev1"
"""First level of the topics."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII
)
_QUALITY: Final = {"good": Quality.GOOD, "uncertain": Quality.UNCERTAIN, "bad": Quality.BAD}
_TROUBLE: Final = {"point": "name", "value": "value", "ts": "time", "quality": "quality"}
"""Field of a sample → why a row with a wrong one is refused."""


@dataclass(frozen=True, slots=True)
class DeviceData:
    """A message on ``data``; its rows are checked when the time is known."""

    gateway: str
    rows: list[Any]
    seq: int | None
    session: str
    payload: bytes
    channel: str = "data"

    @property
    def epoch(self) -> str:
        """The epoch that the session is in the account."""
        return epoch_of(self.session)

    def readings(self, now_us: int) -> Readings:
        """Return the rows as readings; `now_us` is the time of those that tell none."""
        out = Readings()
        for row in self.rows:
            _take(out, row, self.gateway, now_us)
        return out

    def ack(self, refused: int) -> tuple[str, bytes] | None:
        """Return topic and payload of what the device is told once the message is committed.

        Args:
            refused: rows of it that lie in the quarantine.

        Returns:
            None for a message without a number.
        """
        return _ack(self.gateway, self.session, self.seq, refused=refused)

    def set_aside(self, reason: str) -> Unreadable:
        """Return the same as something that any database takes."""
        answer = _ack(self.gateway, self.session, self.seq, error=reason)
        return Unreadable(self.gateway, reason, self.payload, answer=answer)


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A message on ``state``: the device says that it is there, or its will that it is not."""

    gateway: str
    online: bool
    payload: bytes
    channel: str = "state"

    def set_aside(self, reason: str) -> Refused:
        """Return a count: there is nothing in it to keep."""
        return Refused(self.gateway, reason)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message of which nothing can be understood: quarantined whole."""

    gateway: str
    reason: str
    payload: bytes
    channel: str = "data"
    answer: tuple[str, bytes] | None = None
    """Topic and payload of what the device is told, so that it does not send this for ever."""

    def set_aside(self, reason: str) -> Refused:
        """Return a count: not even its bytes could be stored."""
        return Refused(self.gateway, reason)


def _ack(
    gateway: str, session: str, seq: int | None, *, refused: int = 0, error: str = ""
) -> tuple[str, bytes] | None:
    if seq is None:
        return None
    document: dict[str, Any] = {"session": session, "seq": seq, "refused": refused}
    if error:
        document["error"] = error
    return f"{ROOT}/{gateway}/down/ack", orjson.dumps(document)


def epoch_of(session: str) -> str:
    """Return 16 hex digits for a session."""
    return hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read(gateway: str, channel: str, payload: bytes) -> DeviceData | DeviceState | Unreadable:
    """Return what a device sent; never raises on anything a device can send."""
    if len(payload) > MAX_WIRE:
        return Unreadable(gateway, "too_big", payload[:1024])
    try:
        document = _parsed(payload)
    except (ValueError, RecursionError):
        return Unreadable(gateway, "malformed", payload)
    if channel == "state":
        online = document.get("online") if isinstance(document, dict) else None
        if isinstance(online, bool):
            return DeviceState(gateway, online, payload)
        return Unreadable(gateway, "schema", payload)
    return _data(gateway, document, payload)


def _parsed(payload: bytes) -> Any:
    """Return the JSON in `payload`; also what is none strictly, so that it costs only its row.

    Many devices write NaN where they mean nothing.
    """
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return json.loads(payload)


def _data(gateway: str, document: Any, payload: bytes) -> DeviceData | Unreadable:
    seq, session, rows = None, "", document
    if isinstance(document, dict):
        rows = [document]
        if "samples" in document:
            rows, seq = document["samples"], document.get("seq")
            session = document.get("session", "")
    numbered = seq is None or (type(seq) is int and 1 <= seq <= MAX_SEQ)
    named = isinstance(session, str) and len(session) <= 64 and _is_text(session)
    if not (numbered and named):
        return Unreadable(gateway, "schema", payload)
    whole = isinstance(rows, list) and rows
    if whole and len(rows) <= MAX_SAMPLES:
        return DeviceData(gateway, rows, seq, session, payload)
    reason = "too_many" if whole else "schema"
    answer = _ack(gateway, session, seq, error=reason)
    return Unreadable(gateway, reason, payload, answer=answer)


def _take(out: Readings, row: Any, gateway: str, now_us: int) -> None:
    try:
        sample = SAMPLE.validate_python(row)
    except ValidationError as error:
        out.refuse(_why(error), _quote(row))
        return
    ts_us = now_us if sample.ts is None else _micros(sample.ts)
    trouble = "time" if ts_us is None else time_trouble(ts_us, now_us)
    if isinstance(sample.value, int | float) and not _is_number(sample.value):
        trouble = "value"
    if ts_us is None or trouble:
        out.refuse(trouble, _quote(row))
        return
    out.good.append(_reading(sample, ts_us, gateway, _quote(row)))


def _reading(sample: Sample, ts_us: int, gateway: str, quote: bytes) -> Reading:
    quality, reason = _QUALITY[sample.quality], sample.reason
    if sample.value is None and quality is Quality.GOOD:
        quality, reason = Quality.BAD, reason or "null"
    return Reading(
        device=key_of("mqtt:", gateway),
        point=key_of("mqtt:", sample.point),
        name=sample.point,
        ts_us=ts_us,
        value=sample.value,
        quality=quality,
        reason=reason,
        unit=sample.unit,
        quote=quote,
    )


def _why(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    field = first["loc"][0] if first["loc"] else ""
    if field == "value" and any(
        detail["type"] == "string_too_long" for detail in error.errors(include_url=False)
    ):
        return "text_too_long"
    return _TROUBLE.get(str(field), "schema")


def _micros(ts: int | str) -> int | None:
    """Return microseconds of milliseconds or RFC 3339; None where it is no time."""
    if isinstance(ts, int):
        return ts * 1000
    found = _RFC3339.match(ts)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper().replace('Z', '+00:00')}")
        whole = (moment - _EPOCH) // timedelta(microseconds=1)
    except ValueError:
        return None
    return whole + int((fraction or "0").ljust(6, "0")[:6])


def _is_number(value: float) -> bool:
    return math.isfinite(value) if isinstance(value, float) else -(2**63) <= value < 2**64


def _is_text(text: str) -> bool:
    """Say whether `text` can be written: halves of a character cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _quote(row: Any) -> bytes:
    try:
        return orjson.dumps(row)
    except orjson.JSONEncodeError:  # nested deeper, or longer, than orjson writes
        return b'"cannot be shown"'
