"""Columns as PostgreSQL's binary arrays: one call packs a column, one statement takes them. Pure.

As fast as COPY, which PostgreSQL refuses on a table that has policies (docs/isolation.md). Nearly
every batch is plain: numbers with good quality; then four arrays say it all.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from plantroom_cloud.ingest.rows import Column

_ONCE: Final = "unnest(%b), unnest(%b), unnest(%b), unnest(%b)"
PLAIN: Final = (
    "INSERT INTO sample (company_id, point_id, ts_us, tie, value, quality, reason)"
    f" SELECT %s::bigint, {_ONCE}, 0, ''"
)
"""Takes what `pack` returns for a plain column; the arrays of one statement go side by side."""
FULL: Final = (
    "INSERT INTO sample (company_id, point_id, ts_us, tie, value, text, quality, reason)"
    f" SELECT %s::bigint, {_ONCE}, unnest(%b), unnest(%b), unnest(%b)"
)
"""Takes what `pack` returns for any other."""
UNLESS_THERE: Final = " ON CONFLICT DO NOTHING"
_NULL: Final = struct.pack(">i", -1)


class _Array(Dumper):
    """Sends an array as it is packed."""

    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer | None:
        """Return the bytes."""
        return bytes(obj)


class BigInts(bytes):
    """A packed ``bigint[]``."""

    __slots__ = ()


class SmallInts(bytes):
    """A packed ``smallint[]``."""

    __slots__ = ()


class Doubles(bytes):
    """A packed ``float8[]``."""

    __slots__ = ()


class Texts(bytes):
    """A packed ``text[]``."""

    __slots__ = ()


_KINDS: Final[dict[type[bytes], tuple[int, int, str, int]]] = {
    BigInts: (1016, 20, "q", 8),
    SmallInts: (1005, 21, "h", 2),
    Doubles: (1022, 701, "d", 8),
    Texts: (1009, 25, "", 0),
}
"""Kind → object ids of the array and of what is in it, and how `struct` packs that in how many bytes."""
_DUMPERS: Final = {
    kind: type(f"_{kind.__name__}", (_Array,), {"oid": oids[0]}) for kind, oids in _KINDS.items()
}


def adapt(connection: AdaptContext) -> None:
    """Let `connection` take packed arrays."""
    for kind, dumper in _DUMPERS.items():
        connection.adapters.register_dumper(kind, dumper)


def pack(company_id: int, column: Column) -> tuple[str, list[int | bytes]]:
    """Return the statement for all rows of `column`, and its parameters.

    Raises:
        OverflowError: a number fits none of the database's types.
    """
    try:
        keys = [_numbers(BigInts, item) for item in (column.point_id, column.ts_us, column.tie)]
        values: list[int | bytes] = [company_id, *keys, _values(column.value)]
        if _is_plain(column):
            return PLAIN, values
        quality = _numbers(SmallInts, column.quality)
        return FULL, [*values, _texts(column.text), quality, _texts(column.reason)]
    except struct.error as error:
        msg = f"a sample holds a number that the database cannot: {error}"
        raise OverflowError(msg) from error


def _is_plain(column: Column) -> bool:
    some = column.text.count(None) < len(column) or any(column.quality) or any(column.reason)
    return not some


def _head(kind: type[bytes], count: int, *, nulls: bool) -> bytes:
    return struct.pack(">iiiii", 1, nulls, _KINDS[kind][1], count, 1)


def _numbers(kind: type[bytes], numbers: Sequence[float]) -> bytes:
    _, _, code, size = _KINDS[kind]
    flat: list[float] = [size] * (2 * len(numbers))
    flat[1::2] = numbers
    packed = struct.pack(">" + f"i{code}" * len(numbers), *flat)
    return kind(_head(kind, len(numbers), nulls=False) + packed)


def _values(values: Sequence[float | None]) -> bytes:
    if None not in values:
        return _numbers(Doubles, values)  # type: ignore[arg-type]  # mypy does not see that none is
    parts = [_NULL if value is None else struct.pack(">id", 8, value) for value in values]
    return Doubles(_head(Doubles, len(values), nulls=True) + b"".join(parts))


def _texts(texts: Sequence[str | None]) -> bytes:
    coded = [None if text is None else text.encode() for text in texts]
    parts = [_NULL if text is None else struct.pack(">i", len(text)) + text for text in coded]
    return Texts(_head(Texts, len(texts), nulls=None in coded) + b"".join(parts))
