"""Prompts, deadlines, waits, prices and budgets: what needs no endpoint."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from plantroom_cloud.config import LlmBudget, LlmPrice, LlmSettings
from plantroom_cloud.kit.breakers import Breaker
from plantroom_cloud.kit.deadlines import Deadline
from plantroom_cloud.mapping.llm.limits import retry_after_of, wait_before
from plantroom_cloud.mapping.llm.money import Cost, cost_of, estimate, period_of
from plantroom_cloud.mapping.llm.prompt import (
    MOST,
    MOST_VALUES,
    batches_of,
    body_of,
    expected,
    ids_of,
    read_completion,
    tokens,
)
from plantroom_cloud.mapping.questions import questions_of
from plantroom_shared.mapping import map_points, template_key
from plantroom_shared.model import Point
from support.cloud_site import NOW, TestClock
from support.mapping_llm_site import ask

WHERE: dict[str, Any] = {"base_url": "https://llm.example/v1", "model": "m"}


def test_questions_are_one_per_template_and_depend_on_the_model() -> None:
    """A hundred boxes are one question; what is sure, decided or said by a profile is none."""
    names = [f"VAV-{n} QXZW Pzz" for n in range(100)]
    points = [Point(key=name, device="d", name=name) for name in names]
    sure = Point(key="s", device="d", name="AHU-1 Supply Air Temperature", unit="degC")
    hinted = Point(key="h", device="d", name="Qxz", point_class="Alarm")
    everything = [*points, sure, hinted]
    mapped = map_points(everything)
    found = questions_of(everything, mapped, "m")
    assert [len(question.points) for question in found.values()] == [100]
    assert set(found) != set(questions_of(everything, mapped, "other"))
    assert found == questions_of(everything, mapped, "m")
    assert questions_of(everything, mapped, "m", range(100)) == {}
    assert next(iter(found.values())).templates == (template_key(mapped[0], points[0]),)


@given(st.integers(0, 400))
def test_every_question_is_in_one_batch_within_the_bounds(count: int) -> None:
    """No batch is empty, none holds too many templates or values; what decides most comes first."""
    questions = ask(count)
    batches = batches_of(questions)
    assert sorted(q.key for batch in batches for q in batch) == sorted(q.key for q in questions)
    assert all(0 < len(batch) <= MOST for batch in batches)
    assert all(sum(len(q.choices) + 1 for q in batch) <= MOST_VALUES for batch in batches)


def test_twenty_thousand_templates_are_at_most_two_hundred_and_some_calls() -> None:
    """Batches grow with the site, so that the number of calls hardly does."""
    assert [len(batches_of(ask(n))) for n in (1, 20, 2000, 10_000, 20_000)] == [1, 1, 100, 100, 200]


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_whatever_comes_back_is_read(raw: bytes) -> None:
    """No reply raises."""
    assert read_completion(raw, ids_of(ask(2))).answers == {}


def test_the_dialects_say_less_and_less() -> None:
    """Strict schema, the same without temperature, any object, plain text."""
    bodies = [body_of(ids_of(ask(1)), "m", dialect=n) for n in range(4)]
    kinds = [body.get("response_format", {}).get("type") for body in bodies]
    assert kinds == ["json_schema", "json_schema", "json_object", None]
    assert ["temperature" in body for body in bodies] == [True, False, False, False]
    assert ["max_tokens" in body for body in bodies] == [True, False, True, True]


def test_tokens_are_guessed_from_text() -> None:
    """Four ASCII characters are a token; of other scripts every character."""
    assert tokens("abcdefgh") == 2
    assert tokens("冷冻水") == 3
    sent, brought = expected(ids_of(ask(10)), "m")
    assert sent > 200
    assert brought > 100


def test_the_breaker_bears_an_endpoint_that_fails_one_in_three() -> None:
    """It looks at the share of the last half minute, not at a row of bad luck alone."""
    clock = TestClock()
    breaker = Breaker("llm", clock)
    for n in range(60):
        breaker.failed() if n % 3 == 0 else breaker.worked()
        clock.now += 500_000
    assert breaker.allow()
    clock.now += 31_000_000
    for _ in range(4):
        breaker.failed()
    assert breaker.allow()
    breaker.failed()
    assert breaker.open
    clock.now += 31_000_000
    assert breaker.allow()
    assert not breaker.allow()
    breaker.undecided()
    assert breaker.allow()
    breaker.worked()
    assert breaker.allow()
    assert breaker.allow()


def test_waits_have_full_jitter_or_are_the_servers() -> None:
    """Anything from nothing to a bound that doubles; never less than the server asks."""
    assert [wait_before(n, None, lambda: 1.0) for n in (1, 2, 3, 9)] == [1.0, 2.0, 4.0, 16.0]
    assert wait_before(3, None, lambda: 0.0) == 0.0
    assert wait_before(1, 7.0, lambda: 0.5) == 7.5
    assert wait_before(1, 0.0, lambda: 0.5) == 0.0


def test_retry_after_is_read_in_all_its_forms() -> None:
    """Seconds, milliseconds, a date; what cannot be is no wish."""
    assert retry_after_of({"retry-after": "3"}) == 3.0
    assert retry_after_of({"retry-after-ms": "250", "retry-after": "3"}) == 0.25
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 60 < (retry_after_of({"retry-after": later}) or 0) <= 90
    assert retry_after_of({"retry-after": "Sat, 01 Jan 2000 00:00:00"}) == 0.0
    for odd in ("soon", "-4", "inf", "nan", ""):
        assert retry_after_of({"retry-after": odd}) is None
    assert retry_after_of({}) is None


def test_a_deadline_runs_out() -> None:
    """What is left shrinks to nothing and no further."""
    clock = TestClock()
    deadline = Deadline.after(2.0, clock)
    assert deadline.left() == 2.0
    clock.now += 5_000_000
    assert deadline.left() == 0.0


def test_the_newest_price_that_has_begun_counts() -> None:
    """A price of next month does not count yet; another model's never."""
    prices = tuple(
        LlmPrice(model=model, since=date(2026, month, 1), input=cost, output=2 * cost)
        for model, month, cost in (("m", 1, 1.0), ("m", 3, 3.0), ("m", 2, 2.0), ("n", 2, 9.0))
    )
    told = LlmSettings(**WHERE, prices=prices)
    for day, expected_price in (((2026, 2, 28), 2.0), ((2026, 3, 1), 3.0)):
        price = told.price_on(date(*day))
        assert price is not None
        assert price.input == expected_price
    assert told.price_on(date(2025, 12, 31)) is None


def test_costs_are_rounded_up_and_cheaper_in_batches() -> None:
    """Millionths of the currency."""
    price = LlmPrice(model="m", since=date(2026, 1, 1), input=0.25, output=2.0)
    assert cost_of(1001, 10, price) == Cost(1001, 10, 271)
    assert cost_of(1001, 10, price, batch=True) == Cost(1001, 10, 136)
    assert cost_of(5, 6, None) == Cost(5, 6, 0)
    assert Cost(60, 40).fits(LlmBudget(tokens=100))
    assert not Cost(60, 41).fits(LlmBudget(tokens=100))
    assert not Cost(0, 0, 1_000_001).fits(LlmBudget(money=1.0))
    assert period_of(LlmBudget(), NOW) == "2026-01"
    assert period_of(LlmBudget(period="day"), NOW) == "2026-01-01"


def test_an_estimate_names_its_price() -> None:
    """Templates, points, calls, tokens, money and since when the price holds."""
    price = LlmPrice(model="m", since=date(2026, 1, 1), input=1.0, output=4.0, currency="EUR")
    plan = estimate(ask(40), LlmSettings(**WHERE, prices=(price,)), NOW)
    assert (plan.templates, plan.points, plan.calls) == (40, 40, 2)
    assert plan.money == pytest.approx((plan.tokens_in + 4 * plan.tokens_out) / 1e6)
    assert (plan.currency, plan.price_since) == ("EUR", "2026-01-01")
    free = estimate(ask(40), LlmSettings(**WHERE), NOW)
    assert (free.money, free.currency) == (None, "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "file:///etc/passwd"},
        {"base_url": "llm.example/v1"},
        {"budget": {"money": 5}},
        {"budgets": {"acme": {"money": 5}}},
        {"budget": {"tokens": -1}},
        {"concurrency": 0},
        {"mode": "later"},
        {"prices": [{"model": "m", "since": "soon", "input": 1, "output": 1}]},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    """A budget of money needs a price, an address is http(s), numbers make sense."""
    with pytest.raises(ValidationError):
        LlmSettings(**(WHERE | wrong))
