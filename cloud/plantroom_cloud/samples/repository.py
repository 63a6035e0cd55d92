"""SQL of samples."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select, tuple_

from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, AnySelect, Repository
from plantroom_cloud.samples.window import Window
from plantroom_cloud.store.history import HistoryRepository, Sums
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

    async def buckets(self, point_id: int, window: Window, interval: int) -> Sequence[Sums]:
        """Return what was said in each interval that holds a sample, oldest first.

        Intervals start at multiples of `interval` since 1970-01-01 UTC.
        """
        history = HistoryRepository(self._session, self._scope)
        return await history.sums(point_id, window, interval)
