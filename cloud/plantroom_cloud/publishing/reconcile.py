"""Plans made and carried out: what was asked for by one process is done by the worker.

A plan that is carried out is made anew first. Of its steps those are done which somebody has seen
and approved; what is so already needs nothing, and what nobody has seen is left for the next plan.
So it can be broken off anywhere and go on later, and doing it twice does nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.publishing.lease import lease
from plantroom_cloud.publishing.plans import (
    DONE,
    FAILED,
    MADE,
    WANTED,
    PlanRepository,
    steps_of,
)
from plantroom_cloud.publishing.publishers import Publisher
from plantroom_cloud.publishing.steps import Step
from plantroom_cloud.publishing.worker import OutboxWorker, lease_name
from plantroom_cloud.tables import PublishPlan
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected, Unavailable

log = logging.getLogger(__name__)

_AGAIN: Final = 10.0
"""Seconds before a platform that is away is asked again for the same plan."""
_SAVE_EVERY: Final = 25
"""Steps after which it is written down how far it has come."""
DID, SO, UNSEEN, LEFT = "done", "was so already", "not in the plan: plan again", "left out"


@dataclass(slots=True)
class Outcome:
    """What became of the steps of a plan."""

    result: dict[str, str] = field(default_factory=dict)
    refused: int = 0
    away: str = ""
    """Why it was broken off; empty where it was not."""


class Reconciler:
    """Makes and carries out one company's plans for one platform.

    Args:
        database: where plans are.
        scope: the company.
        kind: ``Target.kind``.
        publisher: the way to the platform, the worker's own.
        worker: who knows what is published as what.
        clock: for the times.
    """

    def __init__(
        self,
        database: Database,
        scope: Scope,
        kind: str,
        *,
        publisher: Publisher,
        worker: OutboxWorker,
        clock: Clock,
    ) -> None:
        self._database, self._scope, self._kind = database, scope, kind
        self._publisher, self._worker, self._clock = publisher, worker, clock
        self._not_before = 0.0

    async def serve(self) -> bool:
        """Do what the oldest open plan needs; return whether there was one that could be served."""
        if self._clock.monotonic() < self._not_before:
            return False
        async with self._database.read(self._scope) as session:
            row = await PlanRepository(session, self._scope).open(self._kind)
        if row is None and not self._worker.fresh_sites:
            return False
        async with lease(self._database, lease_name(self._kind, self._scope)) as held:
            if not held:
                return False
            try:
                if row is not None:
                    await (self._make(row) if row.state == WANTED else self._apply(row))
                else:
                    await self._add_new()
            except Unavailable as error:
                self._not_before = self._clock.monotonic() + _AGAIN
                if row is not None:
                    await self._change(row.id, _noting(str(error)))
                return False
            finally:
                self._worker.forget()
        return True

    async def _make(self, row: PublishPlan) -> None:
        """Make a plan: nothing is changed on the platform."""
        plan = await self._worker.current_plan()
        try:
            steps = await self._publisher.survey(plan, row.site_id)
        except Rejected as error:
            await self._change(row.id, _failing(str(error), self._clock.now_us()))
            return

        def made(found: PublishPlan) -> None:
            found.steps, found.note = [step.shown() for step in steps], ""
            found.state, found.made_us = MADE, self._clock.now_us()

        await self._change(row.id, made)

    async def _apply(self, row: PublishPlan) -> None:
        plan = await self._worker.current_plan()
        outcome = Outcome(dict(row.result))
        try:
            steps = await self._publisher.survey(plan, row.site_id)
            await self._carry_out(row, steps, outcome)
        except Rejected as error:
            await self._change(row.id, _failing(str(error), self._clock.now_us()))
            return

        def applied(found: PublishPlan) -> None:
            found.result, found.note = dict(outcome.result), outcome.away
            if not outcome.away:
                found.state = FAILED if outcome.refused else DONE
                found.done_us = self._clock.now_us()

        await self._change(row.id, applied)
        if outcome.away:
            raise Unavailable(outcome.away)

    async def _carry_out(self, row: PublishPlan, steps: Sequence[Step], outcome: Outcome) -> None:
        approved = {step.id: step for step in steps_of(row)}
        now = {step.id for step in steps} | {step.instead_of for step in steps}
        for name in approved:
            if name not in now:
                outcome.result.setdefault(name, SO)
        for number, step in enumerate(steps, 1):
            why_not = _why_not(step, approved, row.left_out)
            if why_not:
                outcome.result[step.id] = why_not
                continue
            try:
                await self._publisher.carry_out(step)
            except Rejected as error:
                outcome.refused += 1
                outcome.result[step.id] = f"refused: {error}"[:500]
            except Unavailable as error:
                outcome.away = str(error)
                return
            else:
                outcome.result[step.id] = DID
            if number % _SAVE_EVERY == 0:
                await self._change(row.id, _resulting(dict(outcome.result)))

    async def _add_new(self) -> None:
        """Add what was never there for what is published for the first time; change nothing."""
        plan = await self._worker.current_plan()
        for site_id in sorted(self._worker.fresh_sites):
            try:
                for step in await self._publisher.survey(plan, site_id):
                    if step.new:
                        await self._publisher.carry_out(step)
            except Rejected as error:
                extra = {"site": site_id, "why": str(error)}
                log.warning(
                    "the platform will not have something new; a plan shows it", extra=extra
                )
            self._worker.fresh_sites.discard(site_id)

    async def _change(self, plan_id: int, change: Callable[[PublishPlan], None]) -> None:
        async with self._database.write(self._scope) as session:
            row = await PlanRepository(session, self._scope).get(plan_id)
            if row is not None:
                change(row)


def _why_not(step: Step, approved: dict[str, Step], left_out: Sequence[str]) -> str:
    """Return why a step is not carried out, empty where it is."""
    if step.by_hand:
        return "for a person to do there"
    seen = approved.get(step.id)
    if seen is None and step.instead_of in approved:
        return LEFT if step.instead_of in left_out else ""
    if step.id in left_out:
        return LEFT
    return "" if seen is not None and seen.details == step.details else UNSEEN


def _noting(text: str) -> Callable[[PublishPlan], None]:
    def note(row: PublishPlan) -> None:
        row.note = text[:1000]

    return note


def _resulting(result: dict[str, str]) -> Callable[[PublishPlan], None]:
    def note(row: PublishPlan) -> None:
        row.result = result

    return note


def _failing(text: str, now_us: int) -> Callable[[PublishPlan], None]:
    def fail(row: PublishPlan) -> None:
        row.state, row.note, row.done_us = FAILED, text[:1000], now_us

    return fail
