"""SQL of the loss account: the rows that it is made of, for several gateways at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import ReadSession, Scope
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import (
    DeliveryAlarm,
    GapRecord,
    Gateway,
    Latest,
    Point,
    QuarantineDecision,
    QuarantinedRow,
    StreamRange,
    StreamTotal,
)
from plantroom_shared.ranges import Range

Line: TypeAlias = tuple[str, str]
"""Gateway and epoch: each has an account of its own."""


class Books(Repository):
    """What is counted of some gateways' stream; every figure comes from rows of its own.

    Args:
        session: on one consistent snapshot, as `Database.read` gives it.
        scope: the company that asks.
        gateways: ids; those that are not the company's have no rows here.
        stream: one of ``plantroom_shared.wire.STREAMS``.
    """

    def __init__(
        self,
        session: AsyncSession | ReadSession,
        scope: Scope,
        gateways: Sequence[str],
        stream: str = "tel",
    ) -> None:
        super().__init__(session, scope)
        self._gateways, self._stream = list(gateways), stream

    def _is(self, table: Any, *others: Any) -> ColumnElement[bool]:
        which = (table.gateway_id.in_(self._gateways), table.stream == self._stream)
        return and_(self._own(table, *others), *which)

    async def totals(self) -> Sequence[StreamTotal]:
        """Return the totals by gateway and epoch."""
        query = select(StreamTotal).where(self._is(StreamTotal))
        order = (StreamTotal.gateway_id, StreamTotal.epoch)
        return (await self._session.execute(query.order_by(*order))).scalars().all()

    async def ranges(self) -> dict[Line, list[Range]]:
        """Return the order numbers dealt with."""
        key = (StreamRange.gateway_id, StreamRange.epoch)
        query = select(*key, StreamRange.lo, StreamRange.hi).where(self._is(StreamRange))
        out: dict[Line, list[Range]] = defaultdict(list)
        for gateway, epoch, lo, hi in await self._session.execute(query):
            out[gateway, epoch].append((lo, hi))
        return out

    async def gaps(self) -> dict[Line, int]:
        """Return how many rows are declared lost."""
        key = (GapRecord.gateway_id, GapRecord.epoch)
        query = select(*key, func.sum(GapRecord.hi - GapRecord.lo + 1)).where(self._is(GapRecord))
        rows = await self._session.execute(query.group_by(*key))
        return {(gateway, epoch): int(total) for gateway, epoch, total in rows}

    async def quarantined(self) -> dict[Line, tuple[int, int]]:
        """Return how many rows are refused and not released, and how many of them discarded."""
        key = (QuarantinedRow.gateway_id, QuarantinedRow.epoch)
        state = QuarantineDecision.state
        discarded = func.sum(case((state == "discarded", QuarantinedRow.n), else_=0))
        query = (
            select(*key, func.sum(QuarantinedRow.n), discarded)
            .outerjoin(QuarantineDecision, self._decided())
            .where(self._is(QuarantinedRow), or_(state.is_(None), state != "released"))
        )
        rows = await self._session.execute(query.group_by(*key))
        return {(gateway, epoch): (int(n), int(gone)) for gateway, epoch, n, gone in rows}

    def _decided(self) -> ColumnElement[bool]:
        same = QuarantineDecision.quarantine_id == QuarantinedRow.id
        return and_(same, self._own(QuarantineDecision))

    async def causes(self) -> dict[str, dict[str, int]]:
        """Return by gateway how many rows are lost by which cause."""
        key = (GapRecord.gateway_id, GapRecord.cause)
        query = select(*key, func.sum(GapRecord.hi - GapRecord.lo + 1)).where(self._is(GapRecord))
        out: dict[str, dict[str, int]] = defaultdict(dict)
        for gateway, cause, rows in await self._session.execute(
            query.group_by(*key).order_by(*key)
        ):
            out[gateway][cause] = int(rows)
        return out

    async def newest(self) -> dict[str, int]:
        """Return by gateway the time of its newest stored sample."""
        query = (
            select(Point.gateway_id, func.max(Latest.ts_us))
            .join(Latest, Latest.point_id == Point.id)
            .where(self._own(Latest, Point), Point.gateway_id.in_(self._gateways))
            .group_by(Point.gateway_id)
        )
        return dict((await self._session.execute(query)).all())

    async def alarms(self) -> dict[str, list[AnyRow]]:
        """Return by gateway the alarms that stand."""
        columns = (DeliveryAlarm.gateway_id, DeliveryAlarm.kind, DeliveryAlarm.since_us)
        query = (
            select(*columns, DeliveryAlarm.last_us, DeliveryAlarm.count, DeliveryAlarm.details)
            .where(self._own(DeliveryAlarm), DeliveryAlarm.gateway_id.in_(self._gateways))
            .where(DeliveryAlarm.cleared_us.is_(None))
            .order_by(DeliveryAlarm.gateway_id, DeliveryAlarm.since_us, DeliveryAlarm.id)
        )
        out: dict[str, list[AnyRow]] = defaultdict(list)
        for row in await self._session.execute(query):
            out[row.gateway_id].append(row)
        return out

    async def clocks(self) -> dict[str, AnyRow]:
        """Return by gateway what it said of its clock and of the oldest row it holds."""
        columns = (Gateway.clock_state, Gateway.clock_skew_us, Gateway.clock_seen_us)
        query = select(Gateway.id, Gateway.oldest_us, Gateway.online, Gateway.seen_us, *columns)
        query = query.where(self._own(Gateway), Gateway.id.in_(self._gateways))
        return {row.id: row for row in await self._session.execute(query)}


async def gateways_of(
    session: AsyncSession | ReadSession,
    scope: Scope,
    *,
    site: int | None = None,
    gateway: str | None = None,
) -> list[str]:
    """Return the ids of the company's gateways; of one site, or the one of an id, where given."""
    query = select(Gateway.id).where(Gateway.company_id == scope.company_id)
    if site is not None:
        query = query.where(Gateway.site_id == site)
    if gateway is not None:
        query = query.where(Gateway.id == gateway)
    return list((await session.execute(query.order_by(Gateway.id))).scalars())
