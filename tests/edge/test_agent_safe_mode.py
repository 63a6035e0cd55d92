"""Starts that fail in a row, and the safe mode that ends them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from plantroom_edge import agent, starts, status
from plantroom_edge.buffer_account import reading
from plantroom_edge.cli_show import print_status
from plantroom_edge.config import AgentConfig, load
from plantroom_edge.detectors import DetectorConfig, DetectorSpec, detectors
from plantroom_edge.starts import Starts, config_hash
from plantroom_edge.vitals import Flash
from plantroom_shared.errors import ConfigError
from plantroom_shared.wire import Records, decode_rows
from support import edge_agent, edge_driver
from support.waiting import eventually


@pytest.fixture(autouse=True, scope="module")
def scripted() -> Iterator[None]:
    """The scripted driver is there for the tests of this file."""
    with edge_driver.registered():
        yield


class Crashing:
    """A detector whose library takes the whole process down when it is opened."""

    def __init__(self, *_: object) -> None:
        msg = "segmentation fault"
        raise SystemError(msg)


class Quiet:
    """A detector that finds nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def feed(self, *_: object) -> None:
        pass

    async def run(self, _emit: object) -> None:
        await asyncio.Event().wait()

    def status(self) -> dict[str, object]:
        return {"state": "watching"}


def configured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, detector: type, *, more: str = ""
) -> AgentConfig:
    monkeypatch.setitem(detectors._items, "odd", DetectorSpec(DetectorConfig, detector))
    file = edge_agent.write_config(folder, devices=1, points=2, interval=0.02)
    text = file.read_text().replace("site: test site", f"site: test site{more}")
    file.write_text(text + "detectors: [{name: watch, detector: odd}]\n")
    return load(file)


async def crash(config: AgentConfig, times: int) -> None:
    for _ in range(times):
        with pytest.raises(SystemError):
            await agent.run(config, stop=asyncio.Event())


async def test_three_failed_starts_end_in_safe_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The fourth start leaves the detector out, polls and stores, and says so everywhere."""
    config = configured(tmp_path, monkeypatch, Crashing)
    await crash(config, 3)
    stop = asyncio.Event()
    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(agent.run(config, stop=stop))
        await eventually(lambda: status.read(config.status_file).get("counters", {}).get("samples"))
    said = status.read(config.status_file)
    assert said["safe_mode"] is True
    assert said["counters"]["safe_mode"] == 1
    assert said["detectors"] == {}
    console = Console(record=True, width=200)
    print_status(console, status.report(config))
    assert "safe mode" in console.export_text()
    assert "safe mode after failed starts" in caplog.text
    stop.set()
    await task
    assert "agent.safe_mode" in _audit(config)
    assert Starts(config.starts_file, config_hash(config)).safe, "an orderly stop proves nothing"


async def test_a_changed_configuration_ends_the_safe_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another configuration the agent tries everything again, and the audit names both."""
    await crash(configured(tmp_path, monkeypatch, Crashing), 4 - 1)
    config = configured(tmp_path, monkeypatch, Quiet, more=" two")
    await _run_until(config, lambda said: "watch" in said.get("detectors", {}))
    assert status.read(config.status_file)["safe_mode"] is False
    assert {"agent.start", "config.changed", "agent.stop"} <= set(_audit(config))
    assert not Starts(config.starts_file, config_hash(config)).safe


async def test_the_safe_mode_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a healthy time all parts run again, in the same process and without anybody's help."""
    config = configured(tmp_path, monkeypatch, Quiet)
    config.data.mkdir()
    record = Starts(config.starts_file, config_hash(config))
    record.failed = 5
    record.ended()
    monkeypatch.setattr(starts, "LEAVE_AFTER", 0.3)
    await _run_until(config, lambda said: "watch" in said.get("detectors", {}))
    audit = _audit(config)
    assert audit.index("agent.safe_mode") < audit.index("agent.safe_mode_left")
    assert audit.count("agent.start") == 2
    assert Starts(config.starts_file, config_hash(config)).failed == 0


async def test_a_start_that_lasts_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after the agent has proved itself does not count."""
    monkeypatch.setattr(starts, "HEALTHY_AFTER", 0.05)
    config = configured(tmp_path, monkeypatch, Quiet)
    config.data.mkdir()
    record = Starts(config.starts_file, config_hash(config))
    record.failed = 1
    record.begin()
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(config, stop=stop))
    await eventually(lambda: json.loads(config.starts_file.read_bytes())["failed"] == 0)
    stop.set()
    await task


async def test_a_wrong_configuration_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that refuses to start in order does not count as crashed."""

    class Refusing:
        def __init__(self, *_: object) -> None:
            raise ConfigError("no such model", key="detectors")  # noqa: EM101, TRY003 -- a test's words

    config = configured(tmp_path, monkeypatch, Refusing)
    for _ in range(4):
        with pytest.raises(ConfigError):
            await agent.run(config, stop=asyncio.Event())
    assert Starts(config.starts_file, config_hash(config)).failed == 0


def test_the_count_survives_whatever_is_in_its_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rubbish counts as no failure, and a file that cannot be written stops nothing."""
    for rubbish in (b"", b"\xff" * 300, b"[]", b'{"failed": true, "config": "c"}', b"{}"):
        file = tmp_path / "starts.json"
        file.write_bytes(rubbish)
        assert Starts(file, "c").failed == 0
    (tmp_path / "dir").mkdir()
    Starts(tmp_path / "dir", "c").begin()
    assert "cannot be counted" in caplog.text


def test_what_a_day_writes(tmp_path: Path) -> None:
    """The kernel's account of a minute becomes that of a day; without one there is no figure."""
    source = tmp_path / "io"
    flash = Flash(source)
    assert flash.bytes_per_day(0.0) is None
    source.write_text("rchar: 1\nread_bytes: 5\nwrite_bytes: 1000\ncancelled_write_bytes: 0\n")
    assert flash.bytes_per_day(0.0) is None
    source.write_text("rchar: 1\nread_bytes: 5\nwrite_bytes: 7000\ncancelled_write_bytes: 0\n")
    assert flash.bytes_per_day(30.0) is None
    assert flash.bytes_per_day(60.0) == 6000 * 1440


def test_status_shows_what_the_disk_does(tmp_path: Path) -> None:
    """Full disks, refused rows, thinning, flash and autonomy of a running agent are printed."""
    import os

    config = load(edge_agent.write_config(tmp_path))
    config.data.mkdir()
    said = {
        "pid": os.getpid(),
        "safe_mode": False,
        "autonomy_hours": 12.5,
        "flash_bytes_per_day": 3e9,
        "buffer_problem": "disk I/O error",
        "buffer": {"full_since_us": 5, "giving_up": "thinned", "disk_bytes": 5_000_000},
        "sync": {"last_ack_age": 3.0},
    }
    status.write(config.status_file, said)
    report = status.report(config)
    assert (report["autonomy_hours"], report["last_confirmed_s"]) == (12.5, 3.0)
    console = Console(record=True, width=200)
    print_status(console, report | {"lag_s": 7200.0})
    text = console.export_text()
    for part in (
        "disk I/O error",
        "the disk is full",
        "thinned to one reading in 15 minutes",
        "5.0 MB of 537 MB",
        "3000 MB written a day (over budget)",
        "room for 12.5 h",
        "2 h old",
    ):
        assert part in text, text
    console = Console(record=True, width=200)
    print_status(console, report | {"lag_s": 5.0})
    assert "5 s old" in console.export_text()


async def _run_until(config: AgentConfig, reached: object) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(config, stop=stop))
    await eventually(lambda: reached(status.read(config.status_file)))  # type: ignore[operator] # a predicate
    stop.set()
    await task


def _audit(config: AgentConfig) -> list[str]:
    out: list[str] = []
    with reading(config.buffer_file) as db:
        for (blob,) in db.execute("SELECT blob FROM frame WHERE stream='aud' ORDER BY epoch, s0"):
            message = decode_rows(blob)
            assert isinstance(message, Records)
            out += [record.kind for record in message.rc]
    return out
