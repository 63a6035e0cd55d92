"""``plantroom-cloud alarm``: what an operator does by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from plantroom_cloud.cli import app
from plantroom_shared.errors import ConfigError
from support import servers
from support.api_world import Tenant, seed

Run = Callable[..., Result]


@pytest.fixture
def run(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on a database of its own, with a company in it."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'plantroom.db'}"
    (tmp_path / "plantroom.db").write_bytes(sqlite_template.read_bytes())
    monkeypatch.setenv("PLANTROOM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PLANTROOM_DATABASE", url)

    def runs(*words: str, given: str | None = None) -> Result:
        command = ["alarm", *words, "--company", "acme"]
        return CliRunner().invoke(app, command, input=given, catch_exceptions=True)

    return runs


@pytest.fixture
def acme(run: Run, tmp_path: Path) -> Tenant:
    """The company, with an alarm for every act."""
    del run

    async def make() -> Tenant:
        async with servers.opened(f"sqlite+aiosqlite:///{tmp_path / 'plantroom.db'}") as database:
            return await seed(database, "acme")

    return asyncio.run(make())


def _listed(run: Run, *words: str) -> list[Any]:
    answer = run(*words, "--json")
    assert answer.exit_code == 0, answer.output
    found: list[Any] = json.loads(answer.output)
    return found


def test_acts(run: Run, acme: Tenant) -> None:
    """Each act changes the alarm, says so, and stands in the history with who did it."""
    for words, state in (
        (("ack", "acknowledge", "--note", "seen"), "acknowledged"),
        (("reset", "reset"), "normal"),
        (("shelve", "shelve", "--minutes", "5", "--reason", "noisy"), "shelved"),
        (("unshelve", "unshelve"), "normal"),
        (("remove", "remove", "--reason", "rebuilt"), "out of service"),
        (("restore", "restore"), "normal"),
        (("assign", "", "--to", "Ada"), "unacknowledged"),
        (("note", "", "filter is ordered"), "unacknowledged"),
    ):
        command, key, *more = words
        alarm = str(acme.alarms[key])
        answer = run(command, alarm, *more)
        assert answer.exit_code == 0, answer.output
        assert answer.output == f"alarm {alarm} is {state}: acme\n"
        events = json.loads(run("show", alarm).output)["history"]
        assert events[0]["actor"].startswith("operator ")


def test_lists(run: Run, acme: Tenant) -> None:
    """Alarms, rules and receivers are listed as a table and as JSON."""
    assert len(_listed(run, "list", "--all")) > len(_listed(run, "list"))
    assert [row["id"] for row in _listed(run, "list", "--state", "shelved")] == [
        acme.alarms["unshelve"]
    ]
    assert "unacknowledged" in run("list").output
    assert _listed(run, "rule", "list")[0]["kind"] == "gateway"
    assert _listed(run, "receiver", "list")[0]["target"] == "acme@plant.example"
    figures = json.loads(run("figures", "--hours", "2").output)
    assert figures["standing"] == 2


def test_rules_and_receivers(run: Run, acme: Tenant, tmp_path: Path) -> None:
    """Rules and receivers are made from JSON, and deleted by number."""
    file = tmp_path / "rule.json"
    when = {"kind": "threshold", "points": acme.points, "compare": "above", "high": 8}
    file.write_text(json.dumps({"name": "warm", "when": when}))
    number = run("rule", "add", str(file)).output.strip()
    assert run("rule", "delete", number).output == f"rule {number} is deleted\n"
    hook = {"kind": "webhook", "name": "Hook", "target": "https://desk.example/x"}
    number, secret = run("receiver", "add", "-", given=json.dumps(hook)).output.split()
    assert secret.startswith("whsec_")
    deleted = run("receiver", "delete", number)
    assert deleted.output == f"receiver {number} is deleted\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("list", "--state", "odd"), "there is no state 'odd'"),
        (("show", "4711"), "there is no alarm 4711"),
        (("ack", "4711"), "there is no alarm 4711"),
        (("reset", "1"), "only what is latched"),
        (("shelve", "1", "--minutes", "5", "--reason", " "), "--reason: is empty"),
        (("rule", "add", "/none.json"), "/none.json: cannot be read"),
        (("rule", "delete", "4711"), "there is no alarm rule 4711"),
        (("receiver", "delete", "4711"), "there is no receiver 4711"),
    ],
)
def test_what_cannot_be(run: Run, acme: Tenant, words: tuple[str, ...], told: str) -> None:
    """A wrong command says what is wrong, and changes nothing."""
    before = _listed(run, "list", "--all")
    answer = run(*words)
    assert isinstance(answer.exception, ConfigError)
    assert told in str(answer.exception)
    assert _listed(run, "list", "--all") == before
    assert acme


@pytest.mark.parametrize(
    ("given", "told"), [("{", "is no JSON"), ('{"name": "x", "when": {"kind": "odd"}}', "when")]
)
def test_files_that_are_none(run: Run, acme: Tenant, given: str, told: str) -> None:
    """A file that is no rule is named with what is wrong in it."""
    answer = run("rule", "add", "-", given=given)
    assert isinstance(answer.exception, ConfigError)
    assert told in str(answer.exception)
    assert acme


def test_how_long_it_is_kept(run: Run, acme: Tenant) -> None:
    """Days are set and shown, and fewer than thirty are refused."""
    del acme
    assert run("keep").output == "1825 days\n"
    assert run("keep", "--days", "0").output == "for ever\n"
    assert run("keep", "--days", "400").output == "400 days\n"
    assert run("keep", "--inherit").output == "1825 days\n"
    assert isinstance(run("keep", "--days", "7").exception, ConfigError)
