"""Composition: parts start in any order, stop in order, and one that fails stops no other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiomqtt
import httpx
import pytest

from demo.processes import free_port
from plantroom_cloud import serve as composition
from plantroom_cloud import worker
from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_cloud.db import Database
from plantroom_cloud.identity.keys import NewKey
from plantroom_cloud.serve import Plan, serve
from plantroom_shared import wire
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError
from support import cloud_site as site
from support import servers
from support.cloud_broker import BrokerProcess, Link, linked, open_to_others
from support.cloud_site import EPOCH, GATEWAY
from support.waiting import eventually, wait_until


@pytest.fixture
def settings(tmp_path: Path) -> CloudSettings:
    """Everything in one folder, the API on any port."""
    return load_settings(data=tmp_path / "data", api_port=0, mqtt={"port": free_port()})


@contextlib.asynccontextmanager
async def serving(settings: CloudSettings, **plan: Any) -> AsyncIterator[dict[str, Any]]:
    """Run `serve` and yield what it announces; stop it in order."""
    stop, file = asyncio.Event(), settings.data / "ready"
    file.unlink(missing_ok=True)
    task = asyncio.create_task(
        serve(settings, Plan(ready_file=file, **plan), stop=stop, clock=SystemClock())
    )
    try:
        await eventually(lambda: file.exists() or task.done(), "the start")
        if task.done():
            await task
        yield json.loads(file.read_text())
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await task


async def test_api_alone(settings: CloudSettings) -> None:
    """On an empty database it migrates, makes the first key, shows it once, and answers to it."""
    keys: list[NewKey] = []
    for _ in range(2):
        async with (
            serving(settings, parts=("api",), show_key=keys.append) as facts,
            httpx.AsyncClient(base_url=facts["api"]) as client,
        ):
            assert (await client.get("/v1/sites")).status_code == 401
            head = {"Authorization": f"Bearer {keys[0].plain}"}
            assert (await client.get("/v1/sites", headers=head)).status_code == 200
    assert len(keys) == 1


async def test_taken_port_of_the_api(settings: CloudSettings) -> None:
    """The setting is named, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = settings.model_copy(update={"api_port": taken.getsockname()[1]})
        with pytest.raises(ConfigError, match="api_port"):
            async with serving(busy, parts=("api",)):
                pass


async def test_worker_alone(settings: CloudSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every job runs, and one that fails again and again never stops the other."""
    runs = {"good": 0, "bad": 0}

    async def good(*_: object) -> None:
        runs["good"] += 1
        await asyncio.Event().wait()

    async def bad(*_: object) -> None:
        runs["bad"] += 1
        raise ZeroDivisionError

    for name, job in (("good", good), ("bad", bad)):
        monkeypatch.setitem(sys.modules, f"jobs_{name}", SimpleNamespace(run=job))
    monkeypatch.setattr(worker, "JOBS", {"good": "jobs_good", "bad": "jobs_bad"})
    async with serving(settings, parts=("worker",)):
        await eventually(lambda: runs["bad"] > 2, "three starts of the failing job")
    assert runs["good"] == 1


async def test_every_job_of_the_worker_is_there(sqlite_database: Database) -> None:
    """The modules exist and have what is called."""
    import importlib

    for module in worker.JOBS.values():
        assert callable(importlib.import_module(module).run)


async def test_a_part_that_dies_ends_the_process_with_its_error(
    settings: CloudSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service manager starts it again; half a service would look alive."""

    async def broken(self: object, stop: asyncio.Event) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(composition._Api, "run", broken)
    with pytest.raises(ZeroDivisionError):
        async with serving(settings, parts=("api",)):
            await asyncio.sleep(0)


@pytest.fixture(params=["mosquitto", "embedded"])
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> BrokerProcess:
    """The settings of a whole cloud, which starts its broker itself."""
    if request.param == "mosquitto":
        request.getfixturevalue("mosquitto")
    made = BrokerProcess(open_to_others(tmp_path), request.param)
    made.write_config()
    return made


@pytest.mark.e2e
async def test_whole_service_in_one_command(cloud: BrokerProcess) -> None:
    """It takes a gateway's rows, survives its broker's death, and ends with code 0 and no child."""
    ready = cloud.folder / "serve.ready"
    command = cloud.command(
        "serve", "--with-broker", "--engine", cloud.engine, "--ready-file", str(ready)
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: ready.exists() or process.poll() is not None, "the start")
            for arguments in (
                ("site", "add", "tower"),
                ("gateway", "add", "tower", GATEWAY, "--out", str(cloud.folder / "gw")),
            ):
                subprocess.run(cloud.command(*arguments), check=True, capture_output=True)
            await _send(cloud, 1)
            (broker,) = _children(process.pid)
            os.kill(broker, signal.SIGKILL)
            await eventually(lambda: set(_children(process.pid)) - {broker}, "a new broker")
            await _send(cloud, 11)
            process.terminate()
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert output.count("First API key of company 'default', shown only now: pk_") == 1
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", cloud.port), timeout=1)


async def _send(cloud: BrokerProcess, first: int) -> None:
    """Send ten rows again and again until they are acknowledged, as an edge would."""

    def done(link: Link) -> bool:
        ranges = link.acked.get((EPOCH, "tel"), [])
        return any(lo <= first and first + 9 <= hi for lo, hi in ranges)

    for _ in range(100):
        with contextlib.suppress(aiomqtt.MqttError):
            async with linked(cloud, GATEWAY, timeout=2) as link:
                for _ in range(40):
                    await link.send("inv", wire.encode(site.dictionary(1)))
                    await link.send("tel", site.samples(first, 10, at=site.NOW))
                    await asyncio.sleep(0.25)
                    if done(link):
                        return
        await asyncio.sleep(0.1)
    pytest.fail("the rows were never acknowledged")


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


@pytest.mark.e2e
def test_signal_during_the_start(tmp_path: Path) -> None:
    """An ingest that still waits for its broker ends at once and in order."""
    cloud = BrokerProcess(tmp_path, "embedded")
    cloud.write_config()
    with subprocess.Popen(cloud.command("ingest"), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "trying again" in line:
                    break
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.e2e
async def test_separate_processes_on_postgresql(
    mosquitto: Path, postgres: servers.Postgres, tmp_path: Path
) -> None:
    """API, ingest and broker as processes of their own, started together on an empty database."""
    cloud = BrokerProcess(open_to_others(tmp_path), "mosquitto")
    with postgres.database() as url, contextlib.ExitStack() as stack:
        cloud.write_config(database=url)
        files = []
        for part in ("api", "ingest"):
            files.append(tmp_path / f"{part}.ready")
            command = cloud.command(part, "--ready-file", str(files[-1]))
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            stack.callback(process.terminate)
        cloud.start()
        stack.callback(cloud.stop)
        wait_until(lambda: all(file.exists() for file in files), "the start of all")
        for arguments in (
            ("company", "add", "acme"),
            ("site", "add", "tower", "--company", "acme"),
            ("gateway", "add", "tower", GATEWAY, "--out", str(tmp_path / "gw")),
        ):
            subprocess.run(cloud.command(*arguments), check=True, capture_output=True)
        await _send(cloud, 1)
        shown = subprocess.run(
            cloud.command("account", GATEWAY, "--json"), check=True, capture_output=True
        )
        books = json.loads(shown.stdout)
        assert (books["accepted"], books["stored"], books["balanced"]) == (10, 10, True)
