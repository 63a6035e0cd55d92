"""The live table: what keys do to it, pure and on a terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from demo.terminal import Terminal
from plantroom_edge.preview_view import SORTS, View, age_text, value_text
from plantroom_shared.terminal import decode
from support import edge_agent, edge_child

NOW = 1_800_000_000_000_000


def row(point: str, **more: Any) -> dict[str, Any]:
    plain = {
        "bus": "b",
        "device": "modbus:m",
        "device_name": "meter",
        "interval": 1.0,
        "point": point,
        "name": point.upper(),
        "unit": "kW",
        "states": (),
        "class": "",
        "type": "holding",
        "value": 1.5,
        "ts": NOW - 2_000_000,
        "quality": "good",
        "reason": "",
        "equipment": "",
    }
    return plain | more


ROWS = [
    row("a", value=3.0, ts=NOW - 9_000_000),
    row("b", value=None, quality="bad", reason="timeout", ts=NOW - 5_000_000),
    row("c", value="text", quality="uncertain", equipment="AHU-1"),
    row("d", value=None, quality="", reason="not read yet", ts=None),
]


def points(view: View) -> str:
    return "".join(one["point"] for one in view.shown())


def drawn(view: View, width: int = 90, height: int = 20) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None)
    console.print(view.render(width, height))
    return out.getvalue()


def filled(**more: Any) -> View:
    view = View(**more)
    view.take([dict(one) for one in ROWS], NOW)
    return view


def test_keys_sort_and_choose() -> None:
    """The key s goes through the orders, b leaves what is not good, g puts equipment first."""
    view = filled()
    orders = []
    for _ in SORTS:
        orders.append((view.sort, points(view)))
        view.press("s")
    assert orders == [
        ("place", "abcd"),
        ("name", "abcd"),
        ("value", "abdc"),
        ("age", "dabc"),
        ("quality", "bcda"),
    ]
    assert view.sort == "place"
    view.press("g")
    assert points(view) == "cabd"
    assert "AHU-1" in drawn(view)
    view.press("b")
    assert points(view) == "cbd"
    assert "only bad" in drawn(view)


def test_a_filter_is_typed() -> None:
    """Letters narrow what is shown, enter keeps that, escape drops it; s is a letter then."""
    view = filled()
    for key in ("/", "t", "i", "s"):
        view.press(key)
    assert view.filter == "tis"
    view.press("backspace")
    assert points(view) == "b"
    assert "/ti" in drawn(view)
    view.press("enter")
    assert (view.typing, view.sort) == (False, "place")
    assert "/ti" in drawn(view)
    view.press("escape")
    assert points(view) == "abcd"
    view.press("/")
    view.press("x")
    view.press("escape")
    assert (view.typing, view.filter) == (False, "")


def test_it_moves_within_what_there_is() -> None:
    """Arrows and pages move, and never beyond the ends."""
    view = View()
    view.take([row(f"p{i:03}") for i in range(50)], NOW)
    assert "P000" in drawn(view)
    for key in ("down", "j", "up", "page down"):
        view.press(key)
    assert "P000" not in drawn(view)
    view.press("end")
    assert "P049" in drawn(view, height=5)
    view.press("home")
    view.press("k")
    assert "P000" in drawn(view)
    assert "1 s" not in drawn(View())
    view.press("q")
    assert view.ended


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["/", "s", "b", "g", "a", "up", "end", "enter", "escape", "x"])))
def test_any_keys_leave_a_screen(keys: list[str]) -> None:
    """Whatever is pressed, the table can be drawn on the smallest screen."""
    view = filled()
    for key in keys:
        view.press(key)
        assert drawn(view, 20, 5)


def test_names_from_the_field_move_nothing() -> None:
    """Markup and escape sequences in names are text; trouble is shown below."""
    view = View()
    view.take([row("a", name="[red]x[/]\x1b[2J", device_name="[b]")], NOW, "no answer: m")
    text = drawn(view)
    assert "[red]x[/]" in text
    assert "\x1b[2J" not in text
    assert "no answer: m" in text


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"value": None}, "-"),
        ({"value": 1234567.0}, "1.23457e+06"),
        ({"value": 21.5}, "21.5"),
        ({"value": True}, "on"),
        ({"value": False, "states": ("off", "run"), "type": "binary-input"}, "off"),
        ({"value": 1, "states": ("off", "run"), "type": "binary-input"}, "run"),
        ({"value": 1, "states": ("off", "run"), "type": "multi-state-value"}, "off"),
        ({"value": 9, "states": ("off", "run"), "type": "multi-state-value"}, "9"),
        ({"value": 1, "states": ("off", "run"), "type": "holding"}, "1"),
    ],
)
def test_values_as_people_read_them(more: dict[str, Any], text: str) -> None:
    """States by their text, numbers without noise."""
    assert value_text(row("a", **more)) == text


def test_ages_as_people_say_them() -> None:
    """Seconds, then minutes, then hours."""
    spans = [2, 99, 600, 7200]
    told = [age_text(row("a", ts=NOW - span * 1_000_000), NOW) for span in spans]
    assert told == ["2 s", "99 s", "10 min", "2 h"]
    assert age_text(row("a", ts=None), NOW) == "-"


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"a/", ["a", "/"]),
        (b"\x1b[A\x1b[B\x1bOA\x1b[5~\x1b[6~", ["up", "down", "up", "page up", "page down"]),
        (b"\x1b", ["escape"]),
        (b"\x1b[15~q", ["q"]),
        (b"\x1b[1;5", []),
        (b"\r\x7f\x03", ["enter", "backspace", "q"]),
        ("é".encode(), ["é"]),
        (b"\xff\x00a", ["a"]),
    ],
)
def test_what_a_terminal_sends(data: bytes, names: list[str]) -> None:
    """Keys have names; what has none is left out."""
    if data.startswith(b"\xff"):
        assert list(decode(data))[-1:] in ([], names)
    else:
        assert list(decode(data)) == names


@given(st.binary(max_size=30))
def test_any_bytes_are_some_keys(data: bytes) -> None:
    """Whatever comes from a terminal, every key is a word or one printable character."""
    assert all(len(key) > 1 or key.isprintable() for key in decode(data))


def test_on_a_terminal(tmp_path: Path) -> None:
    """Straight from the buses: values, a filter, an order, and the terminal is put right."""
    file = edge_agent.write_config(tmp_path, devices=2, points=3, interval=0.2)
    command = [sys.executable, edge_child.__file__, "preview", str(file)]
    terminal = Terminal(command, tmp_path)
    try:
        terminal.until("straight from the buses", "6 of 6 points", "good")
        terminal.press("/")
        terminal.until("enter keeps it")
        terminal.press("p1\r")
        terminal.until("2 of 6 points")
        terminal.press("s")
        terminal.until("sorted by name")
        terminal.press("b")
        terminal.until("0 of 6 points")
        terminal.press("\x1b[B")
        terminal.press("\x03")
        assert terminal.end() == 0
    finally:
        terminal.close()
    assert "\x1b[?1049l" in terminal.raw  # back from the alternate screen


def test_a_scan_on_a_terminal(tmp_path: Path) -> None:
    """Progress is shown while it looks; the table and the proposal come at the end."""
    command = [sys.executable, edge_child.__file__, "scan", "--driver", "scripted"]
    terminal = Terminal(command, tmp_path, columns=200)
    try:
        terminal.until("2 devices", "it says so", "wrote found.yaml")
        assert terminal.end() == 0
    finally:
        terminal.close()
    assert (tmp_path / "found.yaml").exists()


def test_ctrl_c_keeps_what_a_scan_has(tmp_path: Path) -> None:
    """An impatient installer gets what was found until then."""
    child = tmp_path / "child.py"
    child.write_text(
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(Path(edge_child.__file__).parents[1])!r})\n"
        "from support import edge_driver\n"
        "edge_driver.FINDS[:] = [edge_driver.SURE, None]\n"
        f"runpy.run_path({edge_child.__file__!r}, run_name='__main__')\n"
    )
    command = [sys.executable, str(child), "scan", "--driver", "scripted"]
    terminal = Terminal(command, tmp_path, columns=200)
    try:
        terminal.until("1 found so far")
        terminal.press("\x03")
        terminal.until("it was stopped", "wrote found.yaml")
        assert terminal.end() == 0
    finally:
        terminal.close()
    assert "scripted:0" in (tmp_path / "found.yaml").read_text()
