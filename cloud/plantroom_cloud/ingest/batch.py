"""One gateway's messages within one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.commands.results import Results
from plantroom_cloud.configuration.reports import Reports
from plantroom_cloud.gateways.alarms import AlarmRepository
from plantroom_cloud.gateways.hellos import HelloRepository
from plantroom_cloud.gateways.repository import GatewayRepository, Owned
from plantroom_cloud.gateways.signing import Trust, is_signed
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.dictionary import DictionaryRepository
from plantroom_cloud.ingest.documents import finding_rows, record_rows
from plantroom_cloud.ingest.forks import Forks
from plantroom_cloud.ingest.greeting import Greeting
from plantroom_cloud.ingest.memory import Dictionaries, Patience
from plantroom_cloud.ingest.messages import (
    Control,
    FindingRows,
    Incoming,
    RecordRows,
    Rows,
    Snapshot,
    Unreadable,
)
from plantroom_cloud.ingest.news import tell_findings, tell_samples
from plantroom_cloud.ingest.rows import (
    MAX_ALIAS,
    Column,
    Origin,
    Refusal,
    latest_rows,
    sample_rows,
    unknown_aliases,
)
from plantroom_cloud.ingest.samples import SampleRepository
from plantroom_cloud.ingest.streams import Declared, Key, Stream, StreamRepository
from plantroom_shared import wire
from plantroom_shared.clock import Clock
from plantroom_shared.ranges import Range, count


@dataclass(frozen=True, slots=True)
class Memory:
    """What the process has at hand for every transaction."""

    clock: Clock
    dictionaries: Dictionaries
    patience: Patience
    trust: Trust | None = None
    """Without it no gap record counts as signed."""


class GatewayBatch:
    """Takes one gateway's messages in their order and writes what they amount to.

    The caller holds the gateway's lock: two processes never have a batch of the same gateway.
    """

    def __init__(self, session: AsyncSession, gateway: Owned, memory: Memory) -> None:
        self.gateway, self._memory, self._session = gateway, memory, session
        self._now_us = memory.clock.now_us()
        self._gateways = GatewayRepository(session, gateway.scope)
        self._alarms = AlarmRepository(session, gateway.scope)
        self._greeting = Greeting(session, gateway, memory.trust, self._now_us)
        self._hellos = HelloRepository(session, gateway.scope, gateway.id)
        self._points = DictionaryRepository(session, gateway)
        self._samples = SampleRepository(session, gateway.scope, gateway.id)
        self._rows = StreamRepository(session, gateway.scope, gateway.id)
        self._results = Results(session, gateway.scope, gateway.id)
        self._reports = Reports(session, gateway.scope, gateway.id)
        self._forks = Forks(session, self._rows, self._now_us)
        self._streams: dict[Key, Stream] = {}
        self._newest = Column()
        self._certificates: list[tuple[str, str]] | None = None
        self._targets: list[str] | None = None
        self.stamp = gateway.dictionary_stamp
        self.dictionaries: dict[str, list[int]] = {}
        """Epoch → point ids by alias, read or extended here, as of `stamp`."""
        self.counts: dict[str, int] = {}
        self.stored = 0
        """Rows of any kind."""
        self.samples = 0

    def count(self, name: str, number: int = 1) -> None:
        """Count `number` of `name` for the company."""
        self.counts[name] = self.counts.get(name, 0) + number

    async def take(self, messages: Sequence[Incoming], answers: Answers) -> None:
        """Store `messages`; add what is to be answered after the commit."""
        self._streams = await self._rows.open(_spans(messages))
        await self._forks.prepare(messages, self._streams)
        hellos: list[wire.Hello] = []
        for message in messages:
            at = message.received_us or self._now_us
            match message.content:
                case wire.Hello() as hello:
                    await self._greeting.hello(hello, at)
                    await self._reports.greeted(self._now_us)
                    self._certificates = None
                    hellos.append(hello)
                case wire.State() as state:
                    await self._greeting.state(state, at)
                case wire.Dictionary() as dictionary:
                    await self._extend(dictionary, answers)
                case Snapshot() as snapshot:
                    await self._look(snapshot, answers)
                case rows:
                    await self._take_rows(message, rows, answers)
        await self._write()
        for name, number in self._greeting.counts.items():
            self.count(name, number)
        for hello in hellos:
            answers.resumes.append((self.gateway.id, await self._greeting.resume(hello)))

    # ------------------------------------------------------------ dictionaries

    async def _dictionary(self, epoch: str, need: int) -> list[int]:
        """Return the aliases of `epoch`, reading on where fewer than `need` are at hand."""
        known = self.dictionaries.get(epoch)
        if known is None:
            remembered = self._memory.dictionaries
            known = remembered.get(self.gateway.id, epoch, self.gateway.dictionary_stamp)
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
            details = {"epoch": message.ep, "stream": "inv", "s0": start, "n": len(overlap)}
            await self._alarms.note(self.gateway.id, "stream_fork", details, self._now_us)
        else:
            # What is known already says nothing new: a later entry may have changed it since.
            points = message.points[len(overlap) :]
            runs = await self._hellos.runs(message.ep)
            new = await self._points.describe(message.devices, points, self._now_us, newest=runs)
            if new:
                await self._points.append(message.ep, len(known), new, points)
                self.stamp = secrets.token_hex(8)
                await self._gateways.stamp_dictionary(self.gateway.id, self.stamp)
            self.dictionaries[message.ep] = known = [*known, *new]
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

    def _ask(self, epoch: str, s0: int, have: int, answers: Answers) -> None:
        """Ask for the aliases from `have` on."""
        self.count("need_dict")
        nack = wire.Nack(ep=epoch, st="tel", nack="need_dict", s0=s0, have=have)
        answers.nacks.append((self.gateway.id, nack))

    async def _look(self, snapshot: Snapshot, answers: Answers) -> None:
        """Take what points say now for their latest values, and for nothing else."""
        samples = snapshot.samples
        known = await self._dictionary(samples.ep, samples.dv)
        self._newest.extend(latest_rows(snapshot, known, self._now_us))
        if unknown_aliases(samples, len(known)):
            self._ask(samples.ep, 0, len(known), answers)

    # ------------------------------------------------------------ rows

    async def _take_rows(self, message: Incoming, rows: Rows, answers: Answers) -> None:
        stream = self._streams[rows.ep, message.stream]
        if isinstance(rows, wire.Gap):
            await self._declare(stream, rows)
        elif not await self._store(stream, message, rows, answers):
            return
        answers.ack(self.gateway.id, rows.ep, message.stream, stream.around(rows.s0))

    async def _declare(self, stream: Stream, gap: wire.Gap) -> None:
        if wanted := stream.claim(gap.s0, gap.n):
            serial = await self._signer(gap)
            stream.gaps += [Declared(span, gap, serial) for span in wanted]

    async def _signer(self, gap: wire.Gap) -> str:
        """Return the serial of the certificate whose key has signed `gap`; nothing where none has."""
        if self._certificates is None:
            self._certificates = await self._gateways.certificates(self.gateway.id)
        content = gap.signed_part(self.gateway.id)
        for serial, pem in self._certificates if gap.sig else ():
            if is_signed(pem, content, gap.sig):
                return serial
        self.count("gap_bad_signature" if gap.sig else "gap_unsigned")
        return ""

    async def _store(
        self,
        stream: Stream,
        message: Incoming,
        rows: wire.Samples | FindingRows | RecordRows | Unreadable,
        answers: Answers,
    ) -> bool:
        """Claim the new ones of `rows` and sort them; say whether they may be acknowledged."""
        known: list[int] = []
        if isinstance(rows, wire.Samples):
            known = await self._dictionary(rows.ep, rows.dv)
            if unknown_aliases(rows, len(known)) and not self._memory.patience.is_over(
                self.gateway.id, rows.ep, rows.s0, len(known), self._memory.clock.monotonic()
            ):
                self._ask(rows.ep, rows.s0, len(known), answers)
                return False
        if await self._forks.is_fork(message, stream, known):
            await self._refuse_fork(message, rows, answers)
            return False
        if wanted := stream.claim(rows.s0, rows.n):
            self._forks.note(message)
        stream.duplicates += rows.n - count(wanted)
        self._sort(stream, message, wanted, known)
        return True

    async def _refuse_fork(
        self,
        message: Incoming,
        rows: wire.Samples | FindingRows | RecordRows | Unreadable,
        answers: Answers,
    ) -> None:
        """Leave on the edge what contradicts rows that are here, and tell somebody."""
        details = {"epoch": rows.ep, "stream": message.stream, "s0": rows.s0, "n": rows.n}
        await self._alarms.note(self.gateway.id, "stream_fork", details, self._now_us)
        self.count("fork")
        nack = wire.Nack.model_validate(
            {"ep": rows.ep, "st": message.stream, "nack": "fork", "s0": rows.s0}
        )
        answers.nacks.append((self.gateway.id, nack))

    def _sort(
        self, stream: Stream, message: Incoming, wanted: list[Range], known: list[int]
    ) -> None:
        """Add the wanted rows of `message` to what is to be stored, or to be quarantined."""
        payload, refused = message.payload, list[Refusal]()
        match message.content:
            case wire.Samples() as rows:
                column, refused = sample_rows(rows, payload, wanted, known, self._now_us)
                (stream.backlog if message.channel == "fill" else stream.samples).extend(column)
                if column:
                    stream.begins.append(rows.s0)
            case FindingRows() as findings:
                good, refused = finding_rows(findings, payload, wanted, self._now_us)
                stream.findings += good
            case RecordRows() as records:
                good, refused = record_rows(records, payload, wanted)
                stream.records += good
            case Unreadable(reason=why):
                refused = [Refusal(lo, why, payload, hi - lo + 1) for lo, hi in wanted]
        stream.refused += refused

    async def _write(self) -> None:
        everything = Column()
        for key in sorted(self._streams):
            stream = self._streams[key]
            samples = Column()
            for part in (stream.samples, stream.backlog):
                samples.extend(part)
            await self._put_out(stream, samples)
            added = await self._samples.add(samples)
            self.samples += added
            stored = added + await self._rows.add_records(stream)
            stored += await self._samples.add_findings(
                self.gateway.id, self.gateway.site_id, stream.findings
            )
            await tell_findings(self._session, self.gateway, stream.findings, self._now_us)
            if stream.stream == "cmd":
                await self._results.take(stream.records)
            if stream.stream == "aud":
                await self._reports.take(stream.records)
            await self._rows.close(stream, stored, self._now_us)
            everything.extend(samples)
            self._count_stream(stream, stored)
        await self._forks.save()
        everything.extend(self._newest)
        if everything:
            await self._samples.advance_latest(everything)
            tell_samples(self._session, self.gateway, everything)

    async def _put_out(self, stream: Stream, samples: Column) -> None:
        """Leave the samples of one epoch for the targets, and what tells the units they had."""
        if not samples:
            return
        epoch = stream.epoch
        known = self.dictionaries.get(epoch, [])
        several = self._memory.dictionaries.several(self.gateway.id, epoch, self.stamp, known)
        if several and (firsts := samples.firsts(several)):
            await self._points.note_first(epoch, firsts)
        if self._targets is None:
            self._targets = await self._samples.targets()
        if self._targets:
            origin = Origin(epoch, several, tuple(stream.begins))
            await self._samples.put_out(
                self.gateway.id, samples, self._targets, self._now_us, origin
            )

    def _count_stream(self, stream: Stream, stored: int) -> None:
        self.stored += stored
        for name, number in (
            ("quarantined", sum(item.n for item in stream.refused)),
            ("duplicates", stream.duplicates),
            ("backlog", len(stream.backlog)),
        ):
            if number:
                self.count(name, number)


def _spans(messages: Sequence[Incoming]) -> dict[Key, Range]:
    """Return the streams that `messages` have rows of, each from its lowest to its highest row."""
    spans: dict[Key, Range] = {}
    for message in messages:
        rows = message.content
        if isinstance(rows, Control):
            continue
        key, lo, hi = (rows.ep, message.stream), rows.s0, rows.s0 + rows.n - 1
        old = spans.get(key, (lo, hi))
        spans[key] = (min(lo, old[0]), max(hi, old[1]))
    return spans
