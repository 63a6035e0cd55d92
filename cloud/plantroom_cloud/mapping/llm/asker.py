"""Asks all open questions of a site: many calls at a time, in time, within the budget."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from plantroom_cloud.config_llm import LlmSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.kit.deadlines import Deadline
from plantroom_cloud.mapping.llm.cache import AnswerCache
from plantroom_cloud.mapping.llm.endpoint import Endpoint, Reply
from plantroom_cloud.mapping.llm.money import Cost, Estimate, cost_of, estimate, period_of
from plantroom_cloud.mapping.llm.prompt import batches_of, expected, ids_of
from plantroom_cloud.mapping.llm.repository import LlmRepository
from plantroom_cloud.mapping.questions import Question
from plantroom_cloud.mapping.repository import MappingRepository
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

SPENT = "the company's budget is used up"
MOST_MISSES = 2
"""Replies without a valid answer after which a question is given up, until the process ends."""
LATE = "the time is over"


@dataclass(slots=True)
class Outcome:
    """What asking brought."""

    answers: dict[str, str] = field(default_factory=dict)
    """Question's key → class or ``unknown``."""
    problem: str = ""
    """Why questions are left open; empty where none is."""


class Asker:
    """Asks for companies, and keeps every answer as soon as it is there.

    Args:
        db: the database.
        settings: of the LLM.
        clock: wall time for rows and periods, monotonic time for deadlines.
        endpoint: whom to ask; made from the settings where it is not given.
        cache: answers in memory.
    """

    def __init__(
        self,
        db: Database,
        settings: LlmSettings,
        clock: Clock,
        *,
        endpoint: Endpoint | None = None,
        cache: AnswerCache | None = None,
    ) -> None:
        self._db, self.settings, self._clock = db, settings, clock
        self.endpoint = endpoint or Endpoint(settings, clock)
        self.cache = cache if cache is not None else AnswerCache()
        self._missed: Counter[str] = Counter()
        """Question's key → replies that held no valid answer to it."""

    @property
    def model(self) -> str:
        """The model that is asked."""
        return self.settings.model

    async def close(self) -> None:
        """Close the connections."""
        await self.endpoint.close()

    def deadline(self) -> Deadline:
        """Return the time by which a site that is begun now must be done."""
        return Deadline.after(self.settings.deadline, self._clock)

    def estimate(self, questions: Sequence[Question]) -> Estimate:
        """Return what asking would take."""
        return estimate(questions, self.settings, self._clock.now_us())

    async def ask(
        self, scope: Scope, questions: Sequence[Question], deadline: Deadline | None = None
    ) -> Outcome:
        """Ask; what cannot be asked now is left open, and the outcome says why.

        Args:
            scope: the company that pays.
            questions: without those that the cache knows.
            deadline: by when; that of the settings where none is given.
        """
        outcome = Outcome()
        if not questions:
            return outcome
        until = deadline or self.deadline()
        batches = batches_of(self.worth_asking(questions))
        log.info("asking the LLM", extra=self.estimate(questions).as_dict())
        waiting = iter(batches)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.settings.concurrency, len(batches))):
                    group.create_task(self._work(scope, waiting, until, outcome))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors  # the database's, mostly: of many the first
        if len(outcome.answers) == len(questions):
            outcome.problem = ""
        elif not outcome.problem:
            outcome.problem = "the endpoint gave no valid answer"
        if outcome.problem:
            left = len(questions) - len(outcome.answers)
            log.warning("the offline mapping stands", extra={"why": outcome.problem, "open": left})
        return outcome

    async def _work(
        self,
        scope: Scope,
        waiting: Iterator[list[Question]],
        deadline: Deadline,
        outcome: Outcome,
    ) -> None:
        for batch in waiting:
            if deadline.left() <= 0:
                outcome.problem = outcome.problem or LATE
                return
            if self.endpoint.breaker.open:
                outcome.problem = outcome.problem or "the endpoint kept failing"
                return
            if not await self._one(scope, batch, deadline, outcome):
                return

    async def _one(
        self, scope: Scope, batch: Sequence[Question], deadline: Deadline, outcome: Outcome
    ) -> bool:
        """Ask one batch; False where nobody need try the next."""
        by_id = ids_of(batch)
        plan = self._cost(*expected(by_id, self.model))
        aside = plan + plan  # with a repair
        period = await self.reserve(scope, aside)
        if period is None:
            outcome.problem = SPENT
            return False
        # Who is cancelled here has perhaps used it: what is set aside stays so.
        reply = await self.endpoint.ask(by_id, deadline)
        await self._keep(scope, batch, reply, period, (plan, aside))
        outcome.answers |= reply.answers
        outcome.problem = outcome.problem or reply.problem
        return True

    def worth_asking(self, questions: Sequence[Question]) -> list[Question]:
        """Return the questions that were not answered with rubbish again and again: that costs too."""
        return [question for question in questions if self._missed[question.key] < MOST_MISSES]

    async def reserve(self, scope: Scope, cost: Cost) -> str | None:
        """Set a cost aside and return the period it counts in; None where the budget has no room."""
        async with self._db.write(scope) as session:
            repository = LlmRepository(session, scope)
            budget = self.settings.budget_of(await repository.slug())
            now_us = self._clock.now_us()
            period = period_of(budget, now_us)
            return period if await repository.reserve(period, cost, budget, now_us) else None

    async def _keep(
        self,
        scope: Scope,
        batch: Sequence[Question],
        reply: Reply,
        period: str,
        costs: tuple[Cost, Cost],
    ) -> None:
        plan, aside = costs
        used = self._cost(*reply.used)
        for _ in range(reply.untold):
            used += plan
        async with self._db.write(scope) as session:
            repository = LlmRepository(session, scope)
            await repository.settle(period, used, aside)
            await self.keep_answers(MappingRepository(session, scope), repository, batch, reply)
        self.cache.put(scope, reply.answers)

    async def keep_answers(
        self,
        mappings: MappingRepository,
        repository: LlmRepository,
        questions: Sequence[Question],
        reply: Reply,
    ) -> None:
        """Keep answers and counters within the caller's transaction."""
        now_us = self._clock.now_us()
        if not reply.problem:
            self._missed.update(q.key for q in questions if q.key not in reply.answers)
        encoded = {key: name.encode() for key, name in reply.answers.items()}
        await mappings.remember(encoded, now_us)
        await repository.keep(questions, reply.answers, self.model, now_us)
        await mappings.count(reply.counts)

    def _cost(self, tokens_in: int, tokens_out: int) -> Cost:
        return cost_of(tokens_in, tokens_out, self.settings.price_at(self._clock.now_us()))
