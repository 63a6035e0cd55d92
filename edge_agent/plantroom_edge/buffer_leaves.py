"""Reading a table's rows straight from the leaf pages of an SQLite file, without its tree.

A tree that has lost its root or an inner page hides leaves that are whole. Every leaf says by itself
where its rows stand (https://www.sqlite.org/fileformat2.html, §1.5 to §2.1), so they are read here by
the file format alone. What comes out may be of another table, old or rubbish: whoever uses it has to
prove each row.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from plantroom_edge.buffer_db import PAGE

Row = tuple[Any, ...]

_LEAF: Final = 0x0D
"""First byte of a leaf of a table with row ids."""

_INTEGERS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Bytes of an integer, by its serial type."""

_MOST: Final = PAGE - 35
"""Most bytes of a record that stand in the leaf itself."""

_LEAST: Final = (PAGE - 12) * 32 // 255 - 23
"""Fewest bytes of a record that stand in the leaf where it goes on in other pages."""

_BROKEN: Final = (IndexError, ValueError, struct.error, UnicodeDecodeError)
"""What reading rubbish as a record ends in."""


def rows_on_leaves(file: Path, columns: int) -> Iterator[Row]:
    """Yield every record of `columns` columns that stands on a leaf, in no particular order.

    Args:
        file: an SQLite file of our page size; its log is not looked at.
        columns: how many a row has; the first must be the integer primary key.

    Raises:
        OSError: the file cannot be read.
    """
    if file.stat().st_size < PAGE:
        return
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        free = _free_pages(data)
        for number in range(1, len(data) // PAGE):
            if data[number * PAGE] == _LEAF and number + 1 not in free:
                yield from _rows(data, number * PAGE, columns)


def _free_pages(data: mmap.mmap) -> set[int]:
    """Return the pages that hold nothing any more, as far as the file still says."""
    found: set[int] = set()
    (trunk,) = struct.unpack_from(">I", data, 32)
    while 0 < trunk <= len(data) // PAGE and trunk not in found:
        found.add(trunk)
        following, count = struct.unpack_from(">II", data, (trunk - 1) * PAGE)
        if count > PAGE // 4 - 2:
            break
        found.update(struct.unpack_from(f">{count}I", data, (trunk - 1) * PAGE + 8))
        trunk = following
    return found


def _rows(data: mmap.mmap, start: int, columns: int) -> Iterator[Row]:
    (cells,) = struct.unpack_from(">H", data, start + 3)
    for cell in range(min(cells, (PAGE - 8) // 2)):
        with contextlib.suppress(*_BROKEN):
            (at,) = struct.unpack_from(">H", data, start + 8 + 2 * cell)
            size, at = _varint(data, start + at)
            row_id, at = _varint(data, at)
            row = _values(_record(data, at, size, start + PAGE), columns)
            if row:
                yield (row_id, *row[1:])


def _record(data: mmap.mmap, at: int, size: int, end: int) -> bytes:
    """Return a record of `size` bytes that begins at `at` and may go on in other pages."""
    if not 0 < size <= len(data):
        msg = "no such size"
        raise ValueError(msg)
    local = size
    if size > _MOST:
        local = _LEAST + (size - _LEAST) % (PAGE - 4)
        if local > _MOST:
            local = _LEAST
    if at + local > end:
        msg = "beyond its page"
        raise ValueError(msg)
    parts, left, at = [data[at : at + local]], size - local, at + local
    following = struct.unpack_from(">I", data, at)[0] if left else 0
    while left > 0:
        if not 0 < following <= len(data) // PAGE:
            msg = "a chain that ends too early"
            raise ValueError(msg)
        page = (following - 1) * PAGE
        (following,) = struct.unpack_from(">I", data, page)
        parts.append(data[page + 4 : page + 4 + min(left, PAGE - 4)])
        left -= PAGE - 4
    return b"".join(parts)


def _values(record: bytes, columns: int) -> Row | None:
    """Return the values of a record, or None where it has not that many columns."""
    body, at = _varint(record, 0)
    kinds: list[int] = []
    while at < body:
        if len(kinds) == columns:
            return None
        kind, at = _varint(record, at)
        kinds.append(kind)
    if len(kinds) != columns or at != body:
        return None
    values: list[Any] = []
    for kind in kinds:
        value, at = _value(record, at, kind)
        values.append(value)
    return tuple(values)


def _value(record: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (0, 8, 9):
        return (None if kind == 0 else kind - 8), at
    if kind in _INTEGERS:
        end = at + _INTEGERS[kind]
        value: Any = int.from_bytes(record[at:end], "big", signed=True)
    elif kind >= 12:
        end = at + (kind - 12) // 2
        value = record[at:end].decode() if kind % 2 else record[at:end]
    else:
        msg = "a kind of value that the buffer never writes"
        raise ValueError(msg)
    if end > len(record):
        msg = "beyond its record"
        raise ValueError(msg)
    return value, end


def _varint(data: mmap.mmap | bytes, at: int) -> tuple[int, int]:
    """Return a number of up to nine bytes and where it ends."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    value = value << 8 | data[at + 8]
    return (value - (1 << 64) if value >= 1 << 63 else value), at + 9
