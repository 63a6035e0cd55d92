"""``plantroom-cloud llm`` and the API: what asking would cost is shown before anybody asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import httpx
import pytest
from typer.testing import CliRunner

from plantroom_cloud.cli import app
from plantroom_cloud.config import CloudSettings, LlmSettings
from plantroom_cloud.db import Database, open_database
from plantroom_cloud.migrations import migrate
from plantroom_shared.errors import ConfigError
from support.api_world import ONE_ENGINE, Tenant, client_of
from support.mapping_llm_site import add_site, mapping_rows, odd_names
from support.mapping_llm_stub import LlmStub, choose, running

T = TypeVar("T")


@pytest.fixture
def stub() -> Iterator[LlmStub]:
    """An endpoint in a thread of its own: the command line has its own loop."""
    endpoint = LlmStub(choose(lambda _: "CO2_Sensor"))
    loop = asyncio.new_event_loop()
    ready, stop = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with running(endpoint):
            ready.set()
            await stop.wait()

    thread = Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    asyncio.run_coroutine_threadsafe(ready.wait(), loop).result(timeout=60)
    yield endpoint
    loop.call_soon_threadsafe(stop.set)
    thread.join(timeout=60)
    loop.close()


class Place:
    """A folder with a database and settings."""

    def __init__(self, folder: Path) -> None:
        self.settings = CloudSettings(data=folder / "data")
        self.file = folder / "cloud.yaml"
        self.configure({})

    def configure(self, llm: dict[str, Any]) -> None:
        """Write the settings file."""
        told: dict[str, Any] = {"data": str(self.settings.data)}
        if llm:
            told["llm"] = llm
        self.file.write_text(json.dumps(told), encoding="utf-8")

    def within(self, action: Callable[[Database], Awaitable[T]]) -> T:
        """Run `action` in the database."""

        async def work() -> T:
            database = open_database(self.settings)
            try:
                await migrate(database)
                return await action(database)
            finally:
                await database.close()

        return asyncio.run(work())

    def run(self, *arguments: str, typed: str = "") -> str:
        """Run the command and return what it says; errors of settings are raised."""
        result = CliRunner().invoke(
            app, ["--config", str(self.file), "llm", *arguments], input=typed
        )
        if isinstance(result.exception, ConfigError):
            raise result.exception
        assert result.exit_code in {0, 1}, result.output
        return result.output


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A database with a site of 25 unsure points."""
    made = Place(tmp_path)
    made.within(lambda db: add_site(db, *odd_names(25), "AHU-1 Supply Air Temperature"))
    return made


PRICES = [{"model": "m", "since": "2026-01-01", "input": 1.0, "output": 4.0}]


def test_without_an_llm_it_says_so(place: Place) -> None:
    """Everything else works; asking is a matter of settings."""
    assert "offline mapping stands alone" in place.run("estimate", "--company", "acme")
    assert "offline mapping stands alone" in place.run("usage", "--company", "acme")
    told = json.loads(place.run("estimate", "--company", "acme", "--json"))
    assert (told["configured"], told["points"], told["templates"]) == (False, 26, 0)
    with pytest.raises(ConfigError, match="PLANTROOM_LLM__BASE_URL"):
        place.run("ask", "tower", "--company", "acme")


def test_the_estimate_comes_before_the_start(place: Place, stub: LlmStub) -> None:
    """Nothing is asked until somebody says yes; a second time there is nothing to ask."""
    place.configure({"base_url": stub.base_url, "model": "m", "prices": PRICES})
    shown = place.run("estimate", "--company", "acme", "--site", "tower")
    assert "26 points: 25 templates (25 points) to ask, 0 known; est. 2 calls" in shown
    assert "USD at the price of 2026-01-01" in shown
    assert "25 templates" in place.run("ask", "tower", "--company", "acme", typed="n\n")
    assert stub.requests == []
    done = place.run("ask", "tower", "--company", "acme", typed="y\n")
    assert "25 templates answered, 25 points changed" in done
    assert len(stub.requests) == 2
    assert "nothing to ask (25 templates are known)" in place.run(
        "ask", "tower", "--company", "acme"
    )
    used = json.loads(place.run("usage", "--company", "acme", "--json"))
    assert used["counters"]["llm_calls"] == 2
    assert used["spending"]["money"] > 0
    assert used["sources"] == {"llm": 25, "offline": 1}
    assert "llm_calls        2" in place.run("usage", "--company", "acme")
    assert len(place.within(mapping_rows)) == 26


def test_a_plan_beyond_the_budget_is_said_and_stopped(place: Place, stub: LlmStub) -> None:
    """The estimate warns; the start stops at the budget, and says what stays as it is."""
    place.configure({"base_url": stub.base_url, "model": "m", "budgets": {"acme": {"tokens": 10}}})
    shown = place.run("ask", "tower", "--company", "acme", "--yes")
    assert "no price is configured; MORE THAN THE BUDGET HAS LEFT" in shown
    assert "25 stay with the offline mapping: the company's budget is used up" in shown
    assert stub.requests == []


def test_a_batch_is_left_with_the_endpoint(place: Place, stub: LlmStub) -> None:
    """The command does not wait for it."""
    stub.batch_ends = None
    place.configure({"base_url": stub.base_url, "model": "m"})
    assert "the worker collects" in place.run("ask", "tower", "--company", "acme", "--batch", "-y")
    assert len(stub.batches) == 1


@ONE_ENGINE
async def test_the_api_says_that_no_llm_is_configured(client: httpx.AsyncClient) -> None:
    """Status and estimate answer all the same."""
    status = (await client.get("/v1/llm")).json()
    assert (status["configured"], status["model"], status["trust"]) == (False, "", None)
    plan = (await client.get("/v1/llm/estimate")).json()
    assert plan["configured"] is False
    assert (plan["calls"], plan["fits_budget"]) == (0, True)
    assert plan["points"] > 0


async def test_the_api_shows_the_estimate_and_the_budget(
    database: Database, acme: Tenant, rival: Tenant
) -> None:
    """A company's plan counts its own points and its own budget."""
    from plantroom_cloud.app import create_app

    llm = LlmSettings.model_validate(
        {"base_url": "http://127.0.0.1:9/v1", "model": "m", "prices": PRICES,
         "budgets": {"acme": {"money": 0.0}}}
    )  # fmt: skip
    api = create_app(CloudSettings(llm=llm), database)
    for tenant, fits in ((acme, False), (rival, True)):
        async with client_of(api, headers=tenant.headers) as client:
            plan = (await client.get("/v1/llm/estimate", params={"site": tenant.site})).json()
            assert plan["configured"] is True
            assert plan["points_asked"] <= plan["points"]
            assert plan["templates"] > 0
            assert (plan["currency"], plan["fits_budget"]) == ("USD", fits)
            status = (await client.get("/v1/llm")).json()
            assert status["trust"] == 0.7
            assert status["spending"]["tokens"] == 0
