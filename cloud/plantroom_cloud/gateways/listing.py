"""SQL of gateways as the API lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, select, tuple_

from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import GapRecord, Gateway

_COLUMNS = (
    Gateway.id,
    Gateway.site_id,
    Gateway.name,
    Gateway.online,
    Gateway.seen_us,
    Gateway.agent_version,
    Gateway.report,
    Gateway.created_us,
)
_GAP = (
    GapRecord.epoch,
    GapRecord.stream,
    GapRecord.lo,
    GapRecord.hi,
    GapRecord.cause,
    GapRecord.from_us,
    GapRecord.to_us,
    GapRecord.signed,
    GapRecord.received_us,
)
GAP_KEY = (GapRecord.received_us, GapRecord.epoch, GapRecord.stream, GapRecord.lo)
"""What gaps of a gateway are ordered by."""


@dataclass(frozen=True, slots=True)
class GapFilter:
    """Which gaps; None means: whichever."""

    stream: str | None = None
    cause: str | None = None
    start: int | None = None
    """Its rows were accepted at this moment or later; where that is not known, it was told then."""
    end: int | None = None
    """The same before this moment."""


class GatewayListing(Repository):
    """A company's gateways, to be read."""

    async def page(self, site: int | None, page: Page) -> Sequence[AnyRow]:
        """Return gateways by id, one more than the page holds if there are more."""
        statement = select(*_COLUMNS).where(self._own(Gateway))
        if site is not None:
            statement = statement.where(Gateway.site_id == site)
        if page.after:
            statement = statement.where(Gateway.id > page.after[0])
        result = await self._session.execute(statement.order_by(Gateway.id).limit(page.limit + 1))
        return result.all()

    async def find(self, gateway: str) -> AnyRow | None:
        """Return one gateway, or None if the company has none of this id."""
        statement = select(*_COLUMNS).where(self._own(Gateway), Gateway.id == gateway)
        return (await self._session.execute(statement)).one_or_none()

    async def gaps(self, gateway: str, which: GapFilter, page: Page) -> Sequence[AnyRow]:
        """Return a gateway's declared gaps, the newest first, one more than the page holds."""
        statement = (
            select(*_GAP)
            .where(self._own(GapRecord), GapRecord.gateway_id == gateway, *_conditions(which))
            .order_by(*(column.desc() for column in GAP_KEY))
        )
        if page.after:
            statement = statement.where(tuple_(*GAP_KEY) < tuple_(*page.after))
        return (await self._session.execute(statement.limit(page.limit + 1))).all()


def _conditions(which: GapFilter) -> list[ColumnElement[bool]]:
    known = GapRecord.to_us > 0
    conditions: list[ColumnElement[bool]] = []
    if which.stream is not None:
        conditions.append(GapRecord.stream == which.stream)
    if which.cause is not None:
        conditions.append(GapRecord.cause == which.cause)
    if which.start is not None:
        conditions.append(
            case((known, GapRecord.to_us), else_=GapRecord.received_us) >= which.start
        )
    if which.end is not None:
        conditions.append(case((known, GapRecord.from_us), else_=GapRecord.received_us) < which.end)
    return conditions
