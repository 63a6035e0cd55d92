"""A site's samples as Parquet: read page by page, written row group by row group.

Columns: ``site`` ``device`` ``point`` (the keys they are known by), ``unit``, ``ts`` (microseconds,
UTC), ``value`` (double; null where it is a text or nothing), ``text`` (null where the double says
all; integers beyond 2^53 have both), ``quality`` (good, uncertain, bad), ``reason``. Rows come in
order of point and time.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select, tuple_

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.samples.schemas import show_quality
from plantroom_cloud.tables import Device, Point, SampleRow, Site
from plantroom_shared.errors import ConfigError, Unavailable

PAGE: Final = 50_000
"""Samples read, and written as a row group, at once."""
COLUMNS: Final = ("site", "device", "point", "unit", "ts", "value", "text", "quality", "reason")


class ExportRepository(Repository):
    """What one company's site exports."""

    async def points(self, site_id: int) -> Sequence[AnyRow]:
        """Return the points of a site with what names them, by id."""
        query = (
            select(
                Point.id, Site.slug.label("site"), Device.key.label("device"), Point.key, Point.unit
            )
            .join(Site, Site.id == Point.site_id)
            .join(Device, Device.id == Point.device_id)
            .where(self._own(Point, Site, Device), Site.id == site_id)
            .order_by(Point.id)
        )
        return (await self._session.execute(query)).all()

    async def page(
        self, point_id: int, start: int, end: int, after: tuple[int, int] | None, most: int
    ) -> Sequence[AnyRow]:
        """Return `most` samples of a point, from `start` to `end`, behind (time, tie) `after`."""
        columns = (SampleRow.ts_us, SampleRow.tie, SampleRow.value, SampleRow.text)
        query = select(*columns, SampleRow.quality, SampleRow.reason).where(
            self._own(SampleRow),
            SampleRow.point_id == point_id,
            SampleRow.ts_us >= start,
            SampleRow.ts_us < end,
        )
        if after is not None:
            query = query.where(tuple_(SampleRow.ts_us, SampleRow.tie) > tuple_(*after))
        order = (SampleRow.ts_us, SampleRow.tie)
        return (await self._session.execute(query.order_by(*order).limit(most))).all()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some samples of one point, by (time, tie)."""

    point: AnyRow
    """site, device, key and unit."""
    rows: Sequence[AnyRow]
    """ts_us, tie, value, text, quality and reason of each."""


async def read_samples(
    database: Database, scope: Scope, site_id: int, start: int, end: int, *, most: int = PAGE
) -> AsyncIterator[Chunk]:
    """Yield the samples of a site with ``start <= ts < end``, at most so many at once.

    All of one snapshot: what arrives or is deleted meanwhile does not tear it.
    """
    async with database.read(scope) as session:
        repository = ExportRepository(session, scope)
        for point in await repository.points(site_id):
            after = None
            while rows := await repository.page(point.id, start, end, after, most):
                yield Chunk(point, rows)
                if len(rows) < most:
                    break
                after = (rows[-1].ts_us, rows[-1].tie)


async def write_parquet(chunks: AsyncIterator[Chunk], path: Path) -> int:
    """Write `chunks` to the Parquet file `path` and return the number of samples.

    It appears under its name when it is whole. Memory is that of one row group.

    Raises:
        ConfigError: pyarrow is not installed.
        Unavailable: the file cannot be written.
    """
    arrow, parquet = _arrow()
    schema = _schema(arrow)
    part, total = path.with_name(path.name + ".part"), 0
    waiting: list[Any] = []
    try:
        with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
            async for chunk in chunks:
                waiting.append(_table(arrow, schema, chunk))
                total += len(chunk.rows)
                # Many points with few samples each share a row group.
                if sum(map(len, waiting)) >= PAGE:
                    writer.write_table(arrow.concat_tables(waiting), PAGE)
                    waiting = []
            if waiting:
                writer.write_table(arrow.concat_tables(waiting), PAGE)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        msg = f"the export cannot be written: {error}"
        raise Unavailable(msg) from error
    return total


def _arrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        what = "Parquet needs the package pyarrow, which is not installed"
        fix = "run: pip install 'plantroom[export]'"
        raise ConfigError(what, key="export", fix=fix) from error


def _schema(arrow: Any) -> Any:
    name = arrow.dictionary(arrow.int32(), arrow.string())
    kinds = {
        "ts": arrow.timestamp("us", tz="UTC"),
        "value": arrow.float64(),
        "text": arrow.string(),
    }
    return arrow.schema(
        [arrow.field(column, kinds.get(column, name), nullable=column in {"value", "text"})
         for column in COLUMNS]
    )  # fmt: skip


def _table(arrow: Any, schema: Any, chunk: Chunk) -> Any:
    point, rows = chunk.point, chunk.rows
    columns = {
        "site": [point.site] * len(rows),
        "device": [point.device] * len(rows),
        "point": [point.key] * len(rows),
        "unit": [point.unit] * len(rows),
        "ts": [row.ts_us for row in rows],
        "value": [row.value for row in rows],
        "text": [row.text for row in rows],
        "quality": [show_quality(row.quality) for row in rows],
        "reason": [row.reason for row in rows],
    }
    arrays = [arrow.array(columns[field.name], type=field.type) for field in schema]
    return arrow.Table.from_arrays(arrays, schema=schema)
