"""A point's history by intervals, out of roll-ups where they are up to date, else of samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import select

from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.samples.window import Window
from plantroom_cloud.store.cover import Piece, cover
from plantroom_cloud.store.due import unpack
from plantroom_cloud.store.summing import raw_sums, rollup_sums
from plantroom_cloud.tables import Point, Retention, Rollup, RollupDue, SampleRow
from plantroom_shared.ranges import Range, merge


@dataclass(slots=True)
class Sums:
    """What a point said in one interval; only good samples make the aggregates."""

    start_us: int
    count: int
    """Good samples."""
    uncertain: int
    bad: int
    numbers: int
    """Good samples that are numbers."""
    total: float | None
    """Sum of the numbers that can be summed up; see `summing.SUMMABLE`."""
    min: float | None
    max: float | None
    first_us: int | None
    first_tie: int | None
    first: float | None
    first_text: str | None
    last_us: int | None
    last_tie: int | None
    last: float | None
    last_text: str | None

    def add(self, other: Sums) -> None:
        """Take in what was said in another part of the same interval."""
        self.count += other.count
        self.uncertain += other.uncertain
        self.bad += other.bad
        self.numbers += other.numbers
        if other.total is not None:
            self.total = other.total + (self.total or 0.0)
        if other.min is not None:
            self.min = other.min if self.min is None else min(self.min, other.min)
        if other.max is not None:
            self.max = other.max if self.max is None else max(self.max, other.max)
        if _moment(other.first_us, other.first_tie) < _moment(self.first_us, self.first_tie):
            for name in _FIRST:
                setattr(self, name, getattr(other, name))
        if other.last_us is not None and (
            self.last_us is None
            or _moment(other.last_us, other.last_tie) > _moment(self.last_us, self.last_tie)
        ):
            for name in _LAST:
                setattr(self, name, getattr(other, name))


_NAMES: Final = tuple(field.name for field in fields(Sums))
_FIRST: Final = ("first_us", "first_tie", "first", "first_text")
_LAST: Final = ("last_us", "last_tie", "last", "last_text")


def _moment(us: int | None, tie: int | None) -> tuple[float, int]:
    """Return what moments are ordered by; none is after all."""
    return (float("inf"), 0) if us is None or tie is None else (us, tie)


def added_up(parts: Iterable[Sums]) -> list[Sums]:
    """Return one of `parts` per interval, oldest first, with all others of it taken in."""
    whole: dict[int, Sums] = {}
    for part in parts:
        if (known := whole.get(part.start_us)) is None:
            whole[part.start_us] = part
        else:
            known.add(part)
    return [whole[start] for start in sorted(whole)]


class HistoryRepository(Repository):
    """Sums of one company's points. The session must be one snapshot, as `Database.read` gives."""

    async def sums(self, point_id: int, window: Window, interval: int) -> list[Sums]:
        """Return what was said in each interval that holds a sample, oldest first.

        Intervals start at multiples of `interval` (microseconds) since 1970-01-01 UTC; the first
        and the last hold what lies within `window`.
        """
        query = select(Point.gateway_id, Point.site_id).where(self._own(Point))
        found = (await self._session.execute(query.where(Point.id == point_id))).one_or_none()
        if found is None:
            return []
        raw_from = await self._raw_from(found.site_id)
        due = await self._due(found.gateway_id, window)
        parts: list[Sums] = []
        for piece in cover(window.start, window.end, interval, due, raw_from):
            rows = await self._piece(point_id, piece, interval)
            parts += (Sums(*(getattr(row, name) for name in _NAMES)) for row in rows)
        return added_up(parts)

    async def _raw_from(self, site_id: int) -> int:
        query = select(Retention.raw_from_us).where(self._own(Retention))
        found = await self._session.execute(query.where(Retention.site_id == site_id))
        return found.scalar_one_or_none() or 0

    async def _due(self, gateway_id: str, window: Window) -> list[Range]:
        """Return the stretches of minutes (without their last) that wait to be rolled up."""
        query = select(RollupDue.minutes).where(
            self._own(RollupDue),
            RollupDue.lo_us < window.end,
            RollupDue.hi_us >= window.start,
            RollupDue.gateway_id.in_((gateway_id, "")),
        )
        stretches = {
            stretch
            for row in await self._session.execute(query)
            for stretch in unpack(b"", row.minutes).stretches
        }
        return [(lo, hi + 1) for lo, hi in merge((lo, hi - 1) for lo, hi in stretches)]

    async def _piece(self, point_id: int, piece: Piece, interval: int) -> Sequence[AnyRow]:
        if piece.length_s:
            statement = rollup_sums(
                interval,
                self._own(Rollup),
                Rollup.point_id == point_id,
                Rollup.length_s == piece.length_s,
                Rollup.start_us >= piece.start,
                Rollup.start_us < piece.end,
            )
        else:
            statement = raw_sums(
                interval,
                self._own(SampleRow),
                SampleRow.point_id == point_id,
                SampleRow.ts_us >= piece.start,
                SampleRow.ts_us < piece.end,
            )
        return (await self._session.execute(statement)).all()
