"""The routes and the command line of publishing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from plantroom_cloud.cli import app as cli
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, open_database
from plantroom_cloud.migrations import migrate
from plantroom_cloud.publishing import by_hand, jobs
from plantroom_cloud.tables import ApiKey, PublishPlan
from plantroom_shared.cancelling import ended
from plantroom_shared.errors import ConfigError
from support import enos_site
from support.api_world import ONE_ENGINE, Tenant
from support.servers import as_owner


async def put(client: httpx.AsyncClient, path: str, **body: Any) -> httpx.Response:
    return await client.post(f"/v1/sites/{path}", json=body)


async def states(database: Database) -> list[str]:
    async with as_owner(database).read() as session:
        return list(await session.scalars(select(PublishPlan.state).order_by(PublishPlan.id)))


async def test_the_status_says_what_waits(acme: Tenant, client: httpx.AsyncClient) -> None:
    """A site that was never published says so, with the newest plan."""
    body = (await client.get(f"/v1/sites/{acme.site}/publishing")).json()
    plan = body.pop("plan")
    assert body == {
        "kind": "enos",
        "site": acme.site,
        "enabled": False,
        "points": 0,
        "devices": 0,
        "devices_gone": 0,
        "due_points": 0,
        "due_from": None,
        "waiting": 0,
        "waiting_since": None,
        "counters": {},
    }
    assert plan["state"] == "made"


async def test_a_plan_is_asked_for_once(
    database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """Who asks while a plan is being made gets that one; the word for it must wait."""
    asked = [(await put(client, f"{acme.site}/publishing/plan")).json() for _ in range(2)]
    assert asked[0] == asked[1]
    assert asked[0]["asked_by"] == "first"
    assert await states(database) == ["made", "wanted"]
    answer = await put(client, f"{acme.site}/publishing/apply", plan=asked[0]["id"])
    assert (answer.status_code, answer.json()["code"]) == (409, "plan_not_made")
    newest = (await client.get(f"/v1/sites/{acme.site}/publishing/plan")).json()
    assert newest == asked[0]


async def test_the_word_is_given_once(
    database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """A plan is approved by name, with what is left out; a second word changes nothing."""
    first = await put(client, f"{acme.site}/publishing/apply", leave_out=["create_device CH1"])
    assert first.json()["state"] == "approved"
    assert first.json()["left_out"] == ["create_device CH1"]
    second = await put(client, f"{acme.site}/publishing/apply")
    assert second.json() == first.json()
    assert await states(database) == ["approved"]


async def test_no_plan_no_word(
    database: Database, acme: Tenant, rival: Tenant, client: httpx.AsyncClient
) -> None:
    """A plan that is not there, or another company's, cannot be carried out."""
    async with as_owner(database).read() as session:
        theirs = await session.scalar(
            select(PublishPlan.id).where(PublishPlan.company_id == rival.company)
        )
    for plan in (theirs, 999_999):
        answer = await put(client, f"{acme.site}/publishing/apply", plan=plan)
        assert answer.status_code == 404
    assert await states(database) == ["made", "made"]


@ONE_ENGINE
async def test_a_key_that_may_not_write_gives_no_word(
    database: Database, acme: Tenant, client: httpx.AsyncClient
) -> None:
    """Looking needs a key; asking and the word need one that may give commands."""
    async with as_owner(database).write() as session:
        await session.execute(update(ApiKey).values(scopes=["viewer"]))
    for path in ("plan", "apply"):
        assert (await put(client, f"{acme.site}/publishing/{path}")).status_code == 403
    assert (await client.get(f"/v1/sites/{acme.site}/publishing/plan")).status_code == 200


# ------------------------------------------------------------ command line and job


@asynccontextmanager
async def working(folder: Path) -> AsyncIterator[CloudSettings]:
    """Yield the settings of a company with a mapped point, whose worker runs."""
    async with enos_site.running() as (simulator, addresses):
        target = enos_site.target_of(simulator.world, addresses)
        settings = CloudSettings(data=folder, enos=(target,))
        database = open_database(settings)
        await migrate(database)
        site = await enos_site.add_site(database)
        await site.add_mapped("t")
        job = asyncio.ensure_future(jobs.run(database, settings, enos_site.CLOCK))
        try:
            yield settings
        finally:
            job.cancel()
            await ended(job)
            await database.close()


async def test_plans_by_hand(tmp_path: Path) -> None:
    """The command line asks the running worker for a plan, gives the word and sees it done."""
    async with working(tmp_path) as settings, asyncio.timeout(60):
        made = await asyncio.to_thread(by_hand.plan, settings, "acme", "tower", 30.0)
        assert made["state"] == "made"
        done = await asyncio.to_thread(
            by_hand.apply, settings, "acme", "tower", made["id"], [], 30.0
        )
        assert done["state"] == "done"
        again = await asyncio.to_thread(by_hand.plan, settings, "acme", "tower", 30.0)
        assert again["steps"] == []
        status = await asyncio.to_thread(by_hand.status, settings, "acme", "tower")
        assert (status["enabled"], status["points"], status["devices"]) == (True, 1, 1)
        with pytest.raises(ConfigError, match="has no site 'cellar'"):
            await asyncio.to_thread(by_hand.status, settings, "acme", "cellar")
        with pytest.raises(ConfigError, match="no such plan"):
            await asyncio.to_thread(by_hand.apply, settings, "acme", "tower", 99, [], 1.0)


def test_the_commands_print_what_is_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a worker a plan is asked for and said to wait; the status is JSON."""
    monkeypatch.setenv("PLANTROOM_DATA", str(tmp_path))

    def run(*words: str) -> str:
        cli(list(words), standalone_mode=False)
        return capsys.readouterr().out

    run("company", "add", "acme")
    run("site", "add", "tower", "--company", "acme")
    said = run("publish", "plan", "tower", "--company", "acme", "--wait", "0")
    assert "(wanted)" in said
    assert "running?" in said
    status = json.loads(run("publish", "status", "tower", "--company", "acme"))
    assert status["plan"].endswith("(wanted)")
    with pytest.raises(ConfigError, match="not made yet"):
        run("publish", "apply", "tower", "--company", "acme", "--plan", "1", "--wait", "0")
    asyncio.run(_made(tmp_path))
    words = ("publish", "apply", "tower", "--company", "acme", "--wait", "0")
    said = run(*words, "--leave-out", "y")
    assert "import_model M (by hand, in EnOS)" in said
    assert json.loads(run(*words, "--json"))["left_out"] == ["y"]


async def _made(folder: Path) -> None:
    """Make the plan that was asked for."""
    database = open_database(CloudSettings(data=folder))
    step = {"id": "import_model M", "action": "import_model", "subject": "M", "why": "w"}
    marks = {"details": {}, "by_hand": True, "new": False, "instead_of": ""}
    async with as_owner(database).write() as session:
        values = {"state": "made", "made_us": 1, "steps": [step | marks]}
        await session.execute(update(PublishPlan).values(**values))
    await database.close()
