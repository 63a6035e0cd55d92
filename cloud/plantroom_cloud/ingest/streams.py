"""The watermark: which order numbers of a gateway's streams are dealt with, and how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope, insert_into
from plantroom_cloud.ingest.rows import Column, Refusal
from plantroom_cloud.tables import GapRecord, QuarantinedRow, StreamRange, StreamTotal
from plantroom_shared import wire
from plantroom_shared.ranges import Range, count, merge, subtract

Key = tuple[str, str]
"""Epoch and stream."""


@dataclass(slots=True)
class Stream:
    """One stream of one epoch while a batch is being stored, under its lock."""

    epoch: str
    stream: str
    before: list[Range]
    """Ranges in the database that touch the batch."""
    ranges: list[Range]
    """The same with what the batch adds."""
    samples: Column = field(default_factory=Column)
    findings: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    gaps: list[tuple[Range, str]] = field(default_factory=list)
    duplicates: int = 0

    def claim(self, s0: int, n: int) -> list[Range]:
        """Return those of ``s0 .. s0 + n - 1`` that are new, and mark them as dealt with."""
        whole = (s0, s0 + n - 1)
        wanted = subtract([whole], self.ranges)
        self.ranges = merge([*self.ranges, whole])
        return wanted

    def around(self, seq: int) -> Range:
        """Return the whole range that holds `seq`: acknowledging it heals acks that were lost."""
        return next(item for item in self.ranges if item[0] <= seq <= item[1])


class StreamRepository:
    """Ranges, gaps, totals and quarantine of one gateway."""

    def __init__(self, session: AsyncSession, scope: Scope, gateway: str) -> None:
        self._session, self._gateway = session, gateway
        self._row = {"company_id": scope.company_id, "gateway_id": gateway}
        self._company_id = scope.company_id

    async def open(self, spans: dict[Key, Range]) -> dict[Key, Stream]:
        """Lock the streams of `spans` until the transaction ends; return what is known around."""
        if not spans:
            return {}
        zero = {"stored": 0, "quarantined": 0, "declared": 0, "duplicates": 0}
        rows = [
            self._row | zero | {"epoch": epoch, "stream": stream, "accepted": 0, "held": "[]"}
            for epoch, stream in sorted(spans)
        ]
        await self._session.execute(
            insert_into(self._session, StreamTotal).on_conflict_do_nothing(), rows
        )
        return {key: await self._open(*key, spans[key]) for key in sorted(spans)}

    async def _open(self, epoch: str, stream: str, span: Range) -> Stream:
        # On PostgreSQL two ingest processes meet here; SQLite has one writer at a time anyway.
        lock = select(StreamTotal.epoch).where(*self._is(StreamTotal, epoch, stream))
        await self._session.execute(lock.with_for_update())
        query = (
            select(StreamRange.lo, StreamRange.hi)
            .where(*self._is(StreamRange, epoch, stream))
            .where(StreamRange.hi >= span[0] - 1, StreamRange.lo <= span[1] + 1)
        )
        found = [(lo, hi) for lo, hi in await self._session.execute(query)]
        return Stream(epoch, stream, found, merge(found))

    def _is(
        self, table: type[StreamRange | StreamTotal], epoch: str, stream: str
    ) -> tuple[Any, ...]:
        return (
            table.company_id == self._company_id,
            table.gateway_id == self._gateway,
            table.epoch == epoch,
            table.stream == stream,
        )

    async def close(self, stream: Stream, stored: int, now_us: int) -> None:
        """Write what a batch did to `stream`; `stored` rows really became new rows."""
        await self._save_ranges(stream)
        await self._save_gaps(stream, now_us)
        await self._save_refused(stream, now_us)
        # A row that the watermark calls new but whose key is there already has come again.
        again = len(stream.samples) + len(stream.findings) - stored
        quarantined = sum(item.n for item in stream.refused)
        declared = count(span for span, _ in stream.gaps)
        await self._session.execute(
            update(StreamTotal)
            .where(*self._is(StreamTotal, stream.epoch, stream.stream))
            .values(
                stored=StreamTotal.stored + stored,
                quarantined=StreamTotal.quarantined + quarantined,
                declared=StreamTotal.declared + declared,
                duplicates=StreamTotal.duplicates + stream.duplicates + again,
            )
        )

    async def _save_ranges(self, stream: Stream) -> None:
        """Bring the table to `stream.ranges`; nearly always that is one range growing."""
        old, new = dict(stream.before), dict(stream.ranges)
        where = self._is(StreamRange, stream.epoch, stream.stream)
        for lo in sorted(old.keys() - new.keys()):
            await self._session.execute(delete(StreamRange).where(*where, StreamRange.lo == lo))
        for lo in sorted(old.keys() & new.keys()):
            if old[lo] != new[lo]:
                statement = update(StreamRange).where(*where, StreamRange.lo == lo)
                await self._session.execute(statement.values(hi=new[lo]))
        rows = [
            self._row | {"epoch": stream.epoch, "stream": stream.stream, "lo": lo, "hi": new[lo]}
            for lo in sorted(new.keys() - old.keys())
        ]
        if rows:
            await self._session.execute(insert_into(self._session, StreamRange), rows)

    async def _save_gaps(self, stream: Stream, now_us: int) -> None:
        head = self._row | {"epoch": stream.epoch, "stream": stream.stream, "received_us": now_us}
        rows = [head | {"lo": lo, "hi": hi, "cause": cause} for (lo, hi), cause in stream.gaps]
        if rows:
            await self._session.execute(insert_into(self._session, GapRecord), rows)

    async def _save_refused(self, stream: Stream, now_us: int) -> None:
        head = self._row | {"epoch": stream.epoch, "stream": stream.stream, "received_us": now_us}
        rows = [
            head | {"seq": item.seq, "n": item.n, "reason": item.reason, "payload": item.payload}
            for item in stream.refused
        ]
        if rows:
            await self._session.execute(insert_into(self._session, QuarantinedRow), rows)

    async def known(self, epochs: Iterable[str]) -> dict[Key, list[Range]]:
        """Return the first ranges of every stream of `epochs`, as many as a message may hold."""
        query = (
            select(StreamRange.epoch, StreamRange.stream, StreamRange.lo, StreamRange.hi)
            .where(StreamRange.company_id == self._company_id)
            .where(StreamRange.gateway_id == self._gateway, StreamRange.epoch.in_(epochs))
            .order_by(StreamRange.epoch, StreamRange.stream, StreamRange.lo)
        )
        out: dict[Key, list[Range]] = {}
        for epoch, stream, lo, hi in await self._session.execute(query):
            ranges = out.setdefault((epoch, stream), [])
            if len(ranges) < wire.MAX_RANGES:
                ranges.append((lo, hi))
        return out
