"""The store: a batch of messages in one transaction, and what to answer once it is committed.

Storing is idempotent and free of order: rows whose order numbers are dealt with already are only
counted, and the watermark moves in the transaction that stores the rows. A message that a database
refuses is tried by itself and then quarantined, so that it costs its neighbours nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Database, Scope, act_for, insert_into
from plantroom_cloud.gateways.repository import Owned, find_owners
from plantroom_cloud.gateways.signing import Trust
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.batch import GatewayBatch, Memory
from plantroom_cloud.ingest.memory import Dictionaries, Patience
from plantroom_cloud.ingest.messages import Incoming, Refused
from plantroom_cloud.kit import figures
from plantroom_cloud.kit.following import followed
from plantroom_cloud.licensing.usage import Use, count_now
from plantroom_cloud.streaming import Streamed
from plantroom_cloud.streaming.batch import StreamingBatch
from plantroom_cloud.streaming.devices import Memory as DeviceMemory
from plantroom_cloud.tables import Counter
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable

log = logging.getLogger(__name__)

Item = Incoming | Streamed | Refused
_POISON = (DataError, IntegrityError, OverflowError)
_MOST_STRANGERS = 1000
_WRITERS = 2  # one makes rows ready while PostgreSQL writes those of the other


@dataclass(slots=True)
class Statistics:
    """What this process has seen since it started."""

    messages: int = 0
    rows: int = 0
    strangers: dict[str, int] = field(default_factory=dict)
    """Gateway id → messages of it that belong to no company; they are not answered."""


class Store:
    """Stores batches in a database.

    Args:
        database: where to.
        clock: says what is too far in the future.
        trust: whose signatures count; without it no gap record is taken for signed.
    """

    def __init__(self, database: Database, clock: Clock, trust: Trust | None = None) -> None:
        self._database = database
        self._memory = Memory(clock, Dictionaries(), Patience(), trust)
        self._devices = DeviceMemory()
        self.reorder_us = 0
        """How long a device's message may be overtaken by others; more where several share them."""
        self.statistics = Statistics()

    @property
    def writers(self) -> int:
        """How many may store at a time with profit: SQLite has one writer, whoever waits."""
        return 1 if self._database.is_sqlite else _WRITERS

    @property
    def clock(self) -> Clock:
        """The clock by which times are judged."""
        return self._memory.clock

    async def store(self, items: Sequence[Item]) -> Answers:
        """Store `items` in one transaction and return the answers, to be sent now.

        Raises:
            Unavailable: the database is away or refuses to write; nothing of it is stored.
        """
        traces = [item.trace for item in items if isinstance(item, Incoming) and item.trace]
        with followed("store", traces, messages=len(items)):
            try:
                return await self._attempt(items)
            except Unavailable:
                raise
            except Exception:  # noqa: BLE001 - whatever one message brings out, its neighbours go on
                return await self._one_by_one(items)

    async def _one_by_one(self, items: Sequence[Item]) -> Answers:
        """Store each item by itself, so that only the one the database refuses is held back."""
        answers = Answers()
        for item in items:
            try:
                answers.add(await self._attempt([item]))
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - as above; this is the one
                log.warning("message cannot be stored", extra=_about(item, error))
                answers.add(await self._set_aside(item))
        return answers

    async def _set_aside(self, item: Item) -> Answers:
        refused = item if isinstance(item, Refused) else item.set_aside("store")
        try:
            return await self._attempt([refused])
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            # Nothing more can be done with it here: it is neither stored nor answered.
            log.warning("message dropped unanswered", extra=_about(item, error))
            return Answers()

    async def _attempt(self, items: Sequence[Item]) -> Answers:
        answers, devices = Answers(), list[StreamingBatch]()
        try:
            async with self._database.write(None) as session:
                batches = await self._fill(session, items, answers, devices)
        except _POISON:
            raise
        except (SQLAlchemyError, OSError) as error:
            msg = f"the database cannot store: {error}"
            raise Unavailable(msg) from error
        # Only what is committed may be remembered.
        for batch in batches:
            learn = self._memory.dictionaries.learn
            learn(batch.gateway.id, batch.stamp, batch.dictionaries)
            self.statistics.rows += batch.stored
        for device in devices:
            device.learn()
            self.statistics.rows += device.stored
        self.statistics.messages += len(items)
        refused = sum(isinstance(item, Refused) for item in items)
        figures.INGEST_MESSAGES.labels("stored").inc(len(items) - refused)
        figures.INGEST_MESSAGES.labels("refused").inc(refused)
        rows = sum(batch.stored for batch in batches) + sum(one.stored for one in devices)
        figures.INGEST_ROWS.inc(rows)
        return answers

    async def _fill(
        self,
        session: AsyncSession,
        items: Sequence[Item],
        answers: Answers,
        devices: list[StreamingBatch],
    ) -> list[GatewayBatch]:
        ids = {item.gateway for item in items if item.gateway}
        # Two processes that have messages of one gateway take turns.
        owners = await find_owners(session, ids, lock=True)
        batches = list[GatewayBatch]()
        counts: dict[Scope, dict[str, int]] = {}
        samples: dict[Scope, int] = {}
        for gateway, group in groupby(sorted(items, key=_gateway), key=_gateway):
            messages = list(group)
            owner = owners.get(gateway)
            if owner is None:
                self._note_stranger(gateway, len(messages))
                continue
            await act_for(session, owner.scope)
            batch = GatewayBatch(session, owner, self._memory)
            await batch.take([item for item in messages if isinstance(item, Incoming)], answers)
            if streamed := [item for item in messages if isinstance(item, Streamed)]:
                devices.append(await self._stream(session, owner, streamed, answers, batch))
            for item in messages:
                if isinstance(item, Refused):
                    batch.count(item.reason)
            names = {f"ingest.{name}/{gateway}": n for name, n in batch.counts.items()}
            counts.setdefault(owner.scope, {}).update(names)
            samples[owner.scope] = samples.get(owner.scope, 0) + batch.samples
            batches.append(batch)
        for scope, numbers in counts.items():
            await _count(session, scope, numbers)
        for scope in sorted(samples, key=lambda scope: scope.company_id):
            await act_for(session, scope)
            await count_now(session, scope, self.clock.now_us(), Use.SAMPLES, samples[scope])
        return batches

    async def _stream(
        self,
        session: AsyncSession,
        owner: Owned,
        messages: Sequence[Streamed],
        answers: Answers,
        batch: GatewayBatch,
    ) -> StreamingBatch:
        """Store what a device has streamed; its counts go with those of `batch`."""
        now_us, patience_us = self._memory.clock.now_us(), self.reorder_us
        device = StreamingBatch(session, owner, self._devices, now_us, patience_us=patience_us)
        await device.take(messages, answers)
        for name, number in device.counts.items():
            batch.count(name, number)
        batch.samples += device.stored
        return device

    def _note_stranger(self, gateway: str, messages: int) -> None:
        known = self.statistics.strangers
        name = gateway if gateway in known or len(known) < _MOST_STRANGERS else ""
        if name not in known:
            log.warning("messages of an unknown gateway are ignored", extra={"gateway": gateway})
        known[name] = known.get(name, 0) + messages


def _gateway(item: Item) -> str:
    return item.gateway


async def _count(session: AsyncSession, scope: Scope, counts: dict[str, int]) -> None:
    if not counts:
        return
    await act_for(session, scope)
    statement = insert_into(session, Counter)
    upsert = statement.on_conflict_do_update(
        index_elements=["company_id", "name"],
        set_={"value": Counter.value + statement.excluded.value},
    )
    rows = [
        {"company_id": scope.company_id, "name": name, "value": number}
        for name, number in sorted(counts.items())
    ]
    await session.execute(upsert, rows)


def _about(item: Item, error: Exception) -> dict[str, str]:
    channel = "-" if isinstance(item, Refused) else item.channel
    about = {"gateway": item.gateway, "channel": channel, "error_kind": type(error).__name__}
    trace = item.trace if isinstance(item, Incoming) else ""
    return {**about, "trace_id": trace} if trace else about
