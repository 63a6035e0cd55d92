"""The rims of commissioning: agents that go away, rights that are missing, progress without a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from plantroom_edge import cli_doctor, cli_preview, cli_scan, control_client, proposal
from plantroom_edge.cli_common import console
from plantroom_edge.config import AgentConfig, load
from plantroom_edge.crew import Register
from plantroom_edge.doctor import examine
from plantroom_edge.drivers import Progress
from plantroom_edge.preview_source import Meanings
from plantroom_edge.preview_view import View
from plantroom_edge.scanning import Found
from plantroom_edge.values import rows
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch
from plantroom_shared.terminal import keys
from support.edge_driver import UNSURE

LIMIT = 20.0


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    (tmp_path / "data").mkdir()
    file = tmp_path / "edge.yaml"
    file.write_text("gateway: gw-test-0001\nsite: x\n")
    return load(file)


async def said(config: AgentConfig) -> dict[str, str]:
    facts = await cli_doctor.gather(config.data.parent / "edge.yaml", config)
    return {one.about: one.what for one in examine(facts)}


async def test_the_doctor_without_rights(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that may not be used, a folder that may not be written and a full disk are told."""

    async def refuse(*_: object) -> dict[str, Any]:
        msg = "Permission denied"
        raise Unavailable(msg)

    monkeypatch.setattr(control_client, "ask", refuse)
    facts = await cli_doctor.gather(config.data.parent / "edge.yaml", config)
    assert "Permission denied" in [one.what for one in examine(facts)]
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    told = await said(config)
    assert "you may not write" in told["files"]
    assert "5 MB are free" in told["disk"]


class _Flaky:
    """A source that fails now and then."""

    name = "flaky"

    def __init__(self) -> None:
        self.asked = 0

    async def look(self) -> tuple[list[dict[str, Any]], int]:
        self.asked += 1
        if self.asked == 1:
            msg = "the agent gives no answer"
            raise Unavailable(msg)
        return [], 1

    def trouble(self) -> str:
        return ""

    def ready(self, _found: list[dict[str, Any]]) -> bool:
        return False


async def test_a_preview_outlives_its_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the agent goes away the screen says so, and goes on when it is back."""
    monkeypatch.setattr(cli_preview, "_FIRST_EVERY", 0.001)
    view, values = View(), _Flaky()
    told = []
    task = asyncio.create_task(cli_preview._keep_looking(values, view, Meanings()))
    async with asyncio.timeout(LIMIT):
        while values.asked < 3:
            told.append(view.trouble)
            await asyncio.sleep(0.001)
    task.cancel()
    assert "the agent gives no answer" in told
    assert (view.trouble, view.source) == ("", "flaky")


async def test_keys_pressed_together_all_count() -> None:
    """What was typed ahead is heard; without a key it is drawn again."""
    pressed: asyncio.Queue[str] = asyncio.Queue()
    for key in "/ab":
        pressed.put_nowait(key)
    view = View()
    async with asyncio.timeout(LIMIT):
        await cli_preview._next(pressed, view, 20)
        assert view.filter == "ab"
        await cli_preview._next(pressed, view, 20)


async def test_a_terminal_that_is_closed_quits() -> None:
    """Whoever closes the window ends the preview."""
    ours, theirs = pty.openpty()
    with keys(theirs) as pressed:
        os.write(ours, b"s")
        async with asyncio.timeout(LIMIT):
            assert await pressed.get() == "s"
            os.close(ours)
            assert await pressed.get() == "q"
    os.close(theirs)


def test_progress_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line now and then says how far it is."""
    monkeypatch.setattr(cli_scan, "_PLAIN_EVERY", -1.0)
    found = Found(progress={"modbus": Progress(3, 9, "x")})
    with cli_scan._progress(console(stderr=True)) as show:
        show(found)
    assert "modbus 3/9: 0 found" in capsys.readouterr().err


class _Entry(BaseModel):
    name: str
    unit: int = 1


def test_entries_of_any_kind_become_plain(tmp_path: Path) -> None:
    """A scan may hand in models and tuples: the file has plain keys and lists."""
    candidate = replace(UNSURE, entry=_Entry(name="m"), bus={**UNSURE.bus, "x": ("a", 1)})
    wish = proposal.wish(candidate)
    assert (wish.entry, wish.bus["x"]) == ({"name": "m"}, ["a", 1])
    file = tmp_path / "found.yaml"
    proposal.write(file, [replace(candidate, confidence=1.0)], {"modbus:meter": ["m (Meter)"]})
    (again,), skipped = proposal.wishes(file)
    assert (again.bus, again.entry, skipped) == (wish.bus, wish.entry, 0)


def test_a_point_that_nobody_described() -> None:
    """It is shown by its alias rather than not at all."""
    group = SimpleNamespace(aliases=[7], group=SimpleNamespace(device="d", interval=1.0))
    sampler: Any = SimpleNamespace(name="b", devices={"d": SimpleNamespace(groups=[group])})
    (row,) = rows([sampler], Register(), Batch())
    assert (row["point"], row["device_name"], row["reason"]) == ("7", "d", "not read yet")
