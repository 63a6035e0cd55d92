"""The canonical row and its hash: what stands in the audit as bytes. Pure; see docs/audit.md.

A row is one line of JSON in ASCII, its keys sorted and nothing between its parts. It is stored as
made and never made again: whoever verifies hashes the bytes that are there.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any, Final

from plantroom_cloud.audit.masking import hides, mask

FORMAT: Final = 1
"""Of the rows that this version writes; a reader takes all up to it."""
FIRST_PREV: Final = "0" * 64
"""What stands for the hash before the first row."""

_DEEPEST: Final = 12
_LONGEST: Final = 4096  # characters of one text
_MOST_BYTES: Final = 32 * 1024  # of what was before, and of what is after


def to_json(value: Any) -> str:
    """Return plain JSON data as canonical text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def chained(prev: str, body: str) -> str:
    """Return the hash, in hex, of the row `body` that follows the hash `prev`, also hex."""
    return hashlib.sha256(bytes.fromhex(prev) + body.encode()).hexdigest()


def clean_text(text: str, longest: int = _LONGEST) -> str:
    """Return `text` without what a database or UTF-8 refuses, without secrets, cut to `longest`."""
    text = mask(text[: longest * 2]).replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode()[:longest]


def document(given: Mapping[str, Any] | None) -> Any:
    """Return what was before or is after as plain JSON data: cleaned, without secrets, bounded.

    What is too large is named by its digest: an audit is no archive.
    """
    if given is None:
        return None
    plain = _plain(given, 0)
    text = to_json(plain)
    if len(text) <= _MOST_BYTES:
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"too_large": {"bytes": len(text), "sha256": digest, "keys": sorted(plain)[:50]}}


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Mapping | list | tuple | AbstractSet):
        return _nested(value, depth) if depth < _DEEPEST else "(nested too deeply)"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        # A number that not every reader of JSON can hold is a text.
        fits = abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)
        return value if fits else _huge(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"
    return clean_text(str(value))


def _huge(value: float) -> str:
    if isinstance(value, int) and value.bit_length() > 4096:
        return "(a huge number)"  # Python itself refuses to write some
    return str(value)


def _nested(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    items = [_plain(item, depth + 1) for item in value]
    return sorted(items, key=to_json) if isinstance(value, AbstractSet) else items


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, item in value.items():
        name = clean_text(str(key), 200)
        made[name] = "***" if hides(name, item) else _plain(item, depth + 1)
    return made
