"""One streaming device's messages within one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.gateways.news import tell_state
from plantroom_cloud.gateways.repository import Owned
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.news import tell_samples
from plantroom_cloud.ingest.rows import Column, Refusal, clean, stored_value
from plantroom_cloud.ingest.samples import SampleRepository
from plantroom_cloud.ingest.streams import Key, Stream, StreamRepository
from plantroom_cloud.streaming.devices import Known, Memory, StreamingRepository
from plantroom_cloud.streaming.messages import DeviceData, DeviceState, Unreadable, epoch_of
from plantroom_cloud.streaming.readings import Reading, Readings, Unfit
from plantroom_cloud.streaming.route import Streamed
from plantroom_cloud.streaming.session import Session
from plantroom_cloud.streaming.sparkplug import (
    BIRTHS,
    DEATHS,
    Birth,
    NodeMessage,
    rebirth_command,
    understand,
)
from plantroom_cloud.tables import QuarantinedRow, StreamingDevice, StreamTotal
from plantroom_shared import sparkplug
from plantroom_shared.ranges import Range

SAMPLES: Final = "tel"
"""The stream of the account; rows have no order numbers, so that it keeps no ranges."""
MESSAGES: Final = "msg"
"""The stream whose ranges are the message numbers that are dealt with."""
_NOWHERE: Final = (1, 1)
_CHUNK: Final = 500


@dataclass(slots=True)
class _Session:
    """The rows of one session, which is an epoch of the account."""

    good: list[Reading] = field(default_factory=list)
    unfit: dict[int, Unfit] = field(default_factory=dict)
    duplicates: int = 0

    def add(self, rows: Readings) -> None:
        self.good += rows.good
        self.refuse(*rows.unfit)

    def refuse(self, *rows: Unfit) -> None:
        for row in rows:
            self.duplicates += row.number() in self.unfit
            self.unfit[row.number()] = row


class StreamingBatch:
    """Takes one streaming device's messages in their order and writes what they amount to.

    Args:
        session: of the transaction.
        gateway: the device, as the gateway that it is.
        memory: what is known of devices without reading.
        now_us: our clock.
        patience_us: how long a message may be overtaken by others, where several processes share
            the work.
    """

    def __init__(
        self,
        session: AsyncSession,
        gateway: Owned,
        memory: Memory,
        now_us: int,
        *,
        patience_us: int = 0,
    ) -> None:
        self._gateway, self._memory, self._session = gateway, memory, session
        self._now_us, self._patience_us = now_us, patience_us
        self._devices = StreamingRepository(session, gateway, memory)
        self._samples = SampleRepository(session, gateway.scope, gateway.id)
        self._rows = StreamRepository(session, gateway.scope, gateway.id)
        self._streams: dict[Key, Stream] = {}
        self._sessions: dict[str, _Session] = {}
        self._unknown = False  # something could not be understood without a birth
        self.counts: dict[str, int] = {}
        self.stored = 0

    def count(self, name: str, number: int = 1) -> None:
        """Count `number` of `name` for the company."""
        if number:
            self.counts[name] = self.counts.get(name, 0) + number

    def learn(self) -> None:
        """Remember what was read and written, now that it is committed."""
        self._memory.learn(self._gateway.id, self._devices.points, self._devices.births)

    async def take(self, messages: Sequence[Streamed], answers: Answers) -> None:
        """Store `messages`; add what is to be sent after the commit."""
        device = await self._devices.lock()
        if device is None:
            self.count("not_streaming", len(messages))
            return
        fitting = [message for message in messages if self._fits(device, message)]
        self._streams = await self._rows.open(_spans(fitting))
        online: bool | None = None
        node = Session.load(device.session or {})
        for message in fitting:
            match message:
                case DeviceState():
                    online = message.online
                case DeviceData():
                    online = True
                    self._take_data(message, answers)
                case NodeMessage():
                    await self._take_node(node, message)
                case Unreadable():
                    self._session_of("").refuse(Unfit(message.reason, message.payload))
                    answers.command(message.answer)
        await self._write()
        if device.protocol == "sparkplug":
            online = node.online
            await self._end_of_node(device, node, answers)
        if online is not None:
            seen = {"seen_us": self._now_us} if online else {}
            await self._devices.note(online=online, **seen)
            if online != self._gateway.online:
                await tell_state(self._session, self._gateway, self._now_us, online=online)

    def _fits(self, device: StreamingDevice, message: Streamed) -> bool:
        """Say whether `message` is in the protocol, and in the group, that the device has."""
        if isinstance(message, Unreadable):
            return True
        if isinstance(message, NodeMessage) != (device.protocol == "sparkplug"):
            self.count("protocol")
            return False
        if isinstance(message, NodeMessage) and message.topic.group != device.sparkplug_group:
            self.count("group")
            return False
        return True

    def _session_of(self, name: str) -> _Session:
        return self._sessions.setdefault(epoch_of(name), _Session())

    # ------------------------------------------------------------ plain JSON

    def _take_data(self, message: DeviceData, answers: Answers) -> None:
        session = self._session_of(message.session)
        if message.seq is None:
            session.add(message.readings(self._now_us))
            return
        refused = 0
        if self._streams[message.epoch, MESSAGES].claim(message.seq, 1):
            rows = message.readings(self._now_us)
            refused = len(rows.unfit)
            session.add(rows)
        else:
            session.duplicates += len(message.rows)
        # Said again for a repetition: the first one may have been lost.
        answers.command(message.ack(refused))

    # ------------------------------------------------------------ Sparkplug

    async def _take_node(self, node: Session, message: NodeMessage) -> None:
        kind, device = message.topic.kind, message.topic.device
        if kind in DEATHS:
            await self._take_death(node, message)
            return
        if kind == "NBIRTH":
            node.born(message.content.seq, message.bd_seq)
            await self._devices.gone(None)  # every device below it must be born again
        else:
            node.number(message.content.seq, self._now_us)
        birth: Birth | None
        if kind in BIRTHS:
            birth = Birth.of(message.content.metrics)
            await self._devices.born(device, birth, self._now_us)
        else:
            birth = await self._devices.birth(device)
        found = understand(message, birth, self._now_us)
        self.count("sparkplug_unsupported", found.unsupported)
        self.count("sparkplug_transient", found.transient)
        self._session_of("").add(found.rows)
        self._unknown |= found.unknown

    async def _take_death(self, node: Session, message: NodeMessage) -> None:
        if message.topic.kind == "DDEATH":
            node.number(message.content.seq, self._now_us)
            await self._devices.gone(message.topic.device)
        elif node.died(message.bd_seq):
            await self._devices.gone(None)
        else:
            self.count("sparkplug_old_death")

    async def _end_of_node(self, device: StreamingDevice, node: Session, answers: Answers) -> None:
        """Keep the node's numbers; ask for a rebirth where something is missing."""
        if node.needs_rebirth(self._now_us, self._patience_us, unknown=self._unknown):
            topic = sparkplug.build(device.sparkplug_group, "NCMD", self._gateway.id)
            answers.command((topic, rebirth_command(self._now_us)))
            self.count("sparkplug_rebirths")
        await self._devices.save_session(node.dump())
        await self._devices.note(report=await self._devices.census() | {"lost": node.lost})

    # ------------------------------------------------------------ writing

    async def _write(self) -> None:
        everything = [reading for session in self._sessions.values() for reading in session.good]
        points = await self._devices.resolve(everything, self._now_us) if everything else {}
        whole, live = Column(), Column()
        for epoch in sorted(self._sessions):
            session = self._sessions[epoch]
            column = Column()
            for reading in session.good:
                known = points.get(clean(reading.point))
                if known is None:
                    session.refuse(Unfit("too_many_points", reading.quote))
                    continue
                for target in (column, live) if reading.live else (column,):
                    _append(target, known, reading)
            await self._close(epoch, session, column)
            whole.extend(column)
        for key in sorted(self._streams):
            if key[1] == MESSAGES:
                await self._rows.close(self._streams[key], 0, self._now_us)
        if live:
            await self._samples.advance_latest(live)
            tell_samples(self._session, self._gateway, live)
        if whole:
            kinds = await self._samples.targets()
            await self._samples.put_out(self._gateway.id, whole, kinds, self._now_us)

    async def _close(self, epoch: str, session: _Session, column: Column) -> None:
        stream = self._streams[epoch, SAMPLES]
        known = await self._quarantined(epoch, session.unfit)
        stream.refused += [
            Refusal(number, row.reason, row.quote)
            for number, row in session.unfit.items()
            if number not in known
        ]
        stream.duplicates += session.duplicates + len(known)
        stream.samples.extend(column)
        stored = await self._samples.add(column)
        await self._rows.close(stream, stored, self._now_us)
        # Nobody but us has counted these rows: accepted is what became of them.
        new = stored + len(stream.refused)
        total = update(StreamTotal).where(
            StreamTotal.company_id == self._gateway.company_id,
            StreamTotal.gateway_id == self._gateway.id,
            StreamTotal.epoch == epoch,
            StreamTotal.stream == SAMPLES,
        )
        values = {"accepted": StreamTotal.accepted + new, "reported_us": self._now_us}
        await self._session.execute(total.values(**values))
        self.stored += stored
        self.count("quarantined", len(stream.refused))
        self.count("duplicates", stream.duplicates + len(column) - stored)

    async def _quarantined(self, epoch: str, rows: dict[int, Unfit]) -> set[int]:
        """Return those of `rows` that lie in the quarantine already."""
        found: set[int] = set()
        numbers = sorted(rows)
        for start in range(0, len(numbers), _CHUNK):
            query = select(QuarantinedRow.seq).where(
                QuarantinedRow.company_id == self._gateway.company_id,
                QuarantinedRow.gateway_id == self._gateway.id,
                QuarantinedRow.epoch == epoch,
                QuarantinedRow.stream == SAMPLES,
                QuarantinedRow.seq.in_(numbers[start : start + _CHUNK]),
            )
            found |= set((await self._session.execute(query)).scalars())
        return found


def _append(column: Column, point: Known, reading: Reading) -> None:
    number, text = stored_value(reading.value)
    column.point_id.append(point.id)
    column.ts_us.append(reading.ts_us)
    column.tie.append(reading.tie())
    column.value.append(number)
    column.text.append(text)
    column.quality.append(int(reading.quality))
    column.reason.append(clean(reading.reason))
    column.raw.append(reading.value)


def _spans(messages: Sequence[Streamed]) -> dict[Key, Range]:
    """Return the streams that `messages` touch; of message numbers, from the lowest on."""
    spans: dict[Key, Range] = {}
    for message in messages:
        if isinstance(message, DeviceState):
            continue
        epoch = message.epoch if isinstance(message, DeviceData) else epoch_of("")
        spans[epoch, SAMPLES] = _NOWHERE
        if isinstance(message, DeviceData) and message.seq is not None:
            old = spans.get((epoch, MESSAGES), (message.seq, message.seq))
            spans[epoch, MESSAGES] = min(old[0], message.seq), max(old[1], message.seq)
    return spans
