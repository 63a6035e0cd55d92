"""``plantroom-cloud review``: keys and what they ask for, the screen, and the command as a whole."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from demo.terminal import Terminal
from plantroom_cloud.db import Database
from plantroom_cloud.review.screen import render
from plantroom_cloud.review.view import View, Wish
from support.cloud_command import Run, cloud_in, runner
from support.review_site import put_site

ZONE, DAMPER = "Zone_Air_Temperature_Sensor", "Damper_Position_Sensor"
PROMISES = [
    {"precision": 0.95, "points": 62, "share": 0.62, "min_confidence": 0.8},
    {"precision": 0.9, "points": 0, "share": 0.0, "min_confidence": None},
]
OVERVIEW = {"points": 1000, "decided": 300, "ruled": 100, "open": 600, "open_templates": 3}
OVERVIEW |= {"expected_wrong": 12.3, "promises": PROMISES}  # type: ignore[dict-item]


def row(template: str, point_class: str = ZONE, **more: Any) -> dict[str, Any]:
    """Return a template of the queue."""
    about = {"name": template.upper(), "equip_class": "Variable_Air_Volume_Box", "points": 6}
    about |= {"unit": "", "object_type": "", "states": "", "description": "", "also": {}}
    about |= {"worth": 2.5, "confidence": 0.7, "source": "offline", "state": "open"}
    about |= {"template": template, "point_class": point_class, "example": "VAV-1"}
    return about | more


def why(own: dict[str, Any], *candidates: str) -> dict[str, Any]:
    """Return why a template means what it does."""
    sample = {"name": "VAV-1 ZN-T", "equipment": "VAV-1", "value": 21.5, "unit": "degC"}
    sample |= {"description": "zone\x1b[2Jtemp", "evidence": ["zn = Zone", "t = Temperature"]}
    event = {"at": "2026-01-31T12:00:00Z", "actor": "anna", "action": "defer", "point_class": ""}
    found = {"point_class": DAMPER, "confidence": 0.7, "source": "offline", "evidence": []}
    return {
        "template": own,
        "found": found,
        "candidates": list(candidates),
        "rule": "",
        "samples": [sample],
        "history": [event | {"undone": True}],
    }


def filled(*rows: dict[str, Any]) -> View:
    """Return a view of a queue, of three templates if none are given."""
    view = View("tower")
    view.take(OVERVIEW, list(rows) or [row("a"), row("b", DAMPER), row("c", "", confidence=None)])
    view.why = why(dict(view.queue[0]), ZONE, DAMPER)
    return view


def drawn(view: View, width: int = 120, height: int = 30) -> str:
    """Return the screen as text."""
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None)
    console.print(render(view, width, height))
    return out.getvalue()


def test_an_answer_is_for_what_is_under_the_cursor() -> None:
    """Accept, choose, reject, put off; what has no proposal cannot be accepted."""
    view = filled()
    assert view.press("enter") == Wish("answer", ("a",), "accept")
    assert view.press("2") == Wish("answer", ("a",), "correct", DAMPER)
    assert view.press("x") == Wish("answer", ("a",), "reject")
    assert view.press("3") is None  # there are two
    assert view.press("") is None
    assert view.press("end") == Wish("look")
    assert view.press("enter") is None
    assert "choose a class" in view.trouble
    assert view.press("d") == Wish("answer", ("c",), "defer")
    assert view.choices == []  # of another template


def test_an_answer_is_for_all_that_is_marked() -> None:
    """One by one or all of a class; after the answer nothing is marked."""
    view = filled(row("a"), row("b", DAMPER), row("c"))
    assert view.press(" ") == Wish("look")
    assert view.press(" ") == Wish("look")
    assert view.press("a") == Wish("answer", ("a", "b"), "accept")
    view.marked.clear()
    assert view.press("*") is None
    assert view.press("x") == Wish("answer", ("a", "c"), "reject")
    done = {"changed": 12, "decided": 2, "undone": "", "forgotten": ["x"], "open": 1}
    view.did(done | {"learned": ['in VAV: "A" means X', "other"]})
    assert view.told == '2 decided · 12 points changed · learned: in VAV: "A" means X and 1 more · 1 rules gone'  # fmt: skip
    assert not view.marked
    view.did(done | {"undone": "r1", "learned": [], "forgotten": []})
    assert view.told == "taken back · 12 points changed"


def test_a_class_is_searched_by_its_words() -> None:
    """Any of Brick's: what is near comes first, arrows choose, escape leaves it."""
    view = filled()
    view.press("/")
    for key in ("z", "n", "backspace", "o", "n", "e", " ", "h", "u", "m"):
        view.press(key)
    assert view.found == ["Zone_Air_Humidity_Sensor", "Zone_Air_Humidity_Setpoint"]
    assert "Zone_Air_Humidity_Sensor" in drawn(view)
    view.press("down")
    view.press("down")
    assert view.press("enter") == Wish("answer", ("a",), "correct", "Zone_Air_Humidity_Setpoint")
    view.press("/")
    assert view.found[:2] == [ZONE, DAMPER]
    for key in "qqq":
        view.press(key)
    assert view.press("enter") is None
    assert "no class has all these words" in drawn(view)
    assert view.press("escape") is None
    assert view.mode == "queue"


def test_all_that_is_sure_is_accepted_after_a_question() -> None:
    """The question states share, points and precision; anything but yes is no."""
    view = filled()
    assert view.press("A") is None
    assert "Accept 62% of the open points (62) at 95% precision, all from 80% on?" in drawn(view)
    assert view.press("n") is None
    view.press("A")
    assert view.press("y") == Wish("accept_all")
    view.take(OVERVIEW | {"promises": []}, view.queue)
    assert view.press("A") is None
    assert "nothing is sure enough" in view.trouble
    assert "Nothing is sure enough" in drawn(view)


def test_the_screen_shows_progress_queue_and_why() -> None:
    """How far it is, what is next, evidence, classes with keys, values; nothing moves the cursor."""
    view = filled(row("a", also={DAMPER: 2, "": 1}), row("b", state="deferred"))
    shown = drawn(view, 150)
    for words in (
        "40% of 1,000 points settled", "3 templates open", "about 12 points wrong",
        "62% of the open points (62) at 95% precision", "VAV", "zn = Zone, t = Temperature",
        f"1 {ZONE}", f"2 {DAMPER}", "21.5 degC", "anna: defer", "(taken back)", "enter accept",
        f"the mapper by itself says {DAMPER}", f"{DAMPER} (2), nothing (1)", "(+2)",
    ):  # fmt: skip
        assert words in shown, words
    assert "zone\ufffd[2Jtemp" in shown
    assert "every template is decided" in drawn(_empty())


def _empty() -> View:
    view = View("tower")
    assert "plantroom review" in drawn(view)
    view.take(OVERVIEW, [])
    assert view.press("enter") is None
    return view


@pytest.mark.parametrize(("width", "height"), [(40, 10), (80, 24), (200, 60)])
def test_the_screen_fits_every_window(width: int, height: int) -> None:
    """However many templates there are, and wherever the cursor is."""
    view = filled(*(row(f"t{number}") for number in range(100)))
    for key in ("end", "up", "page up", "home", "down"):
        view.press(key)
        text = drawn(view, width, height)
        assert view.current is not None
        assert str(view.current["name"])[:4] in text
        if height > 12:
            assert text.count("\n") <= height


def test_text_is_read_by_the_page() -> None:
    """Rules and history: keys move, e edits the rules, q goes back."""
    view = filled()
    assert [view.press(key) for key in "RHeuq"] == [
        Wish("rules"), Wish("history"), Wish("edit"), Wish("undo"), Wish("quit"),
    ]  # fmt: skip
    view.read("rules", [f"line {number}" for number in range(50)])
    view.press("page down", 10)
    assert "line 10" in drawn(view)
    assert "line 9\n" not in drawn(view)
    assert view.press("e") == Wish("edit")
    view.read("who decided what", ["one"])
    assert view.press("e") is None
    assert view.press("q") is None
    assert view.mode == "queue"


# ---------------------------------------------------------------- the command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a cloud with a mapped site."""
    return cloud_in(tmp_path).parent


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; return code, output and errors."""
    call = runner(folder / "cloud.yaml", monkeypatch, capsys)
    assert call("migrate")[0] == 0
    asyncio.run(_fill(folder))
    return call


async def _fill(folder: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{folder / 'data' / 'plantroom.db'}")
    try:
        await put_site(database)
    finally:
        await database.close()


def test_piped_the_queue_is_a_table(run: Run) -> None:
    """A line per template, cells parted by tabs; what it amounts to stands on standard error."""
    code, out, err = run("review", "tower")
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert lines[0][:4] == ["template", "points", "worth", "name"]
    assert len(lines) == 7
    assert {len(line) for line in lines} == {len(lines[0])}
    assert "0 of 28 points decided, 6 templates open" in err
    assert "of the open points" in err
    assert json.loads(run("review", "tower", "--json")[1])["overview"]["points"] == 28


def test_decisions_without_a_terminal(run: Run, folder: Path) -> None:
    """Accept what is sure, take it back, edit rules as text, read who did what."""
    said = run("review", "tower", "--accept-from", "0.9")[1]
    counted = re.search(r"(\d+) decided, (\d+) points changed, (\d+) templates open", said)
    assert counted is not None
    decided, changed, left = map(int, counted.groups())
    assert 0 < decided < changed
    assert decided + left == 6
    assert "taken back, 0 decided" in run("review", "tower", "--undo")[1]
    rules = folder / "rules.txt"
    rules.write_text('in VAV: "QXZW" means Zone_Air_Temperature_Sensor\n')
    assert "6 points changed" in run("review", "tower", "--rules", str(rules))[1]
    assert run("review", "tower", "--show-rules")[1] == rules.read_text()
    assert (
        json.loads(run("review", "tower", "--show-rules", "--json")[1])["items"][0]["points"] == 6
    )
    actions = [line.split("\t")[2] for line in run("review", "tower", "--history")[1].splitlines()]
    assert actions == ["rule", "undo"] + decided * ["accept"]
    history = json.loads(run("review", "tower", "--history", "--json")[1])
    assert [event["undone"] for event in history] == [False, False] + decided * [True]
    done = json.loads(run("review", "tower", "--undo", "--json")[1])
    assert done["changed"] == 6


def test_what_is_wrong_is_said(run: Run, folder: Path) -> None:
    """An unknown site or state, nothing to take back, rules that cannot be read: code 2."""
    bad = folder / "bad.txt"
    bad.write_text("nonsense\n")
    for arguments, told in (
        (("nowhere",), "there is no site 'nowhere'"),
        (("tower", "--state", "x"), "there is no state 'x'"),
        (("tower", "--undo"), "nothing was decided"),
        (("tower", "--rules", str(bad)), "line 1: write it as"),
        (("tower", "--rules", str(folder)), "cannot be read"),
    ):
        code, _, err = run("review", *arguments)
        assert code == 2, arguments
        assert told in err


def test_on_a_terminal(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose a class, take it back, edit the rules, look at the history, stop and go on."""
    editor = folder / "editor.sh"
    editor.write_text('#!/bin/sh\necho \'in AHU: "QXZW" means Alarm\' >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    command = [sys.executable, "-m", "plantroom_cloud", "--config", "cloud.yaml", "review", "tower"]
    terminal = Terminal(command, folder)
    see = functools.partial(terminal.until, seconds=120)  # a start may take long on a busy machine
    try:
        see("0% of 28 points settled", "6 templates open", "QXZW", "VAV-1 QXZW")
        terminal.press("/")
        see("words of its name")
        terminal.press("zone air hum sens\r")
        see("1 decided", "6 points changed", "5 templates open")
        terminal.press("u")
        see("taken back", "6 templates open")
        terminal.press("x")
        see("nothing is proposed")
        terminal.press("e")
        see("2 points changed")
        terminal.press("R")
        see('in AHU: "QXZW" means Alarm')
        terminal.press("q")
        see("enter accept")
        terminal.press("H")
        see("(taken back)", "operator")
        terminal.press("q")
        see("enter accept")
        terminal.press("A")
        see("at 95% precision", "y / n")
        terminal.press("y")
        see("decided", "points changed", "templates open")
        terminal.press("\x03")
        see("templates are open")
        assert terminal.end(120) == 0
    finally:
        terminal.close()
    overview = json.loads(run("review", "tower", "--json")[1])["overview"]
    assert overview["decided"] > 0
    assert "\x1b[?1049l" in terminal.raw  # back from the alternate screen
