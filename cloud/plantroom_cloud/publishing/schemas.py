"""What the API shows of publishing, and takes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from plantroom_cloud.kit.parameters import MAX_ID
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.tables import PublishPlan

State = Literal["wanted", "made", "approved", "done", "failed"]


class StepOut(BaseModel):
    """One thing that would be done on the platform."""

    id: str = Field(description="The same thing has the same id in every plan.")
    action: str = Field(examples=["rename_device"])
    subject: str = Field(examples=["AHU-1"])
    why: str
    details: dict[str, Any]
    by_hand: bool = Field(description="A person has to do it there: applying the plan leaves it.")
    new: bool = Field(description="It adds what was never there and changes nothing that is.")
    instead_of: str = Field(description="The step that this is what is left of, if any.")


class PlanOut(BaseModel):
    """What would have to be done for a site, and whether somebody has said so."""

    id: int
    kind: str = Field(examples=["enos"])
    site: int
    state: State
    steps: list[StepOut]
    note: str = Field(description="Why it is not made or carried out, so far.")
    result: dict[str, str] = Field(description="Step → what became of it.")
    left_out: list[str]
    asked_at: str
    asked_by: str
    made_at: str | None
    approved_at: str | None
    approved_by: str
    done_at: str | None


class PublishingOut(BaseModel):
    """What the publishing of a site has come to."""

    kind: str = Field(examples=["enos"])
    site: int
    enabled: bool = Field(description="The company has a target of this kind in the settings.")
    points: int = Field(description="Points that are published.")
    devices: int
    devices_gone: int = Field(description="Devices that the platform knows no more.")
    due_points: int = Field(description="Points of which something is still to be sent.")
    due_from: str | None = Field(description="The oldest of it.")
    waiting: int = Field(description="Values of the whole company that wait in the outbox.")
    waiting_since: str | None
    counters: dict[str, int] = Field(description="What was counted for the whole company.")
    plan: PlanOut | None = Field(description="The newest plan of the site.")


class ApplyIn(BaseModel):
    """The word: do what was shown."""

    model_config = ConfigDict(extra="forbid")

    plan: int | None = Field(
        default=None,
        ge=1,
        le=MAX_ID,
        description="The plan that was shown; the newest where it is left out.",
    )
    leave_out: list[str] = Field(
        default_factory=list, max_length=10_000, description="Ids of steps that are not wanted."
    )


def show_plan(row: PublishPlan) -> dict[str, Any]:
    """Return a plan as the API shows it."""
    return {
        "id": row.id,
        "kind": row.kind,
        "site": row.site_id,
        "state": row.state,
        "steps": row.steps,
        "note": row.note,
        "result": row.result,
        "left_out": row.left_out,
        "asked_at": rfc3339(row.asked_us),
        "asked_by": row.asked_by,
        "made_at": rfc3339_or_none(row.made_us),
        "approved_at": rfc3339_or_none(row.approved_us),
        "approved_by": row.approved_by,
        "done_at": rfc3339_or_none(row.done_us),
    }
