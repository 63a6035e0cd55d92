"""The mapping job with an LLM: asked once, in time, within the budget, and never needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date

import pytest
from fastapi import Response
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from plantroom_cloud.config import CloudSettings, LlmBudget, LlmPrice
from plantroom_cloud.db import Database, ReadSession, Scope
from plantroom_cloud.isolation.lookups import stale_sites
from plantroom_cloud.kit.deadlines import Deadline
from plantroom_cloud.mapping import jobs
from plantroom_cloud.mapping.jobs import ASK_AGAIN, Mapper
from plantroom_cloud.mapping.llm import Asker
from plantroom_cloud.mapping.llm.asker import Outcome
from plantroom_cloud.mapping.llm.cache import AnswerCache
from plantroom_cloud.mapping.llm.money import Cost
from plantroom_cloud.mapping.llm.repository import Lesson, LlmRepository
from plantroom_cloud.mapping.questions import Question
from plantroom_cloud.mapping.repository import MappingRepository
from plantroom_cloud.tables import LlmAnswer, LlmBatch, Mapping
from plantroom_shared.cancelling import ended
from support.cloud_site import NOW, Home, TestClock
from support.mapping_llm_site import (
    add_points,
    add_site,
    ask,
    asker_of,
    counter,
    mapping_rows,
    odd_names,
    settings_of,
)
from support.mapping_llm_stub import LlmStub, choose, every, running
from support.servers import as_owner
from support.waiting import eventually

MONTH = "2026-01"
PRICE = LlmPrice(model="m", since=date(2026, 1, 1), input=1.0, output=4.0)


@pytest.fixture
async def stub() -> AsyncIterator[LlmStub]:
    """An endpoint to which everything measures CO2."""
    async with running(LlmStub(choose(lambda _: "CO2_Sensor"))) as endpoint:
        yield endpoint


@pytest.fixture
def clock() -> TestClock:
    """A clock that stands a little after the points came."""
    return TestClock(NOW + 5)


@pytest.fixture
async def asker(sqlite_database: Database, stub: LlmStub, clock: TestClock) -> AsyncIterator[Asker]:
    """An asker of the stub."""
    opened = asker_of(sqlite_database, stub, clock)
    yield opened
    await opened.close()


async def used(db: Database, home: Home, period: str = MONTH) -> Cost:
    """Return what the company has used."""
    async with as_owner(db).read() as session:
        return await LlmRepository(session, Scope(home.company_id)).used(period)


async def test_what_is_unsure_is_asked_once_for_ever(
    sqlite_database: Database, stub: LlmStub, asker: Asker, clock: TestClock
) -> None:
    """Sure templates are never asked; a second run, of a new process too, makes no call."""
    home = await add_site(sqlite_database, *odd_names(23), "AHU-1 Supply Air Temperature")
    mapper = Mapper(sqlite_database, asker, clock)
    assert await mapper.round() == 1
    rows = await mapping_rows(sqlite_database)
    assert {row.point_class for row in rows[:-1]} == {"CO2_Sensor"}
    assert {row.source for row in rows[:-1]} == {"llm"}
    assert (rows[-1].source, rows[-1].point_class) == ("offline", "Supply_Air_Temperature_Sensor")
    assert len(stub.requests) == 2
    assert len(stub.asked) == 23
    assert await counter(sqlite_database, home, "llm_calls") == 2
    assert await mapper.round() == 0
    for cache in (asker.cache, AnswerCache()):
        asker.cache = cache
        again = Mapper(sqlite_database, asker, clock)
        await again.ask_about((home.company_id, home.site_id))
        assert len(stub.requests) == 2
        assert len(cache) == 23
    after = await mapping_rows(sqlite_database)
    assert [row.point_class for row in after] == [row.point_class for row in rows]


async def test_what_an_outage_left_open_is_asked_as_soon_as_it_is_over(
    sqlite_database: Database, stub: LlmStub, asker: Asker, clock: TestClock
) -> None:
    """The offline mapping stands meanwhile; looking whether it is over asks no question."""
    await add_site(sqlite_database, *odd_names(3))
    stub.trouble = lambda _: Response(status_code=503)
    stub.models = 503
    mapper = Mapper(sqlite_database, asker, clock)
    assert await mapper.round() == 1
    assert {row.source for row in await mapping_rows(sqlite_database)} == {"fallback"}
    asked = len(stub.requests)
    for _ in range(3):
        clock.now += 2_100_000
        assert await mapper.round() == 0
    stub.trouble, stub.models = lambda _: None, 200
    assert await mapper.round() == 0  # left alone for two seconds after it was looked at
    assert len(stub.requests) == asked
    clock.now += 2_100_000
    assert await mapper.round() == 1
    assert {row.source for row in await mapping_rows(sqlite_database)} == {"llm"}


class Waiting(Asker):
    """Asks when it is let."""

    reached: asyncio.Event
    go: asyncio.Event
    begun = 0

    async def ask(
        self, scope: Scope, questions: Sequence[Question], deadline: Deadline | None = None
    ) -> Outcome:
        """Ask when it is let."""
        self.begun += 1
        self.reached.set()
        await self.go.wait()
        return await super().ask(scope, questions, deadline)


async def test_an_llm_that_says_nothing_delays_no_mapping(
    sqlite_database: Database, stub: LlmStub, clock: TestClock
) -> None:
    """While an answer is waited for new points are mapped by what is known, and asked about later."""
    asker = Waiting(sqlite_database, settings_of(stub), clock)
    asker.reached, asker.go = asyncio.Event(), asyncio.Event()
    home = await add_site(sqlite_database, *odd_names(2))
    mapper = Mapper(sqlite_database, asker, clock)
    assert len(await mapper.map_new()) == 1
    asking = asyncio.create_task(mapper.ask_open())
    await asker.reached.wait()
    await add_points(sqlite_database, home, "AHU-1 Supply Air Temperature", odd_names(3)[-1])
    clock.now += 10
    assert len(await mapper.map_new()) == 1
    rows = await mapping_rows(sqlite_database)
    assert [row.source for row in rows] == ["offline"] * 4
    assert rows[2].point_class == "Supply_Air_Temperature_Sensor"
    asker.go.set()
    assert len(await asking) == 1
    assert len(await mapper.ask_open()) == 1  # what came meanwhile is asked about, too
    sources = [row.source for row in await mapping_rows(sqlite_database)]
    assert sources == ["llm", "llm", "offline", "llm"]
    assert await mapper.round() == 0
    await asker.close()


async def test_a_hundred_boxes_are_one_question(
    sqlite_database: Database, stub: LlmStub, asker: Asker, clock: TestClock
) -> None:
    """Numbers, and the equipment that a name begins with, are no part of what is asked."""
    names = [f"{wing}.VAV-{n} QXZW Pzz" for wing in ("NE", "SW") for n in range(50)]
    await add_site(sqlite_database, *names)
    await Mapper(sqlite_database, asker, clock).round()
    assert len(stub.asked) == 1
    assert {row.source for row in await mapping_rows(sqlite_database)} == {"llm"}


async def test_calls_run_side_by_side_within_a_bound(
    sqlite_database: Database, stub: LlmStub, asker: Asker
) -> None:
    """As many calls as the settings allow are under way together, and never more."""
    stub.together = 4
    home = await add_site(sqlite_database, "x")
    outcome = await asker.ask(Scope(home.company_id), ask(200))
    assert (len(outcome.answers), outcome.problem) == (200, "")
    assert len(stub.requests) == 10
    assert stub.most_under_way == 4


async def test_an_endpoint_that_fails_often_still_helps(
    sqlite_database: Database, stub: LlmStub, asker: Asker
) -> None:
    """With every third call failing all questions are answered: failures are tried again."""
    stub.trouble = every(3)
    home = await add_site(sqlite_database, "x")
    outcome = await asker.ask(Scope(home.company_id), ask(200))
    assert (len(outcome.answers), outcome.problem) == (200, "")
    assert not asker.endpoint.breaker.open


async def test_without_the_llm_the_offline_mapping_stands_and_says_so(
    sqlite_database: Database, stub: LlmStub, asker: Asker, clock: TestClock
) -> None:
    """While the endpoint is away the shape of the result is the same; later it is asked again."""
    stub.trouble = lambda _: Response(status_code=401)
    home = await add_site(sqlite_database, *odd_names(2), "AHU-1 Supply Air Temperature")
    mapper = Mapper(sqlite_database, asker, clock)
    await mapper.round()
    rows = await mapping_rows(sqlite_database)
    assert [row.source for row in rows] == ["fallback", "fallback", "offline"]
    assert "LLM not heard: the endpoint refuses (HTTP 401)" in rows[0].evidence
    assert [row.point_class for row in rows[:2]] == ["", ""]
    assert await counter(sqlite_database, home, "llm_failures") == 1
    stub.trouble = lambda _: None
    assert await mapper.round() == 0
    clock.now += int((ASK_AGAIN + 1) * 1e6)
    assert await mapper.round() == 1
    assert [row.source for row in await mapping_rows(sqlite_database)] == ["llm", "llm", "offline"]
    assert mapper._open == {}


async def test_an_endpoint_that_stays_away_is_asked_ever_more_rarely(
    sqlite_database: Database, stub: LlmStub, asker: Asker, clock: TestClock
) -> None:
    """The wait doubles; rows are not written again while nothing changes."""
    stub.trouble = lambda _: Response(status_code=404)
    await add_site(sqlite_database, *odd_names(1))
    mapper = Mapper(sqlite_database, asker, clock)
    await mapper.round()
    first = (await mapping_rows(sqlite_database))[0].mapped_us
    for wait in (ASK_AGAIN, 2 * ASK_AGAIN, 4 * ASK_AGAIN):
        clock.now += int((wait - 1) * 1e6)
        assert await mapper.round() == 0
        clock.now += int(2e6)
        assert await mapper.round() == 1
    assert (await mapping_rows(sqlite_database))[0].mapped_us == first


async def test_an_open_breaker_ends_the_asking(
    sqlite_database: Database, stub: LlmStub, asker: Asker, clock: TestClock
) -> None:
    """With the breaker open no batch is tried."""
    await add_site(sqlite_database, *odd_names(1))
    for _ in range(5):
        asker.endpoint.breaker.failed()
    await Mapper(sqlite_database, asker, clock).round()
    assert stub.requests == []
    assert [row.source for row in await mapping_rows(sqlite_database)] == ["fallback"]


async def test_questions_that_only_bring_rubbish_are_given_up(
    sqlite_database: Database, stub: LlmStub, asker: Asker, clock: TestClock
) -> None:
    """Rubbish is paid for too: after two paid replies without an answer nobody asks again."""
    stub.answer = lambda _: "rubbish"
    await add_site(sqlite_database, *odd_names(1))
    mapper = Mapper(sqlite_database, asker, clock)
    for _ in range(6):
        await mapper.round()
        clock.now += int(7200e6)
    assert len(stub.requests) == 4  # twice, each with its repair
    assert [row.source for row in await mapping_rows(sqlite_database)] == ["fallback"]


async def test_a_budget_is_a_hard_stop(sqlite_database: Database, stub: LlmStub) -> None:
    """What does not fit is not asked; the month after there is room again."""
    clock = TestClock(NOW + 5)
    asker = asker_of(
        sqlite_database,
        stub,
        clock,
        concurrency=1,
        budget=LlmBudget(tokens=30_000),
        prices=(PRICE,),
    )
    home = await add_site(sqlite_database, *odd_names(150))
    await Mapper(sqlite_database, asker, clock).round()
    spent = await used(sqlite_database, home)
    assert 0 < spent.tokens_in + spent.tokens_out <= 30_000
    rows = await mapping_rows(sqlite_database)
    assert {row.source for row in rows} == {"llm", "fallback"}
    assert any("budget" in note for row in rows for note in row.evidence)
    calls = len(stub.requests)
    assert calls == await counter(sqlite_database, home, "llm_calls")
    await Mapper(sqlite_database, asker, clock).ask_about((home.company_id, home.site_id))
    assert len(stub.requests) == calls
    clock.now += 40 * 86_400_000_000
    await Mapper(sqlite_database, asker, clock).ask_about((home.company_id, home.site_id))
    assert len(stub.requests) > calls
    assert (await used(sqlite_database, home)) == spent
    await asker.close()


async def test_money_is_counted_from_usage(
    sqlite_database: Database, stub: LlmStub, clock: TestClock
) -> None:
    """A company's own budget counts, in money at the price of the day, until it is used up."""
    stub.usage = {"prompt_tokens": 1000, "completion_tokens": 500}
    limits = {"acme": LlmBudget(money=0.02, period="day")}
    asker = asker_of(sqlite_database, stub, clock, concurrency=1, budgets=limits, prices=(PRICE,))
    home = await add_site(sqlite_database, *odd_names(60))
    await Mapper(sqlite_database, asker, clock).round()
    spent = await used(sqlite_database, home, "2026-01-01")
    assert spent == Cost(1000, 500, 3000)
    assert len(stub.requests) == 1
    await asker.close()


async def test_what_a_lost_call_may_have_cost_is_counted(
    sqlite_database: Database, stub: LlmStub, clock: TestClock
) -> None:
    """A refused call costs nothing; one that hung or told no usage counts as expected."""
    home = await add_site(sqlite_database, "x")
    scope = Scope(home.company_id)
    asker = asker_of(sqlite_database, stub, clock)
    stub.trouble = lambda _: Response(status_code=500)
    assert "500" in (await asker.ask(scope, ask(1))).problem
    assert await used(sqlite_database, home) == Cost()
    await asker.close()
    asker = asker_of(sqlite_database, stub, clock, timeout=0.05)
    stub.delay = 30
    assert "TimeoutError" in (await asker.ask(scope, ask(1))).problem
    assert (await used(sqlite_database, home)).tokens_in > 0
    await asker.close()


async def test_two_workers_cannot_both_take_the_last_of_a_budget(database: Database) -> None:
    """Reservations of transactions side by side add up, on both engines."""
    home = await add_site(database, "x")
    budget = LlmBudget(tokens=100)

    async def take() -> bool:
        async with as_owner(database).write() as session:
            repository = LlmRepository(session, Scope(home.company_id))
            return await repository.reserve(MONTH, Cost(30, 10, 5), budget, 0)

    async with asyncio.timeout(60):
        taken = await asyncio.gather(*(take() for _ in range(6)))
    assert sum(taken) == 2
    assert await used(database, home) == Cost(60, 20, 10)
    async with as_owner(database).write() as session:
        repository = LlmRepository(session, Scope(home.company_id))
        await repository.settle(MONTH, Cost(1, 1, 1), Cost(30, 10, 5))
    assert await used(database, home) == Cost(31, 11, 6)


async def test_decisions_of_people_become_lessons(
    sqlite_database: Database, stub: LlmStub, asker: Asker, clock: TestClock
) -> None:
    """What a person decides is a verdict on what the model said; decided points are not asked."""
    home = await add_site(sqlite_database, *odd_names(3))
    scope = Scope(home.company_id)
    mapper = Mapper(sqlite_database, asker, clock)
    await mapper.round()
    rows = await mapping_rows(sqlite_database)
    for row, name in zip(rows, ("CO2_Sensor", "Alarm"), strict=False):
        async with as_owner(sqlite_database).write() as session:
            await session.execute(
                update(Mapping)
                .where(Mapping.point_id == row.point_id)
                .values(source="person", point_class=name, state="accepted")
            )
    await mapper.ask_about((home.company_id, home.site_id))
    async with as_owner(sqlite_database).read() as session:
        repository = LlmRepository(session, scope)
        lessons = await repository.lessons()
        assert [(x.said, x.decided) for x in lessons] == [
            ("CO2_Sensor", "CO2_Sensor"),
            ("CO2_Sensor", "Alarm"),
        ]
        assert isinstance(lessons[0], Lesson)
        assert await repository.trust("m") == pytest.approx((1 + 14) / 22, abs=0.001)
        assert await repository.trust("another") == 0.7
    async with as_owner(sqlite_database).write() as session:
        undone = {lessons[0].template_key: "", "nobody knows": "Alarm"}
        assert await LlmRepository(session, scope).decided(undone, NOW) == 1
        assert len(await LlmRepository(session, scope).lessons()) == 1
        kept = (await session.scalars(select(LlmAnswer))).all()
        assert {answer.offline for answer in kept} == {""}
    assert len(stub.requests) == 1


async def test_answers_of_one_company_are_no_others(
    sqlite_database: Database, stub: LlmStub, asker: Asker, clock: TestClock
) -> None:
    """The same template of two companies is asked twice, and each keeps its own answers."""
    await add_site(sqlite_database, *odd_names(1))
    await add_site(sqlite_database, *odd_names(1), company="rival")
    await Mapper(sqlite_database, asker, clock).round()
    assert len(stub.requests) == 2
    assert len(asker.cache) == 2


async def test_the_memory_of_answers_is_bounded(sqlite_database: Database) -> None:
    """The answers that nobody used for longest go; the database still has them."""
    home = await add_site(sqlite_database, "x")
    scope, cache = Scope(home.company_id), AnswerCache(most=2)
    async with as_owner(sqlite_database).write() as session:
        await MappingRepository(session, scope).remember({"a": b"Alarm"}, NOW)
        assert await cache.find(session, scope, ["a", "none"]) == {"a": "Alarm"}
        cache.put(scope, {"b": "Alarm"})
        assert await cache.find(session, scope, ["a"]) == {"a": "Alarm"}
        cache.put(scope, {"c": "Alarm"})
        assert len(cache) == 2
        assert await cache.find(session, scope, ["b"]) == {}


async def batch_states(db: Database) -> list[tuple[str, str]]:
    """Return state and remote id of every batch."""
    async with as_owner(db).read() as session:
        rows = await session.scalars(select(LlmBatch).order_by(LlmBatch.created_us, LlmBatch.id))
        return [(row.state, row.remote) for row in rows]


@pytest.fixture
async def patient(
    sqlite_database: Database, stub: LlmStub, clock: TestClock
) -> AsyncIterator[Asker]:
    """An asker that uses the batch interface."""
    opened = asker_of(sqlite_database, stub, clock, mode="batch", prices=(PRICE,))
    yield opened
    await opened.close()


async def test_a_batch_is_created_polled_and_collected(
    sqlite_database: Database, stub: LlmStub, patient: Asker, clock: TestClock
) -> None:
    """Meanwhile the offline mapping stands; the answers come at half the price."""
    stub.batch_ends = None
    home = await add_site(sqlite_database, *odd_names(45))
    mapper = Mapper(sqlite_database, patient, clock)
    await mapper.round()
    assert await batch_states(sqlite_database) == [("open", "batch-1")]
    assert {row.source for row in await mapping_rows(sqlite_database)} == {"offline"}
    assert (await used(sqlite_database, home)).micros > 0
    clock.now += int((ASK_AGAIN + 1) * 1e6)
    assert await mapper.round() == 0
    stub.batch_ends = "completed"
    stub.usage = {"prompt_tokens": 1000, "completion_tokens": 500}
    clock.now += int((ASK_AGAIN + 1) * 1e6)
    assert await mapper.round() == 1
    assert {row.source for row in await mapping_rows(sqlite_database)} == {"llm"}
    assert await batch_states(sqlite_database) == [("done", "batch-1")]
    assert await used(sqlite_database, home) == Cost(3000, 1500, 4500)
    assert len(stub.requests) == 3
    assert "POST /v1/chat/completions" not in stub.paths
    assert await Mapper(sqlite_database, patient, clock).round() == 0


async def test_a_batch_survives_the_process(
    sqlite_database: Database, stub: LlmStub, patient: Asker, clock: TestClock
) -> None:
    """One that was created before we could note that is found at the endpoint, not made twice."""
    stub.batch_ends = None
    await add_site(sqlite_database, *odd_names(3))
    await Mapper(sqlite_database, patient, clock).round()
    async with as_owner(sqlite_database).write() as session:
        await session.execute(update(LlmBatch).values(state="new", remote=""))
    fresh = Mapper(sqlite_database, patient, clock)
    await fresh.resume()
    assert await fresh.round() == 0
    assert await batch_states(sqlite_database) == [("open", "batch-1")]
    assert len(stub.batches) == 1
    stub.batch_ends = "completed"
    clock.now += int((ASK_AGAIN + 1) * 1e6)
    assert await fresh.round() == 1
    assert {row.source for row in await mapping_rows(sqlite_database)} == {"llm"}


@pytest.mark.parametrize("end", ["failed", "expired", "cancelled"])
async def test_a_batch_that_fails_is_tried_anew_and_then_left(
    sqlite_database: Database, stub: LlmStub, patient: Asker, clock: TestClock, end: str
) -> None:
    """What it brought counts; its reservation is given back; the offline mapping stands."""
    stub.batch_ends = end
    if end == "expired":
        stub.answer = lambda _: "rubbish"
    home = await add_site(sqlite_database, *odd_names(3))
    mapper = Mapper(sqlite_database, patient, clock)
    for _ in range(8):
        await mapper.round()
        clock.now += int((2 * ASK_AGAIN) * 1e6)
    states = {state for state, _ in await batch_states(sqlite_database)}
    assert states <= {"failed", "open"}
    spent = await used(sqlite_database, home)
    assert (spent.tokens_out > 0) is (end == "expired" or "open" in states)
    assert {row.source for row in await mapping_rows(sqlite_database)} <= {"offline", "fallback"}
    assert len(stub.batches) <= 8


async def test_an_endpoint_without_batches_leaves_the_offline_mapping(
    sqlite_database: Database, stub: LlmStub, patient: Asker, clock: TestClock
) -> None:
    """It says 404; what was set aside is given back."""
    patient.endpoint.client = patient.endpoint.client.with_options(
        base_url=stub.base_url.replace("/v1", "/none")
    )
    home = await add_site(sqlite_database, *odd_names(3))
    await Mapper(sqlite_database, patient, clock).round()
    assert [state for state, _ in await batch_states(sqlite_database)] == ["failed"]
    assert await used(sqlite_database, home) == Cost()


@pytest.mark.parametrize("with_llm", [False, True])
async def test_the_job_runs_until_it_is_told_to_stop(
    sqlite_database: Database, stub: LlmStub, monkeypatch: pytest.MonkeyPatch, with_llm: bool
) -> None:
    """It finds new points by itself, with and without an LLM."""
    monkeypatch.setattr(jobs, "POLL", 0.01)
    await add_site(sqlite_database, "AHU-1 Supply Air Temperature")
    settings = CloudSettings(llm=settings_of(stub) if with_llm else None)
    task = asyncio.create_task(jobs.run(sqlite_database, settings, TestClock(NOW + 5)))
    async with asyncio.timeout(60):
        while not await mapping_rows(sqlite_database):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_trouble_of_the_mapping_breaks_no_question_off(
    sqlite_database: Database, stub: LlmStub, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database fails while an answer is waited for: mapping goes on, and so does the question."""
    asker = Waiting(sqlite_database, settings_of(stub), clock)
    asker.reached, asker.go = asyncio.Event(), asyncio.Event()
    failed = asyncio.Event()

    async def fail_once(session: ReadSession) -> Sequence[tuple[int, int]]:
        if asker.reached.is_set() and not failed.is_set():
            failed.set()
            raise OperationalError(None, {}, Exception("the server closed the connection"))
        return await stale_sites(session)

    monkeypatch.setattr(jobs, "POLL", 0.01)
    monkeypatch.setattr(jobs, "Asker", lambda *_: asker)
    monkeypatch.setattr(jobs, "stale_sites", fail_once)
    home = await add_site(sqlite_database, *odd_names(2))
    settings = CloudSettings(llm=settings_of(stub))
    task = asyncio.create_task(jobs.run(sqlite_database, settings, clock))
    await failed.wait()
    await add_points(sqlite_database, home, "AHU-1 Supply Air Temperature")
    clock.now += 10

    async def sources() -> list[str]:
        return [row.source for row in await mapping_rows(sqlite_database)]

    async def mapped() -> bool:
        return len(await sources()) == 3

    async def asked() -> bool:
        return await sources() == ["llm", "llm", "offline"]

    await eventually(mapped, "the mapping of what came")
    assert await sources() == ["offline"] * 3
    assert asker.begun == 1
    asker.go.set()
    await eventually(asked, "the answer")
    await ended(task)
