"""A thing model as one JSON document: what a version is, and how two of them differ. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from plantroom_shared.mapping.things import ModelPoint, ThingModel

_FIELDS: Final = (
    ("type", "data_type"),
    ("unit", "unit"),
    ("scale", "scale"),
    ("signal", "signal_type"),
    ("kind", "kind"),
    ("required", "required"),
    ("choices", "choices"),
    ("minimum", "minimum"),
    ("maximum", "maximum"),
    ("title", "title"),
)
"""Key of the document → field of `ModelPoint`, in the order in which they are shown."""
_EMPTY: Final = ModelPoint("", "")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two versions of a model."""

    what: Literal["added", "removed", "changed"]
    where: str
    """``points.AHU_raw_status``, ``parent`` ..."""
    before: Any
    after: Any


def document_of(model: ThingModel) -> dict[str, Any]:
    """Return a model as JSON; what is not told is left out."""
    head = {"title": model.title, "description": model.description, "parent": model.parent}
    return {
        "model_id": model.model_id,
        **{key: text for key, text in head.items() if text},
        "points": {name: _shown(point) for name, point in sorted(model.points.items())},
        "attributes": {name: _shown(point) for name, point in sorted(model.attributes.items())},
    }


def _shown(point: ModelPoint) -> dict[str, Any]:
    told = {key: getattr(point, name) for key, name in _FIELDS}
    return {
        key: [list(pair) for pair in value] if key == "choices" else value
        for (key, name), value in zip(_FIELDS, told.values(), strict=True)
        if value != getattr(_EMPTY, name)
    }


def model_from(document: Mapping[str, Any]) -> ThingModel:
    """Return the model of a document that `document_of` made."""
    model_id = str(document["model_id"])
    return ThingModel(
        model_id,
        _points(document.get("points", {}), model_id),
        _points(document.get("attributes", {}), model_id),
        parent=document.get("parent", ""),
        title=document.get("title", ""),
        description=document.get("description", ""),
    )


def _points(told: Mapping[str, Mapping[str, Any]], model_id: str) -> dict[str, ModelPoint]:
    made: dict[str, ModelPoint] = {}
    for name, point in told.items():
        fields = {field: point[key] for key, field in _FIELDS if key in point}
        fields["choices"] = tuple((value, text) for value, text in fields.get("choices", ()))
        made[name] = ModelPoint(name, fields.pop("data_type", ""), model_id=model_id, **fields)
    return made


def digest(model: ThingModel) -> str:
    """Return the SHA-256 of a model: the same for the same content, in whatever order it came."""
    document = orjson.dumps(document_of(model), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(document).hexdigest()


def changes(before: ThingModel | None, after: ThingModel) -> list[Change]:
    """Return what makes `after` another model than `before`, by place."""
    old: dict[str, Any] = document_of(before) if before else {"points": {}, "attributes": {}}
    new = document_of(after)
    found = list(_differences("", _head(old), _head(new)))
    for part in ("points", "attributes"):
        found += _differences(f"{part}.", old[part], new[part])
    return found


def _head(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ("title", "description", "parent") if key in document}


def _differences(
    prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        what: Literal["added", "removed", "changed"] = "changed"
        if was is None or now is None:
            what = "added" if was is None else "removed"
        yield Change(what, f"{prefix}{name}", was, now)
