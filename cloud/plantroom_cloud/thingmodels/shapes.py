"""One thing model in the shape of the API, of a console export or of a plain list → `ThingModel`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plantroom_shared.mapping.things import SCALARS, STRUCTURES, ModelPoint, ThingModel
from plantroom_shared.units import MAX_SPELLING

MAX_FEATURES: Final = 5000
"""Points, attributes, services and events of a model together: EnOS's own limit."""
MAX_CHOICES: Final = 1000
MAX_TEXT: Final = 1000
_MOST_TOLD: Final = 10
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}\Z")
_CLASS: Final = re.compile(r"TSL([A-Za-z]+?)(?:Measurepoint|Attribute)\Z")
_SYNONYMS: Final = {
    "TEXT": "STRING",
    "NUMBER": "DOUBLE",
    "MAP": "STRUCT",
    "LONG": "INT",
    "BOOLEAN": "BOOL",
    "INTEGER": "INT",
}
_POWERS: Final = {
    "YOTTA": 24, "ZETTA": 21, "EXA": 18, "PETA": 15, "TERA": 12, "GIGA": 9, "MEGA": 6, "KILO": 3,
    "HECTO": 2, "DECA": 1, "DEKA": 1, "ONE": 0, "DECI": -1, "CENTI": -2, "MILLI": -3, "MICRO": -6,
    "NANO": -9, "PICO": -12, "FEMTO": -15, "ATTO": -18, "ZEPTO": -21, "YOCTO": -24,
}  # fmt: skip
_NO_UNIT: Final = frozenset({"boolean", "bool", "none", "null", "-", "/"})
"""What lists write where a point has no unit."""
_SIGNALS: Final = {"AI": "AI", "DI": "DI", "PI": "PI", "GENERIC": "Generic"}
_OWN_LIMITS: Final = {"INT": 2**31 - 1, "FLOAT": 3.4e38, "DOUBLE": 1e300}
"""From here on a limit is that of the type, and says nothing."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, and what to do."""

    file: str
    key: str
    what: str
    fix: str

    def __str__(self) -> str:
        """Return it in one line, as errors are written everywhere."""
        where = ": ".join(part for part in (self.file, self.key) if part)
        return f"{where}: {self.what}; {self.fix}"


class Unreadable(Exception):
    """Something of a file that cannot be read; `key` is its place below what was asked for."""

    def __init__(
        self, what: str, *, key: str = "", fix: str = "", more: Sequence[Problem] = ()
    ) -> None:
        self.key, self.fix, self.more = key, fix or "correct it and import the file again", more
        super().__init__(what)


def shown(name: Any) -> str:
    """Return a name from a file as it may stand in a message."""
    text = str(name)
    return text if _IDENTIFIER.match(text) else repr(text[:60])


def model_ids(document: Mapping[str, Any]) -> str:
    """Return the id under which a document says that it is a model; empty where it says nothing."""
    for key in ("modelId", "thingModelId", "model_id"):
        if isinstance(document.get(key), str) and document[key]:
            return str(document[key])
    return ""


def model_of(document: Any, name: str = "") -> ThingModel:
    """Return a model from one document.

    Args:
        document: a JSON value of any of the shapes.
        name: its id where the document does not hold it.

    Raises:
        Unreadable: it is none, or something of it is wrong; `more` has what else is.
    """
    if not isinstance(document, dict):
        what = document if isinstance(document, str) else f"{type(document).__name__} is no model"
        raise Unreadable(what, fix="give an object for each model")
    _once(document, "")
    model_id = model_ids(document) or name
    if not _IDENTIFIER.match(model_id):
        what = f"{shown(model_id)} is no model id"
        raise Unreadable(what, key="modelId", fix="use 1 to 128 letters, digits, '_', '.' and '-'")
    points, attributes = _features(document, bool(name))
    extra = sum(len(_map(document, *keys)) for keys in _OTHERS)
    if len(points) + len(attributes) + extra > MAX_FEATURES:
        what = f"it has more than {MAX_FEATURES} points, attributes, services and events"
        raise Unreadable(what, fix="split the model")
    found: list[Problem] = []
    made = ThingModel(
        model_id,
        _read_all(points, model_id, found, "measurepoints"),
        _read_all(attributes, model_id, found, "attributes"),
        parent=_parent(document, model_id),
        title=_text(document.get("name", document.get("thingModelName", document.get("title")))),
        description=_text(
            document.get("desc", document.get("thingModelDesc", document.get("description")))
        ),
    )
    if found:
        first, *more = found
        raise Unreadable(first.what, key=first.key, fix=first.fix, more=more)
    return made


_OTHERS: Final = (("services", "thingServiceMap"), ("events", "thingEventMap"))


def _features(document: Mapping[str, Any], plain: bool) -> tuple[Any, Any]:
    points = _map(document, "measurepoints", "thingMeasurepointMap", "points")
    attributes = _map(document, "attributes", "thingAttributeMap")
    keys = ("measurepoints", "thingMeasurepointMap", "points")
    if plain and not any(key in document for key in keys) and not model_ids(document):
        # The plain list: every entry of the object is a point.
        return document, {}
    return points, attributes


def _map(document: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        found = document.get(key)
        if isinstance(found, dict):
            return found
        if found is not None:
            what = f"{type(found).__name__} where an object of features belongs"
            raise Unreadable(what, key=key, fix="give identifier → feature")
    return {}


def _once(document: Mapping[str, Any], key: str) -> None:
    """Refuse an object in which a name stands twice: nobody knows which of the two is meant."""
    twice = getattr(document, "twice", ())
    if twice:
        what = f"{shown(twice[0])} stands twice"
        raise Unreadable(what, key=key, fix="leave one of them out")


def _parent(document: Mapping[str, Any], model_id: str) -> str:
    parent = document.get("parentModelId", document.get("parent"))
    path = document.get("modelIdPath")
    if not parent and isinstance(path, str):
        steps = [step for step in path.split("/") if step]
        parent = steps[-2] if len(steps) > 1 and steps[-1] == model_id else ""
    if parent and not (isinstance(parent, str) and _IDENTIFIER.match(parent)):
        what = f"{shown(parent)} is no model id"
        raise Unreadable(what, key="parentModelId", fix="name the model that it inherits from")
    return str(parent or "")


# ---------------------------------------------------------------- features


def _read_all(
    features: Mapping[str, Any], model_id: str, problems: list[Problem], place: str
) -> dict[str, ModelPoint]:
    made: dict[str, ModelPoint] = {}
    twice = getattr(features, "twice", ())[:_MOST_TOLD]
    problems += [Problem("", f"{place}.{shown(n)}", "stands twice", "leave one out") for n in twice]
    for name, feature in features.items():
        if len(problems) >= _MOST_TOLD:
            break
        try:
            made[name] = _feature(name, feature, model_id)
        except Unreadable as error:
            key = ".".join(filter(None, (place, shown(name), error.key)))
            problems.append(Problem("", key, str(error), error.fix))
    return made


def _feature(name: str, feature: Any, model_id: str) -> ModelPoint:
    if not _IDENTIFIER.match(name):
        what = f"{shown(name)} is no identifier"
        raise Unreadable(what, fix="use 1 to 128 letters, digits, '_', '.' and '-'")
    if not isinstance(feature, dict):
        what = f"{type(feature).__name__} where a feature belongs"
        raise Unreadable(what, fix='give an object: {"dataType": "DOUBLE"}')
    _once(feature, "")
    told = feature.get("identifier", name)
    if told != name:
        what = f"it calls itself {shown(told)}"
        raise Unreadable(what, key="identifier", fix="let both be the same")
    definition = _definition(feature)
    unit, scale = _unit(feature)
    data_type = _type(feature, unit)
    return ModelPoint(
        name,
        data_type,
        unit,
        _signal(feature),
        _text(feature.get("kind"))[:32],
        model_id,
        scale=scale,
        required=_flag(feature, "required") or _flag(feature, "isRequired"),
        choices=_choices(feature, definition),
        minimum=_limit(feature, "minimum", data_type),
        maximum=_limit(feature, "maximum", data_type),
        title=_text(feature.get("name", feature.get("title"))),
    )


def _type(feature: Mapping[str, Any], unit: str) -> str:
    told = feature.get("dataType", feature.get("type"))
    if told is None and isinstance(feature.get("$class"), str):
        match = _CLASS.search(feature["$class"])
        told = match[1] if match else None
    if told is None:
        # Plain lists say no type: what has a unit is measured, the rest are states.
        return "DOUBLE" if unit or feature.get("kind") != "Status" else "INT"
    found = _SYNONYMS.get(str(told).upper(), str(told).upper())
    if found not in SCALARS | STRUCTURES:
        what = f"{shown(told)} is no data type"
        raise Unreadable(what, key="dataType", fix="use DOUBLE, FLOAT, INT, BOOL, ENUM or STRING")
    return found


def _unit(feature: Mapping[str, Any]) -> tuple[str, float]:
    told = feature.get("unit")
    if isinstance(told, str) and feature.get("enosUnit"):
        told = feature["enosUnit"]  # the other one is a tool's own word for it
    scale = feature.get("scale", 1.0)
    if isinstance(told, dict):
        multiplier = str(told.get("multiplier") or "ONE").upper()
        if multiplier not in _POWERS:
            what = f"{shown(multiplier)} is no multiplier"
            raise Unreadable(what, key="unit.multiplier", fix="use ONE, KILO, MEGA, MILLI ...")
        told, scale = told.get("unitId"), 10.0 ** _POWERS[multiplier]
    if not isinstance(told, str | None) or len(told or "") > MAX_SPELLING or "\0" in (told or ""):
        what = f"{shown(told)} is no unit"
        raise Unreadable(what, key="unit", fix="write it as °C, kW, % ...")
    if not isinstance(scale, int | float) or isinstance(scale, bool) or not 1e-30 < scale < 1e30:
        what = f"{shown(scale)} is no scale"
        raise Unreadable(what, key="scale", fix="use a number above 0")
    text = _storable(told or "").strip()
    return "" if text.casefold() in _NO_UNIT else text, float(scale)


def _signal(feature: Mapping[str, Any]) -> str:
    told = feature.get("signalType", feature.get("signal"))
    return _SIGNALS.get(str(told or "").upper(), "")


def _flag(feature: Mapping[str, Any], key: str) -> bool:
    told = feature.get(key)
    return told is True or (isinstance(told, str) and told.casefold() == "true")


def _limit(feature: Mapping[str, Any], key: str, data_type: str) -> float | None:
    told = feature.get(key)
    if told in (None, ""):
        return None
    try:
        number = float(told) if isinstance(told, str | int | float) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if math.isnan(number) or isinstance(told, bool):
        what = f"{shown(told)} is no number"
        raise Unreadable(what, key=key, fix="use a number")
    if abs(number) >= _OWN_LIMITS.get(data_type, 0):
        return None
    return number


def _definition(feature: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``dataDefinition``: JSON within a string, or an object, or nothing."""
    told = feature.get("dataDefinition")
    if isinstance(told, str) and told.strip():
        try:
            told = json.loads(told)
        except (ValueError, RecursionError):
            what = "it is no JSON within a string"
            raise Unreadable(what, key="dataDefinition", fix="export the model again") from None
    return told if isinstance(told, dict) else {}


def _choices(
    feature: Mapping[str, Any], definition: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    told: Any = dict(_pairs(feature.get("choices")))
    for source, key in ((definition, "enumDesc"), (definition, "boolDesc"), (feature, "specsMap")):
        found = source.get(key)
        told = found if isinstance(found, dict) and found else told
    if len(told) > MAX_CHOICES:
        what = f"{len(told)} choices are more than {MAX_CHOICES}"
        raise Unreadable(what, key="dataDefinition", fix="use a number or a text in its place")
    made = []
    for value, text in told.items():
        if not value.strip() or len(value) > 32 or "\0" in value:
            what = f"{shown(value)} is no choice"
            raise Unreadable(what, key="dataDefinition", fix="use 1 to 32 characters")
        made.append((_storable(value).strip(), _text(text)[:200]))
    return tuple(made)


def _pairs(listed: Any) -> list[list[str]]:
    """Return the choices of a document of our own."""
    told = listed if isinstance(listed, list) else []
    pairs = [pair for pair in told if isinstance(pair, list) and len(pair) == 2]
    return [pair for pair in pairs if all(isinstance(part, str) for part in pair)]


def _text(told: Any) -> str:
    """Return a text that may be internationalised, and may be JSON within a string."""
    if isinstance(told, str) and told.lstrip().startswith("{"):
        try:
            told = json.loads(told)
        except (ValueError, RecursionError):
            return _bounded(told)
    if isinstance(told, dict):
        names = told.get("i18nValue")
        english = names.get("en_US") if isinstance(names, dict) else None
        told = english or told.get("defaultValue") or told.get("en_US")
    return _bounded(told)


def _bounded(told: Any) -> str:
    return _storable(told[:MAX_TEXT]).strip() if isinstance(told, str) else ""


def _storable(text: str) -> str:
    """Return a text without what no database holds: NUL, and halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
