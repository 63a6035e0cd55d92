"""The mapping job: looks for points that are new or changed, maps their sites, asks the LLM."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy.exc import DBAPIError

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.mapping.llm import BATCH, LlmUnavailable, Refiner, Reply
from plantroom_cloud.mapping.questions import Question
from plantroom_cloud.mapping.repository import MappingRepository, stale_sites
from plantroom_cloud.mapping.service import Mapped, map_site
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

POLL: Final = 1.0
"""Seconds between two looks for new points."""
ASK_AGAIN: Final = 60.0
"""Seconds until questions that the LLM left open are asked again."""


async def run(db: Database, settings: CloudSettings, clock: Clock) -> None:
    """Map for ever what is new or changed."""
    refiner = Refiner(settings.llm, clock) if settings.llm else None
    mapper = Mapper(db, refiner, clock)
    try:
        while True:
            await mapper.round()
            await asyncio.sleep(POLL)
    finally:
        if refiner is not None:
            await refiner.close()


class Mapper:
    """The job's state: which sites wait for the LLM, and which have failed.

    Args:
        db: the database.
        refiner: the LLM; None where none is configured.
        clock: wall time for rows, monotonic time for asking again.
    """

    def __init__(self, db: Database, refiner: Refiner | None, clock: Clock) -> None:
        self._db, self._refiner, self._clock = db, refiner, clock
        self._open: dict[tuple[int, int], float] = {}
        """(company, site) with open questions → when to ask, on the monotonic clock."""
        self._failing: set[tuple[int, int]] = set()

    async def round(self) -> int:
        """Map every site that needs it; one site's trouble is no other's.

        Returns:
            How many sites were mapped.
        """
        async with self._db.read() as session:
            stale = set(await stale_sites(session))
        now = self._clock.monotonic()
        due = {place for place, at in self._open.items() if at <= now}
        done = 0
        for place in sorted(stale | due):
            done += await self._try(place)
        return done

    async def _try(self, place: tuple[int, int]) -> bool:
        try:
            await self._map(place)
        except DBAPIError as error:
            if place not in self._failing:
                extra = {"site": place[1], "why": type(error).__name__}
                log.warning("a site could not be mapped", extra=extra)
            self._failing.add(place)
            return False
        self._failing.discard(place)
        return True

    async def _map(self, place: tuple[int, int]) -> None:
        company_id, site_id = place
        scope = Scope(company_id)
        model = self._refiner.model if self._refiner else ""
        done = await map_site(self._db, scope, site_id, clock=self._clock, llm_model=model)
        if done.added or done.changed:
            log.info(
                "site mapped",
                extra={"site": site_id, "points": done.points, "new": done.added + done.changed},
            )
        if self._refiner is not None and done.open_questions:
            done = await self._refine(scope, site_id, done.open_questions)
        if done.open_questions:
            self._open[place] = self._clock.monotonic() + ASK_AGAIN
        else:
            self._open.pop(place, None)

    async def _refine(self, scope: Scope, site_id: int, questions: Sequence[Question]) -> Mapped:
        """Ask batch by batch, keep every answer at once, then map again with all of them."""
        refiner = self._refiner
        if refiner is None:
            return Mapped(open_questions=tuple(questions))
        for start in range(0, len(questions), BATCH):
            if refiner.breaker.open:
                break
            try:
                reply = await refiner.ask(questions[start : start + BATCH])
            except LlmUnavailable as error:
                log.warning("the offline mapping stands", extra={"why": str(error)})
                reply = error.reply
            await self._keep(scope, reply.answers, reply)
        return await map_site(self._db, scope, site_id, clock=self._clock, llm_model=refiner.model)

    async def _keep(self, scope: Scope, answers: Mapping[str, str], reply: Reply) -> None:
        async with self._db.write() as session:
            repository = MappingRepository(session, scope)
            encoded = {key: name.encode() for key, name in answers.items()}
            await repository.remember(encoded, self._clock.now_us())
            await repository.count(reply.counts)
