"""Labelled point lists: a folder of CSV files, one row per point with what it truly means."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.mapping import taxonomy
from plantroom_cloud.mapping.pointlist import decode
from plantroom_shared.errors import ConfigError
from plantroom_shared.model import Point

REQUIRED: Final = ("building", "point_name", "point_type")
"""Columns without which nothing can be judged; all others may be absent or empty."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One point: what a mapper may see, and the truth."""

    building: str
    name: str
    description: str = ""
    unit: str = ""
    object_type: str = ""
    point_type: str = ""
    """Brick class; empty where it is not labelled and so not scored."""
    equip_id: str = ""
    equip_class: str = ""
    dataset: str = ""


def read(folder: Path, notes: list[str], option: str = "--data") -> dict[str, list[Labelled]]:
    """Return building → its points in the order of the files.

    Args:
        folder: where the lists lie.
        notes: gets a line per row that is odd but need not stop the run.
        option: how the folder was given, for errors.

    Raises:
        ConfigError: there is no list, a file or a column is wrong; names the file, key and fix.
    """
    if not folder.is_dir():
        fix = f"give {option} a folder of labelled CSV files"
        msg = "there is no such folder"
        raise ConfigError(msg, file=str(folder), fix=fix)
    files = sorted(folder.glob("*.csv"))
    if not files:
        fix = f"give {option} the folder in which the labelled CSV files lie"
        msg = "no .csv file in this folder"
        raise ConfigError(msg, file=str(folder), fix=fix)
    buildings: dict[str, list[Labelled]] = {}
    for path in files:
        for row in _rows(path, notes):
            buildings.setdefault(row.building, []).append(row)
    return buildings


def choose(buildings: dict[str, list[Labelled]], only: Sequence[str]) -> list[str]:
    """Return which buildings to judge: those named, else all that have a label.

    Raises:
        ConfigError: a named one is not there, or none has a label.
    """
    for name in only:
        if name not in buildings:
            known = ", ".join(sorted(buildings))[:300]
            msg = f"there is no building {name!r}"
            raise ConfigError(msg, key="--only", fix=f"choose from: {known}")
    labelled = [
        name
        for name, rows in sorted(buildings.items())
        if (not only or name in only) and any(row.point_type for row in rows)
    ]
    if not labelled:
        msg = "no point has a label"
        raise ConfigError(msg, key="point_type", fix="fill in the Brick class of the points")
    return labelled


def others(buildings: dict[str, list[Labelled]], building: str) -> list[Labelled]:
    """Return the rows that may teach a mapper which is then judged on `building`.

    Buildings of the same data set are left out with it, unless nothing else remains: they
    often share one integrator's way of naming.
    """
    own = {row.dataset for row in buildings.get(building, ()) if row.dataset}
    rest = [row for name, rows in buildings.items() if name != building for row in rows]
    return [row for row in rest if row.dataset not in own] or rest


def _rows(path: Path, notes: list[str]) -> Iterator[Labelled]:
    reader = csv.DictReader(io.StringIO(decode(path), newline=""))
    header = reader.fieldnames or []
    for key in REQUIRED:
        if key not in header:
            seen = ", ".join(header)[:200] or "nothing"
            what = f"there is no such column; the first line has: {seen}"
            fix = f"name the columns {', '.join(REQUIRED)}; equip_id and equip_class where known"
            raise ConfigError(what, file=str(path), key=key, fix=fix)
    for row in reader:
        cells = {key: (value or "") for key, value in row.items() if isinstance(key, str)}
        place = f"{path.name}:{reader.line_num}"
        empty = [key for key in ("building", "point_name") if not cells[key].strip()]
        if empty:
            notes.append(f"{place}: {empty[0]} is empty, the row is left out")
            continue
        for key in ("point_type", "equip_class"):
            name = cells.get(key, "")
            if name and name not in taxonomy.table():
                notes.append(f"{place}: {key} {name[:80]!r} is no Brick 1.4.4 class")
        yield _row(cells)


def _row(cells: dict[str, str]) -> Labelled:
    return Labelled(
        building=cells["building"],
        name=cells["point_name"],
        description=cells.get("description", ""),
        unit=cells.get("units", ""),
        object_type=cells.get("object_type", ""),
        point_type=cells["point_type"],
        equip_id=cells.get("equip_id", ""),
        equip_class=cells.get("equip_class", ""),
        dataset=cells.get("dataset", ""),
    )


def point_of(row: Labelled, index: int) -> Point:
    """Return what a mapper sees of a row."""
    # Not validated: a cell may be longer than what travels on the wire, as in `plantroom-cloud map`.
    return Point.model_construct(
        key=str(index),
        device="list",
        name=row.name,
        description=row.description,
        unit=row.unit,
        object_type=row.object_type,
        states=(),
        writable=None,
        equip_class="",
        point_class="",
        enos="",
    )
