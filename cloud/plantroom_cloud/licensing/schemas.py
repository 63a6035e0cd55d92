"""Shapes of licence, usage and features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.licensing.flags import Flag
from plantroom_cloud.licensing.model import Licence, Limit, day_text
from plantroom_cloud.licensing.usage import Use


class LimitOut(BaseModel):
    """One limit, and how it stands."""

    limit: str = Field(examples=["sites"])
    used: int = Field(description="Now, today or this month (UTC).")
    most: int | None = Field(description="null: any number.")
    warn: int | None = Field(description="From this number on is warned.")
    state: str = Field(examples=["ok"], description="ok, warning or reached")


class NoticeOut(BaseModel):
    """Something that was noticed of a licence, at most once a day."""

    at: str
    subject: str = Field(examples=["sites"], description="A limit, or licence.")
    kind: str = Field(description="warning, reached, past_due, suspended or ended")
    used: int
    most: int | None


class LicenceOut(BaseModel):
    """What a company may have."""

    plan: str = Field(examples=["own"], description="own: none was given, nothing is limited.")
    status: str = Field(description="trial, active, past_due, suspended or ended; now.")
    begins: str | None
    ends: str | None
    limits: list[LimitOut] = Field(description="What is not named is not limited.")
    paused: str | None = Field(description="Why nothing is published at the moment.")
    notices: list[NoticeOut] = Field(description="The newest fifty.")


class UsageDayOut(BaseModel):
    """What was used in a day, UTC."""

    day: str = Field(examples=["2026-01-31"])
    samples: int = Field(description="Stored.")
    requests: int = Field(description="Answered by the API.")
    published: int = Field(description="Values taken by targets.")
    jobs: int = Field(description="Started.")


class UsageOut(BaseModel):
    """What a company uses."""

    days: list[UsageDayOut]
    llm_tokens: int = Field(description="Of the month of the last day, those set aside included.")
    limits: list[LimitOut]


class FeatureOut(BaseModel):
    """A feature that can be switched."""

    name: str = Field(examples=["llm"])
    enabled: bool
    default: bool
    owner: str
    about: str
    changed: str | None = Field(description="null: as it is by default.")
    by: str | None


class FeatureList(BaseModel):
    """All features."""

    items: list[FeatureOut]


class FeatureIn(BaseModel):
    """How a feature is to be."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool


def show_limits(licence: Licence, standing: Mapping[Limit, int]) -> list[dict[str, Any]]:
    """Return the limits of a licence as JSON."""
    return [
        {
            "limit": limit.value,
            "used": used,
            "most": licence.amount(limit).most,
            "warn": licence.amount(limit).warn,
            "state": licence.amount(limit).state(used),
        }
        for limit, used in standing.items()
    ]


def show_licence(
    licence: Licence,
    standing: Mapping[Limit, int],
    *,
    now_us: int,
    paused: str,
    notices: Sequence[AnyRow],
) -> dict[str, Any]:
    """Return a licence as JSON."""
    return {
        "plan": licence.plan,
        "status": licence.status_at(now_us).value,
        "begins": rfc3339(licence.from_us) if licence.from_us else None,
        "ends": rfc3339_or_none(licence.until_us),
        "limits": show_limits(licence, standing),
        "paused": paused or None,
        "notices": [
            {
                "at": rfc3339(row.at_us),
                "subject": row.subject,
                "kind": row.kind,
                "used": row.used,
                "most": row.most,
            }
            for row in notices
        ],
    }


def show_days(rows: Sequence[AnyRow], first: int, last: int) -> list[dict[str, Any]]:
    """Return every day from first to last as JSON, the newest first."""
    amounts = {(row.day, row.what): row.amount for row in rows}
    return [
        {"day": day_text(day)} | {use.value: amounts.get((day, use.value), 0) for use in Use}
        for day in range(last, first - 1, -1)
    ]


def show_feature(flag: Flag, row: AnyRow | None) -> dict[str, Any]:
    """Return a feature as JSON."""
    return {
        "name": flag.name,
        "enabled": flag.default if row is None else row.enabled,
        "default": flag.default,
        "owner": flag.owner,
        "about": flag.about,
        "changed": None if row is None else rfc3339(row.changed_us),
        "by": None if row is None else row.changed_by,
    }
