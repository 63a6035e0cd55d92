"""EnOS: devices with their measurement points, and the thing models they follow, as JSON.

Devices and models have the shapes in which the platform's own API takes and shows them; which point
on site a measurement point is, and what has no counterpart, stands beside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from plantroom_cloud.exchange.record import (
    MAX_POINTS,
    RELATIONS,
    SOURCES,
    STATES,
    Content,
    Equipment,
    Format,
    Outline,
    PointMeaning,
    SiteAbout,
    confidence_of,
    cut,
    one_of,
    plain,
    read_json,
    states_of,
)
from plantroom_cloud.publishing.enos.devices import i18n
from plantroom_cloud.publishing.enos.equipment import device_key
from plantroom_cloud.publishing.enos.models import thing_models
from plantroom_shared.errors import Rejected

_FIELDS: Final = {
    "gateway": "gateway",
    "key": "point",
    "device": "device",
    "name": "name",
    "description": "description",
    "unit": "unit",
    "object_type": "objectType",
    "point_class": "brickClass",
    "source": "source",
    "state": "state",
}
"""Field of the record → key of the JSON, of plain texts."""


class EnosWriter:
    """Writes one JSON object: site, devices in order of their equipment, then the models in use."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._waiting: list[PointMeaning] = []
        """Points of the equipment that is not whole yet."""
        self._told: set[str] = set()
        self._used: dict[str, set[str]] = defaultdict(set)
        self._first = True

    def head(self) -> str:
        """Return the beginning, with the site."""
        site = self._outline.site
        about = {"slug": site.slug, "name": site.name, "timezone": site.timezone}
        return f'{{"site":{_json(_plain(about))},\n"devices":[\n'

    def points(self, points: Iterable[PointMeaning]) -> str:
        """Return the devices that are whole by now."""
        lines: list[str] = []
        for point in points:
            if self._waiting and self._waiting[0].equipment != point.equipment:
                lines += self._flush()
            self._waiting.append(point)
        return "".join(lines)

    def tail(self) -> str:
        """Return the last devices, those without points, and the thing models."""
        lines = self._flush()
        for item in self._outline.equipment.values():
            if item.key not in self._told:
                lines.append(self._line(self._device(item, "", [])))
        models = ",\n".join(_json(_model(name, self._used[name])) for name in sorted(self._used))
        return f'{"".join(lines)}\n],\n"thingModels":[\n{models}\n]}}\n'

    def _flush(self) -> list[str]:
        points, self._waiting = self._waiting, []
        if not points:
            return []
        key = points[0].equipment
        self._told.add(key)
        item = self._outline.equipment.get(key, Equipment(key))
        by_model: dict[str, list[PointMeaning]] = defaultdict(list)
        for point in points:
            by_model[point.model_id].append(point)
            if point.model_id:
                self._used[point.model_id].add(point.model_point)
        return [self._line(self._device(item, name, own)) for name, own in by_model.items()]

    def _line(self, device: Mapping[str, Any]) -> str:
        comma, self._first = ("" if self._first else ",\n"), False
        return comma + _json(device)

    def _device(
        self, item: Equipment, model_id: str, points: Iterable[PointMeaning]
    ) -> dict[str, Any]:
        """Return a device; a device follows one thing model, so an equipment may be several."""
        tags = {
            "plantroomEquipment": item.key,
            "brickClass": item.equip_class,
            "parent": item.parent,
            "relation": item.relation,
        }
        return {
            "deviceKey": device_key(self._outline.site.slug, plain(item.key)),
            "deviceName": i18n(plain(item.key or self._outline.site.slug)),
            "timezone": plain(self._outline.site.timezone),
            "modelId": plain(model_id),
            "deviceTags": {name: plain(text) for name, text in tags.items() if text},
            "measurepoints": [_point(point, item) for point in points],
        }


def _point(point: PointMeaning, item: Equipment) -> dict[str, Any]:
    """Return a measurement point with the point on site that it is."""
    shown: dict[str, Any] = {"identifier": plain(point.model_point) or None}
    texts = ((key, getattr(point, name)) for name, key in _FIELDS.items())
    shown |= {key: plain(text) for key, text in texts if text}
    if point.states:
        shown["states"] = [plain(state) for state in point.states]
    if point.equip_class != item.equip_class:
        shown["equipClass"] = plain(point.equip_class)
    if point.writable is not None:
        shown["writable"] = point.writable
    if point.confidence is not None:
        shown["confidence"] = point.confidence
    return shown


def _model(model_id: str, used: Iterable[str]) -> dict[str, Any]:
    """Return a thing model as the platform shows it; of one that is not known, the points in use."""
    known = thing_models().get(model_id, {})
    names = [*known, *sorted(set(used) - known.keys() - {""})]
    points: dict[str, Any] = {}
    for name in names:
        point = known.get(name)
        unit = point.unit if point else ""
        points[plain(name)] = {
            "identifier": plain(name),
            "name": i18n(plain(name)),
            "dataType": point.data_type if point else None,
            "signalType": point.signal_type if point else None,
            "unit": {"unitId": unit, "multiplier": "ONE"} if unit else None,
        }
    return {
        "modelId": plain(model_id),
        "name": i18n(plain(model_id)),
        "attributes": {},
        "measurepoints": points,
        "services": {},
        "events": {},
    }


def read_enos(data: bytes) -> Content:
    """Return what a file of devices says of a site.

    Raises:
        Rejected: it is no JSON, or has no devices.
    """
    document = read_json(data)
    devices = document.get("devices") if isinstance(document, dict) else None
    if not isinstance(devices, list):
        msg = "no EnOS export: there is no list of devices"
        raise Rejected(msg, reason="format")
    site = document.get("site")
    content = Content()
    if isinstance(site, dict):
        texts = (cut(site.get(name)) for name in ("slug", "name", "timezone"))
        content.site = SiteAbout(*texts)
    for device in devices:
        if isinstance(device, dict):
            _take(content, device)
        if len(content.points) > MAX_POINTS:
            msg = f"more than {MAX_POINTS} points; split the file"
            raise Rejected(msg, reason="too_large")
    return content


def _take(content: Content, device: Mapping[str, Any]) -> None:
    given = device.get("deviceTags")
    tags = given if isinstance(given, dict) else {}
    key = cut(tags.get("plantroomEquipment"))
    parent = cut(tags.get("parent"))
    relation = one_of(tags.get("relation"), RELATIONS) if parent else ""
    item = Equipment(key, cut(tags.get("brickClass")), parent, relation)
    if key:
        content.equipment.setdefault(key, item)
    model_id = cut(device.get("modelId"))
    points = device.get("measurepoints")
    for shown in points if isinstance(points, list) else ():
        if isinstance(shown, dict):
            content.points.append(_read_point(shown, item, model_id))


def _read_point(shown: Mapping[str, Any], item: Equipment, model_id: str) -> PointMeaning:
    texts = {name: cut(shown.get(key)) for name, key in _FIELDS.items()}
    texts["source"] = one_of(texts["source"], SOURCES)
    texts["state"] = one_of(texts["state"], STATES)
    writable = shown.get("writable")
    differs = shown.get("equipClass")
    return PointMeaning(
        **texts,
        states=states_of(shown.get("states")),
        writable=writable if isinstance(writable, bool) else None,
        equipment=item.key,
        equip_class=item.equip_class if differs is None else cut(differs),
        model_id=model_id,
        model_point=cut(shown.get("identifier")),
        confidence=confidence_of(shown.get("confidence")),
    )


def _plain(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: plain(text) for name, text in texts.items()}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


ENOS: Final = Format(
    "enos", "EnOS devices and thing models", "application/json", ".enos.json", EnosWriter, read_enos
)
