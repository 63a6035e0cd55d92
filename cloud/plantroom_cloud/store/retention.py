"""Keeping samples and roll-ups for as long as a company or a site wants them, and no longer.

Days are UTC days. Nothing is deleted that is not rolled up: whatever waits to be keeps its day.
What a site kept is deleted a day at a time, in a transaction that notes how far it has come; whole
months that nobody keeps any more are dropped as partitions where there are any (PostgreSQL).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.exc import OperationalError

from plantroom_cloud.db import Database, Scope, act_for, insert_into
from plantroom_cloud.isolation.lookups import companies
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.store import partitions
from plantroom_cloud.tables import Point, Retention, Rollup, RollupDue, SampleRow, Site
from plantroom_shared.errors import ConfigError

DAY: Final = 86_400_000_000
RAW_DAYS: Final = 400
"""Days that samples are kept where nothing else is said: a year and a month of overlap."""
ROLLUP_DAYS: Final = 0
"""Roll-ups are kept for ever where nothing else is said."""
MOST_DAYS: Final = 36_500


@dataclass(frozen=True, slots=True)
class Keep:
    """Days that a site keeps samples and roll-ups; 0 is for ever."""

    raw_days: int = RAW_DAYS
    rollup_days: int = ROLLUP_DAYS

    def check(self) -> None:
        """Raise ConfigError if samples are kept longer than their roll-ups, or a number is none."""
        for name, days in (("raw-days", self.raw_days), ("rollup-days", self.rollup_days)):
            if not 0 <= days <= MOST_DAYS:
                what, fix = "is no number of days", f"give 0 (for ever) to {MOST_DAYS}"
                raise ConfigError(what, key=f"--{name}", fix=fix)
        if self.rollup_days and not 0 < self.raw_days <= self.rollup_days:
            what = "samples would be kept longer than their roll-ups"
            raise ConfigError(what, key="--rollup-days", fix="give at least --raw-days, or 0")


@dataclass(frozen=True, slots=True)
class _Place:
    """A site, what it keeps and how far that has been done."""

    site_id: int
    keep: Keep
    raw_from_us: int
    rollup_from_us: int


class RetentionRepository(Repository):
    """Settings and state of one company."""

    async def set(self, site_id: int, raw_days: int | None, rollup_days: int | None) -> None:
        """Note what a site keeps, or for site 0 the company; None is what stands above.

        Raises:
            ConfigError: samples would be kept longer than their roll-ups somewhere.
        """
        await self._put(site_id, {"raw_days": raw_days, "rollup_days": rollup_days})
        for place in await self.places():
            place.keep.check()

    async def places(self) -> list[_Place]:
        """Return the company's sites."""
        query = select(Retention).where(self._own(Retention))
        known = {row.site_id: row for row in (await self._session.execute(query)).scalars()}
        above = known.get(0)
        sites = select(Site.id).where(self._own(Site)).order_by(Site.id)
        out = []
        for site_id in (await self._session.execute(sites)).scalars():
            own = known.get(site_id)
            said = [row for row in (own, above) if row is not None]
            raw = _first([row.raw_days for row in said], RAW_DAYS)
            rollup = _first([row.rollup_days for row in said], ROLLUP_DAYS)
            raw_from = own.raw_from_us if own else 0
            rollup_from = own.rollup_from_us if own else 0
            out.append(_Place(site_id, Keep(raw, rollup), raw_from, rollup_from))
        return out

    async def note(self, site_id: int, **reached: int) -> None:
        """Note how far deleting has come: raw_from_us, rollup_from_us; never back."""
        await self._put(site_id, reached)

    async def _put(self, site_id: int, values: dict[str, Any]) -> None:
        row = {"company_id": self._scope.company_id, "site_id": site_id}
        zero = {"raw_from_us": 0, "rollup_from_us": 0}
        statement = insert_into(self._session, Retention)
        upsert = statement.on_conflict_do_update(
            index_elements=["company_id", "site_id"],
            set_={name: statement.excluded[name] for name in values},
        )
        await self._session.execute(upsert, [row | zero | values])

    # ------------------------------------------------------------ deleting

    async def waits(self, until_us: int) -> bool:
        """Say whether anything before `until_us` waits to be rolled up."""
        query = select(RollupDue.id).where(self._own(RollupDue), RollupDue.lo_us < until_us)
        return (await self._session.execute(query.limit(1))).first() is not None

    async def oldest(self, points: Sequence[int]) -> int | None:
        """Return the time of the oldest sample of `points`."""
        query = select(func.min(SampleRow.ts_us)).where(self._own(SampleRow))
        found = await self._session.execute(query.where(SampleRow.point_id.in_(points)))
        return found.scalar_one_or_none()

    async def points(self, site_id: int) -> list[int]:
        """Return the ids of a site's points."""
        query = select(Point.id).where(self._own(Point), Point.site_id == site_id)
        return list((await self._session.execute(query.order_by(Point.id))).scalars())

    async def drop_samples(self, points: Sequence[int], until_us: int) -> int:
        """Delete samples before `until_us`; return how many."""
        statement = delete(SampleRow).where(self._own(SampleRow), SampleRow.ts_us < until_us)
        return await self._deleted(statement, SampleRow, points)

    async def drop_rollups(self, points: Sequence[int], until_us: int) -> int:
        """Delete roll-ups before `until_us`; return how many."""
        statement = delete(Rollup).where(self._own(Rollup), Rollup.start_us < until_us)
        return await self._deleted(statement, Rollup, points)

    async def _deleted(self, statement: Any, table: Any, points: Sequence[int]) -> int:
        rows = 0
        for start in range(0, len(points), 500):
            chunk = table.point_id.in_(points[start : start + 500])
            result: Any = await self._session.execute(statement.where(chunk))
            rows += result.rowcount
        return rows


def _first(values: Sequence[int | None], default: int) -> int:
    return next((value for value in values if value is not None), default)


def _limit(now_us: int, days: int) -> int:
    """Return the first microsecond to keep; 0 where it is for ever."""
    return (now_us - days * DAY) // DAY * DAY if days else 0


async def retain(database: Database, scope: Scope, now_us: int) -> int:
    """Delete what a company's sites keep no longer; return how many samples and roll-ups went."""
    async with database.read(scope) as session:
        places = await RetentionRepository(session, scope).places()
    gone = 0
    for place in places:
        gone += await _retain_samples(database, scope, place, _limit(now_us, place.keep.raw_days))
        until = _limit(now_us, place.keep.rollup_days)
        if until > 0:
            gone += await _retain_rollups(database, scope, place, until)
    return gone


async def _retain_samples(database: Database, scope: Scope, place: _Place, until: int) -> int:
    gone, reached = 0, place.raw_from_us
    while reached < until:
        async with database.snapshot(scope) as session:
            repository = RetentionRepository(session, scope)
            points = await repository.points(place.site_id)
            oldest = await repository.oldest(points)
            # Days with nothing in them are passed over at once.
            start = until if oldest is None else max(reached, oldest // DAY * DAY)
            step = min(until, start + DAY)
            if await repository.waits(step):
                return gone  # the next round finds it rolled up
            gone += await repository.drop_samples(points, step)
            await repository.note(place.site_id, raw_from_us=step)
            reached = step
    return gone


async def _retain_rollups(database: Database, scope: Scope, place: _Place, until: int) -> int:
    async with database.snapshot(scope) as session:
        repository = RetentionRepository(session, scope)
        # Not only where `until` has moved: samples may have come late since.
        gone = await repository.drop_rollups(await repository.points(place.site_id), until)
        if until > place.rollup_from_us:
            await repository.note(place.site_id, rollup_from_us=until)
        return gone


# ------------------------------------------------------------ whole months


async def drop_months(database: Database, now_us: int) -> list[partitions.Month]:
    """Drop partitions whose samples no site of any company keeps any more; return them."""
    if database.is_sqlite:
        return []
    async with database.read(None) as session:
        limits = []
        for scope in await companies(session):
            await act_for(session, scope)
            places = await RetentionRepository(session, scope).places()
            limits += [_limit(now_us, place.keep.raw_days) for place in places]
        limit = min(limits, default=0)
        old = sorted(m for m in await partitions.existing(session) if m.end_us <= limit)
    return [month for month in old if await _drop_month(database, month)]


async def _drop_month(database: Database, month: partitions.Month) -> bool:
    """Drop a month, unless something in it waits to be rolled up or somebody is at it."""
    try:
        # Not a snapshot: what is looked at must be what is there once we hold the lock.
        async with database.write(None) as session:
            await partitions.take_all(session)
            for scope in await companies(session):
                await act_for(session, scope)
                repository = RetentionRepository(session, scope)
                if await repository.waits(month.end_us):
                    return False
                for place in await repository.places():
                    if place.raw_from_us < month.end_us:
                        await repository.note(place.site_id, raw_from_us=month.end_us)
            await partitions.drop(session, month)
    except OperationalError:
        return False  # somebody reads or writes there; the next round tries again
    return True
