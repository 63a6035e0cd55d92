"""Engineering data exchange (EDE): what a site's files say of BACnet objects.

The format is BIG-EU's, layouts 2.0 to 2.3: a table of objects, and beside it tables of state texts
and of unit codes. Files come from many tools and are not trusted: headings may be missing or in
another order, encodings and separators differ. What a file does not say is asked of the device.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from plantroom_edge.drivers.bacnet.facts import MOST_STATES, Found, device_of, point_of, said_of
from plantroom_edge.drivers.bacnet.services import WHOLE, Ref
from plantroom_edge.drivers.bacnet.values import Failure
from plantroom_edge.drivers.bacnet.vocabulary import (
    ACTIVE_TEXT,
    BINARY_TYPES,
    COV_INCREMENT,
    DESCRIPTION,
    DEVICE,
    INACTIVE_TEXT,
    LOOP,
    MAX_INSTANCE,
    MAX_PRESENT_VALUE,
    MIN_PRESENT_VALUE,
    MULTI_STATE_TYPES,
    OBJECT_NAME,
    OUTPUT_UNITS,
    POINT_TYPES,
    PRIORITY_ARRAY,
    STATE_TEXT,
    UNITS,
    object_id,
    split,
    unit_name,
)
from plantroom_edge.table import MOST_OCTETS, Row, rows
from plantroom_shared.errors import ConfigError

Facts = dict[Ref, Any]

_COLUMNS: Final = (
    "keyname", "device", "name", "type", "instance", "description", "default", "low", "high",
    "settable", "cov", "hilimit", "lowlimit", "states", "unit",
)  # fmt: skip
"""In the order of the format, which holds where no heading says otherwise."""
_HEADINGS: Final = {
    "keyname": "keyname", "deviceobjinstance": "device", "deviceobjectinstance": "device",
    "deviceinstance": "device", "objectname": "name", "objecttype": "type",
    "objectinstance": "instance", "objinstance": "instance", "description": "description",
    "minpresentvalue": "low", "maxpresentvalue": "high", "settable": "settable",
    "commandable": "settable", "statetextreference": "states", "unitcode": "unit",
}  # fmt: skip
_NEEDED: Final = ("device", "type", "instance", "name")
_PREAMBLE: Final = frozenset({
    "project_name", "version_of_referencefile", "timestamp_of_last_change",
    "author_of_last_change", "version_of_layout", "limited_resources",
})  # fmt: skip
_TYPE_NAMES: Final = {name: number for number, name in POINT_TYPES.items()} | {"device": DEVICE}
_MOST_TYPES: Final = 1023
_NO_UNITS: Final = 95
_MOST_TEXT: Final = 512
_YES, _NO = frozenset({"y", "yes", "j", "ja", "true", "1"}), frozenset({"n", "no", "false", "0"})
_UNSAID: Final = Failure("not-in-file")
"""For what is not worth asking a device that has a file."""


@dataclass(slots=True)
class _Sheet:
    """One file."""

    file: str
    kind: str
    """``objects``, ``states``, ``units`` or ``types``."""
    rows: list[Row]
    columns: dict[str, int] = field(default_factory=lambda: dict(zip(_COLUMNS, range(99))))  # noqa: B905


@dataclass(slots=True)
class _Import:
    states: dict[int, list[str]] = field(default_factory=dict)
    units: dict[int, str] = field(default_factory=dict)
    devices: dict[int, Facts] = field(default_factory=dict)
    seen: dict[tuple[int, int], str] = field(default_factory=dict)
    """(device, object) → where it stands."""


def read_ede(paths: Iterable[Path]) -> dict[int, Facts]:
    """Return what the files say, by device instance.

    Raises:
        ConfigError: a file cannot be read or holds nonsense; names file, line and column.
    """
    return import_ede((str(path), _bytes(path)) for path in paths)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MOST_OCTETS + 1)
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        fix = "put the file there, or correct the path (relative to the configuration)"
        raise ConfigError(what, file=str(path), fix=fix) from error


def import_ede(files: Iterable[tuple[str, bytes]]) -> dict[int, Facts]:
    """Return what `files`, names and contents, say together, by device instance.

    Raises:
        ConfigError: as of `read_ede`.
    """
    sheets = [_sheet(file, list(rows(raw, file))) for file, raw in files]
    found = _Import()
    for sheet in sheets:
        if sheet.kind == "states":
            found.states |= _numbered(sheet)
        elif sheet.kind == "units":
            found.units |= {code: texts[0] for code, texts in _numbered(sheet).items() if texts}
    for sheet in sheets:
        if sheet.kind == "objects":
            for row in sheet.rows:
                _take(found, sheet, row)
    if sheets and not found.devices:
        names = ", ".join(sheet.file for sheet in sheets)
        what = "has no BACnet objects"
        fix = "give the file whose columns are keyname, device obj.-instance, object-name ..."
        raise ConfigError(what, file=names, fix=fix)
    return found.devices


def founds(devices: dict[int, Facts]) -> tuple[Found, ...]:
    """Return devices and points as the files have them, without asking anybody."""
    out = []
    for instance, facts in sorted(devices.items()):
        me, key = object_id(DEVICE, instance), f"bacnet:{instance}"
        objects = tuple(dict.fromkeys(oid for oid, _, _ in facts if oid != me))
        points = tuple(point_of(facts, oid, key) for oid in objects)
        said = {
            point.key: words
            for point, oid in zip(points, objects, strict=True)
            if (words := said_of(facts, oid)) is not None
        }
        out.append(Found(device_of(facts, me, key, ""), points, objects, said=said))
    return tuple(out)


# ---------------------------------------------------------------- which table it is


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _sheet(file: str, table: list[Row]) -> _Sheet:
    heading = next((row for row in table if _is_heading(row)), None)
    if heading is not None:
        sheet = _Sheet(file, "objects", [])
        named = {_HEADINGS.get(_plain(cell), ""): at for at, cell in enumerate(heading.cells)}
        if all(column in named for column in _NEEDED):
            sheet.columns = {column: at for column, at in named.items() if column}
    else:
        sheet = _Sheet(file, _kind(file, table), [])
    sheet.rows = [
        row
        for row in table
        if not row.comment and row is not heading and row[0].lower() not in _PREAMBLE
    ]
    return sheet


def _is_heading(row: Row) -> bool:
    named = {_HEADINGS.get(_plain(cell)) for cell in row.cells}
    return {"type", "instance"} <= named


def _kind(file: str, table: Sequence[Row]) -> str:
    """Return what a table without the heading of objects is: by its comments, then by its name."""
    comments = "".join(_plain(" ".join(row.cells)) for row in table if row.comment)
    for told in (comments, _plain(Path(file).name)):
        if "objecttype" in told and "instance" not in told:
            return "types"
        if any(word in told for word in ("statetext", "referencenumber", "text1")):
            return "states"
        if "unit" in told and "unitcode" not in told:
            return "units"
    return "objects"


# ---------------------------------------------------------------- tables of texts


def _numbered(sheet: _Sheet) -> dict[int, list[str]]:
    """Return a table whose first column is a number: state texts, units."""
    out: dict[int, list[str]] = {}
    for row in sheet.rows:
        if not row[0].isascii() or not row[0].isdigit():
            if row is sheet.rows[0]:
                continue  # a heading without comment sign
            raise _wrong(sheet, row, 0, "is no number", "give each text its number")
        texts = [cell[:_MOST_TEXT] for cell in row.cells[1 : 1 + MOST_STATES]]
        while texts and not texts[-1]:
            texts.pop()
        out[int(row[0][:9])] = texts
    return out


# ---------------------------------------------------------------- the table of objects


def _wrong(sheet: _Sheet, row: Row, column: int, what: str, fix: str) -> ConfigError:
    cell = f"column {column + 1} ({row[column]!r:.60})"
    return ConfigError(f"{cell} {what}", file=f"{sheet.file}:{row.line}", fix=fix)


def _number(sheet: _Sheet, row: Row, column: str, most: int) -> int:
    at = sheet.columns[column]
    text = row[at]
    if not (text.isascii() and text.isdigit() and len(text) <= 7 and int(text) <= most):
        fix = f"give the {column} as a whole number from 0 to {most}"
        raise _wrong(sheet, row, at, f"is no {column}", fix)
    return int(text)


def _take(found: _Import, sheet: _Sheet, row: Row) -> None:
    device = _number(sheet, row, "device", MAX_INSTANCE)
    at = sheet.columns["type"]
    kind = _TYPE_NAMES.get(row[at].lower().replace(" ", "-"), -1)
    if kind < 0:
        kind = _number(sheet, row, "type", _MOST_TYPES)
    oid = object_id(kind, _number(sheet, row, "instance", MAX_INSTANCE))
    here = f"{sheet.file}:{row.line}"
    if (before := found.seen.setdefault((device, oid), here)) is not here:
        what = f"names an object of device {device} again that stands at {before}"
        raise _wrong(sheet, row, sheet.columns["instance"], what, "remove one of the lines")
    if kind == DEVICE and split(oid)[1] == device:
        found.devices.setdefault(device, {}).update(_texts(sheet, row, oid))
    elif kind in POINT_TYPES:
        facts = found.devices.setdefault(device, {})
        facts |= _texts(sheet, row, oid) | _meaning(found, sheet, row, oid, kind)


def _cell(sheet: _Sheet, row: Row, column: str) -> str:
    at = sheet.columns.get(column)
    return "" if at is None else row[at][:_MOST_TEXT]


def _texts(sheet: _Sheet, row: Row, oid: int) -> Facts:
    texts: Facts = {(oid, DESCRIPTION, WHOLE): _cell(sheet, row, "description")}
    if name := _cell(sheet, row, "name"):
        texts[oid, OBJECT_NAME, WHOLE] = name
    return texts


def _meaning(found: _Import, sheet: _Sheet, row: Row, oid: int, kind: int) -> Facts:
    facts: Facts = {(oid, COV_INCREMENT, WHOLE): _UNSAID}
    settable = _cell(sheet, row, "settable").lower()
    if settable in _YES | _NO:
        facts[oid, PRIORITY_ARRAY, 0] = 16 if settable in _YES else _UNSAID
    for column, prop in (("low", MIN_PRESENT_VALUE), ("high", MAX_PRESENT_VALUE)):
        facts[oid, prop, WHOLE] = _real(_cell(sheet, row, column))
    unit = _unit(found, _cell(sheet, row, "unit"))
    if unit is not None:
        facts[oid, OUTPUT_UNITS if kind == LOOP else UNITS, WHOLE] = unit
    reference = _cell(sheet, row, "states")
    texts = found.states.get(int(reference)) if reference.isdecimal() else None
    if texts and kind in BINARY_TYPES:
        pair = [*texts, ""][:2]
        facts[oid, INACTIVE_TEXT, WHOLE], facts[oid, ACTIVE_TEXT, WHOLE] = pair
    elif texts and kind in MULTI_STATE_TYPES:
        facts[oid, STATE_TEXT, WHOLE] = texts
    return facts


def _real(text: str) -> float | Failure:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return _UNSAID
    return number if math.isfinite(number) else _UNSAID


def _unit(found: _Import, text: str) -> int | str | None:
    """Return the unit of a code, or as text; None if the file does not say."""
    if not text:
        return None
    if not text.isdecimal():
        return text
    code = int(text)
    # A vendor's own code means what the table of units says; a standard one what it always does.
    return found.units.get(code, code) if code != _NO_UNITS and not unit_name(code) else code
