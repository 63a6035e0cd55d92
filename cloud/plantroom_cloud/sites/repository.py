"""SQL of sites."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select

from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import Site

_COLUMNS = (Site.id, Site.slug, Site.name, Site.timezone, Site.created_us)


class SiteRepository(Repository):
    """A company's sites."""

    async def page(self, page: Page) -> Sequence[AnyRow]:
        """Return sites by id, one more than the page holds if there are more."""
        statement = select(*_COLUMNS).where(self._own(Site))
        if page.after:
            statement = statement.where(Site.id > page.after[0])
        result = await self._session.execute(statement.order_by(Site.id).limit(page.limit + 1))
        return result.all()

    async def known(self, wanted: Collection[int]) -> set[int]:
        """Return those of `wanted` that are sites of the company."""
        statement = select(Site.id).where(self._own(Site), Site.id.in_(wanted))
        return set(await self._session.scalars(statement))

    async def find(self, site_id: int) -> AnyRow | None:
        """Return one site, or None if the company has none of this id."""
        statement = select(*_COLUMNS).where(self._own(Site), Site.id == site_id)
        return (await self._session.execute(statement)).one_or_none()
