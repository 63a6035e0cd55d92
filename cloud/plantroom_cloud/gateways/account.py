"""The loss account of a gateway: accepted = stored + quarantined + declared gaps + still on edge.

Every term has a source of its own, so that the sum is a check and not a definition: accepted is
the gateway's word (or the highest order number seen, if that is more); stored was counted row by
row as the database took them; quarantined and declared are what lies in their tables; on the edge
is what the gateway says it holds and we have not dealt with.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import ReadSession, Scope
from plantroom_cloud.tables import (
    GapRecord,
    Gateway,
    QuarantinedRow,
    StreamRange,
    StreamTotal,
)
from plantroom_shared.ranges import Range, count, merge, subtract


@dataclass(frozen=True, slots=True)
class EpochAccount:
    """The account of one start of the agent; all numbers are rows."""

    epoch: str
    accepted: int
    stored: int
    quarantined: int
    gaps: int
    on_edge: int
    duplicates: int
    """Rows that came again; they are in none of the others."""
    reported_us: int | None
    """When the gateway last said what it holds of this epoch."""

    @property
    def balanced(self) -> bool:
        """Say whether every accepted row is accounted for."""
        return self.accepted == self.stored + self.quarantined + self.gaps + self.on_edge


@dataclass(frozen=True, slots=True)
class LossAccount:
    """The account of a gateway's stream; all numbers are rows."""

    accepted: int
    stored: int
    quarantined: int
    gaps: int
    on_edge: int
    duplicates: int
    balanced: bool
    """Every epoch's account balances."""
    epochs: tuple[EpochAccount, ...]
    as_of_us: int | None
    """When the gateway last reported; None if it never has."""


async def account(
    session: AsyncSession | ReadSession, scope: Scope, gateway: str, stream: str = "tel"
) -> LossAccount | None:
    """Return the account of `gateway`, or None where the company has none of that id.

    Args:
        session: best on one consistent snapshot, as `Database.read` gives it.
        scope: the company that asks.
        gateway: the gateway's id.
        stream: ``tel`` for samples, ``evt`` for findings.
    """
    mine = select(Gateway.id).where(Gateway.id == gateway, Gateway.company_id == scope.company_id)
    if (await session.execute(mine)).first() is None:
        return None
    books = _Books(session, scope, gateway, stream)
    ranges, gaps = await books.ranges(), await books.gaps()
    refused, totals = await books.quarantined(), await books.totals()
    epochs = tuple(
        _epoch(total, ranges[total.epoch], gaps.get(total.epoch, 0), refused.get(total.epoch, 0))
        for total in totals
    )
    reported = [epoch.reported_us for epoch in epochs if epoch.reported_us is not None]
    return LossAccount(
        accepted=sum(epoch.accepted for epoch in epochs),
        stored=sum(epoch.stored for epoch in epochs),
        quarantined=sum(epoch.quarantined for epoch in epochs),
        gaps=sum(epoch.gaps for epoch in epochs),
        on_edge=sum(epoch.on_edge for epoch in epochs),
        duplicates=sum(epoch.duplicates for epoch in epochs),
        balanced=all(epoch.balanced for epoch in epochs),
        epochs=epochs,
        as_of_us=max(reported, default=None),
    )


def _epoch(total: StreamTotal, ranges: list[Range], gaps: int, quarantined: int) -> EpochAccount:
    held = merge((lo, hi) for lo, hi in orjson.loads(total.held))
    highest = max((hi for _, hi in (*ranges, *held)), default=0)
    # Rows accepted after the last report are not in it: those below the highest we have seen are
    # on their way.
    since = [(total.accepted + 1, highest)] if highest > total.accepted else []
    return EpochAccount(
        epoch=total.epoch,
        accepted=max(total.accepted, highest),
        stored=total.stored,
        quarantined=quarantined,
        gaps=gaps,
        on_edge=count(subtract(merge([*held, *since]), ranges)),
        duplicates=total.duplicates,
        reported_us=total.reported_us,
    )


class _Books:
    """The rows that the account is made of."""

    def __init__(
        self, session: AsyncSession | ReadSession, scope: Scope, gateway: str, stream: str
    ) -> None:
        self._session, self._scope = session, scope
        self._gateway, self._stream = gateway, stream

    def _is(self, table: Any) -> tuple[Any, ...]:
        return (
            table.company_id == self._scope.company_id,
            table.gateway_id == self._gateway,
            table.stream == self._stream,
        )

    async def totals(self) -> list[StreamTotal]:
        """Return the totals by epoch."""
        query = select(StreamTotal).where(*self._is(StreamTotal)).order_by(StreamTotal.epoch)
        return list((await self._session.execute(query)).scalars())

    async def ranges(self) -> dict[str, list[Range]]:
        """Return the order numbers dealt with, by epoch."""
        query = select(StreamRange.epoch, StreamRange.lo, StreamRange.hi)
        out: dict[str, list[Range]] = defaultdict(list)
        for epoch, lo, hi in await self._session.execute(query.where(*self._is(StreamRange))):
            out[epoch].append((lo, hi))
        return out

    async def gaps(self) -> dict[str, int]:
        """Return how many rows are declared lost, by epoch."""
        return await self._sums(GapRecord, GapRecord.hi - GapRecord.lo + 1)

    async def quarantined(self) -> dict[str, int]:
        """Return how many rows lie in the quarantine, by epoch."""
        return await self._sums(QuarantinedRow, QuarantinedRow.n)

    async def _sums(self, table: Any, number: Any) -> dict[str, int]:
        query = select(table.epoch, func.sum(number)).where(*self._is(table))
        rows = await self._session.execute(query.group_by(table.epoch))
        return {epoch: int(total) for epoch, total in rows}
