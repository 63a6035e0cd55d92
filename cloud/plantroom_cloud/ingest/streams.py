"""The watermark: which order numbers of a gateway's streams are dealt with, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope, insert_into
from plantroom_cloud.ingest.rows import Column, Refusal
from plantroom_cloud.tables import (
    EdgeRecord,
    GapRecord,
    QuarantinedRow,
    StreamMessage,
    StreamRange,
    StreamTotal,
)
from plantroom_shared import wire
from plantroom_shared.ranges import Range, count, merge, subtract

Key = tuple[str, str]
"""Epoch and stream."""


MessageKey = tuple[str, str, int, int]
"""Epoch, stream, first order number and number of rows: one way to cut a message."""
InStream = StreamRange | StreamTotal | GapRecord | QuarantinedRow | EdgeRecord
"""Tables whose rows belong to a stream."""
_MANY = 500
_KEY = (StreamMessage.epoch, StreamMessage.stream, StreamMessage.s0, StreamMessage.n)


@dataclass(frozen=True, slots=True)
class Declared:
    """Rows that a gap record says are lost, and what the record is worth."""

    span: Range
    """Those of its rows that had not come."""
    gap: wire.Gap
    serial: str = ""
    """Of the certificate by whose key it was signed; empty where nobody has."""


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
    """Samples that came live ..."""
    backlog: Column = field(default_factory=Column)
    """... and those that went by ``fill``: too old to raise an alarm, and samples like any other."""
    begins: list[int] = field(default_factory=list)
    """First row of each message that samples came in."""
    records: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    gaps: list[Declared] = field(default_factory=list)
    duplicates: int = 0

    def missing(self, s0: int, n: int) -> list[Range]:
        """Return those of ``s0 .. s0 + n - 1`` that are new."""
        return subtract([(s0, s0 + n - 1)], self.ranges)

    def claim(self, s0: int, n: int) -> list[Range]:
        """Return those of ``s0 .. s0 + n - 1`` that are new, and mark them as dealt with."""
        wanted = self.missing(s0, n)
        self.ranges = merge([*self.ranges, (s0, s0 + n - 1)])
        return wanted

    @property
    def rows(self) -> int:
        """How many rows are to be stored."""
        samples = len(self.samples) + len(self.backlog)
        return samples + len(self.records) + len(self.findings)

    def around(self, seq: int) -> Range:
        """Return the whole range that holds `seq`: acknowledging it heals acks that were lost."""
        return next(item for item in self.ranges if item[0] <= seq <= item[1])


class StreamRepository:
    """Ranges, gaps, totals, records and quarantine of one gateway.

    Whoever opens a stream holds the gateway's lock (`find_owners`), so that what he reads stays so.
    """

    def __init__(self, session: AsyncSession, scope: Scope, gateway: str) -> None:
        self._session, self._gateway = session, gateway
        self._row = {"company_id": scope.company_id, "gateway_id": gateway}
        self.company_id = scope.company_id

    async def open(self, spans: dict[Key, Range]) -> dict[Key, Stream]:
        """Return what is known around `spans`; the streams come into being where they are new."""
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
        query = (
            select(StreamRange.lo, StreamRange.hi)
            .where(*self.of(StreamRange, epoch, stream))
            .where(StreamRange.hi >= span[0] - 1, StreamRange.lo <= span[1] + 1)
        )
        found = [(lo, hi) for lo, hi in await self._session.execute(query)]
        return Stream(epoch, stream, found, merge(found))

    def of(self, table: type[InStream], epoch: str, stream: str) -> tuple[Any, ...]:
        """Return the conditions for rows of one stream."""
        return (
            table.company_id == self.company_id,
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
        again = stream.rows - stored
        quarantined = sum(item.n for item in stream.refused)
        declared = count(item.span for item in stream.gaps)
        await self._session.execute(
            update(StreamTotal)
            .where(*self.of(StreamTotal, stream.epoch, stream.stream))
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
        where = self.of(StreamRange, stream.epoch, stream.stream)
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
        rows = [
            head
            | {"lo": item.span[0], "hi": item.span[1], "cause": item.gap.gap.replace("\x00", "")}
            | {"from_us": item.gap.from_us, "to_us": item.gap.to_us}
            | {"signed": bool(item.serial), "certificate_serial": item.serial}
            | {"signature": item.gap.sig.replace("\x00", "")}
            | {"message_s0": item.gap.s0, "message_n": item.gap.n}
            for item in stream.gaps
        ]
        if rows:
            await self._session.execute(insert_into(self._session, GapRecord), rows)

    async def add_records(self, stream: Stream) -> int:
        """Insert records that are not there yet; return how many that were."""
        head, stored = self._row | {"epoch": stream.epoch, "stream": stream.stream}, 0
        for start in range(0, len(stream.records), _MANY):
            rows = [head | row for row in stream.records[start : start + _MANY]]
            # One statement, and its count kept: else PostgreSQL's driver would not tell it.
            statement = insert_into(self._session, EdgeRecord).values(rows)
            statement = statement.on_conflict_do_nothing()
            options = {"preserve_rowcount": True}
            result = await self._session.execute(statement, execution_options=options)
            assert isinstance(result, CursorResult)  # noqa: S101 - tells mypy what it is
            stored += result.rowcount
        return stored

    async def _save_refused(self, stream: Stream, now_us: int) -> None:
        head = self._row | {"epoch": stream.epoch, "stream": stream.stream, "received_us": now_us}
        rows = [
            head | {"seq": item.seq, "n": item.n, "reason": item.reason, "payload": item.payload}
            for item in stream.refused
        ]
        if rows:
            await self._session.execute(insert_into(self._session, QuarantinedRow), rows)

    # ------------------------------------------------------------ what messages held

    async def digests(self, keys: Sequence[MessageKey]) -> dict[MessageKey, str]:
        """Return the digests of those messages of `keys` that are stored and remembered."""
        found: dict[MessageKey, str] = {}
        wanted = set(keys)
        for start in range(0, len(keys), _MANY):
            numbers = [s0 for _, _, s0, _ in keys[start : start + _MANY]]
            query = select(*_KEY, StreamMessage.digest).where(
                StreamMessage.gateway_id == self._gateway,
                StreamMessage.company_id == self.company_id,
                StreamMessage.epoch.in_({key[0] for key in wanted}),
                StreamMessage.s0.in_(numbers),
            )
            found |= {
                (epoch, stream, s0, n): digest
                for epoch, stream, s0, n, digest in await self._session.execute(query)
            }
        return {key: digest for key, digest in found.items() if key in wanted}

    async def remember(self, digests: Mapping[MessageKey, str], now_us: int) -> None:
        """Keep the digests of messages that are stored now."""
        head = {"gateway_id": self._gateway, "company_id": self.company_id, "stored_us": now_us}
        names = ("epoch", "stream", "s0", "n")
        rows = [
            head | dict(zip(names, key, strict=True)) | {"digest": digest}
            for key, digest in digests.items()
        ]
        if rows:
            statement = insert_into(self._session, StreamMessage).on_conflict_do_nothing()
            await self._session.execute(statement, rows)

    async def highest(self, epochs: Iterable[str]) -> dict[Key, int]:
        """Return the highest order number of every stream of `epochs`."""
        query = (
            select(StreamRange.epoch, StreamRange.stream, func.max(StreamRange.hi))
            .where(StreamRange.company_id == self.company_id)
            .where(StreamRange.gateway_id == self._gateway, StreamRange.epoch.in_(epochs))
            .group_by(StreamRange.epoch, StreamRange.stream)
        )
        return {(epoch, name): hi for epoch, name, hi in await self._session.execute(query)}

    async def known(self, epochs: Iterable[str]) -> dict[Key, list[Range]]:
        """Return the first ranges of every stream of `epochs`, as many as a message may hold."""
        query = (
            select(StreamRange.epoch, StreamRange.stream, StreamRange.lo, StreamRange.hi)
            .where(StreamRange.company_id == self.company_id)
            .where(StreamRange.gateway_id == self._gateway, StreamRange.epoch.in_(epochs))
            .order_by(StreamRange.epoch, StreamRange.stream, StreamRange.lo)
        )
        out: dict[Key, list[Range]] = {}
        for epoch, stream, lo, hi in await self._session.execute(query):
            ranges = out.setdefault((epoch, stream), [])
            if len(ranges) < wire.MAX_RANGES:
                ranges.append((lo, hi))
        return out
