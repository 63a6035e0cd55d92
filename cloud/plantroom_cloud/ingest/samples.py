"""Samples, latest values, the outbox and findings: the tables that rows of a stream end in."""

from __future__ import annotations

from typing import Any, Final

import orjson
from sqlalchemy import (
    CompoundSelect,
    and_,
    bindparam,
    insert,
    literal_column,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.dues import note, note_findings
from plantroom_cloud.db import Scope, insert_into, is_sqlite
from plantroom_cloud.ingest.rows import Column, Origin
from plantroom_cloud.store.writer import SampleWriter
from plantroom_cloud.tables import AlarmRule, FindingRow, Latest, Outbox, Target
from plantroom_cloud.tables.base import Big

_LATEST = {
    "point_id": "bigint",
    "ts_us": "bigint",
    "tie": "bigint",
    "value": "float8",
    "text": "text",
    "quality": "smallint",
    "reason": "text",
}
_CHANGED = tuple(_LATEST)[1:]
_KINDS = ", ".join(f"{name} {kind}" for name, kind in _LATEST.items())
_SET = ", ".join(f"{name} = excluded.{name}" for name in _CHANGED)
# One statement with one document: PostgreSQL takes that several times as fast as a statement per
# row, and the driver makes it in a tenth of the time that arrays cost.
_ADVANCE = text(
    f"INSERT INTO latest (company_id, {', '.join(_LATEST)}) "  # noqa: S608 - constants
    f"SELECT CAST(:company_id AS bigint), {', '.join(_LATEST)} "
    f"FROM json_to_recordset(CAST(:rows AS json)) AS newest({_KINDS}) ORDER BY point_id "
    f"ON CONFLICT (point_id) DO UPDATE SET {_SET} "
    "WHERE (excluded.ts_us, excluded.tie) > (latest.ts_us, latest.tie)"
)
_COMPANY: Final = bindparam("company_id", type_=Big)
# Made once: to build it costs as much as to run it.
_WANTS: Final[CompoundSelect[Any]] = union_all(
    select(literal_column("'target'"), Target.kind).where(
        Target.company_id == _COMPANY, Target.enabled
    ),
    select(literal_column("'rule'"), AlarmRule.kind)
    .where(AlarmRule.company_id == _COMPANY, AlarmRule.enabled, AlarmRule.deleted_us.is_(None))
    .distinct(),
)


class SampleRepository:
    """What one company's points said."""

    def __init__(self, session: AsyncSession, scope: Scope, gateway: str = "") -> None:
        """Keep whose samples they are; without `gateway` they may be any gateway's."""
        self._session, self._scope, self._company_id = session, scope, scope.company_id
        self._wanted: tuple[list[str], frozenset[str]] | None = None
        self._writer = SampleWriter(session, scope.company_id, gateway)

    async def add(self, column: Column) -> int:
        """Insert rows that are not there yet; return how many that were."""
        new = await self._writer.add(column)
        if new and "threshold" in (await self._wants())[1]:
            points, lo = sorted({*column.point_id}), min(column.ts_us)
            await note(self._session, self._scope, points=points, lo=lo)
        return new

    async def advance_latest(self, column: Column) -> None:
        """Move the latest values of some rows forward, never back."""
        newest = column.newest()
        # In the order of the points: two writers that go the same way never wait for each other
        # in a circle.
        picked = [newest[point] for point in sorted(newest)]
        if not is_sqlite(self._session):
            rows = orjson.dumps([column.row(row) for row in picked]).decode()
            values = {"company_id": self._company_id, "rows": rows}
            await self._session.execute(_ADVANCE, values)
            return
        statement = insert_into(self._session, Latest)
        new = statement.excluded
        later = or_(new.ts_us > Latest.ts_us, and_(new.ts_us == Latest.ts_us, new.tie > Latest.tie))
        upsert = statement.on_conflict_do_update(
            index_elements=["point_id"], set_={name: new[name] for name in _CHANGED}, where=later
        )
        head = {"company_id": self._company_id}
        if picked:
            await self._session.execute(upsert, [head | column.row(row) for row in picked])

    async def targets(self) -> list[str]:
        """Return the kinds of the company's enabled targets."""
        return (await self._wants())[0]

    async def _wants(self) -> tuple[list[str], frozenset[str]]:
        """Return who else wants what is stored: kinds of targets, and of rules for alarms.

        Asked once in a transaction, in one statement. A rule that it does not see yet is made up
        for: the worker looks once more when every transaction that began before it has ended.
        """
        if self._wanted is None:
            values = {"company_id": self._company_id}
            rows = (await self._session.execute(_WANTS, values)).all()
            kinds = [kind for what, kind in rows if what == "target"]
            watched = frozenset(kind for what, kind in rows if what == "rule")
            self._wanted = (kinds, watched)
        return self._wanted

    async def put_out(
        self,
        gateway: str,
        column: Column,
        kinds: list[str],
        now_us: int,
        origin: Origin | None = None,
    ) -> None:
        """Leave `column` for every target, to be published after the commit.

        Args:
            gateway: whose samples they are.
            column: the samples.
            kinds: of the targets.
            now_us: our clock.
            origin: the dictionary that says what they meant; None where there is none.
        """
        head = {"company_id": self._company_id, "gateway_id": gateway, "created_us": now_us}
        packed = column.packed(origin) if kinds else b""
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
            if "finding" in (await self._wants())[1]:
                ids = [finding["id"] for finding in findings]
                await note_findings(self._session, self._scope, gateway, ids)
        return len(findings)
