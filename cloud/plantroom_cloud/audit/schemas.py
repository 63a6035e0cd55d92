"""What the API says of the audit."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel, Field

from plantroom_cloud.audit.edge import EdgeLine
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import showable
from plantroom_cloud.kit.times import rfc3339


class ActOut(BaseModel):
    """Something that was done."""

    n: int = Field(description="From 1, without gaps.")
    at: str
    actor: str = Field(
        description="`key:5`, `user:7`, `service:2`, or who ran a command: `cli:alice`."
    )
    name: str = Field(description="Of whoever did it, as it was then.")
    action: str = Field(examples=["key.add"])
    subject: str = Field(examples=["key/5"])
    before: Any = Field(description="What was changed, as it was; null where there was nothing.")
    after: Any = Field(description="The same as it is now; null where there is nothing any more.")
    request_id: str = Field(description="Trace id of the request.")
    source: str = Field(description="Address that the request came from.")
    hash: str = Field(description="SHA-256 that chains it to the row before.")


class ActPage(BaseModel):
    """Acts, newest first."""

    items: list[ActOut]
    next: str | None


class HeadOut(BaseModel):
    """That the chain had so many rows, signed."""

    n: int
    at: str
    hash: str
    head: str = Field(description="The text that is signed.")
    key: str = Field(description="Name of the key.", examples=["a-0011223344556677"])
    signature: str = Field(description="Ed25519 over the UTF-8 of `head`, base64.")


class HeadPage(BaseModel):
    """Signed heads, newest first."""

    items: list[HeadOut]
    next: str | None


class KeyOut(BaseModel):
    """A key that signs heads."""

    key: str = Field(examples=["a-0011223344556677"])
    public: str = Field(description="PEM of the public half.")


class KeyList(BaseModel):
    """Keys that sign heads at present."""

    items: list[KeyOut]


class EdgeActOut(BaseModel):
    """Something that happened on a gateway, as it told."""

    gateway: str
    epoch: str = Field(description="Start of the agent.")
    seq: int = Field(description="Order number within the start.")
    at: str = Field(description="By the gateway's clock.")
    kind: str
    doc: Any


class EdgeActPage(BaseModel):
    """Records of gateways, newest first."""

    items: list[EdgeActOut]
    next: str | None


class EdgeStreamOut(BaseModel):
    """One start of an agent: whether its records are all there."""

    gateway: str
    epoch: str
    highest: int = Field(description="Highest order number dealt with.")
    stored: int
    declared_lost: int = Field(description="Rows that the gateway itself declared lost.")
    quarantined: int
    not_arrived: list[list[int]] = Field(
        description="First and last of order numbers below the highest that never came, at most 100."
    )
    removed: int = Field(description="Records that had arrived and are gone from the database.")
    complete: bool = Field(description="Nothing is missing, lost or removed.")


class EdgeStreamList(BaseModel):
    """Every start of the agents of a company's gateways."""

    items: list[EdgeStreamOut]


def show_act(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of an act; a body that was tampered with is shown as far as it goes."""
    try:
        body = orjson.loads(row.body)
        body = body if isinstance(body, dict) else {}
    except ValueError:
        body = {}
    return {
        "n": row.n,
        "at": rfc3339(row.at_us),
        "actor": row.actor,
        "name": str(body.get("name", "")),
        "action": row.action,
        "subject": row.subject,
        "before": showable(body.get("before")),
        "after": showable(body.get("after")),
        "request_id": row.request_id,
        "source": str(body.get("source", "")),
        "hash": row.hash,
    }


def show_head(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a signed head."""
    content = orjson.loads(row.body)
    return {
        "n": row.n,
        "at": rfc3339(row.at_us),
        "hash": content["hash"],
        "head": row.body,
        "key": row.key_id,
        "signature": row.signature,
    }


def show_edge_act(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a gateway's record."""
    return {
        "gateway": row.gateway_id,
        "epoch": row.epoch,
        "seq": row.seq,
        "at": rfc3339(row.at_us),
        "kind": row.kind,
        "doc": showable(row.doc),
    }


def show_line(line: EdgeLine) -> dict[str, Any]:
    """Return the JSON of a start of an agent."""
    return {
        "gateway": line.gateway,
        "epoch": line.epoch,
        "highest": line.highest,
        "stored": line.stored,
        "declared_lost": line.lost,
        "quarantined": line.quarantined,
        "not_arrived": [list(part) for part in line.holes[:100]],
        "removed": line.removed,
        "complete": line.complete,
    }
