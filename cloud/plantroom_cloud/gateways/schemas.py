"""What the API says of gateways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from plantroom_cloud.gateways.account import EpochAccount, LossAccount
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none


class GatewayOut(BaseModel):
    """One edge agent."""

    id: str = Field(examples=["gw-plant-room-1"], description="Common name of its certificate.")
    site: int
    name: str
    online: bool
    seen: str | None = Field(description="When it last said something.")
    agent_version: str
    report: dict[str, Any] = Field(description="Counters of its last state message.")
    created: str


class GatewayPage(BaseModel):
    """A page of gateways."""

    items: list[GatewayOut]
    next: str | None


class _Rows(BaseModel):
    """Numbers of rows; accepted = stored + quarantined + gaps + on_edge."""

    accepted: int = Field(description="Rows that the gateway has committed to its buffer, ever.")
    stored: int
    quarantined: int = Field(description="Rows that were refused and kept for a person.")
    gaps: int = Field(description="Rows that the gateway declared lost.")
    on_edge: int = Field(description="Rows that have not arrived yet.")
    duplicates: int = Field(description="Rows that came again; in none of the others.")
    balanced: bool = Field(description="Whether the sum comes out exactly.")


class EpochOut(_Rows):
    """The account of one start of the agent."""

    epoch: str
    reported: str | None = Field(description="When the gateway last said what it holds.")


class GapOut(BaseModel):
    """Rows lo to hi of an epoch, declared lost."""

    epoch: str
    lo: int
    hi: int
    rows: int
    cause: str = Field(examples=["quota"])
    received: str


class AccountOut(_Rows):
    """Where every row is that a gateway ever accepted."""

    gateway: str
    stream: str
    as_of: str | None = Field(description="When the gateway last reported.")
    epochs: list[EpochOut]
    gap_list: list[GapOut] = Field(description="The newest 1,000.")


def show_account(
    gateway: str, stream: str, account: LossAccount, gaps: Sequence[AnyRow]
) -> dict[str, Any]:
    """Return the JSON of a loss account."""
    epochs = [
        _rows(epoch) | {"epoch": epoch.epoch, "reported": rfc3339_or_none(epoch.reported_us)}
        for epoch in account.epochs
    ]
    about = {"gateway": gateway, "stream": stream, "as_of": rfc3339_or_none(account.as_of_us)}
    return about | _rows(account) | {"epochs": epochs, "gap_list": list(map(_gap, gaps))}


def _rows(account: LossAccount | EpochAccount) -> dict[str, Any]:
    return {name: getattr(account, name) for name in _Rows.model_fields}


def _gap(row: AnyRow) -> dict[str, Any]:
    return {
        "epoch": row.epoch,
        "lo": row.lo,
        "hi": row.hi,
        "rows": row.hi - row.lo + 1,
        "cause": row.cause,
        "received": rfc3339(row.received_us),
    }


def show_gateway(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a gateway."""
    return {
        "id": row.id,
        "site": row.site_id,
        "name": row.name,
        "online": row.online,
        "seen": rfc3339_or_none(row.seen_us),
        "agent_version": row.agent_version,
        "report": row.report,
        "created": rfc3339(row.created_us),
    }
