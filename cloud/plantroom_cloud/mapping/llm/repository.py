"""SQL of the LLM mapper: what was used, what was said and what came of it, batches under way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import case, func, select, update

from plantroom_cloud.config_llm import LlmBudget
from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.licensing.limits import allows_llm
from plantroom_cloud.mapping.llm.money import Cost
from plantroom_cloud.mapping.questions import Question
from plantroom_cloud.tables import Company, LlmAnswer, LlmBatch, LlmUsage
from plantroom_cloud.tables import Mapping as MappingRow
from plantroom_shared.mapping import UNKNOWN, canonical
from plantroom_shared.mapping.refine import TRUST

_CHUNK: Final = 500
_WEIGHT: Final = 20.0
"""Reviewed templates that the first guess of a model's trust is worth."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A template that a person has decided after a model had spoken."""

    template_key: str
    said: str
    offline: str
    decided: str


class LlmRepository(Repository):
    """One company's use of the LLM."""

    async def slug(self) -> str:
        """Return the company's slug."""
        found = await self._session.scalar(
            select(Company.slug).where(Company.id == self._scope.company_id)
        )
        return found or ""

    # ------------------------------------------------------------ budget

    async def reserve(self, period: str, cost: Cost, budget: LlmBudget, now_us: int) -> bool:
        """Set tokens and money aside; False, and nothing is set aside, where the budget has no room.

        The row stays locked until the transaction ends, so that two workers cannot both take the
        last of it. The licence may have less room, or the company wants no model to be asked.
        """
        tokens = cost.tokens_in + cost.tokens_out
        if not await allows_llm(self._session, self._scope, period[:7], tokens, now_us):
            return False
        total = await self._use(period, cost)
        if total.fits(budget):
            return True
        await self._use(period, Cost() - cost)
        return False

    async def settle(self, period: str, cost: Cost, reserved: Cost) -> None:
        """Put what was really used in place of what was set aside."""
        await self._use(period, cost - reserved)

    async def used(self, period: str) -> Cost:
        """Return what a period has taken, what is under way included."""
        row = (
            await self._session.execute(
                select(LlmUsage.tokens_in, LlmUsage.tokens_out, LlmUsage.money_micros).where(
                    self._own(LlmUsage), LlmUsage.period == period
                )
            )
        ).one_or_none()
        return Cost(*row) if row else Cost()

    async def _use(self, period: str, cost: Cost) -> Cost:
        new = insert_into(self._session, LlmUsage).values(
            company_id=self._scope.company_id,
            period=period,
            tokens_in=cost.tokens_in,
            tokens_out=cost.tokens_out,
            money_micros=cost.micros,
        )
        added = {
            name: getattr(LlmUsage, name) + new.excluded[name]
            for name in ("tokens_in", "tokens_out", "money_micros")
        }
        statement = new.on_conflict_do_update(
            index_elements=[LlmUsage.company_id, LlmUsage.period], set_=added
        ).returning(LlmUsage.tokens_in, LlmUsage.tokens_out, LlmUsage.money_micros)
        return Cost(*(await self._session.execute(statement)).one())

    # ------------------------------------------------------------ answers

    async def keep(
        self, questions: Iterable[Question], answers: Mapping[str, str], model: str, now_us: int
    ) -> None:
        """Keep what a model said of each template, for people to judge; the first word stays."""
        rows = [
            {
                "company_id": self._scope.company_id,
                "key": question.key,
                "template": _digest(template),
                "template_key": template,
                "model": model[:200],
                "said": answers[question.key],
                "offline": question.offline,
                "points": len(question.points),
                "decided": "",
                "answered_us": now_us,
            }
            for question in questions
            if question.key in answers
            for template in question.templates
        ]
        for part in _parts(rows):
            await self._session.execute(
                insert_into(self._session, LlmAnswer)
                .values(list(part))
                .on_conflict_do_nothing(
                    index_elements=[LlmAnswer.company_id, LlmAnswer.key, LlmAnswer.template]
                )
            )

    async def decided(self, decisions: Mapping[str, str], now_us: int) -> int:
        """Note what people decided of templates that a model had spoken of; the last word counts.

        Args:
            decisions: template key → Brick point class; empty where the decision was taken back.
            now_us: when.

        Returns:
            How many answers got a verdict, or another one.
        """
        changed = 0
        wanted = {_digest(key): canonical(name) for key, name in decisions.items()}
        for part in _parts(sorted(wanted)):
            found = await self._session.execute(
                select(LlmAnswer.template, LlmAnswer.decided)
                .where(self._own(LlmAnswer), LlmAnswer.template.in_(part))
                .distinct()
            )
            for template, before in found.all():
                name = wanted[template]
                if name == before:
                    continue
                statement = (
                    update(LlmAnswer)
                    .where(self._own(LlmAnswer), LlmAnswer.template == template)
                    .values(decided=name, decided_us=now_us if name else None)
                )
                await self._session.execute(statement)
                changed += 1
        return changed

    async def lessons(self, limit: int = 100_000) -> list[Lesson]:
        """Return what people decided where a model had spoken: what the offline mapper may learn."""
        rows = await self._session.execute(
            select(LlmAnswer.template_key, LlmAnswer.said, LlmAnswer.offline, LlmAnswer.decided)
            .where(self._own(LlmAnswer), LlmAnswer.decided != "")
            .order_by(LlmAnswer.decided_us, LlmAnswer.template_key)
            .limit(limit)
        )
        return [Lesson(*row) for row in rows]

    async def trust(self, model: str) -> float:
        """Return how often a model was right where it named a class, as far as people have told."""
        right = func.sum(case((LlmAnswer.said == LlmAnswer.decided, 1), else_=0))
        row = (
            await self._session.execute(
                select(func.count(), right).where(
                    self._own(LlmAnswer),
                    LlmAnswer.model == model[:200],
                    LlmAnswer.decided != "",
                    LlmAnswer.said != UNKNOWN,
                )
            )
        ).one()
        told, hits = int(row[0]), int(row[1] or 0)
        return round(min(0.95, max(0.2, (hits + _WEIGHT * TRUST) / (told + _WEIGHT))), 3)

    async def sources(self, site_id: int | None = None) -> dict[str, int]:
        """Return source of a mapping → points."""
        where = [self._own(MappingRow)]
        if site_id is not None:
            where.append(MappingRow.site_id == site_id)
        rows = await self._session.execute(
            select(MappingRow.source, func.count()).where(*where).group_by(MappingRow.source)
        )
        return {source: int(count) for source, count in sorted(rows.all())}

    # ------------------------------------------------------------ batches

    async def add_batch(self, **values: Any) -> None:
        """Note a batch before it is created at the endpoint."""
        row = {"company_id": self._scope.company_id, "remote": "", "state": "new", "problem": ""}
        await self._session.execute(insert_into(self._session, LlmBatch).values(**row, **values))

    async def batches(self, site_id: int) -> Sequence[AnyRow]:
        """Return the batches of a site that are under way, the oldest first."""
        columns = LlmBatch.__table__.columns
        statement = (
            select(*columns)
            .where(
                self._own(LlmBatch),
                LlmBatch.site_id == site_id,
                LlmBatch.state.in_(("new", "open")),
            )
            .order_by(LlmBatch.created_us, LlmBatch.id)
        )
        return (await self._session.execute(statement)).all()

    async def change_batch(self, ident: str, *, only_in: Sequence[str], **values: Any) -> bool:
        """Change a batch; False where it is no longer in one of these states."""
        statement = (
            update(LlmBatch)
            .where(self._own(LlmBatch), LlmBatch.id == ident, LlmBatch.state.in_(only_in))
            .values(**values)
            .returning(LlmBatch.id)
        )
        return (await self._session.execute(statement)).first() is not None


def _digest(template_key: str) -> str:
    return hashlib.sha256(template_key.encode("utf-8", "replace")).hexdigest()


def _parts(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))
