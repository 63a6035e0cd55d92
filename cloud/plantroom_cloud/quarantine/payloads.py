"""What a quarantined row holds: shown to a person, or made a message again. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from plantroom_cloud.ingest.messages import ROWS_KEY, Incoming, Refused, read
from plantroom_shared import topics, wire
from plantroom_shared.errors import Rejected
from plantroom_shared.model import Quality, Value

CORRECTED: Final = "corrected"
"""Why a sample that a person has changed is uncertain."""
_GZIP: Final = b"\x1f\x8b"
_MOST_SHOWN: Final = 20
_MOST_BYTES: Final = 256
_TIMES: Final = {"evt": ("started", "ended"), "aud": ("at",), "cmd": ("at",)}


@dataclass(frozen=True, slots=True)
class Held:
    """A quarantined row as it lies there."""

    gateway: str
    epoch: str
    stream: str
    seq: int
    n: int
    payload: bytes

    @property
    def is_message(self) -> bool:
        """Say whether it is a whole message as it was sent, not one row of it."""
        return self.payload.startswith(_GZIP)


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person changes before a row is tried again; nothing by default."""

    shift_us: int = 0
    """Added to every time."""
    ts_us: int | None = None
    """In place of the time of a single sample."""
    value: Value = None
    replace_value: bool = False
    """Whether `value` stands in place of the one of a single sample."""

    @property
    def is_any(self) -> bool:
        """Say whether anything is changed."""
        return bool(self.shift_us) or self.ts_us is not None or self.replace_value


def shown(held: Held) -> Any:
    """Return what `held` says, as JSON for a person; long lists are cut."""
    if held.is_message:
        try:
            return _cut(wire.unpack(held.payload))
        except Rejected:
            return {"bytes": held.payload[:_MOST_BYTES].hex()}
    try:
        return _cut(orjson.loads(held.payload))
    except orjson.JSONDecodeError:
        return {"bytes": held.payload[:_MOST_BYTES].hex()}


def _cut(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    return {
        key: [*item[:_MOST_SHOWN], f"... {len(item)} in all"]
        if isinstance(item, list) and len(item) > _MOST_SHOWN
        else item
        for key, item in document.items()
    }


def again(held: Held, correction: Correction) -> Incoming:
    """Return `held` as a message that the ingest can take, corrected.

    Raises:
        Rejected: it cannot be read, or cannot be corrected like that.
    """
    document = _message(held, correction) if held.is_message else _row(held, correction)
    topic = topics.up(held.gateway, held.stream)
    try:
        message = read(topic, wire.pack(document))
    except orjson.JSONEncodeError as error:
        raise _unreadable(reason="value") from error
    if isinstance(message, Refused):
        raise _unreadable(reason=message.reason)
    # It has been changed, or is cut in another way than it was sent: nothing to compare it with.
    return replace(message, digest="")


def _unreadable(*, reason: str) -> Rejected:
    return Rejected(f"it still cannot be read ({reason})", reason=reason)


def _refuse(what: str) -> Rejected:
    return Rejected(what, reason="correction")


def _message(held: Held, correction: Correction) -> dict[str, Any]:
    document = wire.unpack(held.payload)
    if correction.ts_us is not None or correction.replace_value:
        msg = "a whole message takes a shift only: its rows have their own times and values"
        raise _refuse(msg)
    if not correction.shift_us:
        return document
    if held.stream == "tel":
        return document | {"t0": _shifted(document.get("t0"), correction)}
    key = ROWS_KEY[held.stream]
    rows = document.get(key)
    if not isinstance(rows, list):
        raise _unreadable(reason="schema")
    return document | {key: [_shift_times(held.stream, row, correction) for row in rows]}


def _row(held: Held, correction: Correction) -> dict[str, Any]:
    try:
        row = orjson.loads(held.payload)
    except orjson.JSONDecodeError as error:
        raise _unreadable(reason="malformed") from error
    if not isinstance(row, dict):
        raise _unreadable(reason="malformed")
    head = {"v": wire.VERSION, "ep": held.epoch, "st": held.stream, "s0": held.seq, "n": 1}
    if held.stream == "tel":
        return head | _sample(row, correction)
    if correction.ts_us is not None or correction.replace_value:
        msg = "only a sample takes another time or value; shift this one"
        raise _refuse(msg)
    return head | {ROWS_KEY[held.stream]: [_shift_times(held.stream, row, correction)]}


def _sample(row: dict[str, Any], correction: Correction) -> dict[str, Any]:
    try:
        at = int(row["t"]) if correction.ts_us is None else correction.ts_us
        alias, value, quality = row["p"], row["x"], row["q"]
    except (KeyError, ValueError, TypeError) as error:
        raise _unreadable(reason="malformed") from error
    if correction.replace_value:
        value = correction.value
    if correction.is_any and not quality:
        quality = [int(Quality.UNCERTAIN), CORRECTED]
    return {
        "t0": at + correction.shift_us,
        "p": [alias],
        "dv": alias + 1 if type(alias) is int else 1,
        "dt": [0],
        "x": [value],
        "q": {"0": quality} if quality else {},
    }


def _shift_times(stream: str, row: Any, correction: Correction) -> Any:
    if not correction.shift_us or not isinstance(row, dict):
        return row
    known = {name: row[name] for name in _TIMES[stream] if row.get(name) is not None}
    return row | {name: _shifted(at, correction) for name, at in known.items()}


def _shifted(at: Any, correction: Correction) -> int:
    if type(at) is not int:
        raise _unreadable(reason="time")
    return at + correction.shift_us
