"""CSV: a row per point, readable by people and by `plantroom-cloud map`, too.

A spreadsheet reads a cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula. For people who
open the file there, such cells get an apostrophe in front, and the row's last column says so.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Final

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
    check_size,
    confidence_of,
    cut,
    equipment_of,
    one_of,
    plain,
    states_of,
)
from plantroom_cloud.mapping.pointlist import FORMULA, MAX_CELL, delimiter, text_of
from plantroom_shared.errors import Rejected

COLUMNS: Final = (
    "building",
    "gateway",
    "point",
    "device",
    "point_name",
    "description",
    "units",
    "object_type",
    "states",
    "writable",
    "equip_id",
    "equip_class",
    "parent",
    "relation",
    "point_type",
    "model",
    "model_point",
    "confidence",
    "source",
    "state",
)
APOSTROPHES: Final = "apostrophes"
_BOOLS: Final = {True: "true", False: "false", None: ""}
_FROM_BOOLS: Final = {"true": True, "false": False}
_OTHER_NAMES: Final = {"unit": "units", "point_class": "point_type", "equipment": "equip_id"}
"""Columns as other lists call them."""


class TableWriter:
    """Writes CSV, with apostrophes before formulas where a spreadsheet shall read it."""

    def __init__(self, outline: Outline, *, spreadsheet: bool = False) -> None:
        self._outline, self._spreadsheet = outline, spreadsheet
        self._told: set[str] = set()

    def head(self) -> str:
        """Return the names of the columns."""
        return _line([*COLUMNS, APOSTROPHES] if self._spreadsheet else COLUMNS)

    def points(self, points: Iterable[PointMeaning]) -> str:
        """Return a row per point."""
        return "".join(self._row(point) for point in points)

    def tail(self) -> str:
        """Return a row per equipment that no point has named."""
        silent = (e for key, e in self._outline.equipment.items() if key not in self._told)
        return self.points(PointMeaning(equipment=e.key, equip_class=e.equip_class) for e in silent)

    def _row(self, point: PointMeaning) -> str:
        self._told.add(point.equipment)
        equipment = self._outline.equipment.get(point.equipment, Equipment(point.equipment))
        site = self._outline.site
        states = json.dumps(point.states, ensure_ascii=False) if point.states else ""
        sure = "" if point.confidence is None else repr(point.confidence)
        cells = [
            *(site.slug, point.gateway, point.key, point.device, point.name),
            *(point.description, point.unit, point.object_type, states, _BOOLS[point.writable]),
            *(point.equipment, point.equip_class, equipment.parent, equipment.relation),
            *(point.point_class, point.model_id, point.model_point, sure),
            *(point.source, point.state),
        ]
        cells = [plain(cell) for cell in cells]
        if self._spreadsheet:
            # One that begins with an apostrophe by itself gets another: reading takes one away.
            risky = any(cell.startswith(FORMULA) for cell in cells)
            if risky:
                cells = [f"'{c}" if c.startswith((*FORMULA, "'")) else c for c in cells]
            cells.append("1" if risky else "")
        return _line(cells)


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue()


def read_table(data: bytes) -> Content:
    """Return what a list says; only a name or a key of each point is needed.

    Raises:
        Rejected: it is no list of points.
    """
    check_size(data)
    content = Content()
    relations: dict[str, tuple[str, str]] = {}
    silent: dict[str, str] = {}
    for number, row in _rows(data, content):
        content.site = content.site if content.site.slug else _site(row)
        point = _point(row)
        if point.equipment and row.get("parent"):
            relation = one_of(row.get("relation"), RELATIONS) or RELATIONS[0]
            relations.setdefault(point.equipment, (cut(row["parent"]), relation))
        if point.key or point.name:
            content.points.append(point)
        elif point.equipment:
            silent.setdefault(point.equipment, point.equip_class)
        else:
            content.note(f"line {number}: neither a point nor an equipment")
        if len(content.points) > MAX_POINTS:
            msg = f"more than {MAX_POINTS} points; split the file by equipment"
            raise Rejected(msg, reason="too_large")
    content.equipment = equipment_of(content.points, relations, silent)
    return content


def _rows(data: bytes, content: Content) -> Iterator[tuple[int, dict[str, str]]]:
    text = text_of(data)
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter(text))
    try:
        names = [cell.strip().casefold() for cell in next(reader, [])]
    except csv.Error as error:
        msg = f"no CSV: {error}"
        raise Rejected(msg, reason="format") from error
    header = [_OTHER_NAMES.get(name, name) for name in names]
    if not {"point_name", "point", "equip_id"} & set(header):
        seen = ", ".join(header[:12])[:200] or "nothing"
        msg = f"there is no column point_name or point; the first line has: {seen}"
        raise Rejected(msg, reason="format")
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            content.note(f"line {reader.line_num}: {error}")
            continue
        if cells:
            yield reader.line_num, _bare(dict(zip(header, cells, strict=False)))


def _bare(row: dict[str, str]) -> dict[str, str]:
    """Return a row without the apostrophes that were put there for a spreadsheet."""
    if row.get(APOSTROPHES) != "1":
        return row
    return {name: cell.removeprefix("'") for name, cell in row.items()}


def _site(row: Mapping[str, str]) -> SiteAbout:
    return SiteAbout(cut(row.get("building")))


def _point(row: Mapping[str, str]) -> PointMeaning:
    def text(name: str) -> str:
        return cut(row.get(name))

    return PointMeaning(
        gateway=text("gateway"),
        key=text("point"),
        device=text("device"),
        name=text("point_name"),
        description=text("description"),
        unit=text("units"),
        object_type=text("object_type"),
        states=_states(row.get("states", "")),
        writable=_FROM_BOOLS.get(row.get("writable", "")),
        equipment=text("equip_id"),
        equip_class=text("equip_class"),
        point_class=text("point_type"),
        model_id=text("model"),
        model_point=text("model_point"),
        confidence=confidence_of(row.get("confidence")) if row.get("confidence") else None,
        source=one_of(row.get("source"), SOURCES),
        state=one_of(row.get("state"), STATES),
    )


def _states(text: str) -> tuple[str, ...]:
    if not text.startswith("["):
        return ()
    try:
        return states_of(json.loads(text))
    except (ValueError, RecursionError):
        return ()


CSV: Final = Format(
    "csv", "a row per point", "text/csv; charset=utf-8", ".csv", TableWriter, read_table
)
SPREADSHEET: Final = Format(
    "spreadsheet",
    "the same, safe to be opened in a spreadsheet",
    "text/csv; charset=utf-8",
    ".csv",
    partial(TableWriter, spreadsheet=True),
    read_table,
)
