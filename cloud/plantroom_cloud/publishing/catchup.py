"""What is still to be published from the store: history, and what an outbox should not hold.

::

    a point is published for the first time ──▶ due: its history
    the platform has been away for days ──────▶ due: what was oldest in the outbox
    the platform cannot take equipment ───────▶ due: its values, until somebody has put it right

A value of the outbox that lies in what is due of its point is left to that: it was stored in the
transaction that filled the outbox. A value that is due and still waits in the outbox when the store is
read is left to the outbox: nothing is due of its point any more when its turn comes. So each value is
published by one of the two, and once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from plantroom_cloud.db import Database, ReadSession, Scope
from plantroom_cloud.ingest.rows import AHEAD_US
from plantroom_cloud.publishing.dues import (
    Due,
    DueRepository,
    DueSample,
    ranges_of,
)
from plantroom_cloud.publishing.outbox import unpacked
from plantroom_cloud.publishing.past import PastRepository
from plantroom_cloud.publishing.plan import Mapped, Meaning, Plan, renames
from plantroom_cloud.publishing.publishers import MappedValue
from plantroom_cloud.publishing.ranges import Range, holds, stretches
from plantroom_cloud.publishing.repository import PublishingRepository
from plantroom_cloud.publishing.stays import Published, Stay, lacking, stays_left
from plantroom_cloud.publishing.units import StoredUnits, as_read
from plantroom_shared.clock import Clock
from plantroom_shared.model import Value

AT_ONCE: Final = 2000
"""Dues looked at in one round."""
_PAGE: Final = 20
"""Outbox rows unpacked at once: nobody else has his turn meanwhile."""
_Key = tuple[int, int]
"""Point id and time of a sample, µs."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Stored values that are due, as many as go out at once."""

    values: list[MappedValue]
    done: list[Due]
    """Published to their ends with these values."""
    rest: dict[Due, int] = field(default_factory=dict)
    """Due → where what is left of it begins."""


class CatchUp:
    """What one company still owes a platform.

    Args:
        database: where dues and samples are.
        scope: the company.
        kind: ``Target.kind``.
        clock: for the present.
        history: seconds of history that a point sends which is published for the first time.
    """

    def __init__(
        self, database: Database, scope: Scope, kind: str, clock: Clock, *, history: float
    ) -> None:
        self._database, self._scope, self._kind = database, scope, kind
        self._clock, self._history_us = clock, round(history * 1e6)
        self._units = StoredUnits(database, scope)
        self._dues: list[Due] = []
        self._ended: AbstractSet[int] = frozenset()
        self.fresh_sites: set[int] = set()
        """Sites of which something is published for the first time, until that was seen to."""
        self._ranges: dict[int, list[Range]] = {}
        self._held: dict[int, int] = {}

    async def load(self) -> None:
        """Read what is due; another process may have changed it."""
        async with self._database.read(self._scope) as session:
            repository = DueRepository(session, self._scope)
            self._dues = await repository.dues(self._kind)
            self._held = await PastRepository(session, self._scope).held(self._kind)
        self._ranges = ranges_of(self._dues)

    def comes_late(self, point_id: int, ts_us: int) -> bool:
        """Say whether a place that the point has left lacks the value, and should have it."""
        return ts_us < self._held.get(point_id, 0)

    def owes(self, point_id: int, ts_us: int) -> bool:
        """Say whether a value will come from the store."""
        ranges = self._ranges.get(point_id)
        return ranges is not None and holds(ranges, ts_us)

    def ended(self, point_id: int) -> bool:
        """Say whether a point was published once and is not now: it may be again."""
        return point_id in self._ended

    async def note(self, plan: Plan) -> Plan:
        """Note what `plan` publishes; what the places lack that points come to is due.

        Returns:
            The plan, with the equipment that is only called otherwise now.
        """
        async with self._database.write(self._scope) as session:
            repository = DueRepository(session, self._scope)
            known = await repository.published(self._kind)
            now_us = self._clock.now_us()
            before = {point: was.meaning for point, was in known.items() if was.until_us is None}
            plan = replace(plan, renamed=renames(plan.published, before))
            meant = {point: _noted(mapped, plan) for point, mapped in plan.published.items()}
            fresh = {point: now for point, now in meant.items() if before.get(point) != now}
            due = ranges_of(await repository.dues(self._kind, sorted(fresh)))
            places = PastRepository(session, self._scope)
            past = await places.stays(self._kind)
            left = stays_left(known, meant, due, past, now_us)
            owed = self._lacking(fresh, known, due, past | left)
            await repository.put(self._kind, owed)
            moved = {
                meaning: [stay for stay in stays if stay.point_id in fresh]
                for meaning, stays in left.items()
            }
            await places.leave(self._kind, moved)
            self.fresh_sites |= {meaning.site_id for meaning in fresh.values()}
            since = {point: min((now_us, *(lo for lo, _ in owed[point]))) for point in fresh}
            await repository.note(self._kind, fresh, since)
            await repository.end(self._kind, before.keys() - plan.published.keys(), now_us)
            self._ended = known.keys() - plan.published.keys()
        await self.load()
        return plan

    def _lacking(
        self,
        fresh: Mapping[int, Meaning],
        known: Mapping[int, Published],
        due: Mapping[int, list[Range]],
        stays: Mapping[Meaning, list[Stay]],
    ) -> dict[int, list[Range]]:
        """Return point → what is due of those that come to a place."""
        now_us = self._clock.now_us()
        history = (now_us - self._history_us, now_us + AHEAD_US)
        found: dict[int, list[Range]] = {}
        for point, meaning in fresh.items():
            # What a point says while it is not published is noted as due, value by value.
            back = point in known and known[point].meaning == meaning
            goes_back = None if back or not self._history_us else history
            found[point] = lacking(point, stays.get(meaning, ()), due.get(point, ()), goes_back)
        return found

    async def portion(
        self, plan: Plan, accepts: Callable[[Mapped], bool], limit: int
    ) -> Portion | None:
        """Return the oldest that is due and can go out; None where nothing is."""
        ready = [
            due
            for due in self._dues
            if (mapped := plan.published.get(due.point_id)) is not None and accepts(mapped)
        ]
        if not ready:
            return None
        oldest = sorted(ready, key=lambda due: due.lo_us)[:AT_ONCE]
        dues = sorted(oldest, key=lambda due: due.id)
        async with self._database.read(self._scope) as session:
            repository = DueRepository(session, self._scope)
            samples = await repository.samples(dues, limit + 1)
            waiting = await self._waiting(session, samples)
        await self._units.learn(plan.published[due.point_id] for due in dues)
        portion = _portion(plan, dues, samples, limit, self._units)
        values = [v for v in portion.values if (v.mapped.point_id, v.ts_us) not in waiting]
        return replace(portion, values=values)

    async def _waiting(self, session: ReadSession, samples: Iterable[DueSample]) -> set[_Key]:
        """Return which of `samples` wait in the outbox; `session` must have read them already."""
        asked = {(sample.point_id, sample.ts_us) for sample in samples}
        points, found, after = {point for point, _ in asked}, set[_Key](), 0
        repository = PublishingRepository(session, self._scope)
        while rows := await repository.oldest(self._kind, _PAGE, after=after) if asked else ():
            after = rows[-1].id
            for row in rows:
                waiting = unpacked(row.samples)
                if waiting is not None and not points.isdisjoint(waiting.points):
                    found |= asked.intersection(zip(waiting.points, waiting.times, strict=True))
        return found


def _noted(mapped: Mapped, plan: Plan) -> Meaning:
    """Return the meaning under which a point is noted: renamed equipment keeps its old name."""
    _, equipment = plan.renamed.get(mapped.place, mapped.place)
    return replace(mapped.meaning, equipment=equipment)


def _portion(
    plan: Plan, dues: list[Due], samples: list[DueSample], limit: int, units: StoredUnits
) -> Portion:
    rest: dict[Due, int] = {}
    done = dues
    if len(samples) > limit:
        last = samples[-1]
        due = next(due for due in dues if due.id == last.due_id)
        # All of one moment go together, so that what is left begins with a moment of its own.
        cut = [s for s in samples if (s.due_id, s.ts_us) != (last.due_id, last.ts_us)]
        rest[due] = last.ts_us if cut else last.ts_us + 1
        samples = cut or samples
        done = [due for due in dues if due.id < last.due_id]
    values = []
    for s in samples:
        mapped = as_read(plan.published[s.point_id], units.unit(s.point_id, s.tie))
        values.append(MappedValue(mapped, s.ts_us, _value(s), s.quality))
    return Portion(values, done, rest)


def _value(sample: DueSample) -> Value:
    """Return a sample's value; integers that no double holds are kept as text beside it."""
    if sample.text is None:
        return sample.value
    return sample.text if sample.value is None else int(sample.text)


def owed_by(values: Iterable[tuple[int, int]]) -> dict[int, list[Range]]:
    """Return point → ranges that hold all (point, time) of `values`."""
    times: dict[int, list[int]] = {}
    for point, ts_us in values:
        times.setdefault(point, []).append(ts_us)
    return {point: stretches(found) for point, found in times.items()}
