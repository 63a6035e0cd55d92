"""SQL that reads a site for the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, select

from plantroom_cloud.governance.configurations import Document
from plantroom_cloud.governance.facts import SiteRows, Told
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import (
    Base,
    Device,
    Gateway,
    GovernanceSite,
    Latest,
    Mapping,
    Point,
    Site,
)
from plantroom_cloud.thingmodels.repository import OverrideRepository, ThingModelRepository
from plantroom_shared.mapping.targets import catalog

_GATEWAY = (
    Gateway.id, Gateway.name, Gateway.created_us, Gateway.online, Gateway.seen_us,
    Gateway.agent_version, Gateway.clock_state, Gateway.clock_skew_us, Gateway.oldest_us,
    Gateway.writes,
)  # fmt: skip
_DEVICE = (
    Device.id, Device.gateway_id, Device.key, Device.name, Device.protocol, Device.address,
    Device.vendor, Device.model, Device.description,
)  # fmt: skip
_POINT = (
    Point.id, Point.gateway_id, Point.device_id, Point.key, Point.name, Point.description,
    Point.unit, Point.object_type, Point.states, Point.writable, Point.changed_us,
    Mapping.equipment, Mapping.equip_class, Mapping.parent, Mapping.point_class, Mapping.model_id,
    Mapping.model_point, Mapping.confidence, Mapping.source, Mapping.state, Mapping.mapped_us,
    Latest.ts_us,
)  # fmt: skip


class SiteReader(Repository):
    """What stands at a site, as rules need it."""

    async def find(self, site_id: int) -> AnyRow | None:
        """Return the site itself; None if the company has none of this id."""
        columns = (Site.id, Site.slug, Site.name, Site.timezone, Site.created_us)
        query = select(*columns).where(self._own(Site), Site.id == site_id)
        return (await self._session.execute(query)).one_or_none()

    async def read(
        self, site: AnyRow, now_us: int, documents: Sequence[Document] | None = None
    ) -> SiteRows:
        """Return the rows of a site.

        Args:
            site: as `find` returned it.
            now_us: what ages are counted to.
            documents: configurations in place of those that the gateways say they run.
        """
        return SiteRows(
            site=site,
            told=await self._told(site.id),
            gateways=await self._rows(Gateway, _GATEWAY, site.id),
            devices=await self._rows(Device, _DEVICE, site.id),
            points=await self._points(site.id),
            models=catalog(await ThingModelRepository(self._session, self._scope).current()),
            overrides=await OverrideRepository(self._session, self._scope).current(),
            documents=await self.running(site.id) if documents is None else documents,
            now_us=now_us,
        )

    async def _told(self, site_id: int) -> Told:
        table = GovernanceSite
        query = select(table.location, table.naming).where(
            self._own(table), table.site_id == site_id
        )
        row = (await self._session.execute(query)).one_or_none()
        return Told() if row is None else Told(row.location, tuple(row.naming))

    async def _rows(self, table: Any, columns: Sequence[Any], site_id: int) -> Sequence[AnyRow]:
        query = select(*columns).where(self._own(table), table.site_id == site_id)
        return (await self._session.execute(query.order_by(table.id))).all()

    async def _points(self, site_id: int) -> Sequence[AnyRow]:
        mapped = and_(Mapping.point_id == Point.id, self._own(Mapping))
        newest = and_(Latest.point_id == Point.id, self._own(Latest))
        query = select(*_POINT).outerjoin(Mapping, mapped).outerjoin(Latest, newest)
        query = query.where(self._own(Point), Point.site_id == site_id).order_by(Point.id)
        return (await self._session.execute(query)).all()

    async def running(self, site_id: int) -> list[Document]:
        """Return what the gateways of a site say that they run, where configurations are kept."""
        table = Base.metadata.tables.get("configuration_running")
        if table is None:
            return []
        of_site = select(Gateway.id).where(self._own(Gateway), Gateway.site_id == site_id)
        query = select(table.c.gateway_id, table.c.document, table.c.version).where(
            table.c.company_id == self._scope.company_id, table.c.gateway_id.in_(of_site)
        )
        rows = (await self._session.execute(query.order_by(table.c.gateway_id))).all()
        return [Document(r.gateway_id, r.document, r.version) for r in rows if r.document]
