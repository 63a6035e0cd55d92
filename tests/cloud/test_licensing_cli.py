"""Licences and features at the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cloud_command import Run, cloud_in, runner


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on a cloud in a folder of its own; return code, output and errors."""
    return runner(cloud_in(tmp_path), monkeypatch, capsys)


def test_a_licence_by_hand(run: Run, tmp_path: Path) -> None:
    """Given, shown, suspended, taken away; what is beyond it is refused with code 1."""
    run("company", "add", "acme")
    assert "nothing is limited" in run("licence", "show", "acme")[1]
    options = ("--plan", "basic", "--limit", "sites=1", "--limit", "points=1000:900")
    assert run("licence", "set", "acme", *options, "--until", "2999-01-31")[0] == 0
    assert run("site", "add", "one", "--company", "acme")[0] == 0
    code, _, err = run("site", "add", "two", "--company", "acme")
    assert (code, "'basic' allows 1 sites" in err) == (1, True)
    shown = run("licence", "show", "acme")[1].splitlines()
    assert shown[0] == "plan basic, active, until 2999-01-31"
    assert shown[1:] == ["sites: 1 of 1, reached", "points: 0 of 1000, ok"]
    assert run("licence", "status", "acme", "suspended")[0] == 0
    assert "nothing is published: licence suspended" in run("licence", "show", "acme")[1]
    gateway = "gw-plant-room-9"
    run("licence", "status", "acme", "active")
    assert run("gateway", "add", "one", gateway, "--out", str(tmp_path / "gw"))[0] == 0
    run("licence", "status", "acme", "suspended")
    assert "publishing pauses: licence suspended" in run("account", gateway)[1]
    assert run("licence", "set", "acme", "--plan", "big", "--limit", "users=:9")[0] == 0
    assert "users: 0 of any number, ok" in run("licence", "show", "acme")[1]
    used = run("licence", "usage", "acme", "--days", "2")[1].splitlines()
    assert (len(used), "samples 0" in used[0], "llm_tokens 0" in used[2]) == (3, True, True)
    assert run("licence", "remove", "acme")[0] == 0
    assert run("site", "add", "two", "--company", "acme")[0] == 0


def test_features_by_hand(run: Run) -> None:
    """Switched off and on, and left to their default."""
    run("company", "add", "acme")
    assert run("feature", "off", "acme", "llm")[0] == 0
    assert "llm: off (by operator" in run("feature", "list", "acme")[1]
    assert run("feature", "on", "acme", "llm")[0] == 0
    assert run("feature", "reset", "acme", "llm")[0] == 0
    assert "llm: on (by default; mapping)" in run("feature", "list", "acme")[1]


MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("licence", "set", "none", "--plan", "x"), "no company"),
    (("licence", "set", "acme", "--plan", "own"), "plan"),
    (("licence", "set", "acme", "--plan", "No Plan"), "a-z"),
    (("licence", "set", "acme", "--plan", "x", "--limit", "moons=1"), "sites"),
    (
        ("licence", "set", "acme", "--plan", "x", "--limit", "sites=1", "--limit", "sites=2"),
        "twice",
    ),
    (("licence", "set", "acme", "--plan", "x", "--status", "odd"), "past_due"),
    (("licence", "set", "acme", "--plan", "x", "--until", "soon"), "2026-01-31"),
    (("licence", "set", "acme", "--plan", "x", "--until", "1999-01-31"), "later"),
    (("licence", "set", "acme", "--plan", "x", "--from", "2999-01-31"), "begins"),
    (("licence", "status", "acme", "active"), "licence set"),
    (("feature", "on", "acme", "telepathy"), "llm"),
]


def test_mistakes_end_with_code_2(run: Run) -> None:
    """One line says what is wrong and what to do."""
    run("company", "add", "acme")
    for arguments, part in MISTAKES:
        code, _, err = run(*arguments)
        assert (code, part in err, len(err.splitlines())) == (2, True, 1), (arguments, err)
