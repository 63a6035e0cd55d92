"""SQL of a company's thing models and overrides; rows are added and ended, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update

from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import Mapping, MappingOverride, Point, Site, ThingModelRow
from plantroom_cloud.thingmodels.documents import model_from
from plantroom_shared.mapping.conversion import Adjustment
from plantroom_shared.mapping.overrides import Override, Overrides
from plantroom_shared.mapping.things import ThingModel


class ThingModelRepository(Repository):
    """The thing models of one company, every version."""

    async def current(self) -> list[ThingModel]:
        """Return the models that hold now."""
        rows = await self._session.scalars(
            select(ThingModelRow.document).where(
                self._own(ThingModelRow), ThingModelRow.ended_us.is_(None)
            )
        )
        return [model_from(document) for document in rows]

    async def heads(self) -> list[AnyRow]:
        """Return model, version, origin and time of every model that holds now, by name."""
        t = ThingModelRow
        query = select(t.model_id, t.version, t.origin, t.actor, t.created_us, t.document)
        query = query.where(self._own(t), t.ended_us.is_(None)).order_by(t.model_id)
        return list((await self._session.execute(query)).all())

    async def versions(self, model_id: str) -> list[AnyRow]:
        """Return every version of a model, the oldest first."""
        t = ThingModelRow
        query = select(t.version, t.digest, t.origin, t.actor, t.created_us, t.ended_us, t.document)
        query = query.where(self._own(t), t.model_id == model_id).order_by(t.version)
        return list((await self._session.execute(query)).all())

    async def put(self, row: dict[str, Any]) -> int:
        """Add a version of a model, which ends the one before; return its number."""
        t = ThingModelRow
        mine = (self._own(t), t.model_id == row["model_id"])
        last = await self._session.scalar(select(func.max(t.version)).where(*mine))
        await self.end(row["model_id"], row["created_us"])
        version = (last or 0) + 1
        self._session.add(t(company_id=self._scope.company_id, version=version, **row))
        await self._session.flush()
        return version

    async def end(self, model_id: str, now_us: int) -> bool:
        """End the version of a model that holds; False where none does."""
        t = ThingModelRow
        ended = await self._session.execute(
            update(t)
            .where(self._own(t), t.model_id == model_id, t.ended_us.is_(None))
            .values(ended_us=now_us)
            .returning(t.id)
        )
        return bool(ended.all())

    async def lock(self) -> None:
        """Let nobody else add or end models of the company until this transaction is over."""
        t = ThingModelRow
        query = select(t.id).where(self._own(t), t.ended_us.is_(None)).order_by(t.id)
        await self._session.execute(query.with_for_update())


class OverrideRepository(Repository):
    """What one company says in place of its mappings."""

    async def rows(self, *, ended: bool = False) -> Sequence[MappingOverride]:
        """Return the overrides that hold, by id; with `ended` the former ones as well."""
        query = select(MappingOverride).where(self._own(MappingOverride))
        if not ended:
            query = query.where(MappingOverride.ended_us.is_(None))
        return (await self._session.scalars(query.order_by(MappingOverride.id))).all()

    async def current(self) -> Overrides:
        """Return the overrides that hold, ready to be applied."""
        return Overrides(override_of(row) for row in await self.rows())

    async def add(self, values: dict[str, Any]) -> int:
        """Add an override and return its id; one that says the same of the same is ended by it."""
        t = MappingOverride
        about = ("site_id", "point_id", "equipment", "model_id", "model_point")
        same = [getattr(t, name).is_not_distinct_from(values[name]) for name in about]
        await self._session.execute(
            update(t)
            .where(self._own(t), t.ended_us.is_(None), *same)
            .values(ended_us=values["created_us"])
        )
        row = t(company_id=self._scope.company_id, **values)
        self._session.add(row)
        await self._session.flush()
        return row.id

    async def end(self, override: int, now_us: int) -> bool:
        """Take an override back; False where there is none of that id that holds."""
        t = MappingOverride
        ended = await self._session.execute(
            update(t)
            .where(self._own(t), t.id == override, t.ended_us.is_(None))
            .values(ended_us=now_us)
            .returning(t.id)
        )
        return bool(ended.all())


class ClaimRepository(Repository):
    """What the points of a site are mapped to."""

    async def has_site(self, site_id: int) -> bool:
        """Say whether the company has such a site."""
        query = select(Site.id).where(self._own(Site), Site.id == site_id)
        return await self._session.scalar(query) is not None

    async def has_point(self, point_id: int) -> bool:
        """Say whether the company has such a point."""
        query = select(Point.id).where(self._own(Point), Point.id == point_id)
        return await self._session.scalar(query) is not None

    async def mapped(self, site_id: int) -> list[AnyRow]:
        """Return point, what the bus says of it and its mapping, for every point of a site."""
        query = (
            select(
                Mapping.point_id,
                Mapping.equipment,
                Mapping.equip_class,
                Mapping.point_class,
                Mapping.model_id,
                Mapping.model_point,
                Mapping.state,
                Point.name,
                Point.unit,
                Point.states,
                Point.object_type,
            )
            .join(Point, Point.id == Mapping.point_id)
            .where(self._own(Mapping, Point), Mapping.site_id == site_id)
            .order_by(Mapping.point_id)
        )
        return list((await self._session.execute(query)).all())


def override_of(row: MappingOverride) -> Override:
    """Return a row as the pure core has it."""
    return Override(
        site_id=row.site_id,
        point_id=row.point_id,
        equipment=row.equipment,
        model_id=row.model_id,
        model_point=row.model_point,
        to_model=row.to_model,
        to_point=row.to_point,
        adjustment=Adjustment(
            row.unit, row.sign, row.multiplier, tuple(sorted((row.states or {}).items()))
        ),
    )
