"""SQL of batteries: points that describe one, by what they were mapped to."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, or_, select

from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import Latest, Mapping, Point

MODEL = "EnOS_Solar_RE_BS"
"""The thing model of a battery system."""
_COLUMNS = (
    Point.id,
    Point.device_id,
    Point.key,
    Point.name,
    Point.unit,
    Mapping.equipment,
    Mapping.equip_class,
    Mapping.point_class,
    Mapping.model_id,
    Mapping.model_point,
    Mapping.confidence,
    Latest.value,
    Latest.quality,
)


class BatteryRepository(Repository):
    """Points of a company's batteries."""

    async def points(self, site_id: int) -> Sequence[AnyRow]:
        """Return every point of the devices of a site that have a point of a battery.

        The other points of such a device come too: a nameplate value seldom has a class.
        """
        is_battery = or_(Mapping.equip_class.startswith("Battery"), Mapping.model_id == MODEL)
        valid = (self._own(Mapping), Mapping.state != "rejected")
        devices = (
            select(Point.device_id)
            .join(Mapping, Mapping.point_id == Point.id)
            .where(self._own(Point), *valid, Point.site_id == site_id, is_battery)
        )
        statement = (
            select(*_COLUMNS)
            .outerjoin(Mapping, and_(Mapping.point_id == Point.id, *valid))
            .outerjoin(Latest, and_(Latest.point_id == Point.id, self._own(Latest)))
            .where(self._own(Point), Point.device_id.in_(devices))
            .order_by(Point.id)
        )
        return (await self._session.execute(statement)).all()
