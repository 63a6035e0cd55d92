"""What the API says of webhooks, and takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none

Topic = Literal["alarms", "jobs", "gateways"]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"\A[\x21-\x7e]*\z")]
Name = Annotated[str, StringConstraints(max_length=200, pattern=r"\A[^\x00]*\z")]
Topics = Annotated[list[Topic], Field(min_length=1, max_length=3)]


class WebhookIn(BaseModel):
    """A webhook to be made."""

    model_config = ConfigDict(extra="forbid")

    url: Url = Field(examples=["https://hooks.example/plantroom"])
    topics: Topics = Field(examples=[["alarms"]])
    name: Name = Field(default="", examples=["to the ticket system"])


class WebhookChange(BaseModel):
    """What is to be different; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    topics: Topics | None = None
    name: Name | None = None
    enabled: bool | None = None


class WebhookOut(BaseModel):
    """An address that is told what happens."""

    id: int
    url: str
    name: str
    topics: list[Topic]
    enabled: bool
    reason: str = Field(description="Why it is not enabled, where that was not a person's doing.")
    failures: int = Field(description="Tries in a row that failed.")
    waiting: int = Field(description="Messages yet to be delivered.")
    dead: int = Field(description="Messages that were given up.")
    created: str
    created_by: str


class WebhookMade(WebhookOut):
    """A webhook that has just been made, or given a new secret."""

    secret: str = Field(description="Shown once.", examples=["whsec_..."])


class WebhookList(BaseModel):
    """All webhooks."""

    items: list[WebhookOut]


class WebhookDeleted(BaseModel):
    """What is gone."""

    deleted: str


class DeliveryOut(BaseModel):
    """One message to one webhook."""

    id: int
    webhook: int
    message: str = Field(description="Its webhook-id: the same in every try.")
    kind: str = Field(examples=["job.done"])
    state: Literal["waiting", "delivered", "dead"]
    tries: int
    due: str | None = Field(description="Of the next try.")
    status: int | None = Field(description="Of HTTP, of the last try.")
    reason: str
    created: str
    ended: str | None


class DeliveryPage(BaseModel):
    """Messages, newest first."""

    items: list[DeliveryOut]
    next: str | None


class ReplayIn(BaseModel):
    """Which messages are to be sent again."""

    model_config = ConfigDict(extra="forbid")

    states: Annotated[list[Literal["dead", "delivered"]], Field(min_length=1, max_length=2)] = [
        "dead"
    ]
    since: str | None = Field(default=None, examples=["2026-01-31T00:00:00Z"])
    until: str | None = None


class ReplayOut(BaseModel):
    """How many messages wait again."""

    messages: int


def show_webhook(row: AnyRow, counts: Mapping[tuple[int, str], int]) -> dict[str, Any]:
    """Return the JSON of a webhook."""
    return {
        "id": row.id,
        "url": row.url,
        "name": row.name,
        "topics": row.topics.split(),
        "enabled": row.enabled,
        "reason": row.reason,
        "failures": row.failures,
        "waiting": counts.get((row.id, "waiting"), 0),
        "dead": counts.get((row.id, "dead"), 0),
        "created": rfc3339(row.created_us),
        "created_by": row.created_by,
    }


def show_delivery(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a delivery."""
    return {
        "id": row.id,
        "webhook": row.webhook_id,
        "message": row.message,
        "kind": row.kind,
        "state": row.state,
        "tries": row.tries,
        "due": rfc3339(row.due_us) if row.state == "waiting" else None,
        "status": row.status,
        "reason": row.reason,
        "created": rfc3339(row.created_us),
        "ended": rfc3339_or_none(row.ended_us),
    }
