"""Samples into the table, each once; their intervals are due to be rolled up in the same breath."""

from __future__ import annotations

from operator import itemgetter
from typing import Final
from weakref import WeakKeyDictionary

import psycopg
from sqlalchemy import exc, insert
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import is_sqlite
from plantroom_cloud.ingest.rows import Column
from plantroom_cloud.store import arrays, due, partitions
from plantroom_cloud.tables import RollupDue

_NAMES: Final = ("point_id", "ts_us", "tie", "value", "text", "quality", "reason")
_INSERT_SQLITE = (
    f"INSERT INTO sample ({', '.join(_NAMES)}, company_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
    " ON CONFLICT DO NOTHING"
)
_KEY: Final = itemgetter(0, 1, 2)
_ADAPTED: Final = "plantroom_arrays"
"""In a connection's `info`: whether it takes packed arrays."""
_FEW: Final = 50
"""Rows from which on it pays to try first without looking for conflicts."""


class SampleWriter:
    """Adds samples of one company within the transaction of `session`."""

    def __init__(self, session: AsyncSession, company_id: int, gateway: str = "") -> None:
        self._session, self._company_id, self._gateway = session, company_id, gateway

    async def add(self, column: Column) -> int:
        """Insert the rows that are not there yet; return how many that were."""
        if not column:
            return 0
        if is_sqlite(self._session):
            new = await self._insert_sqlite(column)
        else:
            await _make_room(self._session, column)
            new = await self._insert_postgres(column)
        if new:
            await self._note_due(column)
        return new

    async def _note_due(self, column: Column) -> None:
        work = due.due_of(column.point_id, column.ts_us)
        values = {
            "company_id": self._company_id,
            "gateway_id": self._gateway,
            "lo_us": min(column.ts_us),
            "hi_us": max(column.ts_us),
            "samples": len(column),
            "points": due.pack_points(work),
            "minutes": due.pack_minutes(work),
        }
        await self._session.execute(insert(RollupDue), [values])

    # ------------------------------------------------------------ SQLite

    async def _insert_sqlite(self, column: Column) -> int:
        columns = [getattr(column, name) for name in _NAMES]
        rows = list(zip(*columns, [self._company_id] * len(column), strict=True))
        # In the order of the key: the tree is walked once, not once per row.
        rows.sort(key=_KEY)
        # The driver's own call: SQLAlchemy would make a dictionary of every row on the way.
        connection = await self._session.connection()
        result = await connection.exec_driver_sql(_INSERT_SQLITE, rows)
        return result.rowcount

    # ------------------------------------------------------------ PostgreSQL

    async def _insert_postgres(self, column: Column) -> int:
        """Insert all rows, and where one is there already, those that are not.

        The watermark has sorted out what came before, so the first way nearly always goes through:
        to look for conflicts costs half as much again.
        """
        statement, values = arrays.pack(self._company_id, column)
        if len(column) >= _FEW:
            try:
                async with self._session.begin_nested():
                    return await self._execute(statement, values)
            except exc.IntegrityError:
                pass  # undone to the last row; the slow way sorts them out
        return await self._execute(statement + arrays.UNLESS_THERE, values)

    async def _execute(self, statement: str, values: list[int | bytes]) -> int:
        """Run `statement` by the driver: SQLAlchemy knows nothing of packed arrays."""
        raw = await (await self._session.connection()).get_raw_connection()
        driver = raw.driver_connection
        assert isinstance(driver, psycopg.AsyncConnection)  # noqa: S101 - tells mypy what it is
        try:
            if not raw.info.get(_ADAPTED):
                arrays.adapt(driver)
                raw.info[_ADAPTED] = True
            async with driver.cursor() as cursor:
                await cursor.execute(statement.encode(), values)
                return cursor.rowcount
        except psycopg.Error as error:
            raise _translated(statement, error) from error


def _translated(statement: str, error: psycopg.Error) -> exc.DBAPIError:
    """Return a driver's error as SQLAlchemy's: by that the ingest tells poison from an outage."""
    for kind, name in (
        (psycopg.IntegrityError, exc.IntegrityError),
        (psycopg.DataError, exc.DataError),
    ):
        if isinstance(error, kind):
            return name(statement, None, error)
    return exc.OperationalError(statement, None, error)


# ------------------------------------------------------------ partitions

_known: WeakKeyDictionary[object, set[partitions.Month]] = WeakKeyDictionary()
"""Engine → months that have a partition: not asked for at every batch."""


async def _make_room(session: AsyncSession, column: Column) -> None:
    """Make the partitions of all months in `column`.

    One that is dropped later by another process costs nothing but speed: its rows go to the
    default partition, and from there to their own when it is made again.
    """
    engine = session.get_bind()
    lo, hi = partitions.Month.of(min(column.ts_us)), partitions.Month.of(max(column.ts_us))
    wanted = {lo, hi} if lo.next >= hi else {partitions.Month.of(ts) for ts in column.ts_us}
    if not wanted <= _known.get(engine, set()):
        _known[engine] = await partitions.ensure(session, wanted)
