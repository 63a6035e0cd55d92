"""The outbox of one company and kind: read in order, hand over, delete and count what is done."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.kit import figures
from plantroom_cloud.kit.following import followed
from plantroom_cloud.licensing import limits
from plantroom_cloud.licensing.usage import Use, count_now
from plantroom_cloud.publishing.catchup import CatchUp, Portion, owed_by
from plantroom_cloud.publishing.dues import DueRepository
from plantroom_cloud.publishing.lease import lease
from plantroom_cloud.publishing.outbox import unpacked
from plantroom_cloud.publishing.past import PastRepository
from plantroom_cloud.publishing.plan import Plan, make_plan
from plantroom_cloud.publishing.publishers import MappedValue, Publisher, Receipt
from plantroom_cloud.publishing.repository import OutboxRow, PublishingRepository
from plantroom_cloud.publishing.units import UnitsTold, as_read
from plantroom_shared.clock import Clock
from plantroom_shared.errors import PlantroomError

log = logging.getLogger(__name__)

MAX_ROWS: Final = 200
"""Outbox rows handed over at once."""
MAX_VALUES: Final = 20_000
"""Values handed over at once."""
_PLAN_LIFE = 15.0
"""Seconds after which the mapping is read again, whether or not a new point has come."""
_LOOK = 10.0
"""Seconds between two looks at how much waits in the outbox."""
_PAUSE_LIFE = 5.0
"""Seconds between two looks at the licence."""
_EMPTIED = 0.8
"""Part of what an outbox may hold down to which it is emptied at once."""


class TakenElsewhere(PlantroomError):
    """Another worker has published and counted these rows."""


class OutboxWorker:
    """Publishes one company's outbox of one kind.

    Args:
        database: where the outbox is.
        scope: the company.
        kind: ``Target.kind``.
        publisher: the way to the platform.
        clock: for ages.
        mapping_wait: seconds that rows wait until the mapper has looked at all their points.
        history: seconds of history that a point sends which is published for the first time.
        most_waiting: values that the outbox may hold.
    """

    def __init__(
        self,
        database: Database,
        scope: Scope,
        kind: str,
        publisher: Publisher,
        clock: Clock,
        *,
        mapping_wait: float,
        history: float = 0.0,
        most_waiting: int = 1_000_000,
    ) -> None:
        self._database, self._scope, self._kind = database, scope, kind
        self._publisher, self._clock = publisher, clock
        self._mapping_wait_us = round(mapping_wait * 1e6)
        self._units = UnitsTold(database, scope)
        self._most_waiting = most_waiting
        self._catch_up = CatchUp(database, scope, kind, clock, history=history)
        self._plan = Plan()
        self._read: Plan | None = None
        """The plan as it was read, before it was noted."""
        self._plan_read: float | None = None
        self._looked: float | None = None
        self._pause, self._pause_read = "", float("-inf")

    async def round(self) -> bool:
        """Publish the oldest rows; return whether any were there to do.

        Raises:
            Unavailable: the platform is away; nothing was deleted.
        """
        async with lease(self._database, lease_name(self._kind, self._scope)) as held:
            if not held:
                return False
            await self._catch_up.load()
            await self._make_room()
            if await self._paused():
                return False
            rows = await self._ready()
            if rows:
                await self._publish(rows)
            return await self._publish_due() or bool(rows)

    async def current_plan(self) -> Plan:
        """Return what is published as what, read anew and noted."""
        self._plan_read = None
        await self._read_plan(())
        return self._plan

    @property
    def fresh_sites(self) -> set[int]:
        """Sites of which something is published for the first time; whoever sees to it takes it."""
        return self._catch_up.fresh_sites

    def forget(self) -> None:
        """Read the plan anew at the next round: somebody has changed what is noted of it."""
        self._plan_read = self._read = None

    # ------------------------------------------------------------ what is ready

    async def _ready(self) -> list[OutboxRow]:
        """Return the oldest rows whose points the mapper has all looked at, in order."""
        held: set[str] = set()
        while True:
            async with self._database.read(self._scope) as session:
                repository = PublishingRepository(session, self._scope)
                rows = await repository.oldest(self._kind, MAX_ROWS, held)
            if not rows:
                return []
            await self._read_plan(rows)
            ready: list[OutboxRow] = []
            for row in rows:
                if row.gateway_id in held or not self._looked_at(row):
                    held.add(row.gateway_id)  # and all later rows of it: order is kept
                else:
                    ready.append(row)
            if ready:
                return _cut(ready)

    def _looked_at(self, row: OutboxRow) -> bool:
        if row.created_us + self._mapping_wait_us <= self._clock.now_us():
            return True  # waited long enough: what the mapper cannot see is not published
        return self._plan.looked_at.issuperset(_points(row))

    async def _read_plan(self, rows: Sequence[OutboxRow]) -> None:
        now = self._clock.monotonic()
        old = self._plan_read is None or now - self._plan_read >= _PLAN_LIFE
        if not old and all(self._plan.looked_at.issuperset(_points(row)) for row in rows):
            return
        async with self._database.read(self._scope) as session:
            repository = PublishingRepository(session, self._scope)
            last = await limits.last_published_point(session, self._scope)
            plan = make_plan(await repository.mappings(), last)
        if plan != self._read:
            self._plan = await self._catch_up.note(plan)
            self._read = plan
        self._plan_read = now

    # ------------------------------------------------------------ publish

    async def _publish(self, rows: list[OutboxRow]) -> None:
        read = await self._decoded(rows)
        with followed("publish", read.traces, kind=self._kind, values=len(read.values)):
            receipt = await self._handed_over(read.values)
            await self._settle(read, receipt)
        receipt.on_commit()
        if receipt.held:
            await self._catch_up.load()

    async def _publish_due(self) -> bool:
        """Publish the oldest that is due; return whether there was any."""
        await self._read_plan(())
        if self._plan.published:
            await self._publisher.prepare(self._plan)
        portion = await self._catch_up.portion(self._plan, self._publisher.accepts, MAX_VALUES)
        if portion is None:
            return False
        receipt = await self._handed_over(portion.values)
        await self._settle(_Decoded(), receipt, portion)
        receipt.on_commit()
        return True

    async def _handed_over(self, values: list[MappedValue]) -> Receipt:
        if self._plan.published:
            await self._publisher.prepare(self._plan)
        return await self._publisher.publish(values) if values else Receipt()

    async def _decoded(self, rows: Sequence[OutboxRow]) -> _Decoded:
        """Return what rows hold of what is published, or was once."""
        read, plan = _Decoded([row.id for row in rows]), self._plan
        await self._units.learn((row.gateway_id, row.samples) for row in rows)
        for row in rows:
            waiting = unpacked(row.samples)
            if waiting is None:
                read.counts["malformed"] += row.rows
                log.warning("outbox row is unreadable and dropped", extra={"row": row.id})
                continue
            read.traces += waiting.traces(row.gateway_id)
            for at, (point, ts_us, value, quality) in enumerate(waiting.rows()):
                if self._catch_up.comes_late(point, ts_us):
                    read.late[point] = min(ts_us, read.late.get(point, ts_us))
                mapped = plan.published.get(point)
                if mapped is not None and self._catch_up.owes(point, ts_us):
                    continue  # it will come from the store, in its turn
                if mapped is not None:
                    unit = self._units.unit(row.gateway_id, waiting, at)
                    read.values.append(MappedValue(as_read(mapped, unit), ts_us, value, quality))
                elif point in plan.conflicts:
                    read.counts["conflict"] += 1
                if mapped is None and self._catch_up.ended(point):
                    read.aside.append((point, ts_us))
        return read

    async def _settle(
        self,
        read: _Decoded,
        receipt: Receipt,
        portion: Portion | None = None,
    ) -> None:
        """Delete what is done and count what became of it, together or not at all."""
        counts, ids = read.counts + receipt.dropped, read.ids
        counts["published"] += receipt.published
        held = ((value.mapped.point_id, value.ts_us) for value in receipt.held)
        owed = owed_by([*held, *read.aside])
        async with self._database.write(self._scope) as session:
            repository = PublishingRepository(session, self._scope)
            dues = DueRepository(session, self._scope)
            if ids and not await repository.take(self._kind, ids):
                msg = f"outbox rows {ids[0]} to {ids[-1]} were published by another worker"
                raise TakenElsewhere(msg)
            if portion is not None and not await dues.settle(portion.done, portion.rest):
                msg = "what was due was published by another worker"
                raise TakenElsewhere(msg)
            await dues.add(self._kind, owed)
            await PastRepository(session, self._scope).came_late(self._kind, read.late)
            named = {f"{self._kind}.{name}": n for name, n in counts.items() if n}
            await repository.count(named)
            now = self._clock.now_us()
            amount = receipt.published
            await count_now(session, self._scope, now, Use.PUBLISHED, amount)

        figures.PUBLISHED.labels(self._kind).inc(receipt.published)
        for name, number in counts.items():
            if name != "published" and number:
                figures.NOT_PUBLISHED.labels(self._kind, name).inc(number)

    # ------------------------------------------------------------ licence

    async def _paused(self) -> str:
        """Return why nothing is to be published; what waits meanwhile is published afterwards."""
        now = self._clock.monotonic()
        if now - self._pause_read >= _PAUSE_LIFE:
            async with self._database.read(self._scope) as session:
                why = await limits.pause(session, self._scope, self._clock.now_us())
            self._pause_read = now
            if why != self._pause:
                about = {"company": self._scope.company_id, "kind": self._kind, "why": why}
                log.warning("publishing pauses" if why else "publishing goes on", extra=about)
            self._pause = why
        return self._pause

    # ------------------------------------------------------------ an outbox that grows

    async def _make_room(self) -> None:
        """Let go of the oldest rows where more wait than should: they are due from the store."""
        now = self._clock.monotonic()
        if self._looked is not None and now - self._looked < _LOOK:
            return
        self._looked = now
        waiting = await self._waiting()
        least = self._most_waiting
        while waiting > least:
            least = round(self._most_waiting * _EMPTIED)  # then it rests for a while
            async with self._database.read(self._scope) as session:
                repository = PublishingRepository(session, self._scope)
                rows = _cut(await repository.oldest(self._kind, MAX_ROWS))
            await self._let_go(rows)
            waiting -= sum(row.rows for row in rows)

    async def _waiting(self) -> int:
        async with self._database.read(self._scope) as session:
            repository = PublishingRepository(session, self._scope)
            return (await repository.backlog(self._kind))[0]

    async def _let_go(self, rows: list[OutboxRow]) -> None:
        await self._read_plan(rows)
        read = await self._decoded(rows)
        read.counts["let_go"] = len(read.values)
        # What nothing was ever published as needs no note: its history is due once something is.
        await self._settle(read, Receipt(held=read.values))
        await self._catch_up.load()


@dataclass(slots=True)
class _Decoded:
    """What rows of the outbox hold."""

    ids: list[int] = field(default_factory=list)
    values: list[MappedValue] = field(default_factory=list)
    """To be published."""
    aside: list[tuple[int, int]] = field(default_factory=list)
    """(point, time) of points that were published once: due if they are again."""
    late: dict[int, int] = field(default_factory=dict)
    """Point → the oldest that a place lacks which the point has left."""
    counts: Counter[str] = field(default_factory=Counter)
    traces: list[str] = field(default_factory=list)
    """Ids of the messages that they came in."""


def lease_name(kind: str, scope: Scope) -> str:
    """Return what a worker holds while it publishes, or changes what is published."""
    return f"publish-{kind}-{scope.company_id}"


def _cut(rows: list[OutboxRow]) -> list[OutboxRow]:
    """Return as many rows as hold `MAX_VALUES` values, at least one."""
    total = 0
    for at, row in enumerate(rows):
        total += row.rows
        if total > MAX_VALUES and at:
            return rows[:at]
    return rows


def _points(row: OutboxRow) -> frozenset[int]:
    waiting = unpacked(row.samples)
    return frozenset(waiting.points) if waiting else frozenset()
