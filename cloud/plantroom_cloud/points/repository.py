"""SQL of devices and points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, or_, select

from plantroom_cloud.db import Scope
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, AnySelect, Own, Query, Repository, query
from plantroom_cloud.tables import Device, Mapping, Point

_DEVICE = (
    Device.id,
    Device.site_id.label("site"),
    Device.gateway_id.label("gateway"),
    Device.key,
    Device.name,
    Device.protocol,
    Device.address,
    Device.vendor,
    Device.model,
    Device.description,
)
_POINT = (
    Point.id,
    Point.site_id.label("site"),
    Point.gateway_id.label("gateway"),
    Point.device_id.label("device"),
    Point.key,
    Point.name,
    Point.description,
    Point.unit,
    Point.object_type,
    Point.states,
    Point.writable,
    Mapping.equipment,
    Mapping.equip_class,
    Mapping.point_class,
    Mapping.model_id.label("model"),
    Mapping.model_point,
    Mapping.confidence,
    Mapping.source,
    Mapping.state,
)
MAX_WORDS = 8


@dataclass(frozen=True, slots=True)
class PointFilter:
    """Which points; None and the empty text mean: whichever."""

    q: str = ""
    """Words that all stand in name, description or key, in any case."""
    site: int | None = None
    gateway: str | None = None
    device: int | None = None
    equip_class: str | None = None
    point_class: str | None = None
    model: str | None = None

    def as_filters(self) -> dict[str, Any]:
        """Return the filters by name, for the cursor."""
        return asdict(self)


def _heading(own: Own) -> AnySelect:
    return select(Point.id, Point.unit).where(own(Point), Point.id == bindparam("point"))


def heading(scope: Scope, point_id: int) -> Query:
    """Return the query of a point's id and unit: what stands above its history."""
    return query(scope, _heading, point=point_id)


class PointRepository(Repository):
    """A company's points."""

    async def page(self, which: PointFilter, page: Page) -> Sequence[AnyRow]:
        """Return points by id, one more than the page holds if there are more."""
        statement = self._points().where(*self._conditions(which))
        if page.after:
            statement = statement.where(Point.id > page.after[0])
        result = await self._session.execute(statement.order_by(Point.id).limit(page.limit + 1))
        return result.all()

    async def find(self, point_id: int) -> AnyRow | None:
        """Return one point, or None if the company has none of this id."""
        statement = self._points().where(Point.id == point_id)
        return (await self._session.execute(statement)).one_or_none()

    def _points(self) -> AnySelect:
        mapping = and_(Mapping.point_id == Point.id, self._own(Mapping))
        return select(*_POINT).outerjoin(Mapping, mapping).where(self._own(Point))

    def _conditions(self, which: PointFilter) -> list[ColumnElement[bool]]:
        equal = {
            Point.site_id: which.site,
            Point.gateway_id: which.gateway,
            Point.device_id: which.device,
            Mapping.equip_class: which.equip_class,
            Mapping.point_class: which.point_class,
            Mapping.model_id: which.model,
        }
        conditions = [column == value for column, value in equal.items() if value is not None]
        if which.equip_class or which.point_class or which.model:
            conditions.append(Mapping.state != "rejected")
        return conditions + [_holds(word) for word in which.q.split()[:MAX_WORDS]]


def _holds(word: str) -> ColumnElement[bool]:
    columns = (Point.name, Point.description, Point.key)
    return or_(*(column.icontains(word, autoescape=True) for column in columns))


class DeviceRepository(Repository):
    """A company's devices."""

    async def page(self, site: int | None, gateway: str | None, page: Page) -> Sequence[AnyRow]:
        """Return devices by id, one more than the page holds if there are more."""
        statement = select(*_DEVICE).where(self._own(Device))
        if site is not None:
            statement = statement.where(Device.site_id == site)
        if gateway is not None:
            statement = statement.where(Device.gateway_id == gateway)
        if page.after:
            statement = statement.where(Device.id > page.after[0])
        result = await self._session.execute(statement.order_by(Device.id).limit(page.limit + 1))
        return result.all()
