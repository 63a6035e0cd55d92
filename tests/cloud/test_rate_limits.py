"""So often and no oftener: buckets, headers, and a flood that is nobody else's trouble."""

from __future__ import annotations

import math

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.app import create_app
from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_cloud.config_api import ApiSettings, RateLimit
from plantroom_cloud.conventions.buckets import Bucket, MemoryBuckets
from plantroom_cloud.conventions.limiting import network
from plantroom_cloud.db import Database
from plantroom_shared.errors import ConfigError
from support.api_sql import listening
from support.api_world import Stopped, Tenant, client_of

SECOND = 1_000_000


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """No SQL of these tests differs."""
    return sqlite_database


def limited(database: Database, clock: Stopped, **limits: RateLimit | None) -> FastAPI:
    """Return the application with `limits` and no others."""
    none = {"per_key": None, "per_company": None, "per_address": None}
    return create_app(CloudSettings(api=ApiSettings(**none | limits)), database, clock=clock)


async def statuses(client: httpx.AsyncClient, count: int, path: str = "/v1/sites") -> list[int]:
    """Return the status of each of so many requests."""
    return [(await client.get(path)).status_code for _ in range(count)]


async def test_headers_tell_how_one_stands(
    database: Database, clock: Stopped, acme: Tenant
) -> None:
    """Each answer tells what is left; the one too many says when to come back, and then may."""
    app = limited(
        database,
        clock,
        per_key=RateLimit(rate=0.5, burst=3),
        per_company=RateLimit(rate=10, burst=50),
    )
    async with client_of(app, headers=acme.headers) as client:
        first = await client.get("/v1/sites")
        assert first.headers["ratelimit-policy"] == '"key";q=3;w=6, "company";q=50;w=5'
        assert first.headers["ratelimit"] == '"key";r=2;t=2, "company";r=49;t=1'
        assert await statuses(client, 3) == [200, 200, 429]
        refused = await client.get("/v1/sites")
        assert refused.json()["code"] == "rate_limited"
        assert refused.headers["retry-after"] == "2"
        assert '"key";r=0' in refused.headers["ratelimit"]
        assert '"company";r=47' in refused.headers["ratelimit"], "what is refused costs nothing"
        clock.now += 2 * SECOND
        assert await statuses(client, 2) == [200, 429]


async def test_a_flood_of_one_company_is_its_own(
    database: Database, clock: Stopped, acme: Tenant, rival: Tenant
) -> None:
    """Ten times too much of one company: another gets every answer, and the flood asks nothing."""
    app = limited(database, clock, per_company=RateLimit(rate=1, burst=20))
    async with (
        client_of(app, headers=acme.headers) as flood,
        client_of(app, headers=rival.headers) as calm,
    ):
        assert await statuses(flood, 20) == [200] * 20
        calm_ones: list[int] = []
        with listening(database) as heard:
            for _ in range(20):
                assert await statuses(flood, 10) == [429] * 10
            assert heard == []
            calm_ones += await statuses(calm, 20)
        assert calm_ones == [200] * 20


async def test_keys_of_a_company_share_its_bucket(
    database: Database, clock: Stopped, acme: Tenant
) -> None:
    """The company's bucket is one, whichever way the key is sent."""
    app = limited(database, clock, per_company=RateLimit(rate=1, burst=4))
    async with client_of(app) as client:
        bearer, header = acme.headers, {"X-API-Key": acme.key}
        found = [
            (await client.get("/v1/sites", headers=headers)).status_code
            for headers in (bearer, header) * 3
        ]
    assert found == [200] * 4 + [429] * 2


async def test_an_address_is_limited_before_it_is_known(
    database: Database, clock: Stopped, acme: Tenant
) -> None:
    """Guesses of keys run out too, without a look into the database; probes never do."""
    app = limited(database, clock, per_address=RateLimit(rate=1, burst=5))
    async with client_of(app, headers={"X-API-Key": "pk_guess"}) as client:
        assert await statuses(client, 5) == [401] * 5
        with listening(database) as heard:
            assert await statuses(client, 20) == [429] * 20
        assert heard == []
        assert await statuses(client, 10, "/livez") == [200] * 10


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unix", "unix"),
    ],
)
def test_what_is_one_address(address: str, whose: str) -> None:
    """A house has a /64: its addresses are one; an IPv4 address is itself however it is written."""
    assert network(address) == whose


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=100),
)
async def test_never_more_than_burst_and_rate(rate: float, burst: int, gaps: list[float]) -> None:
    """However requests come, no stretch of time lets through more than the limit says."""
    buckets, now, passed = MemoryBuckets(), 1000.0, []
    bucket = Bucket("key", "x", RateLimit(rate=rate, burst=burst))
    for gap in gaps:
        now += gap
        (level,) = await buckets.take([bucket], now)
        if level.wait == 0:
            passed.append(now)
        else:
            (later,) = await MemoryBuckets().take([bucket], now)
            assert later.wait == 0
            assert 0 < level.wait <= 1 / rate + 1e-6
    for i, start in enumerate(passed):
        for j in range(i, len(passed)):
            assert j - i + 1 <= burst + rate * (passed[j] - start) + 1e-3
    assert len(passed) >= min(burst, len(gaps))


async def test_buckets_are_bounded() -> None:
    """A million callers take the room of a few; those that are emptiest are remembered."""
    buckets = MemoryBuckets(most=100)
    limit = RateLimit(rate=1, burst=5)
    for _ in range(5):
        await buckets.take([Bucket("key", "greedy", limit)], 0.0)
    for number in range(1000):
        await buckets.take([Bucket("key", str(number), limit)], 0.0)
    assert len(buckets._full_at) <= 101
    (level,) = await buckets.take([Bucket("key", "greedy", limit)], 0.0)
    assert math.isclose(level.wait, 1.0)
    for number in range(200):
        await buckets.take([Bucket("key", f"later {number}", limit)], 100.0)
    assert len(buckets._full_at) <= 101


@pytest.mark.parametrize("origin", ["*", "https://*", "console.example", "https://a.example/x"])
def test_origins_are_spelled_out(origin: str) -> None:
    """Only whole origins may be allowed; the error names the setting."""
    with pytest.raises(ConfigError) as caught:
        load_settings(api={"cors": [origin]})
    assert "api.cors" in str(caught.value)
