"""The cache: whose value, how old, made by how many; with and without a second tier."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from plantroom_cloud.config import load_settings
from plantroom_cloud.db import Database
from plantroom_cloud.kit import figures
from plantroom_cloud.kit.cache import Cache, Lives, Shared
from plantroom_cloud.kit.caches import Caches
from plantroom_cloud.kit.redis_cache import RedisFar
from plantroom_shared.errors import ConfigError, Unavailable
from support.api_world import ONE_ENGINE, Tenant, client_of
from support.cloud_site import TestClock
from support.redis_server import Redis, running_redis

LIVES = Lives(fresh=5.0, stale=60.0, near=1.0)
SECOND = 1_000_000


class Source:
    """Makes values, and counts how often."""

    def __init__(self) -> None:
        self.value: str | None = "old"
        self.made = 0
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> str | None:
        value = self.value
        self.made += 1
        await self.gate.wait()
        if self.away:
            msg = "away"
            raise Unavailable(msg)
        return value


@pytest.fixture
def clock() -> TestClock:
    """A clock that moves when told."""
    return TestClock()


@pytest.fixture
def cache(clock: TestClock) -> Cache[str]:
    """A cache in memory alone."""
    return Cache("test", clock, LIVES, most=3)


async def test_a_value_is_made_once_until_it_is_old(cache: Cache[str], clock: TestClock) -> None:
    """And served to nobody a second longer than it may be."""
    source = Source()
    assert await cache.get(1, "k", source) == "old"
    source.value = "new"
    clock.now += 5 * SECOND - 1
    assert await cache.get(1, "k", source) == "old"
    clock.now += 1
    assert await cache.get(1, "k", source) == "new"
    assert source.made == 2


async def test_the_same_key_of_another_company_is_another(cache: Cache[str]) -> None:
    """The company is part of every key."""
    first, second = Source(), Source()
    second.value = "theirs"
    assert await cache.get(1, "k", first) == "old"
    assert await cache.get(2, "k", second) == "theirs"
    assert await cache.get(None, "k", first) == "old"
    assert (first.made, second.made) == (2, 1)


async def test_a_hundred_who_ask_at_once_have_it_made_once(cache: Cache[str]) -> None:
    """And one who goes away takes nobody's answer along."""
    source = Source()
    source.gate.clear()
    asking = [asyncio.create_task(cache.get(1, "k", source)) for _ in range(100)]
    while not source.made:
        await asyncio.sleep(0)
    asking[0].cancel()
    source.gate.set()
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == ["old"] * 99
    assert source.made == 1


@pytest.mark.parametrize("how", ["forget", "clear"])
async def test_what_is_forgotten_while_it_is_made_is_not_kept(cache: Cache[str], how: str) -> None:
    """Who asks afterwards does not get what was read before."""
    source = Source()
    source.gate.clear()
    early = asyncio.create_task(cache.get(1, "k", source, tags=("t",)))
    while not source.made:
        await asyncio.sleep(0)
    source.value = "new"
    if how == "clear":
        cache.clear()
    else:
        await cache.forget(1, "t")
    late = asyncio.create_task(cache.get(1, "k", source, tags=("t",)))
    await asyncio.sleep(0)
    source.gate.set()
    async with asyncio.timeout(30):
        assert (await early, await late) == ("old", "new")
    assert await cache.get(1, "k", source, tags=("t",)) == "new"
    assert source.made == 2


async def test_a_tag_is_forgotten_of_one_company_alone(cache: Cache[str]) -> None:
    """What bears another tag, or is another's, stays."""
    source = Source()
    for company, key, tag in ((1, "a", "t"), (1, "b", "u"), (2, "a", "t")):
        await cache.get(company, key, source, tags=(tag,))
    await cache.forget(1, "t")
    assert source.made == 3
    for company, key in ((1, "b"), (2, "a")):
        await cache.get(company, key, source)
    assert source.made == 3
    await cache.get(1, "a", source)
    assert source.made == 4


async def test_an_older_value_serves_where_making_fails(
    cache: Cache[str], clock: TestClock
) -> None:
    """For a minute; then the error is said. What fails in another way is always said."""
    source = Source()
    await cache.get(1, "k", source)
    source.away = True
    clock.now += 64 * SECOND
    assert await cache.get(1, "k", source) == "old"
    clock.now += SECOND
    with pytest.raises(Unavailable):
        await cache.get(1, "k", source)
    source.away = False
    assert await cache.get(1, "k", source) == "old"

    async def broken() -> str:
        raise ZeroDivisionError

    clock.now += 6 * SECOND
    with pytest.raises(ZeroDivisionError):
        await cache.get(1, "k", broken)


async def test_memory_is_bounded_and_nothing_is_not_kept(cache: Cache[str]) -> None:
    """The one goes that was not read for longest; that there is none is asked again."""
    source, none = Source(), Source()
    none.value = None
    for key in ("a", "b", "c", "a", "d"):
        await cache.get(1, key, source)
    assert len(cache) == 3
    assert source.made == 4
    await cache.get(1, "a", source)
    assert source.made == 4
    await cache.get(1, "b", source)
    assert source.made == 5
    for _ in range(2):
        assert await cache.get(1, "none", none) is None
    assert none.made == 2


async def test_without_a_life_nothing_is_kept_or_shared(clock: TestClock) -> None:
    """Two who ask at once each have it made: neither answer is older than its question."""
    cache, source = Cache[str]("test", clock, Lives(0)), Source()
    source.gate.clear()
    asking = [asyncio.create_task(cache.get(1, "k", source)) for _ in range(2)]
    while source.made < 2:
        await asyncio.sleep(0)
    source.gate.set()
    assert await asyncio.gather(*asking) == ["old", "old"]
    assert len(cache) == 0


class Coherence(RuleBasedStateMachine):
    """Whatever happens in whichever order: no answer is another company's, or older than it may be."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = TestClock()
        self.cache = Cache[tuple[int, int, int]]("test", self.clock, Lives(2.0, 1.0), most=4)
        self.truth: dict[tuple[int, int], int] = {}
        """Place → when it last changed."""

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        self.clock.now += round(seconds * SECOND)

    @rule(company=st.integers(1, 2), key=st.integers(0, 3), told=st.booleans())
    def change(self, company: int, key: int, told: bool) -> None:
        self.truth[company, key] = self.clock.now
        if told:
            asyncio.run(self.cache.forget(company, str(key)))

    @rule(company=st.integers(1, 2), key=st.integers(0, 3), away=st.booleans())
    def ask(self, company: int, key: int, away: bool) -> None:
        async def make() -> tuple[int, int, int]:
            if away:
                msg = "away"
                raise Unavailable(msg)
            return company, key, self.clock.now

        try:
            answer = asyncio.run(self.cache.get(company, str(key), make, tags=(str(key),)))
        except Unavailable:
            return
        assert answer is not None
        assert answer[:2] == (company, key)
        assert self.clock.now - answer[2] < (3 if away else 2) * SECOND

    @invariant()
    def bounded(self) -> None:
        assert len(self.cache) <= 4


TestCoherence = Coherence.TestCase
TestCoherence.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


# ---------------------------------------------------------------- with Redis


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """A Redis."""
    with running_redis() as running:
        yield running


@pytest.fixture
async def pair(
    redis: Redis, clock: TestClock, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Cache[str], Cache[str], Callable[[], Awaitable[None]]]]:
    """The same cache in two processes."""
    fars = [RedisFar(redis.url, request.node.name, clock, patience=20.0) for _ in range(2)]
    one, two = (Cache[str]("test", clock, LIVES, shared=Shared(far)) for far in fars)
    yield one, two, fars[0].ping
    for far in fars:
        await far.close()


async def test_what_one_process_made_another_has(
    pair: tuple[Cache[str], Cache[str], Callable[[], Awaitable[None]]], clock: TestClock
) -> None:
    """No longer than from when it was made; what is forgotten in one is old in the other soon."""
    one, two, _ = pair
    source = Source()
    assert await one.get(1, "k", source, tags=("t",)) == "old"
    assert await two.get(1, "k", source, tags=("t",)) == "old"
    assert source.made == 1
    source.value = "new"
    await one.forget(1, "t")
    assert await two.get(1, "k", source, tags=("t",)) == "old"  # within `near`
    clock.now += SECOND
    assert await two.get(1, "k", source, tags=("t",)) == "new"
    clock.now += 5 * SECOND
    assert source.made == 2
    assert await one.get(1, "k", source, tags=("t",)) == "new"
    assert source.made == 3
    assert await one.get(2, "k", source, tags=("t",)) == "new"
    assert source.made == 4


async def test_rubbish_in_redis_is_no_value(
    pair: tuple[Cache[str], Cache[str], Callable[[], Awaitable[None]]],
    redis: Redis,
    clock: TestClock,
    request: pytest.FixtureRequest,
) -> None:
    """Nor is a value from a clock that is wrong."""
    from redis.asyncio import Redis as Client

    one, _, _ = pair
    source, key = Source(), f"plantroom:cache:{request.node.name}:1:value:k"
    ahead = b"%d\n\n" % (clock.now + 3600 * SECOND)
    async with Client.from_url(redis.url) as client:
        for number, rubbish in enumerate((b"", b"x", b"1\n2", ahead + b'"x"', ahead + b"{"), 1):
            await client.set(key, rubbish)
            clock.now += 6 * SECOND
            assert await one.get(1, "k", source) == "old"
            assert source.made == number


async def test_without_redis_memory_does_alone(clock: TestClock) -> None:
    """It is asked three times, then left alone, and tried again after two seconds."""
    with running_redis() as redis:
        settings_ = load_settings(cache="redis", redis=redis.url)
        both = Caches(settings_, clock, patience=20.0)
        cache = both.of("things", LIVES)
        assert both.of("things", LIVES) is cache
        await both.ping()
        redis.kill()
        source = Source()
        for _ in range(4):
            assert await cache.get(1, "k", source, tags=("t",)) == "old"
            await cache.forget(1, "t")
        assert source.made == 4
        redis.start()
        clock.now += 2 * SECOND
        await both.ping()
        await cache.get(1, "k", source)
        await both.close()


async def test_what_is_very_large_stays_in_each_process(
    pair: tuple[Cache[str], Cache[str], Callable[[], Awaitable[None]]],
) -> None:
    """Redis is for what many ask for, not for files."""
    one, two, _ = pair
    source = Source()
    source.value = "x" * 1_000_001
    assert await one.get(1, "k", source) == await two.get(1, "k", source) == source.value
    assert source.made == 2


def test_a_redis_client_that_is_missing_is_said_at_the_start(
    clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match="install redis"):
        Caches(load_settings(cache="redis", redis="redis://127.0.0.1:1/0"), clock)


def test_a_cache_in_redis_needs_one() -> None:
    """The setting that is missing is named."""
    with pytest.raises(ConfigError, match="redis"):
        load_settings(cache="redis")


# ---------------------------------------------------------------- in use


@ONE_ENGINE
async def test_models_are_listed_from_memory_until_they_change(
    database: Database, client: httpx.AsyncClient, rival: Tenant, api: FastAPI
) -> None:
    """What is imported or deleted shows at once; another company never sees it."""

    def made() -> float:
        labels = {"cache": "thing-models", "answer": "made"}
        found = figures.REGISTRY.get_sample_value("plantroom_cache_lookups_total", labels)
        return found or 0.0

    async def listed(of: httpx.AsyncClient) -> set[str]:
        answer = await of.get("/v1/thing-models")
        return {item["model"] for item in answer.json()["items"]}

    before = made()
    assert "Fresh_Model" not in await listed(client)
    await listed(client)
    assert made() == before + 1
    body = {"models": {"Fresh_Model": {"x": {"type": "Double", "unit": "kW"}}}}
    assert (await client.post("/v1/thing-models/import", json=body)).status_code == 200
    assert "Fresh_Model" in await listed(client)
    async with client_of(api, headers=rival.headers) as other:
        assert "Fresh_Model" not in await listed(other)
    await client.delete("/v1/thing-models/Fresh_Model")
    assert "Fresh_Model" not in await listed(client)
