"""Columns as PostgreSQL's binary COPY: packed by a few calls for all rows together. Pure.

Nearly every row is a number with good quality: one layout, packed at once. The others are packed
one by one.
"""

from __future__ import annotations

import struct
from typing import Final

from plantroom_cloud.ingest.rows import Column

STATEMENT: Final = (
    "COPY sample (company_id, point_id, ts_us, tie, value, text, quality, reason)"
    " FROM STDIN (FORMAT BINARY)"
)
_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TAIL: Final = struct.pack(">h", -1)
# Number of fields, then each with its length in front; a length of -1 is NULL.
_PLAIN: Final = "hiqiqiqiqidiihi"
_FRONT: Final = struct.Struct(">hiqiqiqiq")
_CHUNK: Final = 4096


def pack(company_id: int, column: Column) -> bytes:
    """Return all rows of `column` as the input of `STATEMENT`.

    Raises:
        OverflowError: a number fits none of the database's types.
    """
    odd = _odd_rows(column)
    rest = [row for row in range(len(column)) if row not in odd] if odd else range(len(column))
    try:
        parts = [
            _pack_plain(company_id, column, rest[start : start + _CHUNK])
            for start in range(0, len(rest), _CHUNK)
        ]
        parts += [_pack_odd(company_id, column, row) for row in sorted(odd)]
    except struct.error as error:
        msg = f"a sample holds a number that the database cannot: {error}"
        raise OverflowError(msg) from error
    return b"".join((_HEAD, *parts, _TAIL))


def _odd_rows(column: Column) -> set[int]:
    """Return the rows that are no plain good number."""
    odd = set[int]()
    if None in column.value:
        odd.update(row for row, value in enumerate(column.value) if value is None)
    if column.text.count(None) < len(column):
        odd.update(row for row, text in enumerate(column.text) if text is not None)
    if any(column.quality):
        odd.update(row for row, code in enumerate(column.quality) if code)
    if any(column.reason):
        odd.update(row for row, reason in enumerate(column.reason) if reason)
    return odd


def _pack_plain(company_id: int, column: Column, rows: range | list[int]) -> bytes:
    if isinstance(rows, range):
        part = slice(rows.start, rows.stop)
        columns = [item[part] for item in (column.point_id, column.ts_us, column.tie, column.value)]
    else:
        every = (column.point_id, column.ts_us, column.tie, column.value)
        columns = [[item[row] for row in rows] for item in every]
    flat: list[float | None] = [8, 8, company_id, 8, 0, 8, 0, 8, 0, 8, 0.0, -1, 2, 0, 0]
    width = len(flat)
    flat *= len(rows)
    for place, values in zip((4, 6, 8, 10), columns, strict=True):
        flat[place::width] = values
    return struct.pack(">" + _PLAIN * len(rows), *flat)


def _pack_odd(company_id: int, column: Column, row: int) -> bytes:
    point, ts, tie = column.point_id[row], column.ts_us[row], column.tie[row]
    value, text = column.value[row], column.text[row]
    head = _FRONT.pack(8, 8, company_id, 8, point, 8, ts, 8, tie)
    number = _NULL if value is None else struct.pack(">id", 8, value)
    words = _NULL if text is None else _text(text)
    quality = struct.pack(">ih", 2, column.quality[row])
    return b"".join((head, number, words, quality, _text(column.reason[row])))


_NULL: Final = struct.pack(">i", -1)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">i", len(data)) + data
