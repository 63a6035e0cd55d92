"""``plantroom-cloud job``: what it prints, what it changes, and the code it ends with."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from demo.enos_sim import discovery as simulated
from plantroom_cloud import cli
from plantroom_cloud.db import Database
from plantroom_cloud.pipeline.claims import Claim, Result
from plantroom_cloud.pipeline.steps import STEPS, Means
from plantroom_cloud.pipeline.work import Worker
from plantroom_cloud.tables import Company
from plantroom_shared.clock import SystemClock
from support import enos_site
from support.api_world import NOW
from support.pipeline_world import add_site, drain, point_list
from support.servers import as_owner

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on a cloud with a company `acme`; return code, output and errors."""
    (tmp_path / "cloud.yaml").write_text(yaml.safe_dump({"data": str(tmp_path / "data")}))
    (tmp_path / "list.csv").write_bytes(point_list(2, 1))

    def call(*arguments: str) -> tuple[int, str, str]:
        head = ["plantroom-cloud", "--config", str(tmp_path / "cloud.yaml")]
        monkeypatch.setattr("sys.argv", [*head, *arguments])
        try:
            code = cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    assert call("company", "add", "acme")[0] == 0
    return call


@pytest.fixture
def listed(tmp_path: Path) -> str:
    """A point list of two buildings."""
    return str(tmp_path / "list.csv")


def work(folder: Path, do: Callable[[Database], Any] | None = None) -> Any:
    """Do all there is to do, or something else, in the database of `folder`."""

    async def drained() -> Any:
        database = Database(f"sqlite+aiosqlite:///{folder / 'data' / 'plantroom.db'}")
        try:
            if do is not None:
                return await do(database)
            return await drain(Worker(Means(database, SystemClock()), 30.0))
        finally:
            await database.close()

    return asyncio.run(drained())


def job(run: Run, *command: str) -> tuple[int, str, str]:
    return run("job", *command, "--company", "acme")


def test_a_list_from_start_to_result(run: Run, listed: str, tmp_path: Path) -> None:
    """Started, looked at, done, and written as CSV with every point."""
    code, out, _ = job(run, "start", listed, "--key", "k")
    assert (code, out[:2], len(out.strip())) == (0, "j-", 34)
    ident = out.strip()
    assert job(run, "start", listed, "--key", "k")[1] == out
    shown = json.loads(job(run, "status", ident, "--json")[1])
    assert (shown["state"], shown["points"]) == ("queued", 14)
    assert work(tmp_path) == 8
    code, out, _ = job(run, "status", ident)
    assert code == 0
    assert f"{ident}: done, 14 points of 2 buildings" in out
    assert "at 95% precision" in out
    assert ident in job(run, "list")[1]
    result = tmp_path / "out.csv"
    assert job(run, "result", ident, "--out", str(result))[0] == 0
    with result.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    assert rows[0]["building"] == "house 0"
    assert rows[0]["point_type"] == "Supply_Air_Temperature_Sensor"


def test_sites_by_their_slugs(run: Run, tmp_path: Path) -> None:
    """A job over one site, and over all; without publishing where that is asked for."""

    async def two_sites(database: Database) -> None:
        async with as_owner(database).read() as session:
            company = await session.scalar(select(Company.id).where(Company.slug == "acme"))
        assert company is not None
        for slug in ("one", "two"):
            await add_site(database, company, slug, 1, NOW)

    work(tmp_path, two_sites)
    one = job(run, "start", "--site", "two")[1].strip()
    every = job(run, "start", "--no-publish")[1].strip()
    work(tmp_path)
    shown = [json.loads(job(run, "status", ident, "--json")[1]) for ident in (one, every)]
    assert [each["buildings"] for each in shown] == [1, 2]
    assert [each["stages"][-1]["state"] for each in shown] == ["done", "skipped"]
    code, _, err = job(run, "start", "--site", "three")
    assert (code, "choose among: one, two" in err) == (2, True)


def test_an_edge_from_start_to_result(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started by its asset id; the CSV says of every row which object of which device it is."""
    monkeypatch.setattr(simulated, "DEVICES", 3)
    enos: dict[str, Any] = {"company": "acme", "apigw": "http://127.0.0.1:1", "org_id": "o"}
    enos |= {"integration": "http://127.0.0.1:1", "app_key": "k", "app_secret": "s"}
    settings = {"data": str(tmp_path / "data"), "enos": [enos]}
    (tmp_path / "cloud.yaml").write_text(yaml.safe_dump(settings))
    net = simulated.NETS[0]
    code, out, _ = job(run, "start", "--edge", simulated.EDGE, "--net", net, "--key", "k")
    assert code == 0
    assert job(run, "start", "--edge", simulated.EDGE, "--net", net, "--key", "k")[1] == out

    async def search(database: Database) -> None:
        async with enos_site.running() as (simulator, addresses):
            target = enos_site.target_of(simulator.world, addresses, edge_poll=0.002)
            await drain(Worker(Means(database, SystemClock(), enos={"acme": target}), 30.0))

    work(tmp_path, search)
    shown = json.loads(job(run, "status", out.strip(), "--json")[1])
    assert (shown["source"], shown["state"], shown["points"]) == ("edges", "done", 24)
    result = tmp_path / "out.csv"
    assert job(run, "result", out.strip(), "--out", str(result))[0] == 0
    with result.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = {
        (int(row["device_instance"]), row["object_type"], int(row["object_instance"])): row
        for row in rows
    }
    found = [row for at in range(3) for row in simulated.found_points(1000 + at)]
    for point in found:
        row = names.pop((point["otDeviceInst"], point["objectType"], point["objectInst"]))
        assert row["point_name"] == point["objectName"]
        assert row["building"] == simulated.EDGE
    assert names == {}


def test_edges_that_are_refused(run: Run, listed: str) -> None:
    """Without an EnOS, with something else beside it, or by no id: what to do is said, no job made."""
    for command, said in (
        (("--edge", "e"), "company acme has no EnOS in the settings; add an entry for it"),
        (("--edge", "e", "--site", "s"), "jobs of their own"),
        ((listed, "--edge", "e"), "jobs of their own"),
        (("--net", "n"), "which Edge"),
        (("--edge", "a b"), "asset id of the Edge"),
        (("--edge", "e", "--net", "\x01"), "net: "),
        (sum((("--edge", f"e{number}") for number in range(101)), ()), "more than 100 Edges"),
    ):
        code, _, err = job(run, "start", *command)
        assert (code, said in err) == (2, True), (command, err)
    assert job(run, "list")[1].count("j-") == 0


def test_cancel_resume_and_watch(
    run: Run, listed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was cancelled does not end well for who watches; resumed, it does."""
    ident = job(run, "start", listed)[1].strip()
    assert job(run, "cancel", ident)[0] == 0
    code, out, _ = job(run, "watch", ident)
    assert (code, "cancelled" in out) == (1, True)
    assert job(run, "resume", ident)[0] == 0
    looks: list[float] = []

    def meanwhile(seconds: float) -> None:
        looks.append(seconds)
        work(tmp_path)

    monkeypatch.setattr("time.sleep", meanwhile)
    code, out, _ = job(run, "watch", ident)
    assert (code, len(looks)) == (0, 1)
    assert f"{ident}: done" in out
    code, _, err = job(run, "cancel", ident)
    assert (code, "nothing to cancel" in err) == (2, True)
    code, out, _ = job(run, "start", listed, "--watch")
    assert (code, out.count("done") > 1) == (0, True)


def test_troubles_are_shown(run: Run, listed: str, tmp_path: Path) -> None:
    """A chunk that failed says where and why."""
    ident = job(run, "start", listed)[1].strip()

    async def fails(means: Means, claim: Claim) -> Result:
        msg = "too odd a name"
        raise ValueError(msg)

    async def once(database: Database) -> None:
        worker = Worker(Means(database, SystemClock()), 30.0, {**STEPS, "group": fails})
        assert await worker.step()

    work(tmp_path, once)
    out = job(run, "status", ident)[1]
    assert "building 0, group: waiting, try 1: ValueError: too odd a name" in out


def test_what_is_wrong_is_said(run: Run, listed: str, tmp_path: Path) -> None:
    """Exit code 2 with the fix, and nothing is started."""
    (tmp_path / "other.csv").write_text("name\nx\n")
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(32 * 2**20 + 1)
    wrong = [
        (("start", str(tmp_path / "none.csv")), "No such file"),
        (("start", str(tmp_path / "other.csv")), "point_name"),
        (("start", str(tmp_path / "large.csv")), "split it by building"),
        (("start", listed, "--site", "one"), "jobs of their own"),
        (("start",), "there is no site yet"),
        (("status", "j-1"), "there is no job j-1"),
        (("result", "j-1", "--out", "x"), "there is no job j-1"),
        (("cancel", "j-1"), "there is no job j-1"),
    ]
    for command, part in wrong:
        code, _, err = job(run, *command)
        assert (command, code, part in err) == (command, 2, True), err
    ident = job(run, "start", listed)[1].strip()
    code, _, err = job(run, "result", ident, "--out", str(tmp_path / "no" / "out.csv"))
    assert (code, "--out" in err) == (2, True)
    code, _, err = run("job", "worker")
    assert (code, "jobs: celery" in err) == (2, True)
