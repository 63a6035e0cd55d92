"""The outbox of one company and kind: read in order, hand over, delete and count what is done."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.publishing.lease import lease
from plantroom_cloud.publishing.outbox import unpacked
from plantroom_cloud.publishing.plan import Plan, make_plan
from plantroom_cloud.publishing.publishers import MappedValue, Publisher
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
    ) -> None:
        self._database, self._scope, self._kind = database, scope, kind
        self._publisher, self._clock = publisher, clock
        self._mapping_wait_us = round(mapping_wait * 1e6)
        self._units = UnitsTold(database, scope)
        self._plan = Plan()
        self._plan_read: float | None = None

    async def round(self) -> bool:
        """Publish the oldest rows; return whether any were there to do.

        Raises:
            Unavailable: the platform is away; nothing was deleted.
        """
        name = f"publish-{self._kind}-{self._scope.company_id}"
        async with lease(self._database, name) as held:
            if not held:
                return False
            rows = await self._ready()
            if not rows:
                return False
            await self._publish(rows)
            return True

    # ------------------------------------------------------------ what is ready

    async def _ready(self) -> list[OutboxRow]:
        """Return the oldest rows whose points the mapper has all looked at, in order."""
        held: set[str] = set()
        while True:
            async with self._database.read() as session:
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
        async with self._database.read() as session:
            repository = PublishingRepository(session, self._scope)
            plan = make_plan(await repository.mappings())
        self._plan_read = now
        if plan != self._plan:
            self._plan = plan

    # ------------------------------------------------------------ publish

    async def _publish(self, rows: list[OutboxRow]) -> None:
        values: list[MappedValue] = []
        counts: Counter[str] = Counter()
        await self._units.learn((row.gateway_id, row.samples) for row in rows)
        for row in rows:
            self._decode(row, values, counts)
        plan = self._plan
        if plan.published:
            await self._publisher.prepare(plan)
        receipt = await self._publisher.publish(values)
        counts["published"] += receipt.published
        counts.update(receipt.dropped)
        await self._settle([row.id for row in rows], counts)
        receipt.on_commit()

    def _decode(self, row: OutboxRow, values: list[MappedValue], counts: Counter[str]) -> None:
        plan = self._plan
        waiting = unpacked(row.samples)
        if waiting is None:
            counts["malformed"] += row.rows
            log.warning("outbox row is unreadable and dropped", extra={"row": row.id})
            return
        for at, (point, ts_us, value, quality) in enumerate(waiting.rows()):
            mapped = plan.published.get(point)
            if mapped is not None:
                unit = self._units.unit(row.gateway_id, waiting, at)
                values.append(MappedValue(as_read(mapped, unit), ts_us, value, quality))
            elif point in plan.conflicts:
                counts["conflict"] += 1

    async def _settle(self, ids: list[int], counts: Counter[str]) -> None:
        """Delete rows and count what became of them, together or not at all."""
        async with self._database.write() as session:
            repository = PublishingRepository(session, self._scope)
            if not await repository.take(self._kind, ids):
                msg = f"outbox rows {ids[0]} to {ids[-1]} were published by another worker"
                raise TakenElsewhere(msg)
            named = {f"{self._kind}.{name}": n for name, n in counts.items() if n}
            await repository.count(named)


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
