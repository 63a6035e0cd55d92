"""The gateways' own audit (stream ``aud``): a stream beside ours, checked by its order numbers.

An agent numbers its records from 1 at every start. What arrived, what it declared lost and what was
refused is booked separately from the records themselves: a record that somebody removed later is
missed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, func, select, tuple_

from plantroom_cloud.db import ReadSession, Scope
from plantroom_cloud.gateways.books import Books, gateways_of
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import EdgeRecord
from plantroom_shared.ranges import Range, count, subtract

STREAM: Final = "aud"
_KEY = (EdgeRecord.at_us, EdgeRecord.gateway_id, EdgeRecord.epoch, EdgeRecord.seq)


@dataclass(frozen=True, slots=True)
class EdgeFilter:
    """Which records; None means: whichever."""

    gateway: str | None = None
    kind: str | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class EdgeLine:
    """One start of an agent."""

    gateway: str
    epoch: str
    highest: int
    stored: int
    lost: int
    quarantined: int
    holes: list[Range]
    """Order numbers below the highest that never came."""
    removed: int

    @property
    def complete(self) -> bool:
        """Whether every record up to the highest number is there."""
        return not (self.lost or self.quarantined or self.holes or self.removed)


class EdgeRepository(Repository):
    """What a company's gateways told of themselves."""

    async def page(self, which: EdgeFilter, page: Page) -> Sequence[AnyRow]:
        """Return records, the newest first, one more than the page holds if there are more."""
        columns = (*_KEY, EdgeRecord.kind, EdgeRecord.doc)
        statement = select(*columns).where(self._own(EdgeRecord), *_conditions(which))
        if page.after:
            statement = statement.where(tuple_(*_KEY) < tuple_(*page.after))
        order = (column.desc() for column in _KEY)
        result = await self._session.execute(statement.order_by(*order).limit(page.limit + 1))
        return result.all()

    async def stored(self) -> dict[tuple[str, str], int]:
        """Return by gateway and epoch how many records there are."""
        key = (EdgeRecord.gateway_id, EdgeRecord.epoch)
        mine = (self._own(EdgeRecord), EdgeRecord.stream == STREAM)
        statement = select(*key, func.count()).where(*mine).group_by(*key)
        rows = await self._session.execute(statement)
        return {(gateway, epoch): int(rows) for gateway, epoch, rows in rows}


def _conditions(which: EdgeFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [EdgeRecord.stream == STREAM]
    if which.gateway is not None:
        conditions.append(EdgeRecord.gateway_id == which.gateway)
    if which.kind is not None:
        conditions.append(EdgeRecord.kind == which.kind)
    if which.start is not None:
        conditions.append(EdgeRecord.at_us >= which.start)
    if which.end is not None:
        conditions.append(EdgeRecord.at_us < which.end)
    return conditions


async def lines(session: ReadSession, scope: Scope, gateway: str | None) -> list[EdgeLine]:
    """Return every start of the agents of one gateway, or of all, as it stands now."""
    gateways = await gateways_of(session, scope, gateway=gateway)
    books = Books(session, scope, gateways, STREAM)
    ranges, lost, refused = await books.ranges(), await books.gaps(), await books.quarantined()
    stored = await EdgeRepository(session, scope).stored()
    found = []
    for (name, epoch), dealt in sorted(ranges.items()):
        key = (name, epoch)
        highest = max(hi for _, hi in dealt)
        held = refused.get(key, (0, 0))[0]
        there = stored.get(key, 0)
        gone = count(dealt) - there - lost.get(key, 0) - held
        holes = subtract([(1, highest)], dealt)
        found.append(
            EdgeLine(name, epoch, highest, there, lost.get(key, 0), held, holes, max(0, gone))
        )
    return found
