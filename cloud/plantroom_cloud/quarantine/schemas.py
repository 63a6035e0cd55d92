"""What the API says of quarantined rows, and what it takes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import showable
from plantroom_cloud.kit.times import parse_time, rfc3339, rfc3339_or_none
from plantroom_cloud.quarantine.payloads import Correction, Held, shown
from plantroom_cloud.quarantine.service import MAX_NOTE, Decision

_MOST_SHIFT = 4_000_000_000.0


class QuarantinedOut(BaseModel):
    """A row, or a whole message, that was refused."""

    id: int
    gateway: str
    epoch: str
    stream: str
    seq: int = Field(description="Order number of the first row.")
    rows: int
    reason: str = Field(examples=["future_ts"])
    received: str
    state: str = Field(description="held, released or discarded")
    stored: int = Field(description="Rows of it that a release has stored.")
    note: str = Field(description="Why it was discarded, or what was corrected.")
    decided: str | None


class QuarantinePage(BaseModel):
    """A page of refused rows, the newest first."""

    items: list[QuarantinedOut]
    next: str | None


class QuarantinedDetail(QuarantinedOut):
    """A refused row with what it says."""

    content: Any = Field(description="The row as it was sent; of a message the head and some rows.")
    point: dict[str, Any] | None = Field(description="What a sample's alias means, if it is known.")
    ts: str | None = Field(description="Of a sample.")


class Release(BaseModel):
    """What to change before a row is tried again; nothing where left out."""

    model_config = ConfigDict(extra="forbid")

    shift: Annotated[float, Field(ge=-_MOST_SHIFT, le=_MOST_SHIFT)] = 0.0
    """Seconds added to every time."""
    ts: Annotated[str, StringConstraints(max_length=64)] | None = None
    """Time of a single sample: RFC 3339 or seconds since 1970."""
    value: float | bool | Annotated[str, StringConstraints(max_length=4096)] | None = None
    """Value of a single sample; null is a value."""

    def correction(self) -> Correction:
        """Return the same as the service takes it."""
        return Correction(
            round(self.shift * 1_000_000),
            None if self.ts is None else parse_time(self.ts, "ts"),
            self.value,
            "value" in self.model_fields_set,
        )


class Discard(BaseModel):
    """Why a row will never be stored."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(min_length=1, max_length=MAX_NOTE)]


class DecisionOut(BaseModel):
    """What became of a row."""

    id: int
    state: str
    stored: int
    refused: int = Field(description="Rows that lie in the quarantine again, each by itself.")
    note: str
    decided: str


def show_row(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a refused row without its content."""
    return {
        "id": row.id,
        "gateway": row.gateway_id,
        "epoch": row.epoch,
        "stream": row.stream,
        "seq": row.seq,
        "rows": row.n,
        "reason": row.reason,
        "received": rfc3339(row.received_us),
        "state": row.state or "held",
        "stored": row.stored or 0,
        "note": row.note or "",
        "decided": rfc3339_or_none(row.decided_us),
    }


def show_detail(row: AnyRow, held: Held, point: AnyRow | None) -> dict[str, Any]:
    """Return the JSON of a refused row with its content."""
    content = shown(held)
    at = content.get("t") if isinstance(content, dict) else None
    is_time = isinstance(at, str) and at.lstrip("-").isdecimal() and len(at) < 20
    about = None
    if point is not None:
        about = {"id": point.id, "key": point.key, "name": point.name, "unit": point.unit}
    return show_row(row) | {
        "content": showable(content),
        "point": about,
        "ts": rfc3339(int(at)) if is_time and at is not None else None,
    }


def show_decision(decision: Decision) -> dict[str, Any]:
    """Return the JSON of a decision."""
    return {
        "id": decision.id,
        "state": decision.state,
        "stored": decision.stored,
        "refused": decision.refused,
        "note": decision.note,
        "decided": rfc3339(decision.decided_us),
    }
