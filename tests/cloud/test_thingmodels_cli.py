"""``plantroom-cloud models``: files and EnOS in, lists and findings out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from plantroom_cloud.config import CloudSettings, EnosTarget
from plantroom_cloud.db import Scope, open_database
from plantroom_cloud.migrations import migrate
from plantroom_cloud.publishing.enos import thing_models
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.tables import Company
from plantroom_cloud.thingmodels.repository import ThingModelRepository
from plantroom_shared.errors import Rejected
from support import enos_site
from support.cloud_command import Run, runner
from support.enos_site import CLOCK
from support.servers import as_owner

GOOD = {"models": {"Own": {"x": {"type": "INT"}}}}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """The settings of the service, to be written by `run`."""
    return {"data": str(tmp_path / "data")}


@pytest.fixture
def run(
    tmp_path: Path,
    config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command on a cloud in a folder of its own; return code, output and errors."""
    file = tmp_path / "cloud.yaml"

    ready = runner(file, monkeypatch, capsys)

    def call(*arguments: str) -> tuple[int, str, str]:
        file.write_text(yaml.safe_dump(config))
        return ready(*arguments)

    return call


@pytest.fixture
def company(run: Run) -> None:
    """A company called acme with a site."""
    assert run("company", "add", "acme")[0] == 0
    assert run("site", "add", "tower", "--company", "acme")[0] == 0


@pytest.mark.usefixtures("company")
def test_files_are_imported_and_listed(run: Run, tmp_path: Path) -> None:
    """What is wrong goes to the errors, with file, place and fix, and costs nothing else."""
    (tmp_path / "good.json").write_text(json.dumps(GOOD))
    bad = {"models": {"Bad": {"x": {"type": "?"}}, "Fine": {"x": {"type": "INT"}}}}
    (tmp_path / "bad.json").write_text(json.dumps(bad))
    files = [str(tmp_path / name) for name in ("good.json", "bad.json", "none.json")]
    code, out, err = run("models", "import", *files, "--company", "acme")
    assert code == 1
    assert out == "2 new, 0 changed, 0 as they were, 2 problems\n"
    assert "bad.json: models.Bad.measurepoints.x.dataType: '?' is no data type; use" in err
    assert "none.json: it cannot be read" in err
    code, out, _ = run("models", "import", files[0], "--company", "acme")
    assert (code, out) == (0, "0 new, 0 changed, 1 as they were, 0 problems\n")
    code, out, _ = run("models", "list", "--company", "acme")
    assert code == 0
    rows = {line.split()[1]: line.split() for line in out.splitlines() if len(line.split()) > 9}
    assert rows["Own"][-2] == "good.json"
    assert "EnOS_HVAC_AHU" in out


@pytest.mark.usefixtures("company")
@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("models", "import"), "give JSON files, or --enos"),
        (("models", "import", "x.json", "--enos"), "one of the two"),
        (("models", "import", "--enos", "--company", "acme"), "no EnOS in the settings"),
        (("models", "list", "--company", "nobody"), "company add nobody"),
        (("models", "check", "nowhere"), "site add nowhere"),
        (("models", "check", "tower", "--target", "x"), "enos, brick, haystack"),
    ],
)
def test_mistakes_end_with_code_2(run: Run, arguments: tuple[str, ...], part: str) -> None:
    """One line says what is wrong and what to do."""
    code, _, err = run(*arguments)
    assert code == 2
    assert part in err


@pytest.mark.usefixtures("company")
def test_a_site_is_checked(run: Run, tmp_path: Path) -> None:
    """Findings go out in lines or as JSON; an error makes the code 1."""
    assert run("models", "check", "tower")[:2] == (
        0,
        "0 points, 0 mapped, 0 fit; 0 pieces of equipment\n",
    )

    async def add() -> None:
        settings = CloudSettings(data=tmp_path / "data")
        database = open_database(settings)
        site = await enos_site.add_site(database, "rival", "west")
        await site.add_mapped("supply", unit="kilowatts")
        await site.add_mapped("other", unit="degrees-celsius", equipment="AHU-2")
        await database.close()

    asyncio.run(add())
    code, out, _ = run("models", "check", "west")
    assert code == 1
    assert "error   unit" in out
    assert out.endswith("2 points, 2 mapped, 1 fit; 2 pieces of equipment\n")
    code, out, _ = run("models", "check", "west", "--json")
    assert json.loads(out)["kinds"] == {"unit": 1}
    code, out, _ = run("models", "check", "west", "--target", "brick")
    assert (code, "0 mapped" in out) == (0, True)


# ---------------------------------------------------------------- EnOS


@pytest.fixture
def enos(config: dict[str, Any]) -> Iterator[Any]:
    """A simulated EnOS on a loop of its own, in the settings of acme."""
    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(1) as pool:
        serving = enos_site.running()
        simulator, addresses = pool.submit(loop.run_until_complete, serving.__aenter__()).result(60)
        running = pool.submit(loop.run_forever)
        target = enos_site.target_of(simulator.world, addresses)
        secret = target.app_secret.get_secret_value()
        config["enos"] = [target.model_dump() | {"app_secret": secret}]
        yield simulator
        loop.call_soon_threadsafe(loop.stop)
        running.result(60)
        pool.submit(loop.run_until_complete, serving.__aexit__(None, None, None)).result(60)
        loop.close()


@pytest.mark.usefixtures("company")
def test_models_come_from_enos(run: Run, enos: Any, tmp_path: Path) -> None:
    """All of the organisation's own, or those that are asked for; one that it lacks is told."""
    wanted = ("--model", "EnOS_HVAC_CH", "--model", "Nobody", "--company", "acme")
    code, out, err = run("models", "import", "--enos", *wanted)
    assert code == 1
    assert "Nobody: EnOS has no such model" in err
    assert out.startswith("1 new")
    code, out, err = run("models", "import", "--enos", "--company", "acme")
    assert (code, err) == (0, "")
    assert f"{len(enos.world.model_ids()) - 1} new, 0 changed, 1 as they were" in out

    async def stored() -> set[str]:
        database = open_database(CloudSettings(data=tmp_path / "data"))
        await migrate(database)
        async with as_owner(database).read() as session:
            owner = (
                await session.execute(select(Company.id).where(Company.slug == "acme"))
            ).scalar_one()
            models = await ThingModelRepository(session, Scope(owner)).current()
        await database.close()
        return {model.model_id for model in models}

    assert asyncio.run(stored()) == set(enos.world.model_ids())


async def test_pages_are_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """More models than fit in a page are all there; a refusal is no empty list."""
    monkeypatch.setattr(thing_models, "_PAGE", 2)
    async with enos_site.running() as (simulator, addresses):
        target: EnosTarget = enos_site.target_of(simulator.world, addresses)
        gateway = Gateway(target, CLOCK)
        try:
            found = await thing_models.fetch_models(gateway)
            assert [model["modelId"] for model in found] == simulator.world.model_ids()
            simulator.world.limits.page = 1
            with pytest.raises(Rejected):
                await thing_models.fetch_models(gateway)
        finally:
            await gateway.close()
