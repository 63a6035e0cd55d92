"""What devices of either protocol amount to: readings, and rows that are refused. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

import orjson

from plantroom_cloud.ingest.rows import AHEAD_US, EARLIEST_US
from plantroom_shared.model import Quality, Value

MAX_KEY: Final = 200
"""Characters of a point's or device's key."""
MAX_QUOTE: Final = 16 * 1024
"""Bytes of a refused row that are kept."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of one point at one moment, with all that its device said of the point."""

    device: str
    """Key of the device."""
    point: str
    """Key of the point."""
    name: str
    ts_us: int
    value: Value
    quality: Quality = Quality.GOOD
    reason: str = ""
    unit: str | None = None
    """None where the device did not say."""
    object_type: str = ""
    live: bool = True
    """False for what is only history: it never becomes the latest value."""
    quote: bytes = b""
    """As it was sent."""

    def tie(self) -> int:
        """Return what tells two readings of a point and moment apart.

        The same for the same content, so that a message that comes again stores nothing.
        """
        content = orjson.dumps([type(self.value).__name__, str(self.value), self.quality])
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True, slots=True)
class Unfit:
    """A row that cannot be stored."""

    reason: str
    quote: bytes

    def number(self) -> int:
        """Return the same number for the same row: it is kept once, however often it comes."""
        content = self.reason.encode() + b"\x00" + self.quote
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 2


@dataclass(slots=True)
class Readings:
    """The rows of one message."""

    good: list[Reading] = field(default_factory=list)
    unfit: list[Unfit] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.good) + len(self.unfit)

    def refuse(self, reason: str, quote: bytes) -> None:
        """Add a row that cannot be stored."""
        self.unfit.append(Unfit(reason, quote[:MAX_QUOTE]))


def time_trouble(ts_us: int, now_us: int) -> str:
    """Say why no sample can be of `ts_us`; the empty text if one can."""
    if ts_us < EARLIEST_US:
        return "time"
    return "future_ts" if ts_us > now_us + AHEAD_US else ""


def key_of(*parts: str) -> str:
    """Return a key of `parts`; one too long keeps its beginning and ends with a digest of all."""
    key = "".join(parts)
    if len(key) <= MAX_KEY:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{key[: MAX_KEY - 17]}~{digest}"
