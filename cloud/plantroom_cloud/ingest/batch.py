"""One gateway's messages within one transaction."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.gateways.repository import GatewayRepository, Owned
from plantroom_cloud.ingest.dictionary import DictionaryRepository
from plantroom_cloud.ingest.messages import FindingRows, Incoming, Rows, Unreadable
from plantroom_cloud.ingest.rows import (
    MAX_ALIAS,
    Column,
    Refusal,
    finding_rows,
    sample_rows,
    unknown_aliases,
)
from plantroom_cloud.ingest.samples import SampleRepository
from plantroom_cloud.ingest.streams import Key, Stream, StreamRepository
from plantroom_shared import wire
from plantroom_shared.ranges import Range, count, merge

AckKey = tuple[str, str, str]
"""Gateway, epoch and stream (or ``inv``)."""


@dataclass(slots=True)
class Answers:
    """What the gateways are to be told after the commit."""

    acks: dict[AckKey, list[Range]] = field(default_factory=dict)
    nacks: list[tuple[str, wire.Nack]] = field(default_factory=list)
    resumes: list[tuple[str, wire.Resume]] = field(default_factory=list)

    def ack(self, gateway: str, epoch: str, stream: str, span: Range) -> None:
        """Acknowledge `span`."""
        key = (gateway, epoch, stream)
        self.acks[key] = merge([*self.acks.get(key, []), span])

    def add(self, other: Answers) -> None:
        """Take over all of `other`."""
        for (gateway, epoch, stream), ranges in other.acks.items():
            for span in ranges:
                self.ack(gateway, epoch, stream, span)
        self.nacks += other.nacks
        self.resumes += other.resumes


class Dictionaries:
    """Committed dictionaries of the epochs in use, so that they are not read for every message."""

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, str], list[int]] = OrderedDict()

    def get(self, gateway: str, epoch: str) -> list[int]:
        """Return the point ids known so far, alias by alias."""
        return self._known.get((gateway, epoch), [])

    def learn(self, batch: GatewayBatch) -> None:
        """Remember what `batch` has read and written, now that it is committed."""
        for epoch, points in batch.dictionaries.items():
            self._known[batch.gateway.id, epoch] = points
            self._known.move_to_end((batch.gateway.id, epoch))
        while len(self._known) > self._most:
            self._known.popitem(last=False)


class Patience:
    """How often a message has been sent back for a dictionary that never came."""

    def __init__(self, tries: int = 5, most: int = 1000) -> None:
        self._tries, self._most = tries, most
        self._asked: OrderedDict[tuple[str, str, int, int], int] = OrderedDict()

    def is_over(self, gateway: str, epoch: str, s0: int, have: int) -> bool:
        """Count one more request; say whether the aliases must be taken for damaged."""
        key = (gateway, epoch, s0, have)
        self._asked[key] = self._asked.pop(key, 0) + 1
        while len(self._asked) > self._most:
            self._asked.popitem(last=False)
        return self._asked[key] > self._tries


class GatewayBatch:
    """Takes one gateway's messages in their order and writes what they amount to."""

    def __init__(
        self,
        session: AsyncSession,
        gateway: Owned,
        cache: Dictionaries,
        patience: Patience,
        now_us: int,
    ) -> None:
        self.gateway, self._cache, self._patience = gateway, cache, patience
        self._now_us = now_us
        self._gateways = GatewayRepository(session, gateway.scope)
        self._points = DictionaryRepository(session, gateway)
        self._samples = SampleRepository(session, gateway.scope)
        self._rows = StreamRepository(session, gateway.scope, gateway.id)
        self._streams: dict[Key, Stream] = {}
        self.dictionaries: dict[str, list[int]] = {}
        """Epoch → point ids by alias, read or extended here."""
        self.counts: dict[str, int] = {}
        self.stored = 0

    def count(self, name: str, number: int = 1) -> None:
        """Count `number` of `name` for the company."""
        self.counts[name] = self.counts.get(name, 0) + number

    async def take(self, messages: Sequence[Incoming], answers: Answers) -> None:
        """Store `messages`; add what is to be answered after the commit."""
        self._streams = await self._rows.open(_spans(messages))
        hellos: list[wire.Hello] = []
        for message in messages:
            match message.content:
                case wire.Hello() as hello:
                    await self._gateways.greet(self.gateway.id, hello, self._now_us)
                    hellos.append(hello)
                case wire.State() as state:
                    await self._gateways.note_state(self.gateway.id, state, self._now_us)
                case wire.Dictionary() as dictionary:
                    await self._extend(dictionary, answers)
                case _:
                    await self._take_rows(message, message.content, answers)
        await self._write()
        for hello in hellos:
            answers.resumes.append((self.gateway.id, await self._resume(hello)))

    # ------------------------------------------------------------ dictionaries

    async def _dictionary(self, epoch: str, need: int) -> list[int]:
        """Return the aliases of `epoch`, reading on where fewer than `need` are at hand."""
        known = self.dictionaries.get(epoch) or self._cache.get(self.gateway.id, epoch)
        if len(known) < need:
            known = [*known, *await self._points.entries(epoch, len(known))]
        self.dictionaries[epoch] = known
        return known

    async def _extend(self, message: wire.Dictionary, answers: Answers) -> None:
        start, end = message.a0, message.a0 + len(message.points)
        known = await self._dictionary(message.ep, end)
        overlap = known[start:end]
        if start > len(known):
            self._refuse_dictionary(message, "need_dict", len(known), answers)
        elif end > MAX_ALIAS:
            self._refuse_dictionary(message, "schema", len(known), answers)
        elif overlap != (await self._points.find(message.points))[: len(overlap)]:
            self._refuse_dictionary(message, "fork", len(known), answers)
        else:
            ids = await self._points.describe(message.devices, message.points, self._now_us)
            await self._points.append(message.ep, len(known), ids[len(overlap) :])
            self.dictionaries[message.ep] = known = [*known, *ids[len(overlap) :]]
            if known:
                answers.ack(self.gateway.id, message.ep, "inv", (1, len(known)))

    def _refuse_dictionary(
        self,
        message: wire.Dictionary,
        why: Literal["need_dict", "fork", "schema"],
        have: int,
        answers: Answers,
    ) -> None:
        self.count(f"dictionary_{why}")
        nack = wire.Nack(ep=message.ep, st="inv", nack=why, s0=message.a0, have=have)
        answers.nacks.append((self.gateway.id, nack))

    # ------------------------------------------------------------ rows

    async def _take_rows(self, message: Incoming, rows: Rows, answers: Answers) -> None:
        stream = self._streams[rows.ep, message.channel]
        if isinstance(rows, wire.Samples):
            if not await self._take_samples(stream, message.payload, rows, answers):
                return
        else:
            wanted = stream.claim(rows.s0, rows.n)
            if isinstance(rows, wire.Gap):
                stream.gaps += [(span, rows.gap.replace("\x00", "")) for span in wanted]
            else:
                stream.duplicates += rows.n - count(wanted)
                self._take_others(stream, message.payload, rows, wanted)
        answers.ack(self.gateway.id, rows.ep, message.channel, stream.around(rows.s0))

    async def _take_samples(
        self, stream: Stream, payload: bytes, rows: wire.Samples, answers: Answers
    ) -> bool:
        known = await self._dictionary(rows.ep, rows.dv)
        if unknown_aliases(rows, len(known)) and not self._patience.is_over(
            self.gateway.id, rows.ep, rows.s0, len(known)
        ):
            nack = wire.Nack(ep=rows.ep, st="tel", nack="need_dict", s0=rows.s0, have=len(known))
            answers.nacks.append((self.gateway.id, nack))
            self.count("need_dict")
            return False
        wanted = stream.claim(rows.s0, rows.n)
        stream.duplicates += rows.n - count(wanted)
        column, refused = sample_rows(rows, payload, wanted, known, self._now_us)
        stream.samples.extend(column)
        stream.refused += refused
        return True

    def _take_others(
        self, stream: Stream, payload: bytes, rows: FindingRows | Unreadable, wanted: list[Range]
    ) -> None:
        if isinstance(rows, Unreadable):
            stream.refused += [Refusal(lo, rows.reason, payload, hi - lo + 1) for lo, hi in wanted]
            return
        findings, refused = finding_rows(rows, payload, wanted, self._now_us)
        stream.findings += findings
        stream.refused += refused

    async def _write(self) -> None:
        everything = Column()
        for key in sorted(self._streams):
            stream = self._streams[key]
            stored = await self._samples.add(stream.samples)
            stored += await self._samples.add_findings(
                self.gateway.id, self.gateway.site_id, stream.findings
            )
            await self._rows.close(stream, stored, self._now_us)
            everything.extend(stream.samples)
            self.stored += stored
            if refused := sum(item.n for item in stream.refused):
                self.count("quarantined", refused)
            if stream.duplicates:
                self.count("duplicates", stream.duplicates)
        if everything:
            await self._samples.advance_latest(everything)
            kinds = await self._samples.targets()
            await self._samples.put_out(self.gateway.id, everything, kinds, self._now_us)

    # ------------------------------------------------------------ hello

    async def _resume(self, hello: wire.Hello) -> wire.Resume:
        named = [epoch.ep for epoch in hello.epochs]
        ranges = await self._rows.known(named)
        lengths = await self._points.lengths(named)
        known = [
            wire.Known(
                ep=epoch,
                ranges={
                    cast("wire.Stream", stream): list(ranges[epoch, stream])
                    for stream in wire.STREAMS
                    if (epoch, stream) in ranges
                },
                dictionary=lengths.get(epoch, 0),
            )
            for epoch in dict.fromkeys(named)
        ]
        return wire.Resume(session=hello.session, epochs=known, time=self._now_us)


def _spans(messages: Sequence[Incoming]) -> dict[Key, Range]:
    """Return the streams that `messages` have rows of, each from its lowest to its highest row."""
    spans: dict[Key, Range] = {}
    for message in messages:
        rows = message.content
        if isinstance(rows, wire.Hello | wire.State | wire.Dictionary):
            continue
        key, lo, hi = (rows.ep, message.channel), rows.s0, rows.s0 + rows.n - 1
        old = spans.get(key, (lo, hi))
        spans[key] = (min(lo, old[0]), max(hi, old[1]))
    return spans
