"""Haystack out of JSON, version 3 or 4, ours or anybody's: a grid, or its rows alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from plantroom_cloud.exchange.haystack import FEED_REF, MARKER, V3, V4, Ref, Row
from plantroom_cloud.exchange.record import (
    FEEDS,
    MAX_POINTS,
    PART_OF,
    SOURCES,
    STATES,
    Content,
    Equipment,
    Format,
    PointMeaning,
    SiteAbout,
    confidence_of,
    cut,
    one_of,
    read_json,
    states_of,
)
from plantroom_shared.errors import Rejected
from plantroom_shared.mapping.crosswalk import equip_class_of, feed_refs, point_class_of

_SIMPLE: Final = frozenset("acdhtubx")
"""Prefixes of version 3 for dates, places and the like: texts, as far as we are concerned."""


def read_haystack(data: bytes) -> Content:
    """Return what a grid says of a site.

    Raises:
        Rejected: it is no JSON, no grid, or there is no point and no equipment in it.
    """
    document = read_json(data)
    rows = document.get("rows") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        msg = "no Haystack: a grid has a list of rows"
        raise Rejected(msg, reason="format")
    if len(rows) > 2 * MAX_POINTS:
        msg = "more rows than a site can have; split the file"
        raise Rejected(msg, reason="too_large")
    whole = [row for row in rows if isinstance(row, dict)]
    values = (value for row in whole for value in row.values())
    newer = any(isinstance(value, dict) and "_kind" in value for value in values)
    read = _typed if newer else _prefixed
    return _Reading([_row(row, read) for row in whole]).content()


def _row(raw: Mapping[str, Any], read: Callable[[Any], Any]) -> Row:
    return {name: read(value) for name, value in raw.items() if value is not None}


def _prefixed(value: Any) -> Any:
    """Return a value of version 3: a marker, a Ref, a number, a text."""
    if not isinstance(value, str) or value[1:2] != ":":
        return value
    rest = value[2:]
    if value[0] == "m":
        return MARKER
    if value[0] == "r":
        return Ref(rest.split(" ", 1)[0])
    if value[0] == "n":
        return confidence_of(rest.split(" ", 1)[0])
    return rest if value[0] == "s" or value[0] in _SIMPLE else value


def _typed(value: Any) -> Any:
    """Return a value of version 4, where a text is but a text."""
    if not isinstance(value, dict):
        return value
    kind, inner = value.get("_kind"), value.get("val")
    if kind == "marker":
        return MARKER
    if kind == "ref":
        return Ref(inner) if isinstance(inner, str) else None
    return inner if kind in {"number", "str", "uri", "symbol"} else None


class _Reading:
    """Makes the record of the rows of one grid."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self._content = Content()
        self._keys: dict[str, str] = {}
        """Id of an equipment → its key."""

    def content(self) -> Content:
        """Return everything."""
        for row in self._rows:
            if row.get("site") is MARKER:
                slug = cut(row.get("plantroomSite")) or str(row.get("id", ""))
                zone = cut(row.get("plantroomTimezone"))
                self._content.site = SiteAbout(slug, _text(row, "dis"), zone)
        equipment = [row for row in self._rows if row.get("equip") is MARKER]
        taken: set[str] = set()
        for row in equipment:
            self._equipment(row, taken)
        for row in equipment:
            self._relate(row)
        points = [row for row in self._rows if row.get("point") is MARKER]
        if not points and not equipment:
            msg = "there is no point and no equipment in it"
            raise Rejected(msg, reason="empty")
        if len(points) > MAX_POINTS:
            msg = f"more than {MAX_POINTS} points; split the file"
            raise Rejected(msg, reason="too_large")
        self._content.points = [self._point(row) for row in points]
        return self._content

    def _equipment(self, row: Row, taken: set[str]) -> None:
        own = _text(row, "plantroomEquip")
        names = (own, _text(row, "navName"), _text(row, "dis"), str(row.get("id", "")))
        key = next((name for name in names if name and name not in taken), "")
        if not key:
            self._content.note("an equipment without a name and an id is left out")
            return
        taken.add(key)
        self._keys[str(row.get("id", ""))] = key
        known = _text(row, "plantroomClass") or _text(row, "brickClass")
        self._content.equipment[key] = Equipment(key, known or equip_class_of(_markers(row)))

    def _relate(self, row: Row) -> None:
        below = self._keys.get(str(row.get("id", "")), "")
        for name, relation in (
            *((ref, FEEDS) for ref in (FEED_REF, *feed_refs())),
            ("equipRef", PART_OF),
        ):
            above = self._keys.get(str(row.get(name, "")), "")
            known = self._content.equipment.get(below)
            if not above or known is None or not isinstance(row.get(name), Ref):
                continue
            if known.parent and known.parent != above:
                self._content.note(f"{below}: {above} is a second parent and is left out")
            elif not known.parent:
                made = Equipment(below, known.equip_class, above, relation)
                self._content.equipment[below] = made

    def _point(self, row: Row) -> PointMeaning:
        equipment = self._keys.get(str(row.get("equipRef", "")), "")
        known = self._content.equipment.get(equipment, Equipment(""))
        ours = "plantroomKey" in row
        name = _text(row, "plantroomName")
        foreign = _text(row, "navName") or _text(row, "dis") or str(row.get("id", ""))
        differs = _text(row, "plantroomEquipClass")
        writable = row.get("plantroomWritable", True if row.get("writable") is MARKER else None)
        return PointMeaning(
            gateway=_text(row, "plantroomGateway"),
            key=_text(row, "plantroomKey"),
            device=_text(row, "plantroomDevice"),
            name=name if ours or name else cut(foreign),
            description=_text(row, "plantroomDescription"),
            unit=_text(row, "plantroomUnit") or ("" if ours else _text(row, "unit")),
            object_type=_text(row, "plantroomObjectType"),
            states=_states(row, ours=ours),
            writable=writable if isinstance(writable, bool) else None,
            equipment=equipment,
            equip_class=differs.strip() if differs else known.equip_class,
            point_class=self._class(row, ours=ours),
            model_id=_text(row, "plantroomModel"),
            model_point=_text(row, "plantroomModelPoint"),
            confidence=confidence_of(row.get("plantroomConfidence")),
            source=one_of(row.get("plantroomSource"), SOURCES),
            state=one_of(row.get("plantroomState"), STATES),
        )

    def _class(self, row: Row, *, ours: bool) -> str:
        """Return the class that is said in full, else what the tags come to."""
        said = _text(row, "plantroomClass") or _text(row, "brickClass")
        if said or ours:
            return said
        tags = _markers(row)
        found = point_class_of(tags)
        if not found and len(tags) > 1:
            what = " ".join(sorted(tags - {"point"}))[:120]
            self._content.note(f"{_text(row, 'dis')}: no one Brick class has the tags {what}")
        return found


def _markers(row: Row) -> set[str]:
    return {name for name, value in row.items() if value is MARKER}


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if isinstance(value, Ref) else cut(value)


def _states(row: Row, *, ours: bool) -> tuple[str, ...]:
    text = _text_whole(row.get("plantroomStates"))
    if text:
        try:
            return states_of(orjson.loads(text))
        except orjson.JSONDecodeError:
            return ()
    return () if ours else states_of(_text(row, "enum").split(",")) if _text(row, "enum") else ()


def _text_whole(value: Any) -> str:
    return value if isinstance(value, str) and not isinstance(value, Ref) else ""


HAYSTACK: Final = Format(
    "haystack", "Haystack 4 JSON", "application/json", ".haystack.json", V4, read_haystack
)
HAYSTACK_V3: Final = Format(
    "haystack-v3", "Haystack 3 JSON", "application/json", ".haystack3.json", V3, read_haystack
)
