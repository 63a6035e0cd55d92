"""Alarms about a gateway's delivery: raised by the ingest, cleared by a person or by themselves."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import ReadSession, Scope
from plantroom_cloud.live import topics
from plantroom_cloud.live.telling import Happening, tell
from plantroom_cloud.tables import DeliveryAlarm, Gateway

Kind = Literal["stream_fork", "duplicate_identity", "clock_skew", "restored"]
"""Other rows under known numbers; two agents with one identity; a clock more than two seconds off;
a gateway whose buffer is older than what it had sent before."""


class AlarmRepository:
    """Alarms of one company. Whoever raises one holds the gateway's lock (`find_owners`)."""

    def __init__(self, session: AsyncSession | ReadSession, scope: Scope) -> None:
        self._session, self._company_id = session, scope.company_id

    async def note(self, gateway: str, kind: Kind, details: dict[str, Any], now_us: int) -> None:
        """Raise an alarm, or count it once more where it stands already."""
        statement = (
            update(DeliveryAlarm)
            .where(*self._open(gateway, kind))
            .values(last_us=now_us, count=DeliveryAlarm.count + 1, details=details)
        )
        if await self._changed(statement):
            return
        self._session.add(
            DeliveryAlarm(
                company_id=self._company_id,
                gateway_id=gateway,
                kind=kind,
                since_us=now_us,
                last_us=now_us,
                count=1,
                details=details,
            )
        )
        await self._session.flush()
        await self._tell("raised", gateway, kind, now_us, details)

    async def clear(self, gateway: str, kind: Kind, now_us: int) -> bool:
        """Clear the alarm of that kind; say whether one stood."""
        statement = update(DeliveryAlarm).where(*self._open(gateway, kind))
        cleared = await self._changed(statement.values(cleared_us=now_us))
        if cleared:
            await self._tell("cleared", gateway, kind, now_us, {})
        return cleared

    async def _tell(
        self, what: str, gateway: str, kind: Kind, now_us: int, details: dict[str, Any]
    ) -> None:
        query = select(Gateway.site_id).where(
            Gateway.company_id == self._company_id, Gateway.id == gateway
        )
        site = await self._session.scalar(query)
        data = {"gateway": gateway, "site": site, "alarm": kind, "details": details}
        sites = () if site is None else (site,)
        happened = Happening(topics.ALARMS, f"delivery_alarm.{what}", data, sites)
        await tell(self._session, Scope(self._company_id), now_us, happened)

    async def standing(self, gateway: str) -> list[DeliveryAlarm]:
        """Return the alarms of `gateway` that stand, the oldest first."""
        query = (
            select(DeliveryAlarm)
            .where(DeliveryAlarm.company_id == self._company_id)
            .where(DeliveryAlarm.gateway_id == gateway, DeliveryAlarm.cleared_us.is_(None))
            .order_by(DeliveryAlarm.since_us, DeliveryAlarm.id)
        )
        return list((await self._session.execute(query)).scalars())

    async def _changed(self, statement: Any) -> bool:
        result = await self._session.execute(statement)
        assert isinstance(result, CursorResult)  # noqa: S101 - tells mypy what it is
        return result.rowcount > 0

    def _open(self, gateway: str, kind: Kind) -> tuple[Any, ...]:
        return (
            DeliveryAlarm.company_id == self._company_id,
            DeliveryAlarm.gateway_id == gateway,
            DeliveryAlarm.kind == kind,
            DeliveryAlarm.cleared_us.is_(None),
        )
