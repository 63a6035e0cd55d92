"""Settings of the LLM that refines mappings: where it is, what it may take, what it may cost."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator


def _http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = "is no http(s) address such as https://llm.example/v1"
        raise ValueError(msg)
    return url


class LlmPrice(BaseModel):
    """What a model costs from a day on; the newest price that has begun counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    since: date
    input: float = Field(ge=0)
    """Of a million tokens that are sent."""
    output: float = Field(ge=0)
    """Of a million tokens that come back."""
    batch: float = Field(default=0.5, gt=0, le=1)
    """Share of the price that the batch mode costs."""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


class LlmBudget(BaseModel):
    """What one company may use in a period; None: no limit of that kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int | None = Field(default=None, ge=0)
    money: float | None = Field(default=None, ge=0)
    """In the currency of the price."""
    period: Literal["day", "month"] = "month"
    """Of the calendar, UTC."""


class LlmSettings(BaseModel):
    """An OpenAI-compatible endpoint that refines the offline mapping."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: Annotated[str, AfterValidator(_http)]
    api_key: SecretStr = SecretStr("none")
    model: str
    proxy: str = ""
    """Of this endpoint alone; those of the environment are not used."""
    timeout: float = Field(default=20.0, gt=0)
    """Seconds for one attempt of a call."""
    deadline: float = Field(default=90.0, gt=0)
    """Seconds for all calls about a site, retries included; what is open then is asked later."""
    concurrency: int = Field(default=32, ge=1, le=256)
    """Calls under way at a time."""
    mode: Literal["now", "batch"] = "now"
    """batch: through the endpoint's batch interface, cheaper and within a day."""
    prices: tuple[LlmPrice, ...] = ()
    budget: LlmBudget = LlmBudget()
    """Of every company that has none of its own."""
    budgets: dict[str, LlmBudget] = Field(default_factory=dict)
    """Company's slug → its budget."""

    @model_validator(mode="after")
    def _priced(self) -> LlmSettings:
        limited = [self.budget, *self.budgets.values()]
        priced = any(price.model == self.model for price in self.prices)
        if any(budget.money is not None for budget in limited) and not priced:
            msg = f"a budget of money needs a price: add one for {self.model!r} to llm.prices"
            raise ValueError(msg)
        return self

    def budget_of(self, slug: str) -> LlmBudget:
        """Return what a company may use."""
        return self.budgets.get(slug, self.budget)

    def price_on(self, day: date) -> LlmPrice | None:
        """Return the model's price of a day; None where none is known."""
        known = [p for p in self.prices if p.model == self.model and p.since <= day]
        return max(known, key=lambda price: price.since, default=None)

    def price_at(self, now_us: int) -> LlmPrice | None:
        """Return the model's price of the day, in UTC, in which a moment lies."""
        return self.price_on(datetime.fromtimestamp(now_us / 1e6, UTC).date())
