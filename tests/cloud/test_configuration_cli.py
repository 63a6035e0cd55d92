"""``plantroom-cloud config``: what an operator reads, wants and is told, on both engines."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from support import servers
from support.api_world import Tenant, seed
from support.cloud_command import Run, cloud_in, runner

BUS = {"name": "power", "driver": "modbus", "host": "10.0.0.7"}


@pytest.fixture
def acme(database_url: str, tmp_path: Path) -> Tenant:
    """A company with a gateway that runs something."""

    async def make() -> Tenant:
        async with servers.opened(database_url) as database:
            return await seed(database, "acme")

    return asyncio.run(make())


@pytest.fixture
def run(
    acme: Tenant,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs ``config`` for that company."""
    monkeypatch.setenv("PLANTROOM_DATABASE", database_url)
    command = runner(cloud_in(tmp_path), monkeypatch, capsys)
    return lambda *words: command("config", *words, "--company", "acme")


def written(folder: Path, text: str) -> str:
    file = folder / "wanted.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def told(run: Run, *words: str) -> str:
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    return out


def refused(run: Run, *words: str) -> str:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("plantroom-cloud: ")
    return err


def test_a_version_is_put_compared_and_staged(run: Run, acme: Tenant, tmp_path: Path) -> None:
    """What a gateway runs is edited, kept as a version, compared and staged; each is shown."""
    gateway = acme.gateway
    assert yaml.safe_load(told(run, "get", gateway)) == {"site": "tower"}
    site = {"gateway": gateway, "site": "tower", "buses": [BUS], "buffer": {"commit_ms": 5}}
    file = written(tmp_path, yaml.safe_dump(site))
    assert told(run, "put", gateway, file, "--why", "a meter came") == "2\n"
    kept = yaml.safe_load(told(run, "get", gateway, "2"))
    assert kept == {"site": "tower", "buses": [BUS]}

    assert told(run, "diff", gateway, "1", "2") == "bus power added: modbus\n"
    assert told(run, "diff", gateway, "2", "2") == "they are the same\n"
    newest, first = told(run, "versions", gateway).splitlines()
    assert newest.split("\t")[0] == "2"
    assert newest.endswith("\ta meter came")
    assert first.split("\t")[0] == "1"

    staged = json.loads(told(run, "stage", gateway, "2", "--why", "now"))
    assert (staged["version"], staged["state"], staged["why"]) == (2, "staged", "now")
    assert staged["actor"].startswith("operator ")
    shown = json.loads(told(run, "show", gateway))
    assert shown["newest"]["number"] == 2
    assert shown["desired"]["id"] == staged["id"]


def test_points_that_would_go_away_are_said_and_need_force(
    run: Run, acme: Tenant, tmp_path: Path
) -> None:
    """Without a word, nobody takes a fifth of the points of a gateway away."""
    bus = {"name": "air", "driver": "bacnet", "devices": [{"instance": 1001}]}
    with_bus = written(tmp_path, yaml.safe_dump({"buses": [bus]}))
    assert told(run, "put", acme.gateway, with_bus) == "2\n"
    assert told(run, "put", acme.gateway, written(tmp_path, "buses: []")) == "3\n"
    assert told(run, "diff", acme.gateway, "2", "3").splitlines() == [
        "bus air removed: 1 device",
        "2 of 5 known points would go away",
    ]


def test_a_rollout_goes_to_all_or_to_those_named(run: Run, acme: Tenant, tmp_path: Path) -> None:
    """All of the company get their newest versions, those that are named one's copy."""
    all_of_them = json.loads(told(run, "rollout", "--waves", "1,5", "--why", "spring"))
    assert [one["gateway"] for one in all_of_them["assignments"]] == [acme.gateway]
    assert (all_of_them["why"], all_of_them["patience_s"]) == ("spring", 3600)

    copy = ("--copy", f"{acme.gateway}:1", "--most-failed", "2", "--patience", "60")
    named = json.loads(told(run, "rollout", acme.gateway, *copy))
    assert (named["most_failed"], named["patience_s"]) == (2, 60)
    # Whose version it is gets no copy of it.
    assert told(run, "versions", acme.gateway).count("\n") == 1
    assert json.loads(told(run, "rollout-show", named["id"])) == named


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("show", "gw-none"), "there is no gateway gw-none"),
        (("versions", "gw-none"), "there is no gateway gw-none"),
        (("get", "{}", "7"), "has no version 7"),
        (("get", "{}", "newest"), "name a version by its number, or `running`"),
        (("stage", "{}", "9" * 30), "has no version 999"),
        (("rollout", "--waves", "1,x"), "--waves: '1,x' are no sizes; write them as 1,5,20"),
        (("rollout", "--waves", "0"), "--waves: '0' are no sizes"),
        (("rollout", "--copy", "7"), "--copy: '7' names no version; write it as GATEWAY:3"),
        (("rollout", "--copy", "{}:" + "9" * 30), "has no version 999"),
        (("rollout-show", "r-none"), "there is no rollout r-none"),
    ],
)  # fmt: skip
def test_what_there_is_none_of(run: Run, acme: Tenant, words: tuple[str, ...], text: str) -> None:
    """Whoever names what is not there is told so, and what to write."""
    assert text in refused(run, *(word.format(acme.gateway) for word in words))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("- a list", "it must be a mapping of sections; write one or more of: site, buses"),
        ("a: [", "it cannot be read"),
        ("name: x", "document: is empty; name one or more of: site, buses"),
        ("buses: 7", "buses: must be a list of entries with `name` and `driver`"),
        ("site: tower\nbuses: [{1: x}]", "document: has what JSON has not"),
        ("site: tower\nbuses: [{name: a, driver: b, since: 2026-01-31}]", "document: has what JSON has not"),
        (f"site: tower\nbuses: [{{name: a, driver: b, n: {'9' * 30}}}]", "document: has what JSON has not"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_configuration(
    run: Run, acme: Tenant, tmp_path: Path, content: str, text: str
) -> None:
    """What no gateway takes is refused, with what is wrong with it; nothing is kept."""
    assert text in refused(run, "put", acme.gateway, written(tmp_path, content))
    assert told(run, "versions", acme.gateway).count("\n") == 1


def test_a_file_that_is_not_there(run: Run, acme: Tenant, tmp_path: Path) -> None:
    """The file is named, and the fix."""
    file = tmp_path / "none.yaml"
    error = refused(run, "put", acme.gateway, str(file))
    assert f"{file}: it cannot be read: " in error
    assert error.endswith("; name a YAML file\n")
