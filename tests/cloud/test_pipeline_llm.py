"""The stage ``analyse``: what the LLM is asked for a job, and what a job does without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import Response
from pydantic import SecretStr

from plantroom_cloud.config import LlmSettings
from plantroom_cloud.db import Database
from plantroom_cloud.mapping.llm import Asker
from plantroom_cloud.pipeline import stages
from plantroom_cloud.pipeline.steps import Means
from plantroom_cloud.pipeline.work import Worker
from support.api_world import ONE_ENGINE, Stopped
from support.mapping_llm_stub import LlmStub, choose, running
from support.pipeline_world import drain, job_of, rows_of

ODD = b"point_name\n" + b"".join(f"AHU-{n} QX {'abcdefgh'[n]}zv\n".encode() for n in range(8))
"""Eight names that nobody can class: a question each."""


@pytest.fixture
async def stub() -> AsyncIterator[LlmStub]:
    """An endpoint that finds the same class everywhere."""
    async with running(LlmStub(choose(lambda point: point["choices"][0]))) as opened:
        yield opened


@pytest.fixture
async def asker(database: Database, stub: LlmStub, clock: Stopped) -> AsyncIterator[Asker]:
    """Its client."""
    settings = LlmSettings(base_url=stub.base_url, model="m", api_key=SecretStr("k"), deadline=20)
    opened = Asker(database, settings, clock)
    yield opened
    await opened.close()


async def upload(client: httpx.AsyncClient, **params: Any) -> str:
    headers = {"Content-Type": "text/csv"}
    answer = await client.post("/v1/jobs", content=ODD, headers=headers, params=params)
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


@ONE_ENGINE
async def test_answers_become_rows_and_are_not_asked_twice(
    *,
    database: Database,
    client: httpx.AsyncClient,
    clock: Stopped,
    stub: LlmStub,
    asker: Asker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Questions are cut into chunks, each asked once; a second job knows the answers."""
    monkeypatch.setattr(stages, "QUESTIONS", 3)
    worker = Worker(Means(database, clock, asker), 30.0)
    job = await upload(client)
    assert await drain(worker) == 1 + 3 + 1 + 1
    shown = await job_of(client, job)
    analysed = next(one for one in shown["stages"] if one["stage"] == "analyse")
    assert (analysed["chunks"], analysed["points"], analysed["done"]) == (3, 8, 8)
    rows = await rows_of(client, job)
    assert {row["source"] for row in rows} == {"llm"}
    assert all(row["point_class"] for row in rows)
    assert len(stub.asked) == 8
    again = await upload(client)
    await drain(worker)
    assert len(stub.asked) == 8
    assert [row["point_class"] for row in await rows_of(client, again)] == [
        row["point_class"] for row in rows
    ]


@ONE_ENGINE
async def test_an_endpoint_that_is_down_costs_its_answers_only(
    database: Database,
    client: httpx.AsyncClient,
    clock: Stopped,
    stub: LlmStub,
    asker: Asker,
) -> None:
    """The job is done in the same shape, with the offline classes; so it is without any LLM."""
    stub.answer = lambda _: Response(status_code=400)
    for means, source in (
        (Means(database, clock, asker), "fallback"),
        (Means(database, clock), "offline"),
    ):
        job = await upload(client)
        await drain(Worker(means, 30.0))
        shown = await job_of(client, job)
        assert (shown["state"], shown["progress"]) == ("done", 1.0)
        assert {row["source"] for row in await rows_of(client, job)} == {source}


@ONE_ENGINE
async def test_a_job_may_do_without(
    database: Database, client: httpx.AsyncClient, clock: Stopped, stub: LlmStub, asker: Asker
) -> None:
    """Told so at its start, it asks nobody."""
    job = await upload(client, llm="false")
    await drain(Worker(Means(database, clock, asker), 30.0))
    assert (await job_of(client, job))["options"] == {"llm": False}
    assert stub.requests == []
