"""What the API says of the LLM mapper."""

from __future__ import annotations

from pydantic import BaseModel, Field


class LlmSpending(BaseModel):
    """A budget and what is used of it, calls under way included."""

    period: str = Field(description="Day or month, UTC.", examples=["2026-11"])
    tokens: int
    tokens_budget: int | None = Field(description="None: no limit.")
    money: float
    money_budget: float | None = Field(description="None: no limit.")


class LlmStatus(BaseModel):
    """Whether an LLM refines the mapping, and what it has done."""

    configured: bool = Field(description="False: the offline mapping stands alone.")
    model: str
    mode: str = Field(examples=["now"], description="now or batch")
    trust: float | None = Field(description="How often it is right, as far as reviews tell.")
    sources: dict[str, int] = Field(
        description="Source → points: profile, rule, offline, llm, fallback (it was not heard), person."
    )
    counters: dict[str, int]
    spending: LlmSpending


class LlmPlan(BaseModel):
    """What asking about open templates would take; nothing was asked."""

    configured: bool
    points: int = Field(description="Points there are.")
    points_asked: int = Field(description="Points that the answers would decide.")
    templates_known: int = Field(description="Questions that were answered before.")
    templates: int = Field(description="Questions that would be asked.")
    calls: int
    tokens_in: int
    tokens_out: int
    money: float | None = Field(description="None where no price is configured.")
    currency: str
    price_since: str = Field(description="From when the price holds that was used.")
    fits_budget: bool
    spending: LlmSpending
