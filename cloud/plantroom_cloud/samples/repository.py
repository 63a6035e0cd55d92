"""SQL of samples."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, case, func, select, tuple_

from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, AnySelect, Repository
from plantroom_cloud.samples.window import Window
from plantroom_cloud.tables import Latest, Point, SampleRow

_SAMPLE = (
    SampleRow.ts_us,
    SampleRow.tie,
    SampleRow.value,
    SampleRow.text,
    SampleRow.quality,
    SampleRow.reason,
)
_LATEST = (
    Latest.point_id,
    Latest.ts_us,
    Latest.value,
    Latest.text,
    Latest.quality,
    Latest.reason,
    Point.key,
    Point.name,
    Point.unit,
)
# Sums of larger numbers may overflow a double, which PostgreSQL makes an error of the whole query.
SUMMABLE = 1e290


class SampleRepository(Repository):
    """What a company's points said."""

    async def latest_of(self, point_id: int) -> AnyRow | None:
        """Return the newest sample of a point, or None."""
        statement = self._latest().where(Latest.point_id == point_id)
        return (await self._session.execute(statement)).one_or_none()

    async def latest(self, points: Sequence[int], site: int | None, page: Page) -> Sequence[AnyRow]:
        """Return newest samples by point id, one more than the page holds if there are more."""
        statement = self._latest()
        if points:
            statement = statement.where(Latest.point_id.in_(points))
        if site is not None:
            statement = statement.where(Point.site_id == site)
        if page.after:
            statement = statement.where(Latest.point_id > page.after[0])
        statement = statement.order_by(Latest.point_id).limit(page.limit + 1)
        return (await self._session.execute(statement)).all()

    def _latest(self) -> AnySelect:
        mine = self._own(Latest, Point)
        return select(*_LATEST).join(Point, Point.id == Latest.point_id).where(mine)

    async def raw(self, point_id: int, window: Window, page: Page) -> Sequence[AnyRow]:
        """Return single samples by (ts, tie), one more than the page holds if there are more."""
        statement = select(*_SAMPLE).where(*self._within(point_id, window))
        if page.after:
            key = tuple_(SampleRow.ts_us, SampleRow.tie)
            statement = statement.where(key > tuple_(*page.after))
        order = (SampleRow.ts_us, SampleRow.tie)
        result = await self._session.execute(statement.order_by(*order).limit(page.limit + 1))
        return result.all()

    async def numbers(self, point_id: int, window: Window, most: int) -> Sequence[AnyRow]:
        """Return (ts_us, value, quality) of at most `most` samples, oldest first: for analytics."""
        columns = (SampleRow.ts_us, SampleRow.value, SampleRow.quality)
        statement = select(*columns).where(*self._within(point_id, window))
        order = (SampleRow.ts_us, SampleRow.tie)
        return (await self._session.execute(statement.order_by(*order).limit(most))).all()

    def _within(self, point_id: int, window: Window) -> list[ColumnElement[bool]]:
        return [
            self._own(SampleRow),
            SampleRow.point_id == point_id,
            SampleRow.ts_us >= window.start,
            SampleRow.ts_us < window.end,
        ]

    async def buckets(self, point_id: int, window: Window, interval: int) -> Sequence[AnyRow]:
        """Return what was said in each interval that holds a sample, oldest first.

        Intervals start at multiples of `interval` since 1970-01-01 UTC. An interval whose last
        good moment has two samples comes twice, the one with the greater tie after the other.
        """
        good = SampleRow.quality == 0
        number = case((good, SampleRow.value))
        summable = and_(good, func.abs(SampleRow.value) <= SUMMABLE)
        bucket = (SampleRow.ts_us - SampleRow.ts_us % interval).label("bucket")
        grouped = (
            select(
                bucket,
                func.min(number).label("min"),
                func.max(number).label("max"),
                func.sum(case((summable, SampleRow.value))).label("total"),
                func.count(number).label("numbers"),
                func.count(case((good, 1))).label("count"),
                func.count(case((SampleRow.quality == 1, 1))).label("uncertain"),
                func.count(case((SampleRow.quality == 2, 1))).label("bad"),
                func.max(case((good, SampleRow.ts_us))).label("last_us"),
            )
            .where(*self._within(point_id, window))
            .group_by("bucket")
            .subquery("grouped")
        )
        newest = and_(
            self._own(SampleRow),
            SampleRow.point_id == point_id,
            SampleRow.ts_us == grouped.c.last_us,
            good,
        )
        statement = (
            select(grouped, SampleRow.value.label("last"), SampleRow.text.label("last_text"))
            .outerjoin(SampleRow, newest)
            .order_by(grouped.c.bucket, SampleRow.tie)
        )
        return (await self._session.execute(statement)).all()
