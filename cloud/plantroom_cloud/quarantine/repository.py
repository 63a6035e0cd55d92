"""SQL of the quarantine and of what was decided about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update

from plantroom_cloud.db import insert_into
from plantroom_cloud.gateways.repository import Owned
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, AnySelect, Repository
from plantroom_cloud.quarantine.payloads import Held
from plantroom_cloud.tables import (
    DictionaryEntry,
    Gateway,
    Point,
    QuarantineDecision,
    QuarantinedRow,
    StreamRange,
    StreamTotal,
)

STATES = ("held", "released", "discarded")
_COLUMNS = (
    QuarantinedRow.id,
    QuarantinedRow.gateway_id,
    QuarantinedRow.epoch,
    QuarantinedRow.stream,
    QuarantinedRow.seq,
    QuarantinedRow.n,
    QuarantinedRow.reason,
    QuarantinedRow.received_us,
    QuarantineDecision.state,
    QuarantineDecision.stored,
    QuarantineDecision.note,
    QuarantineDecision.decided_us,
)


@dataclass(frozen=True, slots=True)
class QuarantineFilter:
    """Which rows; None means: whichever."""

    reason: str | None = None
    stream: str | None = None
    state: str | None = None


class QuarantineRepository(Repository):
    """What a company's gateways sent and nobody could store."""

    def _decided(self) -> ColumnElement[bool]:
        same = QuarantineDecision.quarantine_id == QuarantinedRow.id
        return and_(same, self._own(QuarantineDecision))

    def _rows(self, gateway: str, *more: Any) -> AnySelect:
        return (
            select(*_COLUMNS, *more)
            .outerjoin(QuarantineDecision, self._decided())
            .where(self._own(QuarantinedRow), QuarantinedRow.gateway_id == gateway)
        )

    async def page(self, gateway: str, which: QuarantineFilter, page: Page) -> Sequence[AnyRow]:
        """Return rows, the newest first, one more than the page holds if there are more."""
        query = self._rows(gateway)
        if which.reason is not None:
            query = query.where(QuarantinedRow.reason == which.reason)
        if which.stream is not None:
            query = query.where(QuarantinedRow.stream == which.stream)
        if which.state == "held":
            query = query.where(QuarantineDecision.state.is_(None))
        elif which.state is not None:
            query = query.where(QuarantineDecision.state == which.state)
        if page.after:
            query = query.where(QuarantinedRow.id < page.after[0])
        query = query.order_by(QuarantinedRow.id.desc()).limit(page.limit + 1)
        return (await self._session.execute(query)).all()

    async def find(self, gateway: str, row_id: int) -> AnyRow | None:
        """Return a row with its payload, or None if the gateway has none of this id."""
        query = self._rows(gateway, QuarantinedRow.payload).where(QuarantinedRow.id == row_id)
        return (await self._session.execute(query)).one_or_none()

    async def point(self, held: Held, alias: Any) -> AnyRow | None:
        """Return the point that an alias of the row's epoch names, as far as that is known now."""
        if type(alias) is not int or not 0 <= alias < 2**31:
            return None
        entry = DictionaryEntry
        query = (
            select(Point.id, Point.key, Point.name, Point.unit)
            .join(entry, entry.point_id == Point.id)
            .where(self._own(Point, entry), entry.gateway_id == held.gateway)
            .where(entry.epoch == held.epoch, entry.alias == alias)
        )
        return (await self._session.execute(query)).one_or_none()

    # ------------------------------------------------------------ decisions

    async def lock(self, gateway: str) -> Owned | None:
        """Keep other writers of the gateway's deliveries out; None if the company has none such."""
        query = (
            select(
                Gateway.id,
                Gateway.company_id,
                Gateway.site_id,
                Gateway.dictionary_stamp,
                Gateway.clock_skew_us,
            )
            .where(self._own(Gateway), Gateway.id == gateway)
            .with_for_update(key_share=True)  # as the ingest takes it
        )
        row = (await self._session.execute(query)).one_or_none()
        return None if row is None else Owned(*row)

    async def decide(self, row_id: int, state: str, stored: int, note: str, now_us: int) -> None:
        """Write down what became of a row."""
        values = {"quarantine_id": row_id, "state": state, "stored": stored, "note": note}
        own = {"company_id": self._scope.company_id, "decided_us": now_us}
        await self._session.execute(insert(QuarantineDecision), [values | own])

    async def give_back(self, held: Held) -> bool:
        """Make the numbers of a row new again, so that they can be stored; say whether they were.

        The caller holds the gateway's lock and stores them in the same transaction.
        """
        lo, hi = held.seq, held.seq + held.n - 1
        where = (*self._of(StreamRange, held), StreamRange.lo <= lo, StreamRange.hi >= hi)
        query = select(StreamRange.lo, StreamRange.hi).where(*where)
        found = (await self._session.execute(query)).one_or_none()
        if found is None:
            return False
        await self._session.execute(delete(StreamRange).where(*where))
        stream = {"gateway_id": held.gateway, "epoch": held.epoch, "stream": held.stream}
        row = stream | {"company_id": self._scope.company_id}
        rest = [(found.lo, lo - 1), (hi + 1, found.hi)]
        rows = [row | {"lo": first, "hi": last} for first, last in rest if first <= last]
        if rows:
            await self._session.execute(insert_into(self._session, StreamRange), rows)
        total = update(StreamTotal).where(*self._of(StreamTotal, held))
        values = {"quarantined": StreamTotal.quarantined - held.n}
        await self._session.execute(total.values(**values))
        return True

    def _of(self, table: Any, held: Held) -> tuple[Any, ...]:
        return (
            self._own(table),
            table.gateway_id == held.gateway,
            table.epoch == held.epoch,
            table.stream == held.stream,
        )

    async def newer(self, held: Held, row_id: int) -> tuple[int, str]:
        """Return how many of the row's numbers were refused again, and why the first of them was."""
        again = and_(
            *self._of(QuarantinedRow, held),
            QuarantinedRow.id > row_id,
            QuarantinedRow.seq >= held.seq,
            QuarantinedRow.seq < held.seq + held.n,
        )
        total = await self._session.scalar(select(func.sum(QuarantinedRow.n)).where(again))
        first = select(QuarantinedRow.reason).where(again).order_by(QuarantinedRow.id).limit(1)
        return int(total or 0), await self._session.scalar(first) or ""
