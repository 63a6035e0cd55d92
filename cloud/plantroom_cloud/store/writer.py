"""Samples into the table, each once; their intervals are due to be rolled up in the same breath."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from sqlalchemy import exc, insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import is_sqlite
from plantroom_cloud.ingest.rows import Column
from plantroom_cloud.store import copying, due, partitions
from plantroom_cloud.tables import RollupDue

_COLUMNS: Final = {
    "point_id": "bigint[]",
    "ts_us": "bigint[]",
    "tie": "bigint[]",
    "value": "float8[]",
    "text": "text[]",
    "quality": "smallint[]",
    "reason": "text[]",
}
_UNNEST = ", ".join(f"CAST(:{name} AS {kind})" for name, kind in _COLUMNS.items())
_NAMES = ", ".join(_COLUMNS)
# One statement with arrays: where some rows are there already it is the fastest that there is.
_INSERT_MANY = text(
    f"INSERT INTO sample (company_id, {_NAMES}) "  # noqa: S608 - built of the constants above
    f"SELECT CAST(:company_id AS bigint), * FROM unnest({_UNNEST}) ON CONFLICT DO NOTHING"
)
_INSERT_SQLITE = (
    f"INSERT INTO sample ({_NAMES}, company_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
    " ON CONFLICT DO NOTHING"
)
_KEY: Final = itemgetter(0, 1, 2)
_FEW: Final = 50
"""Rows from which on a COPY is faster than a statement with arrays."""


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
        columns = [getattr(column, name) for name in _COLUMNS]
        rows = list(zip(*columns, [self._company_id] * len(column), strict=True))
        # In the order of the key: the tree is walked once, not once per row.
        rows.sort(key=_KEY)
        # The driver's own call: SQLAlchemy would make a dictionary of every row on the way.
        connection = await self._session.connection()
        result = await connection.exec_driver_sql(_INSERT_SQLITE, rows)
        return result.rowcount

    # ------------------------------------------------------------ PostgreSQL

    async def _insert_postgres(self, column: Column) -> int:
        """COPY, and where a row is there already, insert those that are not.

        The watermark has sorted out what came before, so a COPY nearly always goes through: it
        is more than twice the speed of an INSERT that looks for conflicts.
        """
        if len(column) >= _FEW:
            try:
                async with self._session.begin_nested():
                    await self._copy(column)
            except exc.IntegrityError:
                pass  # undone to the last row; the slow way sorts them out
            else:
                return len(column)
        values: dict[str, Any] = {name: getattr(column, name) for name in _COLUMNS}
        values["company_id"] = self._company_id
        result: Any = await self._session.execute(_INSERT_MANY, values)
        return int(result.rowcount)

    async def _copy(self, column: Column) -> None:
        data = copying.pack(self._company_id, column)
        raw = await (await self._session.connection()).get_raw_connection()
        driver = raw.driver_connection
        assert isinstance(driver, psycopg.AsyncConnection)  # noqa: S101 - tells mypy what it is
        try:
            async with driver.cursor() as cursor, cursor.copy(copying.STATEMENT) as copy:
                await copy.write(data)
        except psycopg.Error as error:
            raise _translated(error) from error


def _translated(error: psycopg.Error) -> exc.DBAPIError:
    """Return a driver's error as SQLAlchemy's: by that the ingest tells poison from an outage."""
    for kind, name in (
        (psycopg.IntegrityError, exc.IntegrityError),
        (psycopg.DataError, exc.DataError),
    ):
        if isinstance(error, kind):
            return name(copying.STATEMENT, None, error)
    return exc.OperationalError(copying.STATEMENT, None, error)


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
