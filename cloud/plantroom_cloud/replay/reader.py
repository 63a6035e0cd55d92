"""Reads a site's rows in the order of time, page by page, with flat memory.

There is no index of a site's samples by time, and none is needed: a slice of time is read from every
point's own index and sorted. Slices grow where little lies and shrink where much does, so that a
page costs what it holds; days of silence are skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select, tuple_

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.kit.repository import AnySelect, Repository
from plantroom_cloud.kit.times import DAY, MINUTE
from plantroom_cloud.replay.rows import SAMPLE, Item, Key, finding_item, sample_item
from plantroom_cloud.tables import Device, FindingRow, Point, SampleRow

PAGE: Final = 1000
"""Rows that are delivered, and confirmed, together."""
_SHORTEST: Final = 1000  # µs

_SAMPLE: Final = (
    SampleRow.ts_us,
    SampleRow.point_id,
    SampleRow.tie,
    SampleRow.value,
    SampleRow.text,
    SampleRow.quality,
    SampleRow.reason,
    Point.gateway_id,
    Point.key,
    Point.name,
    Point.unit,
    Device.key.label("device"),
)
_SAMPLE_KEY: Final = (SampleRow.ts_us, SampleRow.point_id, SampleRow.tie)
_FINDING: Final = (
    FindingRow.gateway_id,
    FindingRow.id,
    FindingRow.detector,
    FindingRow.subject,
    FindingRow.points,
    FindingRow.started_us,
    FindingRow.ended_us,
    FindingRow.score,
    FindingRow.text,
    FindingRow.evidence,
)
_FINDING_KEY: Final = (FindingRow.started_us, FindingRow.gateway_id, FindingRow.id)


@dataclass(frozen=True, slots=True)
class Place:
    """A site of a company."""

    scope: Scope
    site: int
    slug: str


class _Slices(Repository):
    """SQL of slices of time."""

    def samples(self, site: int, start: int, end: int, after: Key | None) -> AnySelect:
        """Return the query of samples from `start` to before `end`, and behind `after`."""
        conditions: list[ColumnElement[bool]] = [SampleRow.ts_us >= start, SampleRow.ts_us < end]
        if after is not None and after[1] == SAMPLE:
            conditions.append(tuple_(*_SAMPLE_KEY) > tuple_(after[0], after[2], after[3]))
        elif after is not None:
            conditions.append(SampleRow.ts_us > after[0])
        return (
            select(*_SAMPLE)
            .join(Point, Point.id == SampleRow.point_id)
            .join(Device, Device.id == Point.device_id)
            .where(self._own(SampleRow, Point, Device), Point.site_id == site, *conditions)
            .order_by(*_SAMPLE_KEY)
        )

    def findings(self, site: int, start: int, end: int, after: Key | None) -> AnySelect:
        """Return the query of findings that started from `start` to before `end`."""
        started = FindingRow.started_us
        conditions: list[ColumnElement[bool]] = [started >= start, started < end]
        if after is not None and after[1] != SAMPLE:
            conditions.append(tuple_(*_FINDING_KEY) > tuple_(after[0], after[2], after[3]))
        return (
            select(*_FINDING)
            .where(self._own(FindingRow), FindingRow.site_id == site, *conditions)
            .order_by(*_FINDING_KEY)
        )

    async def read(self, place: Place, query: AnySelect, most: int, show: Any) -> list[Item]:
        """Return at most `most` rows of `query` as they are delivered."""
        return [show(place.slug, row) for row in await self._session.execute(query.limit(most))]

    async def next_time(self, site: int, start: int, end: int) -> int:
        """Return the time of the first row from `start` on, at most `end`."""
        first = (
            select(func.min(SampleRow.ts_us))
            .where(self._own(SampleRow), SampleRow.point_id == Point.id)
            .where(SampleRow.ts_us >= start, SampleRow.ts_us < end)
            .correlate(Point)
            .scalar_subquery()
        )
        points = select(func.min(first)).where(self._own(Point), Point.site_id == site)
        started = FindingRow.started_us
        findings = (
            select(func.min(started))
            .where(self._own(FindingRow), FindingRow.site_id == site)
            .where(started >= start, started < end)
        )
        found = [await self._session.scalar(query) for query in (points, findings)]
        return min((time for time in found if time is not None), default=end)

    async def count(self, site: int, start: int, end: int) -> int:
        """Return how many rows lie from `start` to before `end`."""
        total = 0
        for query in (self.samples(site, start, end, None), self.findings(site, start, end, None)):
            inner = query.order_by(None).with_only_columns(*query.selected_columns[:1]).subquery()
            counted = await self._session.scalar(select(func.count()).select_from(inner))
            total += counted or 0
        return total


class Reader:
    """Pages of one site's rows, by time, then kind, then point and tie.

    Args:
        database: where they are.
        place: whose, and where.
        page: rows of a page, at most.
    """

    def __init__(self, database: Database, place: Place, page: int = PAGE) -> None:
        self._database, self._place, self._page = database, place, page
        self._width = MINUTE

    async def page(self, start: int, after: Key | None, until: int) -> list[Item]:
        """Return the next rows from `start` to before `until` that lie behind `after`."""
        items: list[Item] = []
        cursor = start if after is None else after[0]
        async with self._database.read(self._place.scope) as session:
            slices = _Slices(session, self._place.scope)
            while cursor < until and len(items) < self._page:
                end = min(until, cursor + self._width)
                found = await self._slice(slices, cursor, end, after, self._page - len(items))
                items += found
                self._adapt(cursor, items)
                cursor = end
                if not found and self._width == DAY:
                    cursor = await slices.next_time(self._place.site, end, until)
                    self._width = MINUTE  # it may be dense there
        return items

    async def _slice(
        self, slices: _Slices, start: int, end: int, after: Key | None, most: int
    ) -> list[Item]:
        site, place = self._place.site, self._place
        samples = slices.samples(site, start, end, after)
        findings = slices.findings(site, start, end, after)
        found = await slices.read(place, samples, most, sample_item)
        found += await slices.read(place, findings, most, finding_item)
        return sorted(found, key=lambda item: item.key)[:most]

    def _adapt(self, start: int, items: list[Item]) -> None:
        """Fit the next slice to how much the one from `start` held."""
        if len(items) >= self._page:
            covered = items[-1].key[0] - start
            self._width = min(self._width, max(_SHORTEST, covered))
        else:
            self._width = min(DAY, self._width * 2)

    async def count(self, start: int, end: int) -> int:
        """Return how many rows lie from `start` to before `end` now."""
        async with self._database.read(self._place.scope) as session:
            slices = _Slices(session, self._place.scope)
            return await slices.count(self._place.site, start, end)
