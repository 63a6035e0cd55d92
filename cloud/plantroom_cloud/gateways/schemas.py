"""What the API says of gateways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from plantroom_cloud.gateways.account import (
    NUMBERS,
    Delivery,
    EpochAccount,
    LossAccount,
    Rows,
    explain,
)
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import showable
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none

_MICROS = 1_000_000


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
    discarded: int = Field(description="Those of the quarantined that a person has discarded.")
    gaps: int = Field(description="Rows that the gateway declared lost.")
    on_edge: int = Field(description="Rows that have not arrived yet.")
    in_flight: int = Field(description="Those on the edge that are newer than its last report.")
    duplicates: int = Field(description="Rows that came again; in none of the others.")
    difference: int = Field(description="Accepted rows that no other term holds.")
    balanced: bool = Field(description="Whether the sum comes out exactly.")


class EpochOut(_Rows):
    """The account of one start of the agent."""

    epoch: str
    reported: str | None = Field(description="When the gateway last said what it holds.")


class GapOut(BaseModel):
    """Rows lo to hi of an epoch, declared lost."""

    model_config = {"populate_by_name": True}

    epoch: str
    stream: str
    lo: int
    hi: int
    rows: int
    cause: str = Field(examples=["quota"])
    start: str | None = Field(alias="from", description="The first was accepted; null: not known.")
    end: str | None = Field(alias="to", description="The last was accepted; null: not known.")
    signed: bool = Field(description="The gateway's signature was checked and is right.")
    received: str


class GapPage(BaseModel):
    """A page of gaps, the newest first."""

    items: list[GapOut]
    next: str | None


class ClockOut(BaseModel):
    """A gateway's clock."""

    state: str = Field(examples=["sync"], description="sync, holdover or unset; empty: never told.")
    skew_s: float | None = Field(description="Its clock minus ours, in seconds.")
    measured: str | None


class AlarmOut(BaseModel):
    """Something about the delivery that a person should look at."""

    kind: str = Field(examples=["stream_fork"])
    since: str
    last: str
    count: int
    details: Any


class _Delivery(BaseModel):
    """How a delivery stands."""

    online: bool
    as_of: str | None = Field(description="When the gateway last reported.")
    report_age_s: float | None = Field(description="Age of that report, in seconds.")
    newest_sample: str | None = Field(description="Time of the newest stored sample.")
    lag_s: float | None = Field(description="Age of the newest stored sample, in seconds.")
    oldest_unsent: str | None = Field(description="When the oldest row it holds was accepted.")
    clock: ClockOut
    gap_causes: dict[str, int] = Field(description="Rows declared lost, by cause.")
    alarms: list[AlarmOut] = Field(description="Those that stand.")


class AccountOut(_Rows, _Delivery):
    """Where every row is that a gateway ever accepted."""

    gateway: str
    stream: str
    explanation: str = Field(description="What a difference comes from; empty where there is none.")
    epochs: list[EpochOut]
    gap_list: list[GapOut] = Field(description="The newest 1,000; the rest from /gaps.")


class SiteGatewayOut(_Rows, _Delivery):
    """The account of one gateway of a site."""

    gateway: str
    explanation: str


class SiteAccountOut(_Rows):
    """Where every row is that a site's gateways ever accepted."""

    site: int
    stream: str
    lag_s: float | None = Field(description="Age of the site's newest stored sample, in seconds.")
    oldest_unsent: str | None
    gap_causes: dict[str, int]
    gateways: list[SiteGatewayOut]


def show_account(
    account: LossAccount, delivery: Delivery, gaps: Sequence[AnyRow], now_us: int
) -> dict[str, Any]:
    """Return the JSON of a gateway's loss account."""
    epochs = [
        _rows(epoch) | {"epoch": epoch.epoch, "reported": rfc3339_or_none(epoch.reported_us)}
        for epoch in account.epochs
    ]
    return (
        {"stream": account.stream}
        | show_brief(account, delivery, now_us)
        | {"epochs": epochs, "gap_list": list(map(show_gap, gaps))}
    )


def show_brief(account: LossAccount, delivery: Delivery, now_us: int) -> dict[str, Any]:
    """Return the JSON of a gateway's loss account without epochs and gaps."""
    about = {"gateway": account.gateway, "explanation": explain(account.epochs, now_us)}
    return about | _rows(account) | _show_delivery(account, delivery, now_us)


def show_site(
    site: int,
    stream: str,
    parts: Sequence[tuple[LossAccount, Delivery]],
    now_us: int,
) -> dict[str, Any]:
    """Return the JSON of a site's loss account: the sum over its gateways."""
    total = Rows(**Rows.total(account for account, _ in parts))
    newest = [delivery.newest_us for _, delivery in parts if delivery.newest_us is not None]
    oldest = [delivery.oldest_us for _, delivery in parts if delivery.oldest_us is not None]
    causes: dict[str, int] = {}
    for _, delivery in parts:
        for cause, rows in delivery.causes.items():
            causes[cause] = causes.get(cause, 0) + rows
    numbers = {name: getattr(total, name) for name in (*NUMBERS, "difference")}
    return numbers | {
        "balanced": all(account.balanced for account, _ in parts),
        "site": site,
        "stream": stream,
        "lag_s": _age(max(newest, default=None), now_us),
        "oldest_unsent": rfc3339_or_none(min(oldest, default=None)),
        "gap_causes": causes,
        "gateways": [show_brief(account, delivery, now_us) for account, delivery in parts],
    }


def _rows(account: LossAccount | EpochAccount) -> dict[str, Any]:
    return {name: getattr(account, name) for name in _Rows.model_fields}


def _show_delivery(account: LossAccount, delivery: Delivery, now_us: int) -> dict[str, Any]:
    skew = delivery.clock_skew_us
    clock = {
        "state": delivery.clock_state,
        "skew_s": None if skew is None else skew / _MICROS,
        "measured": rfc3339_or_none(delivery.clock_seen_us),
    }
    return {
        "online": delivery.online,
        "as_of": rfc3339_or_none(account.as_of_us),
        "report_age_s": _age(account.as_of_us, now_us),
        "newest_sample": rfc3339_or_none(delivery.newest_us),
        "lag_s": _age(delivery.newest_us, now_us),
        "oldest_unsent": rfc3339_or_none(delivery.oldest_us),
        "clock": clock,
        "gap_causes": delivery.causes,
        "alarms": list(map(_alarm, delivery.alarms)),
    }


def _age(us: int | None, now_us: int) -> float | None:
    """Return seconds since `us`; a moment ahead of our clock has no age."""
    return None if us is None else max(0, now_us - us) / _MICROS


def _alarm(row: AnyRow) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "since": rfc3339(row.since_us),
        "last": rfc3339(row.last_us),
        "count": row.count,
        "details": showable(row.details),
    }


def show_gap(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a gap."""
    return {
        "epoch": row.epoch,
        "stream": row.stream,
        "lo": row.lo,
        "hi": row.hi,
        "rows": row.hi - row.lo + 1,
        "cause": row.cause,
        "from": rfc3339_or_none(row.from_us or None),
        "to": rfc3339_or_none(row.to_us or None),
        "signed": row.signed,
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
