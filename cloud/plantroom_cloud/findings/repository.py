"""SQL of findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, select, tuple_

from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import FindingRow

_COLUMNS = (
    FindingRow.gateway_id,
    FindingRow.id,
    FindingRow.site_id,
    FindingRow.detector,
    FindingRow.subject,
    FindingRow.points,
    FindingRow.started_us,
    FindingRow.ended_us,
    FindingRow.score,
    FindingRow.text,
    FindingRow.evidence,
)
_KEY = (FindingRow.started_us, FindingRow.gateway_id, FindingRow.id)


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Which findings; None means: whichever."""

    site: int | None = None
    start: int | None = None
    """Still on at this moment or later."""
    end: int | None = None
    """Started before this moment."""
    open: bool = False
    """Only what has not ended."""


class FindingRepository(Repository):
    """What detectors found at a company's sites."""

    async def page(self, which: FindingFilter, page: Page) -> Sequence[AnyRow]:
        """Return findings, the newest first, one more than the page holds if there are more."""
        statement = select(*_COLUMNS).where(self._own(FindingRow), *_conditions(which))
        if page.after:
            statement = statement.where(tuple_(*_KEY) < tuple_(*page.after))
        order = (column.desc() for column in _KEY)
        result = await self._session.execute(statement.order_by(*order).limit(page.limit + 1))
        return result.all()

    async def find(self, gateway: str, finding: str) -> AnyRow | None:
        """Return one finding, or None if the company has none of this id."""
        which = (FindingRow.gateway_id == gateway, FindingRow.id == finding)
        statement = select(*_COLUMNS).where(self._own(FindingRow), *which)
        return (await self._session.execute(statement)).one_or_none()


def _conditions(which: FindingFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if which.site is not None:
        conditions.append(FindingRow.site_id == which.site)
    if which.start is not None:
        lasting = or_(FindingRow.ended_us.is_(None), FindingRow.ended_us >= which.start)
        conditions.append(lasting)
    if which.end is not None:
        conditions.append(FindingRow.started_us < which.end)
    if which.open:
        conditions.append(FindingRow.ended_us.is_(None))
    return conditions
