"""What the API takes and says of commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from plantroom_cloud.kit.parameters import PlainText
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_shared.wire.commands import Name, Settable, Shown


class CommandIn(BaseModel):
    """What is to be done with a point."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["write", "dry_run", "release"] = Field(
        default="write", description="dry_run checks everything and writes nothing."
    )
    value: Settable | None = Field(
        default=None, examples=[21.5], description="In the point's unit; none with release."
    )
    priority: int | None = Field(default=None, ge=3, le=16, description="Of BACnet; 13 mostly.")
    lease_s: float | None = Field(
        default=None, gt=0, le=604_800, description="Seconds until the gateway takes it back."
    )
    expect: list[Shown] | None = Field(
        default=None, min_length=1, max_length=1,
        description="What it is to replace; refused where something else is there.",
    )  # fmt: skip
    valid_s: float = Field(
        default=30, ge=2, le=60, description="Seconds within which the gateway must have begun."
    )
    release: Name | None = Field(default=None, description="Which command's value to take back.")


class CommandRuleIn(BaseModel):
    """For which points a second person must confirm what is written."""

    model_config = ConfigDict(extra="forbid")

    points: PlainText = Field(
        default="*", min_length=1,
        description="Keys of points; * stands for any characters, and alone for all of the company.",
    )  # fmt: skip
    within_s: int = Field(
        default=600, ge=10, le=86_400, description="Seconds that the second person has."
    )


class CommandRuleOut(BaseModel):
    """A rule: a second person with `point:write` must confirm."""

    id: int
    points: str
    within_s: int
    actor: str
    created: str


class CommandRuleList(BaseModel):
    """All rules of the company."""

    items: list[CommandRuleOut]


def show_rule(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a rule."""
    names = ("id", "points", "within_s", "actor")
    return {name: getattr(row, name) for name in names} | {"created": rfc3339(row.created_us)}


class CommandEventOut(BaseModel):
    """Something that happened to a command."""

    at: str
    kind: str = Field(examples=["command.executed"])
    doc: dict[str, Any] = Field(description="As the gateway told it.")


class CommandOut(BaseModel):
    """A command and what became of it."""

    id: str
    gateway: str
    point: int
    kind: str
    actor: str = Field(description="Name of the key by which it was given.")
    confirmed_by: str = Field(description="Name of the second person; empty where none was needed.")
    state: str = Field(
        examples=["executed"],
        description="unconfirmed, pending, sent, accepted, executed, checked, failed, refused or expired.",
    )
    reason: str = Field(examples=["out-of-range"])
    created: str
    expires: str
    sent: str | None
    ended: str | None
    released: str | None = Field(description="When the gateway had taken it back.")
    order: dict[str, Any] = Field(description="What the gateway is told, signed.")
    events: list[CommandEventOut]


def show_command(row: AnyRow, events: Sequence[AnyRow]) -> dict[str, Any]:
    """Return the JSON of a command."""
    return {
        "id": row.id,
        "gateway": row.gateway_id,
        "point": row.point_id,
        "kind": row.kind,
        "actor": row.actor,
        "confirmed_by": row.confirmed_by,
        "state": row.state,
        "reason": row.reason,
        "created": rfc3339(row.created_us),
        "expires": rfc3339(row.expires_us),
        "sent": rfc3339_or_none(row.sent_us),
        "ended": rfc3339_or_none(row.ended_us),
        "released": rfc3339_or_none(row.released_us),
        "order": orjson.loads(row.body),
        "events": [{"at": rfc3339(one.at_us), "kind": one.kind, "doc": one.doc} for one in events],
    }
