"""Point lists as CSV: read whatever tools export, write what was found."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plantroom_shared.errors import ConfigError
from plantroom_shared.mapping import MappedPoint
from plantroom_shared.mapping.names import MAX_NAME
from plantroom_shared.model import Point

COLUMNS: Final = (
    "building",
    "point_name",
    "point_type",
    "equip_id",
    "equip_class",
    "confidence",
)
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_MAX_FILE: Final = 256 * 1024 * 1024
MAX_CELL: Final = 1024 * 1024


@dataclass(slots=True)
class Counted:
    """What was met on the way."""

    points: int = 0
    bad: int = 0
    """Rows without a name, or that no CSV reader understands."""
    long: int = 0
    """Names of which only the beginning was looked at."""


@dataclass(frozen=True, slots=True)
class ListedPoint:
    """A row of a list: what is mapped, and the name exactly as it stood there."""

    point: Point
    name: str


def read_lists(sources: Iterable[Path], counted: Counted) -> dict[str, list[ListedPoint]]:
    """Return building → its points, over all files; a list without `building` is one of its own.

    Raises:
        ConfigError: a file cannot be read or has no `point_name`; names the file, key and fix.
    """
    buildings: dict[str, list[ListedPoint]] = {}
    for path in _files(sources):
        read_text(decode(path), str(path), path.stem, counted, buildings)
    return buildings


def read_text(
    text: str,
    file: str,
    building: str,
    counted: Counted,
    buildings: dict[str, list[ListedPoint]],
) -> None:
    """Add the points of one list to `buildings`.

    Args:
        text: of the list.
        file: where it came from: the keys of points begin with its name.
        building: of rows that name none.
        counted: what was met.
        buildings: building → its points.

    Raises:
        ConfigError: it has no `point_name`; names the file, key and fix.
    """
    source = Path(file).name
    for number, row in enumerate(_rows(text, file, counted)):
        name = row.get("point_name") or ""
        if not name.strip():
            counted.bad += 1
            continue
        counted.points += 1
        counted.long += len(name) > MAX_NAME
        listed = buildings.setdefault(row.get("building") or building, [])
        listed.append(ListedPoint(_point(row, name, f"{source}:{number}"), name))


def write_mapped(
    out: Path,
    buildings: Mapping[str, Sequence[ListedPoint]],
    mapped: Mapping[str, Sequence[MappedPoint]],
    *,
    spreadsheet: bool,
) -> None:
    """Write one row per point, in the order read, all at once.

    Raises:
        ConfigError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for building, rows in buildings.items():
        for row, item in zip(rows, mapped[building], strict=True):
            sure = "" if item.confidence is None else f"{item.confidence:.3f}"
            cells = (building, row.name, item.point_class, item.equipment, item.equip_class, sure)
            writer.writerow([_harmless(cell) for cell in cells] if spreadsheet else cells)
    try:
        out.write_text(text.getvalue(), encoding="utf-8", newline="", errors="surrogatepass")
    except OSError as error:
        fix = "give --out a file in a folder that exists and may be written"
        raise ConfigError(error.strerror or "cannot be written", file=str(out), fix=fix) from error


def _files(sources: Iterable[Path]) -> Iterator[Path]:
    for source in sources:
        if source.is_dir():
            inside = sorted(source.glob("*.csv"))
            if not inside:
                what = "no .csv file in this folder"
                raise ConfigError(what, file=str(source), fix="name a file")
            yield from inside
        else:
            yield source


def _rows(text: str, file: str, counted: Counted) -> Iterator[dict[str, str]]:
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter(text))
    try:
        header = [cell.strip().casefold() for cell in next(reader, [])]
    except csv.Error:
        header = []
    if "point_name" not in header:
        seen = ", ".join(header[:12])[:200] or "nothing"
        what = f"there is no such column; the first line has: {seen}"
        fix = "name the column with the raw point names `point_name`"
        raise ConfigError(what, file=file, key="point_name", fix=fix)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            counted.bad += 1
            continue
        if row:
            yield dict(zip(header, row, strict=False))


def decode(path: Path) -> str:
    """Return the text of a file, see `text_of`.

    Raises:
        ConfigError: it cannot be read, or is too large.
    """
    try:
        if path.stat().st_size > _MAX_FILE:
            what = "larger than 256 MB"
            raise ConfigError(what, file=str(path), fix="split it by building")
        data = path.read_bytes()
    except OSError as error:
        what = error.strerror or "cannot be read"
        raise ConfigError(what, file=str(path), fix="name a CSV file that can be read") from error
    return text_of(data)


def text_of(data: bytes) -> str:
    """Return the text of a file: UTF-8 with or without BOM, UTF-16 with BOM, else Latin-1."""
    encodings = ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",)
    for encoding in encodings:
        try:
            return data.decode(encoding).replace("\0", "")
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1").replace("\0", "")


def delimiter(text: str) -> str:
    """Return what separates the columns: European tools write semicolons, others tabs."""
    head = text.split("\n", 1)[0]
    return max(",;\t", key=head.count)


def _point(row: Mapping[str, str], name: str, key: str) -> Point:
    # Not validated: a cell may be longer than what travels on the wire, and costs nothing here.
    return Point.model_construct(
        key=key,
        device=row.get("device") or "list",
        name=name,
        description=row.get("description") or "",
        unit=row.get("units") or row.get("unit") or "",
        object_type=row.get("object_type") or "",
        states=(),
        writable=None,
        equip_class="",
        point_class="",
        enos="",
    )


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell
