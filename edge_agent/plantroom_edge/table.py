"""CSV files as tools and spreadsheets write them → rows that know their line.

Pure. Encodings and separators are guessed, as these files say neither; whatever comes is bounded.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from plantroom_shared.errors import ConfigError

MOST_OCTETS: Final = 32 * 1024 * 1024
MOST_ROWS: Final = 200_000
_MOST_IN_CELL: Final = 128 * 1024
_LONGEST: Final = 4096  # characters of a line that separators are counted in

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a file; cells are stripped, and the first has no comment sign."""

    line: int
    cells: tuple[str, ...]
    comment: bool

    def __getitem__(self, column: int) -> str:
        """Return a cell; the empty text where the line is too short."""
        return self.cells[column] if column < len(self.cells) else ""


def decode(raw: bytes) -> str:
    """Return the text in `raw`: UTF-8 or UTF-16, marked or not, else that of Western Windows."""
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(encoding, "replace")
    head = raw[:_LONGEST]
    # Every second octet of Western text in UTF-16 is 0, and none in any other encoding.
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = head[first::2]
        if zeros and zeros.count(0) * 4 > len(zeros) * 3:
            return raw.decode(encoding, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _separator(text: str, lines: int) -> str:
    """Return what separates cells: what stands most often in one of the first lines."""
    head = [line[:_LONGEST] for line in text[: lines * _LONGEST].splitlines()[:lines]]
    if head and head[0].lower().startswith("sep=") and len(head[0]) > 4:
        return head[0][4]
    best = max((line.count(sign), -at) for at, sign in enumerate(";\t,") for line in head or [""])
    return ";\t,"[-best[1]]


def rows(raw: bytes, file: str, *, head: int = 20) -> Iterator[Row]:
    """Yield the lines of `raw` that hold something, in order.

    Args:
        raw: the file's content.
        file: its name, for messages.
        head: lines that tell the separator; 1 where the first has the names of the columns.

    Raises:
        ConfigError: it is too large, or no table; names `file` and the line.
    """
    if len(raw) > MOST_OCTETS:
        what = f"has {len(raw) // 2**20} MB, and no such list is larger than 32 MB"
        raise ConfigError(what, file=file, fix="give the exported CSV file itself")
    text = decode(raw).replace("\0", "")
    csv.field_size_limit(_MOST_IN_CELL)  # of the whole process: another reader may have raised it
    reader = csv.reader(text.splitlines(keepends=True), delimiter=_separator(text, head))
    try:
        for count, cells in enumerate(reader):
            if count >= MOST_ROWS:
                what = f"has more than {MOST_ROWS} lines"
                raise ConfigError(what, file=file, fix="split it")
            row = _row(reader.line_num, cells)
            if any(row.cells) and not (row.line == 1 and row[0].lower().startswith("sep=")):
                yield row
    except csv.Error as error:
        where = f"{file}:{reader.line_num}"
        what = f"is no table of separated values: {error}"
        raise ConfigError(what, file=where, fix="export it again as CSV") from error


def _row(line: int, cells: list[str]) -> Row:
    stripped = [cell.strip() for cell in cells]
    comment = bool(stripped) and stripped[0].startswith("#")
    if comment:
        stripped[0] = stripped[0].lstrip("# ")
    return Row(line, tuple(stripped), comment)
