"""What the API says of thing models and overrides, and what it takes."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from plantroom_cloud.kit.parameters import MAX_ID, PlainText
from plantroom_cloud.kit.problems import invalid
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.tables import MappingOverride
from plantroom_cloud.thingmodels.documents import Change, document_of
from plantroom_cloud.thingmodels.service import Checked, Imported
from plantroom_shared.mapping.conversion import NO_UNIT
from plantroom_shared.mapping.schema import SchemaFinding
from plantroom_shared.mapping.things import ThingModel
from plantroom_shared.units import parse_unit

_MOST_POINTS = 50
_MOST_FINDINGS = 5000
_Identifier = Annotated[
    str, StringConstraints(max_length=128, pattern=r"\A([A-Za-z0-9_][A-Za-z0-9_.\-]*)?\z")
]
_Short = Annotated[str, StringConstraints(max_length=64, pattern=r"\A[^\x00]*\z")]


class ModelOut(BaseModel):
    """A thing model, without its points."""

    model: str
    title: str
    origin: str = Field(description="built-in, or the file or EnOS that it was imported from.")
    version: int | None = Field(description="Null for a built-in model.")
    points: int
    required: int = Field(description="Points without which equipment is incomplete.")
    imported: str | None


class ModelList(BaseModel):
    """Every model that points can be mapped to, by name."""

    items: list[ModelOut]


class VersionOut(BaseModel):
    """One version of a model."""

    version: int
    origin: str
    actor: str
    imported: str
    ended: str | None = Field(description="When it was deleted or followed by another version.")


class ModelDetail(BaseModel):
    """A model with everything that it inherits."""

    model: str
    title: str
    description: str
    parent: str
    points: dict[str, Any] = Field(description="Identifier → type, unit, signal, required ...")
    attributes: dict[str, Any]
    versions: list[VersionOut]


class ProblemOut(BaseModel):
    """Something of a file that could not be read."""

    file: str
    key: str = Field(description="Where in the file.")
    what: str
    fix: str


class ImportOut(BaseModel):
    """What became of the models of a file: those that are wrong cost no other."""

    new: list[str]
    changed: list[str] = Field(description="These have a further version now.")
    same: list[str]
    problems: list[ProblemOut]
    untold: int = Field(description="Further problems that are not shown.")


class ChangeOut(BaseModel):
    """One difference."""

    what: str = Field(description="added, removed or changed")
    where: str = Field(examples=["points.CH_raw_status"])
    before: Any
    after: Any


class DiffOut(BaseModel):
    """How two versions of a model differ."""

    model: str
    before: str
    after: str
    changes: list[ChangeOut]


class DeletedOut(BaseModel):
    """A model or an override that holds no more."""

    deleted: str


class FindingOut(BaseModel):
    """One thing of a site's mapping that does not fit."""

    kind: str = Field(examples=["unit"])
    severity: str = Field(description="error or warning")
    equipment: str
    model: str
    model_point: str
    points: list[int] = Field(description="Ids, the first ones where they are many.")
    count: int = Field(description="How many points it is about.")
    text: str
    fix: str


class SchemaCheckOut(BaseModel):
    """How a site's mapping fits the models it is mapped to."""

    site: int
    target: str
    points: int = Field(description="Points that the mapper has looked at.")
    mapped: int = Field(description="Points with a model point.")
    fitting: int = Field(description="Mapped points that no error names.")
    equipment: int
    kinds: dict[str, int] = Field(description="Kind of finding → how many.")
    findings: list[FindingOut] = Field(description="Errors first.")
    untold: int = Field(description="Further findings that are not shown; `kinds` counts all.")


class OverrideIn(BaseModel):
    """What to publish in place of a mapping; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    site: Annotated[int, Field(ge=1, le=MAX_ID)] | None = None
    """Only at this site."""
    point: Annotated[int, Field(ge=1, le=MAX_ID)] | None = None
    """Only this point."""
    equipment: PlainText = ""
    """Only this equipment."""
    model: _Identifier = ""
    """Only what is mapped to this model ..."""
    model_point: _Identifier = ""
    """... and this point of it."""
    to_model: _Identifier = ""
    """Publish to this model."""
    to_point: _Identifier = ""
    """Publish to this point."""
    unit: _Short = ""
    """What the values are really in, after the multiplier."""
    sign: Literal[1, -1] = 1
    multiplier: float = 1.0
    """One raw step in `unit`."""
    states: Annotated[dict[_Short, _Short], Field(max_length=256)] = {}
    """State of the point, number or text → value of the model point."""
    note: Annotated[str, StringConstraints(max_length=1000, pattern=r"\A[^\x00]*\z")] = ""

    def columns(self) -> dict[str, Any]:
        """Return it as columns of a row; InvalidRequest where it says nothing or nothing possible."""
        if self.unit in NO_UNIT - {""} or (self.unit and parse_unit(self.unit) is None):
            msg = f"{self.unit!r} is no unit known here; write it as °C, kW, %, L/s ..."
            raise invalid(msg, parameter="unit")
        if not math.isfinite(self.multiplier) or self.multiplier == 0:
            msg = "give a finite number other than 0"
            raise invalid(msg, parameter="multiplier")
        about = (self.site, self.point, self.equipment, self.model, self.model_point)
        says = (self.to_model, self.to_point, self.unit, self.states)
        if not any(about):
            msg = "say what it is about: site, point, equipment, model or model_point"
            raise invalid(msg, parameter="model")
        if not any(says) and self.sign == 1 and self.multiplier == 1:
            msg = "say what to change: to_model, to_point, unit, sign, multiplier or states"
            raise invalid(msg, parameter="unit")
        told = self.model_dump(exclude={"site", "point", "model"})
        return told | {"site_id": self.site, "point_id": self.point, "model_id": self.model}


class OverrideOut(BaseModel):
    """An override."""

    id: int
    site: int | None
    point: int | None
    equipment: str
    model: str
    model_point: str
    to_model: str
    to_point: str
    unit: str
    sign: int
    multiplier: float
    states: dict[str, str]
    note: str
    actor: str
    created: str
    ended: str | None


class OverrideList(BaseModel):
    """The overrides of a company."""

    items: list[OverrideOut]


def show_head(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a company's own model."""
    points = row.document.get("points", {})
    return {
        "model": row.model_id,
        "title": row.document.get("title", ""),
        "origin": row.origin,
        "version": row.version,
        "points": len(points),
        "required": sum(bool(point.get("required")) for point in points.values()),
        "imported": rfc3339(row.created_us),
    }


def show_builtin(model: ThingModel) -> dict[str, Any]:
    """Return the JSON of a built-in model."""
    return {
        "model": model.model_id,
        "title": model.title,
        "origin": "built-in",
        "version": None,
        "points": len(model.points),
        "required": sum(point.required for point in model.points.values()),
        "imported": None,
    }


def show_model(model: ThingModel, versions: list[AnyRow]) -> dict[str, Any]:
    """Return the JSON of a model with its points."""
    document = document_of(model)
    return {
        "model": model.model_id,
        "title": model.title,
        "description": model.description,
        "parent": model.parent,
        "points": document["points"],
        "attributes": document["attributes"],
        "versions": [
            {
                "version": row.version,
                "origin": row.origin,
                "actor": row.actor,
                "imported": rfc3339(row.created_us),
                "ended": rfc3339_or_none(row.ended_us),
            }
            for row in versions
        ],
    }


def show_import(done: Imported) -> dict[str, Any]:
    """Return the JSON of what became of a file."""
    problems = [{"file": p.file, "key": p.key, "what": p.what, "fix": p.fix} for p in done.problems]
    told = {name: getattr(done, name) for name in ("new", "changed", "same", "untold")}
    return told | {"problems": problems}


def show_diff(model_id: str, before: str, after: str, found: list[Change]) -> dict[str, Any]:
    """Return the JSON of a comparison."""
    return {
        "model": model_id,
        "before": before,
        "after": after,
        "changes": [
            {"what": c.what, "where": c.where, "before": c.before, "after": c.after} for c in found
        ],
    }


def show_check(
    site: int, target: str, checked: Checked, found: list[SchemaFinding]
) -> dict[str, Any]:
    """Return the JSON of a schema check."""
    shown = sorted(found, key=lambda finding: finding.severity != "error")[:_MOST_FINDINGS]
    return {
        "site": site,
        "target": target,
        "points": checked.points,
        "mapped": checked.mapped,
        "fitting": checked.fitting,
        "equipment": checked.equipment,
        "kinds": checked.findings,
        "findings": [_show_finding(finding) for finding in shown],
        "untold": len(found) - len(shown),
    }


def _show_finding(finding: SchemaFinding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "equipment": finding.equipment,
        "model": finding.model_id,
        "model_point": finding.model_point,
        "points": [int(point) for point in finding.points[:_MOST_POINTS]],
        "count": len(finding.points),
        "text": finding.text,
        "fix": finding.fix,
    }


def show_override(row: MappingOverride) -> dict[str, Any]:
    """Return the JSON of an override."""
    same = ("id", "equipment", "model_point", "to_model", "to_point", "unit", "sign", "multiplier")
    return {name: getattr(row, name) for name in (*same, "states", "note", "actor")} | {
        "site": row.site_id,
        "point": row.point_id,
        "model": row.model_id,
        "created": rfc3339(row.created_us),
        "ended": rfc3339_or_none(row.ended_us),
    }
