"""What a message must look like, key by key: the kit's own reader, written from the specification.

It shares nothing with the codec that both sides use (`plantroom_shared.wire`), so that a mistake
there is found and not repeated.
"""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final

from plantroom_cloud.conformance.checks import (
    BIG,
    Shape,
    anything,
    either,
    flag,
    many,
    nothing,
    number,
    one_of,
    show,
    span,
    table,
    text,
    whole,
)

MAX_WIRE: Final = 122_880
MAX_PLAIN: Final = 4_194_304
MAX_ROWS: Final = 2_000
MAX_TEXT: Final = 4_096
_STREAMS: Final = ("cmd", "evt", "aud", "tel")
_EXACT: Final = 2**53


class Unreadable(Exception):
    """A payload that is not a packed JSON object; `limit` says whether only its size is wrong."""

    def __init__(self, what: str, *, limit: bool = False) -> None:
        self.limit = limit
        super().__init__(what)


def unpack(payload: bytes) -> dict[str, Any]:
    """Return the JSON object in `payload`.

    Raises:
        Unreadable: it is no gzipped JSON object within the limits.
    """
    if len(payload) > MAX_WIRE:
        msg = f"{len(payload)} bytes on the wire, more than {MAX_WIRE}"
        raise Unreadable(msg, limit=True)
    inflater = zlib.decompressobj(31)
    try:
        plain = inflater.decompress(payload, MAX_PLAIN + 1)
    except zlib.error as error:
        msg = f"not gzip: {error}"
        raise Unreadable(msg) from error
    if len(plain) > MAX_PLAIN:
        msg = f"more than {MAX_PLAIN} bytes inflated"
        raise Unreadable(msg, limit=True)
    if not inflater.eof:
        msg = "gzip is cut short"
        raise Unreadable(msg)
    try:
        document = json.loads(plain, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        msg = f"not JSON: {error}"
        raise Unreadable(msg) from error
    if not isinstance(document, dict):
        msg = "not a JSON object"
        raise Unreadable(msg)
    return document


def pack(document: Mapping[str, Any]) -> bytes:
    """Return `document` as the kit sends it."""
    squeezer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return squeezer.compress(json.dumps(document).encode()) + squeezer.flush()


def _no_constant(name: str) -> Any:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


# ---------------------------------------------------------------- messages

V = one_of(1)
EPOCH = text(16, least=16, pattern="[0-9a-f]{16}")
CLOCK = one_of("sync", "holdover", "unset")
KEY = text(200, least=1)
WORDS = text(512)
COUNTS = table(text(16), whole())
SPANS = table(text(16), many(span, 100_000))
MOMENT = whole()

HOLDING = Shape({"ep": EPOCH}, {"accepted": COUNTS, "held": SPANS})
HELLO = Shape(
    {"v": V, "session": EPOCH, "agent": text(64), "epochs": many(HOLDING, 4096)},
    {
        "boot": whole(),
        "clock": CLOCK,
        "at": MOMENT,
        "used_bytes": whole(),
        "limit_bytes": whole(),
        "certificate": text(8192),
        "takes": many(text(16), 64),
    },
)
STATE = Shape(
    {"v": V, "online": flag},
    {
        "at": MOMENT,
        "clock": CLOCK,
        "oldest_us": either(MOMENT, nothing),
        "epochs": many(HOLDING, 4096),
        "counters": table(text(200), number),
    },
)
DEVICE = Shape(
    {"key": KEY, "name": WORDS, "protocol": WORDS},
    {"address": WORDS, "vendor": WORDS, "model": WORDS, "description": WORDS},
)
POINT = Shape(
    {"key": KEY, "device": KEY, "name": WORDS},
    {
        "description": WORDS,
        "unit": WORDS,
        "object_type": WORDS,
        "states": many(WORDS, 100_000),
        "writable": either(flag, nothing),
        "equip_class": WORDS,
        "point_class": WORDS,
        "enos": WORDS,
    },
)
DICTIONARY = Shape(
    {"v": V, "ep": EPOCH, "a0": whole(), "points": many(POINT, MAX_ROWS)},
    {"devices": many(DEVICE, MAX_ROWS)},
)
_HEAD = {"v": V, "ep": EPOCH, "s0": whole(1)}
FINDING = Shape(
    {"id": KEY, "detector": WORDS, "subject": KEY, "started": whole(-BIG), "score": number,
     "text": WORDS},
    {"points": many(KEY, 100_000), "ended": either(whole(-BIG), nothing),
     "evidence": table(text(BIG), anything)},
)  # fmt: skip
RECORD = Shape(
    {"at": MOMENT, "kind": text(64, pattern=r"[a-z][a-z0-9_.]{0,63}")},
    {"doc": table(text(BIG), anything)},
)
FINDINGS = Shape(
    {**_HEAD, "st": one_of("evt"), "n": whole(1, MAX_ROWS), "ev": many(FINDING, MAX_ROWS)}, {}
)
RECORDS = Shape(
    {**_HEAD, "st": one_of("aud", "cmd"), "n": whole(1, MAX_ROWS), "rc": many(RECORD, MAX_ROWS)},
    {},
)
GAP = Shape(
    {**_HEAD, "st": one_of(*_STREAMS), "n": whole(1, 2**31), "gap": text(64, least=1)},
    {"from_us": MOMENT, "to_us": MOMENT, "sig": text(1024)},
)
VALUE = either(flag, number, text(MAX_TEXT), nothing)
QUALITY = table(
    text(4, least=1, pattern="0|[1-9][0-9]*"),
    lambda value: (
        ""
        if isinstance(value, list)
        and len(value) == 2
        and not one_of(1, 2)(value[0])
        and not text(64)(value[1])
        else f"{show(value)} is no quality"
    ),
)


def _run(value: Any) -> str:
    fits = many(whole(0, _EXACT), 2, least=2)(value) == "" and value[1] >= 1
    return "" if fits else f"{show(value)} is neither an alias nor a run"


def aliases(column: list[Any]) -> list[int]:
    """Return one alias for each row of a checked column ``p``."""
    out: list[int] = []
    for item in column:
        first, many_ = item if isinstance(item, list) else (item, 1)
        out += range(first, first + min(many_, MAX_ROWS + 1))
    return out


def values(document: Mapping[str, Any]) -> list[Any]:
    """Return the values of a checked message as they were read: column ``f`` undone."""
    out = list(document["x"])
    for first, count in document.get("f", []):
        for row in range(first, min(first + count, len(out))):
            if type(out[row]) is float:
                with contextlib.suppress(OverflowError):  # beyond 32 bits: it stays what it is
                    out[row] = struct.unpack("<f", struct.pack("<f", out[row]))[0]
    return out


_COLUMNS = {
    "n": whole(1, MAX_ROWS),
    "t0": whole(),
    "p": many(either(whole(0, _EXACT), _run), MAX_ROWS, least=1),
    "dt": many(whole(-_EXACT, _EXACT), MAX_ROWS, least=1),
    "x": many(VALUE, MAX_ROWS, least=1),
    "q": QUALITY,
}
_NARROW = {"f": many(_run, MAX_ROWS)}
SAMPLES = Shape(
    {**_HEAD, **_COLUMNS, "st": one_of("tel")},
    {
        **_NARROW,
        "dv": whole(),
        "cs": CLOCK,
        "h": text(64),
        "bt": whole(0, _EXACT),
        "mo": whole(0, _EXACT),
    },
)
SNAPSHOT = Shape(
    {"v": V, "ep": EPOCH, "s": many(whole(1, _EXACT), MAX_ROWS, least=1), **_COLUMNS}, _NARROW
)
KNOWN = Shape({"ep": EPOCH}, {"ranges": SPANS, "dictionary": whole()})
RESUME = Shape(
    {"v": V, "session": EPOCH, "epochs": many(KNOWN, 4096), "time": MOMENT},
    {"hello_at": MOMENT, "takes": many(text(16), 64)},
)
ACK = Shape({"v": V, "ep": EPOCH, "st": one_of(*_STREAMS, "inv"), "ranges": many(span, 64)}, {})
NACK = Shape(
    {"v": V, "ep": EPOCH, "st": one_of(*_STREAMS, "inv"),
     "nack": one_of("need_dict", "fork", "schema")},
    {"s0": whole(), "have": whole()},
)  # fmt: skip
FLOW = Shape({"v": V}, {"pause_ms": whole(0, 600_000), "window": either(whole(1, 64), nothing)})
SETTABLE = either(flag, number, text(512))
NAME = text(64, least=1, pattern=r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
WRITE = Shape(
    {"point": KEY, "value": SETTABLE},
    {
        "priority": either(whole(1, 16), nothing),
        "expect": either(table(text(16), anything), nothing),
    },
)
ORDER = Shape(
    {"v": V, "gateway": text(40, least=1), "id": NAME, "kind": one_of("write", "dry_run", "release"),
     "issued": whole(1), "expires": whole(1), "nonce": text(32, least=32, pattern="[0-9a-f]{32}"),
     "actor": text(200, least=1)},
    {"writes": many(WRITE, 64), "lease_s": either(number, nothing), "release": either(NAME, nothing)},
)  # fmt: skip
COMMAND = Shape({"v": V, "kid": text(64, least=1), "sig": text(128), "body": text(65_536)}, {})
ASSIGNMENT = Shape(
    {"v": V, "gateway": text(40), "id": NAME, "serial": whole(1), "version": whole(1),
     "issued": whole(1), "expires": whole(1), "actor": text(200, least=1),
     "document": table(one_of("site", "buses", "detectors"), anything)},
    {"why": text(500), "force": flag},
)  # fmt: skip
CONFIGURATION = Shape(
    {"v": V, "kid": text(64, least=1), "sig": text(128), "body": text(1_048_576)}, {}
)


CHAPTERS: Final[dict[str, tuple[Shape, ...]]] = {
    "4.1": (HELLO, HOLDING),
    "4.2": (DICTIONARY, POINT, DEVICE),
    "4.3": (SAMPLES,),
    "4.4": (FINDINGS, FINDING),
    "4.5": (RECORDS, RECORD),
    "4.6": (GAP,),
    "4.7": (SNAPSHOT,),
    "4.8": (STATE,),
    "4.9": (RESUME, KNOWN),
    "4.10": (ACK,),
    "4.11": (NACK,),
    "4.12": (FLOW,),
    "4.13": (COMMAND, ORDER, WRITE),
    "4.14": (CONFIGURATION, ASSIGNMENT),
}
"""Which chapter of the specification describes which objects."""


def columns(document: Mapping[str, Any], rows: tuple[str, ...]) -> str:
    """Say what is wrong with columns `rows` of a message of `n` rows, and with what goes with them."""
    n = document["n"]
    points = aliases(document.get("p", []))
    for key in rows:
        if (count := len(points if key == "p" else document[key])) != n:
            return f"{key} holds {count} rows where n says {n}"
    if "q" in document and any(int(row) >= n for row in document["q"]):
        return "q names a row that is not there"
    if document.get("dv", BIG) <= max(points, default=0):
        return "dv does not cover the highest alias"
    return "dt does not begin with 0" if document.get("dt", [0])[0] != 0 else ""


def rows_of(document: Mapping[str, Any]) -> tuple[str, str]:
    """Return the assertion about a message of rows and what is wrong with it."""
    if "gap" in document:
        return "SV1-M-06", GAP(document)
    match document.get("st"):
        case "evt":
            return "SV1-M-04", FINDINGS(document) or columns(document, ("ev",))
        case "aud" | "cmd":
            return "SV1-M-05", RECORDS(document) or columns(document, ("rc",))
        case _:
            found = SAMPLES(document) or columns(document, ("p", "dt", "x"))
            return "SV1-M-03", found


def snapshot_of(document: Mapping[str, Any]) -> str:
    """Say what is wrong with a snapshot."""
    return SNAPSHOT(document) or columns(document, ("s", "p", "dt", "x"))
