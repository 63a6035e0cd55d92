"""What the API says of a replay's consumers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339


class ConsumerOut(BaseModel):
    """A named consumer of a site's replay and how far it has come."""

    model_config = {"populate_by_name": True}

    consumer: str = Field(examples=["analytics"])
    site: int
    sink: str = Field(examples=["file:/var/spool/tower.jsonl"])
    replay: str = Field(description="Stands in every object delivered.")
    start: str = Field(alias="from")
    end: str = Field(alias="to")
    delivered: int = Field(description="Objects that the sink has confirmed.")
    at: str | None = Field(description="Time of the last of them.")
    late: int = Field(description="Rows that came in behind the position; counted at the end.")
    done: bool
    created: str
    changed: str


class ConsumerPage(BaseModel):
    """A page of consumers."""

    items: list[ConsumerOut]
    next: str | None


class ConsumerGone(BaseModel):
    """A consumer that is forgotten."""

    consumer: str
    deleted: bool


def show_consumer(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a consumer."""
    return {
        "consumer": row.consumer,
        "site": row.site_id,
        "sink": row.sink,
        "replay": row.replay,
        "from": rfc3339(row.from_us),
        "to": rfc3339(row.to_us),
        "delivered": row.count,
        "at": rfc3339(row.after[0]) if row.after else None,
        "late": row.late,
        "done": row.done,
        "created": rfc3339(row.created_us),
        "changed": rfc3339(row.changed_us),
    }
