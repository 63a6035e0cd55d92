"""Deadlines, breakers, dependencies, limits of the database, draining: what holds when others do not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from plantroom_cloud.config import ResilienceSettings
from plantroom_cloud.db import Database
from plantroom_cloud.kit import figures
from plantroom_cloud.kit.breakers import Breaker, BreakerOpen, Manner
from plantroom_cloud.kit.deadlines import RequestDeadline
from plantroom_cloud.kit.dependencies import Dependency, standings
from plantroom_cloud.kit.middleware import LastResort, TraceId
from support.cloud_site import TestClock
from support.servers import Postgres


@pytest.fixture
async def slow() -> AsyncIterator[httpx.AsyncClient]:
    """An application that is too slow, behind a deadline of a twentieth of a second."""
    app = FastAPI()
    stopped = asyncio.Event()

    @app.get("/slow")
    @app.get("/files")
    async def wait() -> str:
        try:
            await stopped.wait()
        except asyncio.CancelledError:
            stopped.set()
            raise
        return "stopped"

    @app.get("/own")
    async def own() -> None:
        raise TimeoutError

    @app.get("/streams")
    async def stream() -> object:
        from starlette.responses import StreamingResponse

        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            await asyncio.sleep(0.2)
            yield b" and ended"

        return StreamingResponse(parts())

    longer = [(re.compile("/files"), 3600.0)]
    guarded = TraceId(LastResort(RequestDeadline(app, seconds=0.05, longer=longer)))
    transport = httpx.ASGITransport(guarded)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


async def test_what_takes_too_long_is_stopped_and_a_504(slow: httpx.AsyncClient) -> None:
    """The caller gets a problem with a code of its own, and nothing works on for nobody."""
    async with asyncio.timeout(60):
        answer = await slow.get("/slow")
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
        assert answer.json()["trace_id"] == answer.headers["x-trace-id"]
        # What waited was cancelled, or this would wait for ever.
        assert (await slow.get("/files")).json() == "stopped"


async def test_an_answer_that_has_begun_may_take_its_time(slow: httpx.AsyncClient) -> None:
    """The limit is that to the first byte; and a timeout of the application's own is a bug of it."""
    assert (await slow.get("/streams")).text == "begun and ended"
    with pytest.raises(TimeoutError):
        await slow.get("/own")


# ---------------------------------------------------------------- what is left alone


def _value(name: str, **labels: str) -> float:
    return figures.REGISTRY.get_sample_value(f"plantroom_{name}", labels) or 0.0


def test_a_breaker_says_how_long_and_is_counted() -> None:
    """Whoever comes while it is open is told when to come again, and the metrics have it all."""
    clock = TestClock()
    breaker = Breaker("resilience-test", clock, Manner(failures=2, pause=3.0))
    opened = _value("breaker_opened_total", breaker="resilience-test")
    breaker.check()
    breaker.failed()
    breaker.check()
    breaker.failed()
    assert breaker.state == "open"
    with pytest.raises(BreakerOpen) as caught:
        breaker.check()
    assert caught.value.retry_after == 3.0
    assert _value("breakers", breaker="resilience-test", state="open") == 1.0
    clock.now += 3_000_000
    assert breaker.state == "trying"
    breaker.check()
    with pytest.raises(BreakerOpen):
        breaker.check()
    breaker.worked()
    assert breaker.state == "closed"
    assert _value("breaker_opened_total", breaker="resilience-test") == opened + 1
    assert _value("breaker_refused_total", breaker="resilience-test") == 2.0
    del breaker, caught
    gc.collect()
    assert _value("breakers", breaker="resilience-test", state="closed") == 0.0


@pytest.mark.parametrize(
    ("error", "state", "standing"),
    [
        (None, "closed", "ok"),
        (ConnectionResetError, "open", "left_alone"),
        (LookupError, "closed", "ok"),
        (ValueError, "trying", "unknown"),
        (asyncio.CancelledError, "trying", "unknown"),
    ],
)
def test_an_attempt_says_how_it_went(
    error: type[BaseException] | None, state: str, standing: str
) -> None:
    """It worked, failed, worked for all that it raised, or said nothing: then the next may try."""
    clock = TestClock()
    breaker = Breaker("resilience-three", clock, Manner(failures=1, pause=1.0))
    told = Dependency("resilience-three", clock, breaker)
    breaker.failed()
    clock.now += 1_000_000
    breaker.check()

    def judge(raised: Exception) -> bool | None:
        return {ConnectionResetError: False, LookupError: True}.get(type(raised))

    with contextlib.suppress(*([error] if error else [])), breaker.attempt(told, judge):
        clock.now += 250_000
        if error is not None:
            raise error
    assert (breaker.state, told.standing.state) == (state, standing)
    assert told.standing.latency == (0.25 if standing == "ok" else None)
    assert state != "trying" or breaker.allow()


def test_a_dependency_says_how_it_was() -> None:
    """Unknown, well, failing, left alone; of several of one name the worst is told."""
    clock = TestClock()
    breaker = Breaker("resilience-two", clock, Manner(failures=1))
    one, two = Dependency("resilience", clock, breaker), Dependency("resilience", clock)
    assert one.standing.state == "unknown"
    with one.used(OSError):
        clock.now += 250_000
    assert (one.standing.state, one.standing.latency) == ("ok", 0.25)
    with pytest.raises(ConnectionResetError), one.used(OSError):
        raise ConnectionResetError
    assert (one.standing.state, one.standing.failure) == ("failing", "ConnectionResetError")
    with pytest.raises(KeyError), two.used(OSError):
        raise KeyError
    assert two.standing.state == "unknown"
    breaker.failed()
    assert [s.state for s in standings() if s.name == "resilience"] == ["left_alone"]


# ---------------------------------------------------------------- the database


async def test_a_statement_has_a_limit(postgres: Postgres) -> None:
    """PostgreSQL itself ends what takes longer; options that stand in the URL win."""
    limits = ResilienceSettings(statement=1.0, pool=1)
    with postgres.database() as url:
        database = Database(url, limits=limits)
        async with asyncio.timeout(60):
            with pytest.raises(OperationalError, match="statement timeout"):
                async with database.read(None) as session:
                    await session.execute(text("SELECT pg_sleep(3600)"))
            async with database.read(None) as session:
                assert await session.scalar(text("SHOW statement_timeout")) == "1s"
                connections = _value("database_connections", state="in_use")
                assert connections >= 1.0
        await database.close()
        database = Database(f"{url}&options=-c%20statement_timeout%3D7s", limits=limits)
        async with database.read(None) as session:
            assert await session.scalar(text("SHOW statement_timeout")) == "7s"
        await database.close()


async def test_waiting_for_the_lock_of_sqlite_has_a_limit(tmp_path: Path) -> None:
    """Who waits longer than a statement may take gets an error that can be tried again."""
    database = Database(
        f"sqlite+aiosqlite:///{tmp_path / 'x.db'}", limits=ResilienceSettings(statement=1)
    )
    async with asyncio.timeout(60):
        async with database.write(None) as session:
            assert (await session.execute(text("PRAGMA busy_timeout"))).scalar_one() == 1000
            with pytest.raises(OperationalError, match="locked"):
                async with database.write(None):
                    pass
    await database.close()
