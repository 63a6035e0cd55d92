"""Rolling up: every interval that got new samples is summed up anew, in one transaction.

Ingest notes with each batch what it touches (`RollupDue`). A round takes the oldest notes, sums
up their minutes from the samples, the longer intervals from the shorter, and deletes the notes in
the same transaction: killed at any point it leaves either nothing or all of it behind, and doing
it twice changes nothing. Samples older than a site keeps come late: those are added to their
roll-ups and deleted, in that same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import delete, select

from plantroom_cloud.db import Database, Scope, insert_into
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.store.due import MINUTE, unpack
from plantroom_cloud.store.summing import (
    LEVELS,
    SECOND,
    merge_sums,
    raw_sums,
    rollup_sums,
    store_sums,
)
from plantroom_cloud.tables import Counter, Point, Retention, Rollup, RollupDue, SampleRow
from plantroom_shared.ranges import Range, merge

MOST_SAMPLES: Final = 50_000
"""New samples in one round, about; on SQLite the ingest waits for so long."""
MOST_NOTES: Final = 500
NEAR: Final = 60
"""Minutes between two stretches that are summed up in one go."""
_POINTS: Final = 500
"""Points in one statement."""


@dataclass(slots=True)
class _Work:
    """What is due of one gateway."""

    site_id: int
    points: set[int] = field(default_factory=set)
    stretches: set[Range] = field(default_factory=set)


async def roll_up(database: Database, scope: Scope) -> int:
    """Do one round for a company; return how many notes it dealt with, 0 where nothing is due."""
    async with database.snapshot(scope) as session:
        return await _Round(session, scope).run()


class _Round(Repository):
    """One transaction of one company."""

    async def run(self) -> int:
        """Take the oldest notes and do what they say."""
        notes = await self._notes()
        if not notes:
            return 0
        floors = await self._floors()
        for work in (await self._works(notes)).values():
            floor = floors.get(work.site_id, 0)
            for points in _chunks(sorted(work.points)):
                for lo, hi in _joined(work.stretches):
                    await self._sum_up(points, lo * MINUTE, hi * MINUTE, floor)
        done = delete(RollupDue).where(self._own(RollupDue))
        await self._session.execute(done.where(RollupDue.id.in_([note.id for note in notes])))
        return len(notes)

    async def _notes(self) -> list[Any]:
        columns = (RollupDue.id, RollupDue.samples, RollupDue.points, RollupDue.minutes)
        query = select(*columns).where(self._own(RollupDue)).order_by(RollupDue.id)
        notes, samples = [], 0
        for note in (await self._session.execute(query.limit(MOST_NOTES))).all():
            notes.append(note)
            samples += note.samples
            if samples >= MOST_SAMPLES:
                break
        return notes

    async def _works(self, notes: Iterable[Any]) -> dict[str, _Work]:
        """Return by gateway what the notes ask for; gateways do not share times."""
        dues = [unpack(note.points, note.minutes) for note in notes]
        homes: dict[int, tuple[str, int]] = {}
        for chunk in _chunks(sorted(set().union(*(due.points for due in dues)))):
            query = select(Point.id, Point.gateway_id, Point.site_id).where(self._own(Point))
            for row in await self._session.execute(query.where(Point.id.in_(chunk))):
                homes[row.id] = (row.gateway_id, row.site_id)
        works: dict[str, _Work] = {}
        for due in dues:
            for point in due.points & homes.keys():
                gateway, site_id = homes[point]
                works.setdefault(gateway, _Work(site_id)).points.add(point)
            for gateway in {homes[point][0] for point in due.points & homes.keys()}:
                works[gateway].stretches.update(due.stretches)
        return works

    async def _floors(self) -> dict[int, int]:
        query = select(Retention.site_id, Retention.raw_from_us).where(self._own(Retention))
        return {row.site_id: row.raw_from_us for row in await self._session.execute(query)}

    # ------------------------------------------------------------ one stretch

    async def _sum_up(self, points: Sequence[int], lo: int, hi: int, floor: int) -> None:
        """Bring the roll-ups of a stretch (microseconds, whole minutes) up to date."""
        company, shortest = self._scope.company_id, LEVELS[0]
        if lo < floor:
            late = (*self._samples(points), SampleRow.ts_us >= lo, SampleRow.ts_us < min(hi, floor))
            sums = raw_sums(shortest * SECOND, *late)
            await self._session.execute(merge_sums(self._session, company, shortest, sums))
            gone: Any = await self._session.execute(delete(SampleRow).where(*late))
            await self._count_late(gone.rowcount)
        if hi > floor:
            fresh = (SampleRow.ts_us >= max(lo, floor), SampleRow.ts_us < hi)
            sums = raw_sums(shortest * SECOND, *self._samples(points), *fresh)
            await self._session.execute(store_sums(self._session, company, shortest, sums))
        for shorter, length in pairwise(LEVELS):
            micros = length * SECOND
            parts = (
                self._own(Rollup),
                Rollup.point_id.in_(points),
                Rollup.length_s == shorter,
                Rollup.start_us >= lo - lo % micros,
                Rollup.start_us < -(-hi // micros) * micros,
            )
            sums = rollup_sums(micros, *parts)
            await self._session.execute(store_sums(self._session, company, length, sums))

    def _samples(self, points: Sequence[int]) -> tuple[Any, ...]:
        return self._own(SampleRow), SampleRow.point_id.in_(points)

    async def _count_late(self, rows: int) -> None:
        """Count samples that came after their time: they are in the roll-ups alone."""
        if not rows:
            return
        statement = insert_into(self._session, Counter)
        upsert = statement.on_conflict_do_update(
            index_elements=["company_id", "name"],
            set_={"value": Counter.value + statement.excluded.value},
        )
        row = {"company_id": self._scope.company_id, "name": "store.rolled_up_only", "value": rows}
        await self._session.execute(upsert, [row])


def _joined(stretches: Iterable[Range]) -> list[Range]:
    """Return few stretches that hold all of `stretches`: to sum up too much changes nothing."""
    wide = merge((lo, hi + NEAR) for lo, hi in stretches)
    return [(lo, hi - NEAR) for lo, hi in wide]


def _chunks(points: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(points), _POINTS):
        yield points[start : start + _POINTS]
