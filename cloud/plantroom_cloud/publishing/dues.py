"""SQL of what is published since when, and of what is still to be published from the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, insert, select, update

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.publishing.plan import Meaning
from plantroom_cloud.publishing.ranges import Range, bounded, merged
from plantroom_cloud.publishing.stays import Published
from plantroom_cloud.tables import PublishDue, PublishedPoint, SampleRow

_CHUNK: Final = 500
"""Rows of one statement: below every engine's limit of bound values."""


@dataclass(frozen=True, slots=True)
class Due:
    """A stretch of one point that is still to be published."""

    id: int
    point_id: int
    lo_us: int
    hi_us: int
    """Without it."""


@dataclass(frozen=True, slots=True)
class DueSample:
    """A stored sample of a `Due`."""

    due_id: int
    point_id: int
    ts_us: int
    value: float | None
    text: str | None
    quality: int
    tie: int


class DueRepository(Repository):
    """What is published and what is due, of one company."""

    async def published(self, kind: str) -> dict[int, Published]:
        """Return point id → what it is published as."""
        columns = (
            PublishedPoint.point_id,
            PublishedPoint.since_us,
            PublishedPoint.until_us,
            PublishedPoint.site_id,
            PublishedPoint.equipment,
            PublishedPoint.model_id,
            PublishedPoint.model_point,
        )
        rows = await self._session.execute(
            select(*columns).where(self._own(PublishedPoint), PublishedPoint.kind == kind)
        )
        return {row[0]: Published(Meaning(*row[3:]), row[1], row[2]) for row in rows}

    async def note(
        self, kind: str, points: Mapping[int, Meaning], since: Mapping[int, int]
    ) -> None:
        """Note what points are published as, and of each since when it has said what goes there."""
        head = {"company_id": self._scope.company_id, "kind": kind, "until_us": None}
        rows = [
            head | {"point_id": point, "since_us": since[point]} | meaning.columns()
            for point, meaning in sorted(points.items())
        ]
        statement = insert_into(self._session, PublishedPoint)
        names = (*Meaning.__slots__, "since_us", "until_us")
        upsert = statement.on_conflict_do_update(
            index_elements=["kind", "point_id"],
            set_={name: statement.excluded[name] for name in names},
        )
        if rows:
            await self._session.execute(upsert, rows)

    async def end(self, kind: str, points: Iterable[int], now_us: int) -> None:
        """Note that points are published no more."""
        for part in _parts(sorted(points)):
            await self._session.execute(
                update(PublishedPoint)
                .where(
                    self._own(PublishedPoint),
                    PublishedPoint.kind == kind,
                    PublishedPoint.point_id.in_(part),
                )
                .values(until_us=now_us)
            )

    async def rename(self, kind: str, site_id: int, before: str, after: str) -> None:
        """Note that equipment has another name; all that is published of it stays published."""
        await self._session.execute(
            update(PublishedPoint)
            .where(
                self._own(PublishedPoint),
                PublishedPoint.kind == kind,
                PublishedPoint.site_id == site_id,
                PublishedPoint.equipment == before,
            )
            .values(equipment=after)
        )

    async def points_of(self, kind: str, site_id: int, equipment: str) -> list[int]:
        """Return the points that are published as `equipment`."""
        rows = await self._session.scalars(
            select(PublishedPoint.point_id).where(
                self._own(PublishedPoint),
                PublishedPoint.kind == kind,
                PublishedPoint.site_id == site_id,
                PublishedPoint.equipment == equipment,
                PublishedPoint.until_us.is_(None),
            )
        )
        return list(rows)

    # ------------------------------------------------------------ what is due

    async def dues(self, kind: str, points: Sequence[int] | None = None) -> list[Due]:
        """Return what is due, of `points` or of all, by point and time."""
        found: list[Due] = []
        for part in [None] if points is None else _parts(points):
            query = select(
                PublishDue.id, PublishDue.point_id, PublishDue.lo_us, PublishDue.hi_us
            ).where(self._own(PublishDue), PublishDue.kind == kind)
            if part is not None:
                query = query.where(PublishDue.point_id.in_(part))
            ordered = query.order_by(PublishDue.point_id, PublishDue.lo_us)
            found += [Due(*row) for row in await self._session.execute(ordered)]
        return found

    async def add(self, kind: str, owed: Mapping[int, Sequence[Range]]) -> None:
        """Add ranges of points to what is due; those that touch become one."""
        known = ranges_of(await self.dues(kind, sorted(owed)))
        wanted = {
            point: bounded(merged([*known.get(point, ()), *ranges]))
            for point, ranges in sorted(owed.items())
        }
        await self._replace(kind, known, wanted)

    async def put(self, kind: str, due: Mapping[int, Sequence[Range]]) -> None:
        """Let nothing else be due of points than these ranges, which are in order and disjoint."""
        known = ranges_of(await self.dues(kind, sorted(due)))
        await self._replace(kind, known, {point: bounded(due[point]) for point in sorted(due)})

    async def _replace(
        self,
        kind: str,
        known: Mapping[int, list[Range]],
        wanted: Mapping[int, list[Range]],
    ) -> None:
        changed = {point: rows for point, rows in wanted.items() if rows != known.get(point, [])}
        for part in _parts(sorted(changed.keys() & known.keys())):
            await self._session.execute(
                delete(PublishDue).where(
                    self._own(PublishDue), PublishDue.kind == kind, PublishDue.point_id.in_(part)
                )
            )
        head = {"company_id": self._scope.company_id, "kind": kind}
        rows: list[dict[str, Any]] = [
            head | {"point_id": point, "lo_us": lo, "hi_us": hi}
            for point, ranges in changed.items()
            for lo, hi in ranges
        ]
        if rows:
            await self._session.execute(insert(PublishDue), rows)

    async def settle(self, done: Sequence[Due], rest: Mapping[Due, int]) -> bool:
        """Delete what is done and shorten the rest; False if anything was changed meanwhile.

        Args:
            done: published to their ends.
            rest: due → what is not yet published of it begins here.
        """
        gone = 0
        for part in _parts([due.id for due in done]):
            result = await self._session.execute(
                delete(PublishDue)
                .where(self._own(PublishDue), PublishDue.id.in_(part))
                .returning(PublishDue.id)
            )
            gone += len(result.all())
        for due, lo_us in rest.items():
            shortened = await self._session.execute(
                update(PublishDue)
                .where(self._own(PublishDue), PublishDue.id == due.id)
                .where(PublishDue.lo_us == due.lo_us)
                .values(lo_us=lo_us)
                .returning(PublishDue.id)
            )
            gone += len(shortened.all())
        return gone == len(done) + len(rest)

    async def samples(self, dues: Sequence[Due], limit: int) -> list[DueSample]:
        """Return up to `limit` stored samples of `dues`, by the id of the due, then by time."""
        found: list[DueSample] = []
        for part in _parts(sorted(due.id for due in dues)):
            query = (
                select(
                    PublishDue.id,
                    SampleRow.point_id,
                    SampleRow.ts_us,
                    SampleRow.value,
                    SampleRow.text,
                    SampleRow.quality,
                    SampleRow.tie,
                )
                .join(
                    SampleRow,
                    (SampleRow.point_id == PublishDue.point_id)
                    & (SampleRow.ts_us >= PublishDue.lo_us)
                    & (SampleRow.ts_us < PublishDue.hi_us),
                )
                .where(self._own(PublishDue, SampleRow), PublishDue.id.in_(part))
                .order_by(PublishDue.id, SampleRow.ts_us, SampleRow.tie)
                .limit(limit - len(found))
            )
            found += [DueSample(*row) for row in await self._session.execute(query)]
            if len(found) >= limit:
                break
        return found


def ranges_of(dues: Iterable[Due]) -> dict[int, list[Range]]:
    """Return point id → what is due of it, in the order of `dues`."""
    found: dict[int, list[Range]] = {}
    for due in dues:
        found.setdefault(due.point_id, []).append((due.lo_us, due.hi_us))
    return found


def _parts(items: Sequence[int]) -> Iterable[Sequence[int]]:
    return (items[at : at + _CHUNK] for at in range(0, len(items), _CHUNK))
