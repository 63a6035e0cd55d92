"""SQL of gateways as the API lists them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

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

    async def gaps(self, gateway: str, stream: str, most: int) -> Sequence[AnyRow]:
        """Return at most `most` declared gaps of a gateway's stream, the newest first."""
        columns = (GapRecord.epoch, GapRecord.lo, GapRecord.hi, GapRecord.cause)
        statement = (
            select(*columns, GapRecord.received_us)
            .where(self._own(GapRecord), GapRecord.gateway_id == gateway)
            .where(GapRecord.stream == stream)
            .order_by(GapRecord.received_us.desc(), GapRecord.epoch, GapRecord.lo)
        )
        return (await self._session.execute(statement.limit(most))).all()
