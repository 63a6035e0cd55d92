"""The mapping job: looks for points that are new or changed, maps their sites, asks the LLM."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy.exc import DBAPIError

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.isolation.lookups import open_batches, stale_sites
from plantroom_cloud.mapping.llm import Asker
from plantroom_cloud.mapping.llm.batches import BatchDesk
from plantroom_cloud.mapping.service import Mapped, map_site, store_site
from plantroom_cloud.supervise import side_by_side
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

POLL: Final = 1.0
"""Seconds between two looks for new points."""
ASK_AGAIN: Final = 60.0
"""Seconds until questions that the LLM left open are asked again; twice as long every time."""
ASK_AGAIN_AT_LEAST: Final = 3600.0
"""Seconds to which that grows."""

Place = tuple[int, int]
"""(company, site)."""


async def run(db: Database, settings: CloudSettings, clock: Clock) -> None:
    """Map for ever what is new or changed."""
    asker = Asker(db, settings.llm, clock) if settings.llm else None
    mapper = Mapper(db, asker, clock)
    # Parts of their own: trouble of the one cancels nothing of the other in the middle of its work.
    parts = {"mapping offline": lambda: _again_and_again(mapper.map_new)}
    if asker is not None:
        parts["mapping by the LLM"] = lambda: _again_and_again(mapper.ask_open)
    try:
        await mapper.resume()
        await side_by_side(parts)
    finally:
        if asker is not None:
            await asker.close()


async def _again_and_again(work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await work()
        await asyncio.sleep(POLL)


class Mapper:
    """The job's state: which sites wait for the LLM, and which have failed.

    Args:
        db: the database.
        asker: asks the LLM; None where none is configured.
        clock: wall time for rows, monotonic time for asking again.
    """

    def __init__(self, db: Database, asker: Asker | None, clock: Clock) -> None:
        self._db, self._asker, self._clock = db, asker, clock
        self._desk = BatchDesk(db, asker, clock) if asker else None
        self._open: dict[Place, float] = {}
        """Place with open questions → when to ask, on the monotonic clock."""
        self._fresh: dict[Place, Mapped] = {}
        """Place → what was found there and not asked about yet."""
        self._passes: dict[Place, int] = {}
        """Place → which pass over it was the last; no two have the same number."""
        self._numbers = itertools.count()
        self._waits: dict[Place, float] = {}
        self._why: dict[Place, str] = {}
        """Place → why its questions were not answered."""
        self._failing: set[Place] = set()

    async def resume(self) -> None:
        """Take up the batches that were under way when the process ended."""
        async with self._db.read(None) as session:
            self._open |= dict.fromkeys(await open_batches(session), self._clock.monotonic())

    async def round(self) -> int:
        """Map every site that needs it, then ask; one site's trouble is no other's.

        Returns:
            How many sites were mapped.
        """
        return len(await self.map_new() | await self.ask_open())

    async def map_new(self) -> set[Place]:
        """Map what is new or changed by what is known; return where.

        This never waits for the LLM: one that takes questions and says nothing delays no mapping.
        """
        async with self._db.read(None) as session:
            stale = set(await stale_sites(session))
        return {place for place in sorted(stale) if await self._try(place, self._map)}

    async def ask_open(self) -> set[Place]:
        """Ask what is open and due, and map by the answers; return where. May run beside `map_new`."""
        if self._asker is None:
            return set()
        await self._look_whether_back(self._asker)
        now = self._clock.monotonic()
        due = {place for place, at in self._open.items() if at <= now}
        return {place for place in sorted(due) if await self._try(place, self.ask_about)}

    async def _look_whether_back(self, asker: Asker) -> None:
        """Ask everything that is open at once when an endpoint answers that was left alone."""
        if asker.endpoint.breaker.state == "closed":
            return
        if await asker.endpoint.probe():
            self._waits.clear()
            self._open = dict.fromkeys(self._open, self._clock.monotonic())

    async def _try(self, place: Place, work: Callable[[Place], Awaitable[bool]]) -> bool:
        try:
            done = await work(place)
        except DBAPIError as error:
            if place not in self._failing:
                extra = {"site": place[1], "why": type(error).__name__}
                log.warning("a site could not be mapped", extra=extra)
            self._failing.add(place)
            return False
        self._failing.discard(place)
        return done

    async def _still_waiting(self, place: Place) -> bool:
        """Look after the site's batches; True while mapping it again would bring nothing."""
        if self._desk is None or not await self._desk.look_after(Scope(place[0]), place[1]):
            return False
        self._open[place] = self._clock.monotonic() + ASK_AGAIN
        return True

    async def _map(self, place: Place) -> bool:
        done = await self._pass(place)
        if done.open_questions:
            self._fresh[place] = done
            self._open[place] = self._clock.monotonic()
        else:
            self._forget(place)
        return True

    async def ask_about(self, place: Place) -> bool:
        """Ask what is open about a site, then map it by the answers.

        Returns:
            False where its questions are with the batch interface still.
        """
        if place not in self._fresh and await self._still_waiting(place):
            return False
        done = self._fresh.pop(place, None) or await self._pass(place)
        known = self._passes.get(place)
        if self._asker is not None and done.site is not None and done.open_questions:
            done = await self._ask(self._asker, place, done)
        if self._passes.get(place) != known:
            return True  # more has come meanwhile: what is open now, that pass knows
        if done.open_questions:
            wait = self._waits.get(place, ASK_AGAIN)
            self._open[place] = self._clock.monotonic() + wait
            self._waits[place] = min(2 * wait, ASK_AGAIN_AT_LEAST)
        else:
            self._forget(place)
        return True

    async def _pass(self, place: Place) -> Mapped:
        company_id, site_id = place
        asker = self._asker
        done = await map_site(
            self._db,
            Scope(company_id),
            site_id,
            clock=self._clock,
            llm_model=asker.model if asker else "",
            cache=asker.cache if asker else None,
            failed=self._why.get(place, ""),
        )
        self._passes[place] = next(self._numbers)
        if done.added or done.changed:
            log.info(
                "site mapped",
                extra={"site": site_id, "points": done.points, "new": done.added + done.changed},
            )
        return done

    def _forget(self, place: Place) -> None:
        for known in (self._open, self._fresh, self._passes, self._waits, self._why):
            known.pop(place, None)

    async def _ask(self, asker: Asker, place: Place, done: Mapped) -> Mapped:
        """Ask what is open, then count the answers in; or leave it with the batch interface."""
        scope, site = Scope(place[0]), done.site
        if site is None:
            return done
        if asker.settings.mode == "batch" and self._desk is not None:
            problem = await self._desk.hand_in(scope, place[1], done.open_questions)
            if not problem:
                self._why.pop(place, None)
                return done
            self._why[place] = problem
        else:
            outcome = await asker.ask(scope, done.open_questions)
            self._why[place] = outcome.problem
        return await store_site(
            self._db,
            scope,
            site,
            model=asker.model,
            cache=asker.cache,
            failed=self._why[place],
        )
