"""What asking will cost, before it starts. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from plantroom_cloud.config_llm import LlmBudget, LlmPrice, LlmSettings
from plantroom_cloud.mapping.llm.prompt import batches_of, expected, ids_of
from plantroom_cloud.mapping.questions import Question

MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens and money, of a call, a site or a period."""

    tokens_in: int = 0
    tokens_out: int = 0
    micros: int = 0
    """Millionths of the currency; 0 where no price is known."""

    def __add__(self, other: Cost) -> Cost:
        """Return both together."""
        return Cost(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.micros + other.micros,
        )

    def __sub__(self, other: Cost) -> Cost:
        """Return what is left; a correction may be negative."""
        return Cost(
            self.tokens_in - other.tokens_in,
            self.tokens_out - other.tokens_out,
            self.micros - other.micros,
        )

    def fits(self, budget: LlmBudget) -> bool:
        """Tell whether it is within a budget."""
        if budget.tokens is not None and self.tokens_in + self.tokens_out > budget.tokens:
            return False
        return budget.money is None or self.micros <= budget.money * MILLION


def cost_of(
    tokens_in: int, tokens_out: int, price: LlmPrice | None, *, batch: bool = False
) -> Cost:
    """Return tokens with their money, rounded up."""
    if price is None:
        return Cost(tokens_in, tokens_out)
    money = tokens_in * price.input + tokens_out * price.output
    return Cost(tokens_in, tokens_out, math.ceil(money * (price.batch if batch else 1.0)))


def period_of(budget: LlmBudget, now_us: int) -> str:
    """Return the day or month of a moment, UTC: what a budget is counted by."""
    moment = datetime.fromtimestamp(now_us / 1e6, UTC)
    return moment.strftime("%Y-%m-%d" if budget.period == "day" else "%Y-%m")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What asking about open questions would take."""

    templates: int = 0
    """Questions: templates that look the same are asked once."""
    points: int = 0
    """Points that the answers decide."""
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float | None = None
    """None where no price is known."""
    currency: str = ""
    price_since: str = ""
    """The day from which the price holds that was used."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a document."""
        return asdict(self)


def estimate(questions: Sequence[Question], settings: LlmSettings, now_us: int) -> Estimate:
    """Return what asking would take: one answer per call, no repair."""
    batches = batches_of(questions)
    price = settings.price_at(now_us)
    total = Cost()
    for batch in batches:
        sent, brought = expected(ids_of(batch), settings.model)
        total += cost_of(sent, brought, price, batch=settings.mode == "batch")
    return Estimate(
        len(questions),
        sum(len(question.points) for question in questions),
        len(batches),
        total.tokens_in,
        total.tokens_out,
        None if price is None else total.micros / MILLION,
        "" if price is None else price.currency,
        "" if price is None else price.since.isoformat(),
    )
