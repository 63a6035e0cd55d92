"""The whole agent: built from one file, stopped in order, killed without mercy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from plantroom_edge import agent, status
from plantroom_edge.buffer import Buffer
from plantroom_edge.config import AgentConfig, load
from plantroom_edge.detectors import DetectorConfig, DetectorSpec, detectors
from plantroom_edge.drivers import Poll
from plantroom_edge.supervise import Supervisor
from plantroom_edge.vitals import Vitals
from plantroom_shared.errors import ConfigError, Unavailable
from plantroom_shared.model import Finding
from support import edge_agent, edge_driver
from support.edge_broker import cloud_behind, running
from support.edge_rows import counting, finding, points
from support.edge_time import VirtualTime
from support.waiting import eventually


@pytest.fixture(autouse=True, scope="module")
def scripted() -> Iterator[None]:
    """The scripted driver is there for the tests of this file."""
    with edge_driver.registered():
        yield


class EagerConfig(DetectorConfig):
    polls: int = Field(default=3, ge=1)


class Eager:
    """A detector that finds something after so many polls."""

    def __init__(self, config: EagerConfig, *_: object) -> None:
        self.config = config
        self.polls = 0
        self.enough = asyncio.Event()

    def feed(self, _device: str, _points: tuple[str, ...], _poll: Poll) -> None:
        self.polls += 1
        if self.polls == self.config.polls:
            self.enough.set()

    async def run(self, emit: Callable[[Finding], Awaitable[None]]) -> None:
        await self.enough.wait()
        self.enough.clear()
        await emit(finding("found"))
        msg = "a defect after the finding"
        raise RuntimeError(msg)

    def status(self) -> dict[str, Any]:
        return {"state": "watching", "polls": self.polls}


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(detectors._items, "eager", DetectorSpec(EagerConfig, Eager))


async def started(config: AgentConfig) -> tuple[asyncio.Task[None], asyncio.Event]:
    stop = asyncio.Event()
    return asyncio.create_task(agent.run(config, stop=stop)), stop


async def stopped(task: asyncio.Task[None], stop: asyncio.Event) -> None:
    stop.set()
    async with asyncio.timeout(60):
        await task


async def test_from_a_bus_to_the_cloud(tmp_path: Path, eager: None) -> None:
    """Samples and findings of a site arrive; the account in the last state message is balanced."""
    with running("mosquitto", tmp_path) as broker:
        file = edge_agent.write_config(tmp_path, broker, devices=2, points=3, interval=0.05)
        file.write_text(file.read_text() + "detectors: [{name: watch, detector: eager}]\n")
        config = load(file)
        async with cloud_behind(broker) as model:
            task, stop = await started(config)
            await eventually(lambda: len(model.rows) >= 60)
            await eventually(lambda: any(key[1] == "evt" for key in model.rows))
            await eventually(
                lambda: (status.read(config.status_file).get("sync") or {}).get("resumed")
            )
            said = status.read(config.status_file)
            assert said["connected"]
            assert said["pid"] == os.getpid()
            assert said["buses"]["bus"]["devices"]["scripted:0"]["alive"]
            assert said["buses"]["bus"]["devices"]["scripted:1"]["points"] == 3
            assert said["detectors"]["watch"]["state"] == "watching"
            assert said["tasks"]["detector watch"]["restarts"] >= 1
            assert said["buffer"]["limit_bytes"] == 512 * 1024 * 1024
            await stopped(task, stop)
            await eventually(lambda: not model.states[-1].online)
            (last,) = model.states[-1].epochs
            stored = [key for key in model.rows if key[:2] == (last.ep, "tel")]
            assert last.accepted["tel"] == len(stored)
            assert last.accepted["evt"] == 1
            assert not last.held
            assert model.states[-1].counters["accepted"] == len(model.rows)
            books = status.report(config)
            assert (books["accepted"], books["on_edge"]) == (len(stored), 0)
            assert (books["findings_accepted"], books["findings_on_edge"]) == (1, 0)
            assert not books["running"]


async def test_without_a_cloud_everything_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An agent without a cloud section polls and buffers, for ever, and says so once."""
    config = load(edge_agent.write_config(tmp_path, devices=1, points=2, interval=0.02))
    task, stop = await started(config)
    await eventually(
        lambda: status.read(config.status_file).get("buffer", {}).get("accepted", {}).get("tel")
    )
    await stopped(task, stop)
    books = status.books(config.buffer_file)
    assert books["accepted"] == books["on_edge"] > 0
    assert [epoch["held_rows"]["tel"] for epoch in books["epochs"]] == [books["accepted"]]
    assert "sends nothing" in caplog.text


async def test_an_unreachable_broker_does_not_stop_polling(tmp_path: Path) -> None:
    """With a broker that is not there rows pile up in the buffer and the stop is quick."""
    with running("mosquitto", tmp_path) as broker:
        broker.kill()
        config = load(edge_agent.write_config(tmp_path, broker, devices=1, interval=0.02))
        task, stop = await started(config)
        await eventually(
            lambda: status.read(config.status_file).get("counters", {}).get("accepted", 0) > 20
        )
        await eventually(lambda: "sync" in (status.read(config.status_file).get("tasks") or {}))
        await stopped(task, stop)
        assert status.books(config.buffer_file)["on_edge"] > 20


async def test_two_agents_cannot_share_a_folder(tmp_path: Path) -> None:
    """The second agent on a data folder is told so and ends as a configuration error."""
    config = load(edge_agent.write_config(tmp_path, devices=1))
    task, stop = await started(config)
    await eventually(config.status_file.exists)
    with pytest.raises(ConfigError, match="another agent"):
        await agent.run(config, stop=asyncio.Event())
    await stopped(task, stop)


async def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    """A data folder below a file is named before anything starts."""
    file = edge_agent.write_config(tmp_path)
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be written"):
        await agent.run(load(file), stop=asyncio.Event())


async def test_a_status_file_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    """Polling goes on when the status file is in the way."""
    config = load(edge_agent.write_config(tmp_path, devices=1, interval=0.02))
    (tmp_path / "data" / "status.json.new").mkdir(parents=True)
    task, stop = await started(config)

    def accepted() -> int:
        with contextlib.suppress(Unavailable):  # it is being made
            return int(status.books(config.buffer_file)["accepted"])
        return 0

    await eventually(accepted)
    await stopped(task, stop)
    assert status.read(config.status_file) == {}


def test_sigterm_ends_an_agent_in_order(tmp_path: Path) -> None:
    """SIGTERM stops polling, commits, sends what is left and ends with code 0."""
    config = edge_agent.write_config(tmp_path, devices=1, interval=0.02)
    child = edge_agent.start(config)
    edge_agent.wait_for_samples(child, config, 20)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert events[-1] == "agent stops"
    report = edge_agent.status_of(config)
    assert report["running"] is False
    assert report["agent"]["stopped"] is True
    accepted = sum(stream["accepted"] for stream in report["streams"].values())
    assert accepted == report["agent"]["counters"]["accepted"] > report["accepted"] > 0


async def test_a_killed_agent_is_mourned_and_its_rows_survive(tmp_path: Path) -> None:
    """After SIGKILL the cloud gets the will; the next start sends all that was accepted, once."""
    with running("mosquitto", tmp_path) as broker:
        config = edge_agent.write_config(tmp_path, broker, devices=2, points=4, interval=0.02)
        async with cloud_behind(broker) as model:
            for _ in range(3):
                child = edge_agent.start(config)
                try:
                    await asyncio.to_thread(edge_agent.wait_for_samples, child, config, 50)
                    await eventually(lambda: model.states and model.states[-1].online)
                finally:
                    child.kill()
                    child.communicate(timeout=60)
                await eventually(lambda: not model.states[-1].online)
            child = edge_agent.start(config)
            await asyncio.to_thread(edge_agent.wait_for_samples, child, config, 10)
            child.send_signal(signal.SIGTERM)
            await asyncio.to_thread(child.communicate, timeout=60)
            assert child.returncode == 0
            books = await asyncio.to_thread(edge_agent.status_of, config)
            assert len(books["epochs"]) == 4
            assert books["on_edge"] == 0
            stored = [key for key in model.rows if key[1] == "tel"]
            assert books["accepted"] == len(stored)
            assert not model.gaps


# ---------------------------------------------------------------- figures


async def test_vitals_tell_rates_and_autonomy(tmp_path: Path) -> None:
    """Samples per second and hours of room come from what happened lately."""
    time_ = VirtualTime()
    config = load(edge_agent.write_config(tmp_path))
    (tmp_path / "data").mkdir()
    buffer = await Buffer.open(config.buffer_file, limit_bytes=1 << 30, commit_s=0.001)
    await buffer.add_points(points(1), [])
    vitals = Vitals(config, buffer, time_, Supervisor())
    vitals.samplers = [_Counting()]  # type: ignore[list-item] # only its counters are read
    first = await vitals.document()
    assert (first["samples_per_second"], first["autonomy_hours"]) == (0.0, None)
    for i in range(20):
        time_.seconds += 1.0
        vitals.samplers[0].counters["samples"] += 1000
        await buffer.append(counting(i * 1000, 1000))
        last = await vitals.document()
    assert last["samples_per_second"] == 1000.0
    stats = await buffer.stats()
    a_second = stats.written_bytes / 20
    assert last["autonomy_hours"] == pytest.approx(stats.room_bytes / a_second / 3600, rel=0.15)
    assert 0.8 * (1 << 30) < stats.room_bytes < 1 << 30
    assert last["sync"] == {"connected": False}
    await buffer.close()


class _Counting:
    def __init__(self) -> None:
        self.name = "bus"
        self.counters: dict[str, int] = {"samples": 0}
        self.devices: dict[str, object] = {}
        self.missing: tuple[str, ...] = ()
        self.durations = [0.3, 0.1, 0.2]


async def test_vitals_speak_while_the_buffer_cannot(tmp_path: Path) -> None:
    """A buffer in trouble is part of the status, not the end of it."""
    logging.disable(logging.ERROR)
    config = load(edge_agent.write_config(tmp_path))
    buffer = await Buffer.open(tmp_path / "nowhere" / "buffer.db")
    logging.disable(logging.NOTSET)
    document = await Vitals(config, buffer, VirtualTime(), Supervisor()).document()
    assert "unable to open" in document["buffer"]["problem"] or document["buffer"]["problem"]
    assert document["autonomy_hours"] is None
    await buffer.close()


def test_a_status_of_nobody(tmp_path: Path) -> None:
    """Before the first run there is no account, and the report says what to do."""
    config = load(edge_agent.write_config(tmp_path))
    report = status.report(config)
    assert (report["accepted"], report["on_edge"], report["running"]) == (0, 0, False)
    assert "first run" in report["problem"]
    config.data.mkdir()
    config.status_file.write_text("[]")
    assert status.read(config.status_file) == {}


def test_who_runs_is_known_by_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A status file counts as running only while its process lives and has not said goodbye."""
    assert status.is_running({"pid": os.getpid()})
    assert status.is_running({"pid": 1})
    assert not status.is_running({"pid": os.getpid(), "stopped": True})
    assert not status.is_running({"pid": 2**22 + 7})
    assert not status.is_running({"pid": "x"})
    assert not status.is_running({})

    def anothers(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", anothers)
    assert status.is_running({"pid": 5})
