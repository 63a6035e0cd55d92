"""Forks: other rows under order numbers that are dealt with, from a machine that was set back.

A message that is cut as before is compared by its digest. One that is cut in another way has no
digest here; then the first and the last of its rows that are stored must be those that it brings.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.ingest.messages import Control, Incoming, RecordRows, Unreadable
from plantroom_cloud.ingest.rows import AHEAD_US, tie, tie_base
from plantroom_cloud.ingest.streams import Key, MessageKey, Stream, StreamRepository
from plantroom_cloud.tables import EdgeRecord, GapRecord, QuarantinedRow, SampleRow
from plantroom_shared import wire
from plantroom_shared.ranges import intersect

LOOK_BACK_US = 86_400_000_000
"""A day: older samples may have been thinned or deleted, so that their absence says nothing."""


class Forks:
    """Compares the messages of one gateway with what is stored of it."""

    def __init__(self, session: AsyncSession, rows: StreamRepository, now_us: int) -> None:
        self._session, self._rows, self._now_us = session, rows, now_us
        self._known: dict[MessageKey, str] = {}
        self.new: dict[MessageKey, str] = {}
        """Of messages stored in this transaction."""

    async def prepare(self, messages: Sequence[Incoming], streams: dict[Key, Stream]) -> None:
        """Read the digests of `messages` that are not wholly new; nearly always that is none."""
        keys = [
            key
            for message in messages
            if message.digest
            and (key := _key(message))
            and intersect([(key[2], key[2] + key[3] - 1)], streams[key[:2]].before)
        ]
        self._known = await self._rows.digests(keys) if keys else {}

    async def is_fork(self, message: Incoming, stream: Stream, dictionary: Sequence[int]) -> bool:
        """Say whether rows of `message` contradict rows that are dealt with."""
        key = _key(message)
        if not message.digest or key is None:
            return False
        digest = self.new.get(key) or self._known.get(key)
        if digest is not None:
            return digest != message.digest
        stored = intersect([(key[2], key[2] + key[3] - 1)], stream.before)
        edges = {stored[0][0], stored[-1][1]} if stored else set()
        for seq in sorted(edges, reverse=True):
            if not await self._is_here(message, stream, seq, dictionary):
                return True
        return False

    def note(self, message: Incoming) -> None:
        """Remember `message`, which is stored now."""
        key = _key(message)
        if key is not None and message.digest:
            self.new.setdefault(key, message.digest)

    async def save(self) -> None:
        """Write what was noted."""
        await self._rows.remember(self.new, self._now_us)

    async def _is_here(
        self, message: Incoming, stream: Stream, seq: int, dictionary: Sequence[int]
    ) -> bool:
        """Say whether row `seq` is stored as `message` has it, or cannot be compared."""
        rows = message.content
        match rows:
            case wire.Samples():
                same = await self._is_same_sample(rows, seq, dictionary)
            case RecordRows():
                same = await self._is_same_record(stream, rows, seq)
            case _:
                same = True
        return same or await self._is_elsewhere(stream, seq)

    async def _is_same_sample(
        self, rows: wire.Samples, seq: int, dictionary: Sequence[int]
    ) -> bool:
        row = seq - rows.s0
        alias, ts = rows.batch.points[row], rows.batch.times[row]
        earliest, latest = self._now_us - LOOK_BACK_US, self._now_us + AHEAD_US
        if row in rows.bad_rows or alias >= len(dictionary) or not earliest < ts <= latest:
            return True
        query = select(SampleRow.point_id).where(
            SampleRow.company_id == self._rows.company_id,
            SampleRow.point_id == dictionary[alias],
            SampleRow.ts_us == ts,
            SampleRow.tie == tie(tie_base(rows.ep), seq),
        )
        return (await self._session.execute(query)).first() is not None

    async def _is_same_record(self, stream: Stream, rows: RecordRows, seq: int) -> bool:
        record = rows.rows.get(seq - rows.s0)
        if record is None:
            return True
        query = select(EdgeRecord.at_us, EdgeRecord.kind).where(
            *self._rows.of(EdgeRecord, stream.epoch, stream.stream), EdgeRecord.seq == seq
        )
        found = (await self._session.execute(query)).first()
        return found is not None and tuple(found) == (record.at, record.kind)

    async def _is_elsewhere(self, stream: Stream, seq: int) -> bool:
        """Say whether `seq` lies in quarantine or in a gap, where it cannot be compared."""
        gap = select(GapRecord.lo).where(
            *self._rows.of(GapRecord, stream.epoch, stream.stream),
            GapRecord.lo <= seq,
            GapRecord.hi >= seq,
        )
        refused = select(QuarantinedRow.id).where(
            *self._rows.of(QuarantinedRow, stream.epoch, stream.stream),
            QuarantinedRow.seq <= seq,
            QuarantinedRow.seq + QuarantinedRow.n > seq,
        )
        for query in (gap, refused):
            if (await self._session.execute(query.limit(1))).first() is not None:
                return True
        return False


def _key(message: Incoming) -> MessageKey | None:
    """Return how a message of rows is cut; None where it has none that can be compared."""
    rows = message.content
    if isinstance(rows, Control | wire.Gap | Unreadable):
        return None
    return (rows.ep, message.stream, rows.s0, rows.n)
