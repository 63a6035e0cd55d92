"""Samples, latest values, the outbox and findings: the tables that rows of a stream end in."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CursorResult, and_, insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope, insert_into, is_sqlite
from plantroom_cloud.ingest.rows import Column
from plantroom_cloud.tables import FindingRow, Latest, Outbox, SampleRow, Target

_COLUMNS = {
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
# One statement with arrays: on PostgreSQL that is several times the speed of a row per statement.
_INSERT_MANY = text(
    f"INSERT INTO sample (company_id, {_NAMES}) "  # noqa: S608 - built of the constants above
    f"SELECT CAST(:company_id AS bigint), * FROM unnest({_UNNEST}) ON CONFLICT DO NOTHING"
)


class SampleRepository:
    """What one company's points said."""

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session, self._company_id = session, scope.company_id

    async def add(self, column: Column) -> int:
        """Insert rows that are not there yet; return how many that were."""
        if not column:
            return 0
        if is_sqlite(self._session):
            statement = insert_into(self._session, SampleRow).on_conflict_do_nothing()
            result = await self._session.execute(statement, column.rows(self._company_id))
        else:
            values: dict[str, Any] = {name: getattr(column, name) for name in _COLUMNS}
            values["company_id"] = self._company_id
            result = await self._session.execute(_INSERT_MANY, values)
        assert isinstance(result, CursorResult)  # noqa: S101 - tells mypy what it is
        return result.rowcount

    async def advance_latest(self, column: Column) -> None:
        """Move the latest values of some rows forward, never back."""
        newest = column.newest()
        # In the order of the points: two writers that go the same way never wait for each other
        # in a circle.
        rows = [column.row(newest[point]) for point in sorted(newest)]
        statement = insert_into(self._session, Latest)
        new = statement.excluded
        later = or_(new.ts_us > Latest.ts_us, and_(new.ts_us == Latest.ts_us, new.tie > Latest.tie))
        names = ("ts_us", "tie", "value", "text", "quality", "reason")
        upsert = statement.on_conflict_do_update(
            index_elements=["point_id"], set_={name: new[name] for name in names}, where=later
        )
        head = {"company_id": self._company_id}
        await self._session.execute(upsert, [head | row for row in rows])

    async def targets(self) -> list[str]:
        """Return the kinds of the company's enabled targets."""
        query = select(Target.kind).where(Target.company_id == self._company_id, Target.enabled)
        return list((await self._session.execute(query)).scalars())

    async def put_out(self, gateway: str, column: Column, kinds: list[str], now_us: int) -> None:
        """Leave `column` for every target, to be published after the commit."""
        head = {"company_id": self._company_id, "gateway_id": gateway, "created_us": now_us}
        packed = column.packed() if kinds else b""
        rows = [head | {"kind": kind, "samples": packed, "rows": len(column)} for kind in kinds]
        if rows:
            await self._session.execute(insert(Outbox), rows)

    async def add_findings(self, gateway: str, site_id: int, findings: list[dict[str, Any]]) -> int:
        """Insert or complete findings; a report of the start never undoes one of the end."""
        head = {"company_id": self._company_id, "gateway_id": gateway, "site_id": site_id}
        statement = insert_into(self._session, FindingRow)
        names = ("detector", "subject", "points", "started_us", "ended_us", "score", "text")
        upsert = statement.on_conflict_do_update(
            index_elements=["gateway_id", "id"],
            set_={name: statement.excluded[name] for name in (*names, "evidence")},
            where=or_(FindingRow.ended_us.is_(None), statement.excluded.ended_us.is_not(None)),
        )
        if findings:
            await self._session.execute(upsert, [head | finding for finding in findings])
        return len(findings)
