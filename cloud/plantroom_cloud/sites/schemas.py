"""What the API says of a site."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339


class SiteOut(BaseModel):
    """A building or plant."""

    id: int
    slug: str = Field(examples=["tower-one"])
    name: str = Field(examples=["Tower One"])
    timezone: str = Field(examples=["Europe/Berlin"])
    created: str = Field(examples=["2026-01-31T12:00:00.000000Z"])


class SitePage(BaseModel):
    """A page of sites."""

    items: list[SiteOut]
    next: str | None = Field(description="Give it as `after` to get the next page.")


def show_site(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a site."""
    return {
        "id": row.id,
        "slug": row.slug,
        "name": row.name,
        "timezone": row.timezone,
        "created": rfc3339(row.created_us),
    }
