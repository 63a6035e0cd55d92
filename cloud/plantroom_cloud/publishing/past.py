"""SQL of what points were published as before: which place has what of whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from sqlalchemy import delete, func, select, update

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.publishing.plan import Meaning
from plantroom_cloud.publishing.stays import Stay
from plantroom_cloud.tables import PublishedPast


class PastRepository(Repository):
    """Where one company's points were published before."""

    async def stays(self, kind: str) -> dict[Meaning, list[Stay]]:
        """Return place → the points that were there before they were published as something else."""
        past = PublishedPast
        place = (past.site_id, past.equipment, past.model_id, past.model_point)
        columns = (past.point_id, past.since_us, past.until_us, past.held_us)
        rows = await self._session.execute(
            select(*place, *columns).where(self._own(past), past.kind == kind)
        )
        found: dict[Meaning, list[Stay]] = {}
        for row in rows:
            found.setdefault(Meaning(*row[:4]), []).append(Stay(*row[4:]))
        return found

    async def leave(self, kind: str, stays: Mapping[Meaning, Iterable[Stay]]) -> None:
        """Note that points are somewhere else now."""
        head = {"company_id": self._scope.company_id, "kind": kind}
        rows = [
            head | meaning.columns() | asdict(stay) for meaning in stays for stay in stays[meaning]
        ]
        statement = insert_into(self._session, PublishedPast)
        upsert = statement.on_conflict_do_update(
            index_elements=["kind", "point_id", *Meaning.__slots__],
            set_={name: statement.excluded[name] for name in ("since_us", "until_us", "held_us")},
        )
        if rows:
            await self._session.execute(upsert, rows)

    async def held(self, kind: str) -> dict[int, int]:
        """Return point id → before when each place that it has left has all it has said."""
        past = PublishedPast
        rows = await self._session.execute(
            select(past.point_id, func.max(past.held_us))
            .where(self._own(past), past.kind == kind)
            .group_by(past.point_id)
        )
        return dict(rows.all())

    async def came_late(self, kind: str, oldest: Mapping[int, int]) -> None:
        """Note that places which points have left lack what they have said since a time."""
        for point, ts_us in sorted(oldest.items()):
            await self._session.execute(
                update(PublishedPast)
                .where(self._own(PublishedPast), PublishedPast.kind == kind)
                .where(PublishedPast.point_id == point, PublishedPast.held_us > ts_us)
                .values(held_us=ts_us)
            )

    async def emptied(self, kind: str, site_id: int, equipment: str) -> None:
        """Note that the device of equipment is a new one: it has nothing of what points have said."""
        await self._session.execute(
            update(PublishedPast)
            .where(self._own(PublishedPast), PublishedPast.kind == kind)
            .where(PublishedPast.site_id == site_id, PublishedPast.equipment == equipment)
            .values(held_us=0)
        )

    async def rename(self, kind: str, site_id: int, before: str, after: str) -> None:
        """Note that equipment has another name; what had that name before is no more."""
        past = (self._own(PublishedPast), PublishedPast.kind == kind)
        place = (*past, PublishedPast.site_id == site_id)
        await self._session.execute(
            delete(PublishedPast).where(*place, PublishedPast.equipment == after)
        )
        await self._session.execute(
            update(PublishedPast)
            .where(*place, PublishedPast.equipment == before)
            .values(equipment=after)
        )
