"""Project Haystack: a site, its equipment and points as a grid of tags, in either JSON of the standard.

Version 4 says the kind of a value by an object (``{"_kind": "marker"}``), version 3 by a prefix of
its text (``"m:"``). Markers of Haystack's own vocabulary say what a point is; what only we know
stands in tags that begin with ``plantroom``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

import orjson

from plantroom_cloud.exchange.record import (
    FEEDS,
    Equipment,
    Outline,
    PointMeaning,
    plain,
)
from plantroom_shared.mapping import canonical, is_equip_class, is_point_class
from plantroom_shared.mapping.crosswalk import (
    equip_tags,
    feed_ref,
    feed_refs,
    haystack_unit,
    point_tags,
)

MARKER: Final = object()
FEED_REF: Final = "plantroomFeedRef"
"""What feeds it, where Haystack has no reference for the medium."""
_SAFE: Final = re.compile(r"[^A-Za-z0-9_:-]")
_ENUM: Final = re.compile(r"[^,\x00-\x1f]{1,60}")
_FIRST: Final = ("id", "dis", "site", "equip", "point", "siteRef", "equipRef")
_SITE_TAGS: Final = ("tz", "plantroomSite", "plantroomTimezone")
_EQUIP_TAGS: Final = ("plantroomEquip", FEED_REF)
_POINT_TAGS: Final = (
    "kind",
    "unit",
    "enum",
    "writable",
    "brickClass",
    "plantroomClass",
    "plantroomEquipClass",
    "plantroomGateway",
    "plantroomKey",
    "plantroomDevice",
    "plantroomName",
    "plantroomDescription",
    "plantroomUnit",
    "plantroomObjectType",
    "plantroomStates",
    "plantroomWritable",
    "plantroomModel",
    "plantroomModelPoint",
    "plantroomConfidence",
    "plantroomSource",
    "plantroomState",
)


class Ref(str):
    """A reference to another row."""

    __slots__ = ()


Row = dict[str, Any]
Encode = Callable[[Any], Any]


def encode_v4(value: Any) -> Any:
    """Return a value as version 4 of the JSON encoding has it."""
    if value is MARKER:
        return {"_kind": "marker"}
    return {"_kind": "ref", "val": str(value)} if isinstance(value, Ref) else value


def encode_v3(value: Any) -> Any:
    """Return a value as version 3 of the JSON encoding has it."""
    if value is MARKER:
        return "m:"
    if isinstance(value, Ref):
        return f"r:{value}"
    if isinstance(value, str):
        return f"s:{value}"
    return value if isinstance(value, bool) else f"n:{value!r}"


class HaystackWriter:
    """Writes one grid: the columns, the site, its equipment, then the points."""

    def __init__(self, outline: Outline, *, encode: Encode, version: int) -> None:
        self._outline, self._encode, self._version = outline, encode, version
        self._slug = outline.site.slug

    def head(self) -> str:
        """Return the grid's head and the rows of site and equipment."""
        kind = {"_kind": "grid"} if self._version == 4 else {}
        head = kind | {"meta": {"ver": "3.0"}, "cols": [{"name": name} for name in self._columns()]}
        rows = [self._site(), *map(self._equipment, self._outline.equipment.values())]
        lines = ",\n".join(map(self._line, rows))
        return f'{_json(head)[:-1]},"rows":[\n{lines}'

    def points(self, points: Iterable[PointMeaning]) -> str:
        """Return a row per point."""
        return "".join(f",\n{self._line(self._point(point))}" for point in points)

    def tail(self) -> str:
        """Return the grid's end."""
        return "\n]}\n"

    def _columns(self) -> list[str]:
        """Return every tag that a row may have: the grid must say them before."""
        tags = {tag for name in self._outline.point_classes for tag in point_tags(name)}
        for item in self._outline.equipment.values():
            tags |= set(equip_tags(item.equip_class))
        known = (*_FIRST, *_SITE_TAGS, *feed_refs(), *_EQUIP_TAGS, *_POINT_TAGS)
        return [*known, *sorted(tags - set(known))]

    def _line(self, row: Row) -> str:
        return _json({name: self._encode(value) for name, value in row.items() if value != ""})

    def _site(self) -> Row:
        site = self._outline.site
        # Haystack names a time zone by its city.
        city = site.timezone.rsplit("/", 1)[-1]
        return {
            "id": self._ref(),
            "dis": plain(site.name or site.slug),
            "site": MARKER,
            "tz": plain(city),
            "plantroomSite": plain(site.slug),
            "plantroomTimezone": plain(site.timezone),
        }

    def _equipment(self, item: Equipment) -> Row:
        row: Row = {
            "id": self._ref("e", item.key),
            "dis": plain(item.key),
            "siteRef": self._ref(),
            "plantroomEquip": plain(item.key),
        }
        row |= dict.fromkeys(equip_tags(item.equip_class), MARKER)
        row |= _class(item.equip_class, item.equip_class, is_equip_class)
        if item.parent:
            above = self._outline.equipment.get(item.parent, Equipment("")).equip_class
            feeds = feed_ref(above) or FEED_REF
            name = feeds if item.relation == FEEDS else "equipRef"
            row[name] = self._ref("e", item.parent)
        return row

    def _point(self, point: PointMeaning) -> Row:
        row: Row = {
            "id": self._ref("p", point.gateway, point.key or point.name),
            "dis": plain(point.name or point.key),
            "siteRef": self._ref(),
        }
        if point.equipment:
            row["equipRef"] = self._ref("e", point.equipment)
        row |= dict.fromkeys(point_tags(point.claimed), MARKER) | _values(point)
        row |= _class(point.point_class, point.claimed, is_point_class)
        equipment = self._outline.equipment.get(point.equipment, Equipment("")).equip_class
        # An empty text would be left out: a blank says that this point gives no class.
        differs = point.equip_class != equipment
        own = {
            "plantroomEquipClass": (point.equip_class or " ") if differs else "",
            "plantroomGateway": point.gateway,
            "plantroomKey": point.key,
            "plantroomDevice": point.device,
            "plantroomName": point.name,
            "plantroomDescription": point.description,
            "plantroomUnit": point.unit,
            "plantroomObjectType": point.object_type,
            "plantroomStates": _json(list(map(plain, point.states))) if point.states else "",
            "plantroomModel": point.model_id,
            "plantroomModelPoint": point.model_point,
            "plantroomSource": point.source,
            "plantroomState": point.state,
        }
        row |= {name: plain(text) for name, text in own.items()}
        if point.confidence is not None:
            row["plantroomConfidence"] = point.confidence
        if point.writable is not None:
            row["plantroomWritable"] = point.writable
        return row

    def _ref(self, *path: str) -> Ref:
        """Return the id of a row: what an id may not hold is written as ``~xx``."""
        return Ref(".".join(_escaped(part) for part in (self._slug or "site", *path)))


def _escaped(text: str) -> str:
    def code(found: re.Match[str]) -> str:
        return "".join(f"~{byte:02x}" for byte in found[0].encode("utf-8", "replace"))

    return _SAFE.sub(code, text)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _class(name: str, claimed: str, known: Callable[[str], bool]) -> Mapping[str, str]:
    """Say the Brick class in full, since tags are coarser; one that may not be claimed is ours."""
    if name and name == claimed and name == canonical(name) and known(name):
        return {"brickClass": name}
    return {"plantroomClass": plain(name)}


def _values(point: PointMeaning) -> Row:
    """Return what Haystack wants to know of a point's values."""
    kind = point.object_type.casefold()
    two = len(point.states) == 2 or kind.startswith(("binary", "coil", "discrete", "bool"))
    many = not two and (len(point.states) > 2 or kind.startswith("multi"))
    row: Row = {"kind": "Bool" if two else "Str" if many else "Number"}
    if row["kind"] == "Number":
        row["unit"] = haystack_unit(point.unit)
    elif point.states and all(_ENUM.fullmatch(state) for state in point.states):
        row["enum"] = plain(",".join(point.states))
    if point.writable:
        row["writable"] = MARKER
    return row


V4 = partial(HaystackWriter, encode=encode_v4, version=4)
V3 = partial(HaystackWriter, encode=encode_v3, version=3)
