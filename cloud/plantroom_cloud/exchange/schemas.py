"""What the API says of an import."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from plantroom_cloud.exchange.plan import MAX_SHOWN, Change, ImportPlan
from plantroom_cloud.exchange.record import PointMeaning


class MeaningOut(BaseModel):
    """What a point means, before or after."""

    equipment: str
    equip_class: str
    point_class: str
    model: str
    model_point: str
    confidence: float | None
    source: str
    state: str


class ChangeOut(BaseModel):
    """One point whose mapping changes."""

    point: int
    name: str
    before: MeaningOut
    after: MeaningOut


class LeftOut(BaseModel):
    """Points that are left as they are, some of them named."""

    count: int
    named: list[str]


class ImportOut(BaseModel):
    """What an import changes, or has changed."""

    plan: str = Field(description="Give it as `apply` to do exactly this.")
    applied: bool
    changes: int = Field(description="Points whose mapping changes.")
    same: int = Field(description="Points that mean already what the file says.")
    proposals: int = Field(description="Points of which the file decides nothing.")
    untouched: int = Field(description="Points of the site that the file does not have.")
    kept: LeftOut = Field(
        description="A person has decided otherwise; `overwrite` lets the file win."
    )
    unknown: LeftOut = Field(description="The site has no such point, or several.")
    refused: LeftOut = Field(description="What the file says is no meaning.")
    first: list[ChangeOut] = Field(description=f"The first {MAX_SHOWN} changes.")
    notes: list[str] = Field(description="What of the file was not understood.")


def show_plan(plan: ImportPlan, *, applied: bool) -> dict[str, Any]:
    """Return the JSON of a plan."""
    return {
        "plan": plan.digest,
        "applied": applied,
        "changes": len(plan.changes),
        "same": plan.same,
        "proposals": plan.proposals,
        "untouched": plan.untouched,
        **{
            name: {"count": plan.counts[name], "named": getattr(plan, name)}
            for name in ("kept", "unknown", "refused")
        },
        "first": [_show_change(change) for change in plan.changes[:MAX_SHOWN]],
        "notes": plan.notes,
    }


def _show_change(change: Change) -> dict[str, Any]:
    return {
        "point": change.id,
        "name": change.before.name,
        "before": _show_meaning(change.before),
        "after": _show_meaning(change.after),
    }


def _show_meaning(point: PointMeaning) -> dict[str, Any]:
    return {
        "equipment": point.equipment,
        "equip_class": point.equip_class,
        "point_class": point.point_class,
        "model": point.model_id,
        "model_point": point.model_point,
        "confidence": point.confidence,
        "source": point.source,
        "state": point.state,
    }
