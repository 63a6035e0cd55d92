"""What the API says of mappings."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import showable
from plantroom_cloud.kit.times import rfc3339


class MappingOut(BaseModel):
    """Point → equipment, point class and thing-model point."""

    point: int
    site: int
    name: str = Field(description="The point's raw name.")
    template: str = Field(description="The name with its numbers taken out.")
    equipment: str
    equip_class: str = Field(description="Brick equipment class; empty: no proposal.")
    point_class: str = Field(description="Brick point class; empty: no proposal.")
    model: str = Field(description="Thing model; empty: no counterpart.")
    model_point: str
    confidence: float | None = Field(description="Probability that the point class is right.")
    source: str = Field(
        examples=["offline"],
        description="profile, rule, offline, llm, fallback (the LLM was not heard), person or import",
    )
    state: str = Field(examples=["proposed"], description="proposed, accepted or rejected")
    evidence: Any
    mapped: str = Field(description="When.")


class MappingPage(BaseModel):
    """A page of mappings."""

    items: list[MappingOut]
    next: str | None


class MappingSummary(BaseModel):
    """How far the mapping has come; rejected mappings count as none."""

    points: int = Field(description="Points there are.")
    mapped: int = Field(description="Points with a point class.")
    with_counterpart: int = Field(description="Points with a thing-model point.")
    mean_confidence: float | None = Field(description="Over the mapped points.")


def show_mapping(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a mapping."""
    return {
        "point": row.point_id,
        "site": row.site_id,
        "name": row.name,
        "template": row.template,
        "equipment": row.equipment,
        "equip_class": row.equip_class,
        "point_class": row.point_class,
        "model": row.model_id,
        "model_point": row.model_point,
        "confidence": row.confidence,
        "source": row.source,
        "state": row.state,
        "evidence": showable(row.evidence),
        "mapped": rfc3339(row.mapped_us),
    }
