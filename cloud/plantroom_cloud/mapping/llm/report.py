"""What the LLM mapper may use, has used and would use next, for people to decide by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from plantroom_cloud.config_llm import LlmBudget, LlmSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.mapping.llm.cache import AnswerCache
from plantroom_cloud.mapping.llm.money import MILLION, Cost, Estimate, estimate, period_of
from plantroom_cloud.mapping.llm.repository import LlmRepository
from plantroom_cloud.mapping.questions import Question
from plantroom_cloud.mapping.repository import MappingRepository
from plantroom_cloud.mapping.service import read_site
from plantroom_cloud.tables import Site
from plantroom_shared.clock import Clock

COUNTED = (
    "llm_calls", "llm_retries", "llm_repairs", "llm_failures", "llm_unanswered",
    "llm_tokens_in", "llm_tokens_out",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spending:
    """A budget and what is used of it."""

    period: str = ""
    budget: LlmBudget = field(default_factory=LlmBudget)
    used: Cost = field(default_factory=Cost)

    def room_for(self, plan: Estimate) -> bool:
        """Tell whether a plan fits into what is left."""
        more = Cost(plan.tokens_in, plan.tokens_out, round((plan.money or 0.0) * MILLION))
        return (self.used + more).fits(self.budget)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a document."""
        return {
            "period": self.period,
            "tokens": self.used.tokens_in + self.used.tokens_out,
            "tokens_budget": self.budget.tokens,
            "money": self.used.micros / MILLION,
            "money_budget": self.budget.money,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What asking about sites would take, and whether it may start."""

    points: int
    """Points there are."""
    known: int
    """Questions whose answer is known."""
    estimate: Estimate
    spending: Spending

    def as_dict(self) -> dict[str, Any]:
        """Return it as a document."""
        plan = self.estimate.as_dict()
        return {
            "points": self.points,
            "points_asked": plan.pop("points"),
            "templates_known": self.known,
            **plan,
            "fits_budget": self.spending.room_for(self.estimate),
            "spending": self.spending.as_dict(),
        }


async def spending_of(
    db: Database, scope: Scope, settings: LlmSettings | None, now_us: int
) -> Spending:
    """Return a company's budget of the present period."""
    if settings is None:
        return Spending()
    async with db.read(scope) as session:
        repository = LlmRepository(session, scope)
        budget = settings.budget_of(await repository.slug())
        period = period_of(budget, now_us)
        return Spending(period, budget, await repository.used(period))


async def plan_of(
    db: Database,
    scope: Scope,
    settings: LlmSettings | None,
    clock: Clock,
    site_id: int | None = None,
) -> Plan:
    """Map sites offline and return what asking would take; nothing is asked and nothing stored.

    Args:
        db: the database.
        scope: the company.
        settings: of the LLM; None where none is configured: then nothing would be asked.
        clock: for the price and the budget of today.
        site_id: only this site; else all of the company.
    """
    open_questions: list[Question] = []
    points = known = 0
    for site in await _sites(db, scope, site_id):
        found = await read_site(
            db, scope, site, clock=clock, llm_model=settings.model if settings else ""
        )
        if found is None:
            continue
        points += len(found.rows)
        async with db.read(scope) as session:
            answers = await AnswerCache().find(session, scope, found.questions)
        known += len(answers)
        open_questions += [q for key, q in found.questions.items() if key not in answers]
    now_us = clock.now_us()
    plan = estimate(open_questions, settings, now_us) if settings else Estimate()
    return Plan(points, known, plan, await spending_of(db, scope, settings, now_us))


async def counters_of(db: Database, scope: Scope) -> dict[str, int]:
    """Return what was counted of calls, by name."""
    async with db.read(scope) as session:
        repository = MappingRepository(session, scope)
        return {name: await repository.counter(name) for name in COUNTED}


async def _sites(db: Database, scope: Scope, site_id: int | None) -> list[int]:
    statement = select(Site.id).where(Site.company_id == scope.company_id).order_by(Site.id)
    if site_id is not None:
        statement = statement.where(Site.id == site_id)
    async with db.read(scope) as session:
        return list((await session.scalars(statement)).all())
