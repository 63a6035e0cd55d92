"""What the API says of a finding."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import showable
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none


class FindingOut(BaseModel):
    """An event with its evidence."""

    gateway: str
    id: str = Field(description="Stable; the report of its end has the same.")
    site: int
    detector: str = Field(examples=["pca"])
    subject: str = Field(description="Key of the device it is about.")
    points: list[str] = Field(description="Keys of points, the strongest contributor first.")
    started: str
    ended: str | None
    open: bool
    score: float | None = Field(description="1 is the detector's threshold.")
    text: str
    evidence: Any


class FindingPage(BaseModel):
    """Findings, newest first."""

    items: list[FindingOut]
    next: str | None


def show_finding(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a finding."""
    return {
        "gateway": row.gateway_id,
        "id": row.id,
        "site": row.site_id,
        "detector": row.detector,
        "subject": row.subject,
        "points": row.points,
        "started": rfc3339(row.started_us),
        "ended": rfc3339_or_none(row.ended_us),
        "open": row.ended_us is None,
        "score": row.score,
        "text": row.text,
        "evidence": showable(row.evidence),
    }
