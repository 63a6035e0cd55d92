"""The command line: what it prints, what it changes, and the code it ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plantroom_cloud import cli
from plantroom_cloud.db import Database
from plantroom_cloud.ingest.store import Store
from plantroom_shared.errors import Unavailable
from support import cloud_site as site
from support.cloud_command import Run, cloud_in, runner
from support.cloud_site import GATEWAY, TestClock


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on a cloud in a folder of its own; return code, output and errors."""
    return runner(cloud_in(tmp_path), monkeypatch, capsys)


def test_a_gateway_from_nothing(run: Run, tmp_path: Path) -> None:
    """Company, site, gateway and key, each with one command."""
    assert run("migrate")[:2] == (0, "the database is up to date\n")
    assert run("company", "add", "acme", "--name", "Acme Ltd")[0] == 0
    assert run("site", "add", "tower", "--company", "acme", "--timezone", "Asia/Tokyo")[0] == 0
    code, out, _ = run("gateway", "add", "tower", GATEWAY, "--out", str(tmp_path / "gw"))
    assert code == 0
    assert GATEWAY in out
    assert (tmp_path / "gw" / "gateway.key").exists()
    code, out, _ = run("key", "add", "acme", "--name", "for a test")
    assert (code, out[:3], len(out)) == (0, "pk_", 47)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("company", "add", "No Slug"), "slug"),
        (("key", "add", "nobody"), "company add nobody"),
        (("site", "add", "x", "--company", "nobody"), "company"),
        (("gateway", "add", "nowhere", GATEWAY, "--out", "x"), "site add nowhere"),
        (("account", GATEWAY), "no gateway"),
        (("account", GATEWAY, "--stream", "all"), "tel or evt"),
        (("broker", "--engine", "rabbit"), "embedded"),
    ],
)
def test_mistakes_end_with_code_2(run: Run, arguments: tuple[str, ...], part: str) -> None:
    """One line says what is wrong and what to do; there is no trace."""
    code, _, err = run(*arguments)
    assert code == 2
    assert part in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1


def test_wrong_settings_end_with_code_2(run: Run, tmp_path: Path) -> None:
    """File and key are named."""
    (tmp_path / "cloud.yaml").write_text("api_prot: 1")
    code, _, err = run("migrate")
    assert code == 2
    assert "cloud.yaml: api_prot" in err


def test_other_trouble_ends_with_code_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may pass by itself is no mistake in the settings."""

    async def away(_: Database) -> None:
        msg = "the database is away"
        raise Unavailable(msg)

    monkeypatch.setattr(cli, "bring_up_to_date", away)
    code, _, err = run("migrate")
    assert (code, err) == (1, "plantroom-cloud: the database is away\n")


async def _fill(folder: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{folder / 'data' / 'plantroom.db'}")
    await site.add_home(database)
    store = Store(database, TestClock())
    await store.store([site.inv(site.dictionary(1)), site.tel(1, 5)])
    await database.close()


def test_account(run: Run, tmp_path: Path) -> None:
    """As a table for people and as JSON for programs; code 1 says that it does not balance."""
    import asyncio
    import sqlite3

    run("migrate")
    asyncio.run(_fill(tmp_path))
    code, out, _ = run("account", GATEWAY)
    assert code == 0
    assert "on edge" in out
    code, out, _ = run("account", GATEWAY, "--json")
    books = json.loads(out)
    assert (code, books["accepted"], books["stored"], books["balanced"]) == (0, 5, 5, True)
    with sqlite3.connect(tmp_path / "data" / "plantroom.db") as connection:
        connection.execute("UPDATE stream_total SET stored = 4")
    assert run("account", GATEWAY, "--json")[0] == 1


def test_help_names_every_command(run: Run) -> None:
    """Without a command it says what there is."""
    _, out, err = run("--help")
    for name in ("serve", "api", "ingest", "worker", "broker", "migrate", "account", "gateway"):
        assert name in out + err


@pytest.mark.parametrize("parts", [("api",), ("api", "ingest", "worker"), ("ingest",)])
def test_the_api_alone_runs_on_libuv(
    parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else runs in a process stays on asyncio's own loop; so does all where it is missing."""
    made = cli.loop_of(parts)
    assert (made is not None) == (parts == ("api",))
    if made is not None:
        loop = made()
        loop.close()
        assert type(loop).__module__.startswith("uvloop")
    monkeypatch.setattr(cli, "find_spec", lambda _name: None)
    assert cli.loop_of(parts) is None
