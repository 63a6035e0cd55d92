"""What the API takes and says of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from plantroom_cloud.kit.parameters import MAX_ID
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.pipeline import stages
from plantroom_cloud.pipeline.edges import MAX_EDGES, EdgeIn

MAX_SITES: Final = 1000
_POINT: Final = (
    "Id of the point; of an upload: its row in the list; "
    "of an Edge: bacnet:<device instance>:<object type>:<instance>."
)


class JobIn(BaseModel):
    """Which points a job is about, and what it does with them."""

    model_config = ConfigDict(extra="forbid")

    sites: list[Annotated[int, Field(ge=1, le=MAX_ID)]] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_SITES,
        examples=[[1]],
        description="All sites of the company where left out.",
    )
    edges: list[EdgeIn] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_EDGES,
        description="In place of sites: EnOS Edges, each of which finds the points of a building.",
    )
    llm: bool = Field(default=True, description="Ask the LLM, where one is configured.")
    publish: bool = Field(default=True, description="Enter the result into the sites' mappings.")


class StageOut(BaseModel):
    """How far one stage has come."""

    stage: str = Field(examples=["group"])
    state: str = Field(
        examples=["running"], description="waiting, running, done, failed, cancelled or skipped"
    )
    points: int = Field(description="Points that it is about.")
    done: int = Field(description="Points of these that it is done with.")
    chunks: int = Field(description="Chunks that are known by now.")
    chunks_done: int


class FiguresOut(BaseModel):
    """Of the buildings that are scored."""

    points: int
    classed: int = Field(description="Points with a class.")
    accepted: int = Field(description="Points that nobody need look at.")
    modelled: int = Field(description="Points with a thing-model point.")
    equipment: int
    templates: int
    coverage: float = Field(description="Share of the points that can be accepted at `precision`.")
    precision: float


class TroubleOut(BaseModel):
    """A chunk that could not be done, at the last try or before; of one that is done: what it lacks."""

    stage: str
    building: int
    state: str
    tries: int
    reason: str


class JobOut(BaseModel):
    """One run of the pipeline."""

    id: str = Field(examples=["j-0011223344556677"])
    source: str = Field(examples=["upload"], description="upload, sites or edges")
    state: str = Field(
        examples=["running"], description="queued, running, done, failed or cancelled"
    )
    reason: str
    created: str
    ended: str | None
    buildings: int
    points: int
    progress: float = Field(examples=[0.5], description="From 0 to 1, over all stages.")
    stages: list[StageOut]
    options: dict[str, Any]
    notes: dict[str, Any] = Field(description="Rows of an upload that were left out or cut.")
    figures: FiguresOut | None = Field(description="None until a building is scored.")
    troubles: list[TroubleOut]


class JobShort(BaseModel):
    """A job in a list."""

    id: str
    source: str
    state: str
    created: str
    ended: str | None
    buildings: int
    points: int
    progress: float


class JobPage(BaseModel):
    """A page of jobs."""

    items: list[JobShort]
    next: str | None


class SearchOut(BaseModel):
    """How far an EnOS Edge has come with a building."""

    devices: int
    devices_read: int = Field(description="Devices whose points are all there.")
    points: int
    no_value: int = Field(description="Objects without a value: schedules, files and the like.")
    unreadable: int = Field(description="Records that made no sense.")


class BuildingOut(BaseModel):
    """One building of a job."""

    number: int
    name: str
    site: int | None
    points: int
    stage: str = Field(description="The last stage that is done; empty: none.")
    state: str = Field(description="open, done, failed or cancelled")
    search: SearchOut | None = Field(description="None where no Edge finds its points, or not yet.")
    figures: FiguresOut | None


class BuildingPage(BaseModel):
    """A page of buildings."""

    items: list[BuildingOut]
    next: str | None


class JobPointOut(BaseModel):
    """What a point means, as far as the job has come with its building."""

    building: int
    row: int = Field(description="Within the building, from 0.")
    point: str = Field(description=_POINT)
    name: str
    stage: str = Field(description="What it was found by: group, map or score; empty: nothing yet.")
    template: str
    equipment: str
    equip_class: str
    point_class: str
    model: str
    model_point: str
    confidence: float | None
    source: str
    state: str = Field(description="accepted or proposed; empty until it is scored.")
    evidence: list[Any]
    candidates: list[str]


class JobPointPage(BaseModel):
    """A page of a job's result."""

    items: list[JobPointOut]
    next: str | None


Progress = Sequence[AnyRow]
"""Rows of `JobRepository.progress`."""


def show_job(
    row: AnyRow, progress: Progress, told: Sequence[AnyRow], troubles: Sequence[AnyRow]
) -> dict[str, Any]:
    """Return the JSON of a job."""
    scored = [one.told for one in told]
    return {
        **show_short(row, progress),
        "reason": row.reason,
        "stages": [_stage(row, name, progress) for name in stages.STAGES],
        "options": row.options,
        "notes": row.notes,
        "figures": show_figures(stages.added(scored)) if scored else None,
        "troubles": [dict(one._mapping) for one in troubles],  # noqa: SLF001 - its public way
    }


def show_short(row: AnyRow, progress: Progress) -> dict[str, Any]:
    """Return the JSON of a job in a list."""
    shown = [_stage(row, name, progress) for name in stages.STAGES]
    counted = [one for one in shown if one["state"] != "skipped"]
    whole = sum(one["points"] for one in counted)
    share = sum(one["done"] for one in counted) / whole if whole else float(row.state == "done")
    begun = any(one.tries for one in progress)
    return {
        "id": row.id,
        "source": row.source,
        "state": row.state if row.state != "open" else ("running" if begun else "queued"),
        "created": rfc3339(row.created_us),
        "ended": rfc3339_or_none(row.ended_us),
        "buildings": len(row.buildings),
        "points": shown[0]["points"],
        "progress": round(share, 4),
    }


def _stage(row: AnyRow, name: str, progress: Progress) -> dict[str, Any]:
    own = [one for one in progress if one.stage == name]
    total = sum(int(one.points) for one in progress if one.stage == "select")
    done = sum(int(one.points) for one in own if one.state == "done")
    states = {one.state for one in own}
    return {
        "stage": name,
        "state": _stage_state(row, name, states, whole=done == total),
        "points": total,
        "done": done,
        "chunks": sum(int(one.chunks) for one in own),
        "chunks_done": sum(int(one.chunks) for one in own if one.state == "done"),
    }


def _stage_state(row: AnyRow, name: str, states: set[str], *, whole: bool) -> str:
    publishing = row.options.get("publish") and row.source == "sites"
    if name == "publish" and not publishing:
        return "skipped"
    for state in ("failed", "cancelled"):
        if state in states:
            return state
    if whole and states <= {"done"} and (states or row.state == "done"):
        return "done"
    if row.state == "open" or states:
        return "running" if "claimed" in states or "done" in states else "waiting"
    return row.state if row.state != "done" else "skipped"


def show_figures(counted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of figures."""
    shown = {name: value for name, value in counted.items() if name != "confidence"}
    share = stages.coverage(counted["confidence"], counted["points"])
    return {**shown, "coverage": round(share, 4), "precision": stages.PRECISION}


def show_building(
    number: int, place: Mapping[str, Any], chunks: Sequence[AnyRow]
) -> dict[str, Any]:
    """Return the JSON of a building with its chunks."""
    by_stage = {name: [one for one in chunks if one.stage == name] for name in stages.STAGES}
    states = {one.state for one in chunks}
    done = [
        name for name, own in by_stage.items() if own and all(one.state == "done" for one in own)
    ]
    scored = [one.told for one in by_stage["score"] if one.state == "done"]
    bad = next((state for state in ("failed", "cancelled") if state in states), "")
    return {
        "number": number,
        "name": place["name"],
        "site": place["site"],
        "points": sum(one.points for one in by_stage["select"]),
        "stage": done[-1] if done else "",
        "state": bad or ("done" if states <= {"done"} else "open"),
        "search": next((_search(one.told) for one in by_stage["select"]), None),
        "figures": show_figures(scored[0]) if scored else None,
    }


def _search(told: Mapping[str, Any]) -> dict[str, int] | None:
    found = told.get("search")
    return {name: found.get(name, 0) for name in SearchOut.model_fields} if found else None


def show_point(
    building: int, number: int, stage: str, point: Mapping[str, Any], row: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the JSON of a point with what was found, which is nothing at first."""
    return {
        "building": building,
        "row": number,
        "point": point["key"],
        "name": point["name"],
        "stage": stage,
        "template": row.get("template", ""),
        "equipment": row.get("equipment", ""),
        "equip_class": row.get("equip_class", ""),
        "point_class": row.get("point_class", ""),
        "model": row.get("model_id", ""),
        "model_point": row.get("model_point", ""),
        "confidence": row.get("confidence"),
        "source": row.get("source", ""),
        "state": row.get("state", ""),
        "evidence": row.get("evidence", []),
        "candidates": row.get("candidates", []),
    }
