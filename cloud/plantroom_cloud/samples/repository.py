"""SQL of samples."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, bindparam, select, tuple_

from plantroom_cloud.db import Scope
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, AnySelect, Own, Query, Repository, query
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


def _newest(own: Own, points: bool, site: bool, after: bool) -> AnySelect:
    """Newest samples by point id: of `points` or all, of a `site` or all, after one or from the first."""
    statement = _of_latest(own)
    if points:
        statement = statement.where(Latest.point_id.in_(bindparam("points", expanding=True)))
    if site:
        statement = statement.where(Point.site_id == bindparam("site"))
    if after:
        statement = statement.where(Latest.point_id > bindparam("after"))
    return statement.order_by(Latest.point_id).limit(bindparam("most"))


def _of_latest(own: Own) -> AnySelect:
    return select(*_LATEST).join(Point, Point.id == Latest.point_id).where(own(Latest, Point))


def _history(own: Own, after: bool) -> AnySelect:
    """Single samples of a point by (ts, tie) within a window, from its start or after one."""
    place = (SampleRow.ts_us, SampleRow.tie)
    statement = select(*_SAMPLE).where(
        own(SampleRow),
        SampleRow.point_id == bindparam("point"),
        SampleRow.ts_us >= bindparam("start"),
        SampleRow.ts_us < bindparam("end"),
    )
    if after:
        statement = statement.where(tuple_(*place) > tuple_(bindparam("ts"), bindparam("tie")))
    return statement.order_by(*place).limit(bindparam("most"))


def newest(scope: Scope, points: Sequence[int], site: int | None, page: Page) -> Query:
    """Return the query of newest samples by point id, one more than the page holds if there are."""
    shape = (bool(points), site is not None, page.after is not None)
    values = {"points": list(points), "site": site, "most": page.limit + 1}
    after = page.after[0] if page.after else None
    return query(scope, _newest, *shape, **values, after=after)


def history(scope: Scope, point_id: int, window: Window, page: Page) -> Query:
    """Return the query of single samples by (ts, tie), one more than the page holds if there are."""
    values = {"point": point_id, "start": window.start, "end": window.end}
    ts, tie = page.after or (None, None)
    after = page.after is not None
    return query(scope, _history, after, **values, ts=ts, tie=tie, most=page.limit + 1)


class SampleRepository(Repository):
    """What a company's points said."""

    async def latest_of(self, point_id: int) -> AnyRow | None:
        """Return the newest sample of a point, or None."""
        statement = _of_latest(self._own).where(Latest.point_id == point_id)
        return (await self._session.execute(statement)).one_or_none()

    async def latest(self, points: Sequence[int], site: int | None, page: Page) -> Sequence[AnyRow]:
        """Return newest samples by point id, one more than the page holds if there are more."""
        return await self._read(newest(self._scope, points, site, page))

    async def raw(self, point_id: int, window: Window, page: Page) -> Sequence[AnyRow]:
        """Return single samples by (ts, tie), one more than the page holds if there are more."""
        return await self._read(history(self._scope, point_id, window, page))

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
