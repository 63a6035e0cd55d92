"""SQL of mappings as the API lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, func, select

from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import Mapping, Point

_COLUMNS = (
    Mapping.point_id,
    Mapping.site_id,
    Point.name,
    Mapping.template,
    Mapping.equipment,
    Mapping.equip_class,
    Mapping.point_class,
    Mapping.model_id,
    Mapping.model_point,
    Mapping.confidence,
    Mapping.source,
    Mapping.state,
    Mapping.evidence,
    Mapping.mapped_us,
)


@dataclass(frozen=True, slots=True)
class MappingFilter:
    """Which mappings; None means: whichever."""

    site: int | None = None
    state: str | None = None
    equip_class: str | None = None
    min_confidence: float | None = None


class MappingListing(Repository):
    """A company's mappings, to be read."""

    async def page(self, which: MappingFilter, page: Page) -> Sequence[AnyRow]:
        """Return mappings by point id, one more than the page holds if there are more."""
        statement = (
            select(*_COLUMNS)
            .join(Point, Point.id == Mapping.point_id)
            .where(self._own(Mapping, Point), *_conditions(which))
        )
        if page.after:
            statement = statement.where(Mapping.point_id > page.after[0])
        statement = statement.order_by(Mapping.point_id).limit(page.limit + 1)
        return (await self._session.execute(statement)).all()

    async def summary(self, site: int | None) -> AnyRow:
        """Return points, mapped, with_counterpart and mean_confidence, of all sites or one."""
        valid = and_(Mapping.point_id == Point.id, Mapping.state != "rejected", self._own(Mapping))
        mapped = Mapping.point_class != ""
        statement = (
            select(
                func.count().label("points"),
                func.count(case((mapped, 1))).label("mapped"),
                func.count(case((Mapping.model_point != "", 1))).label("with_counterpart"),
                func.avg(case((mapped, Mapping.confidence))).label("mean_confidence"),
            )
            .select_from(Point)
            .outerjoin(Mapping, valid)
            .where(self._own(Point))
        )
        if site is not None:
            statement = statement.where(Point.site_id == site)
        return (await self._session.execute(statement)).one()


def _conditions(which: MappingFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if which.site is not None:
        conditions.append(Mapping.site_id == which.site)
    if which.state is not None:
        conditions.append(Mapping.state == which.state)
    if which.equip_class is not None:
        conditions.append(Mapping.equip_class == which.equip_class)
    if which.min_confidence is not None:
        conditions.append(Mapping.confidence >= which.min_confidence)
    return conditions
