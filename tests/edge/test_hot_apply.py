"""Going over to another configuration while everything else goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from plantroom_edge import agent, crew
from plantroom_edge.buffer import Buffer
from plantroom_edge.config import AgentConfig, load
from plantroom_edge.control_client import Line, connect
from plantroom_edge.detectors import DetectorConfig, DetectorSpec, detectors
from plantroom_edge.drivers import DeviceFigures, DriverSpec, drivers
from plantroom_edge.starts import config_hash
from plantroom_shared.errors import ConfigError, Rejected, Unavailable
from plantroom_shared.model import Point
from plantroom_shared.profiles import load_profile
from simulators.modbus_scripted import Request, Scripted, scripted
from support import edge_driver
from support.edge_driver import ScriptedDriver
from support.modbus_image import filled
from support.waiting import eventually

PROFILE = "meter/eastron-sdm630"
LIMIT = 30.0


@pytest.fixture(autouse=True, scope="module")
def driver() -> Iterator[None]:
    """The scripted driver is there for the tests of this file."""
    with edge_driver.registered():
        yield


def bus(name: str, port: int, *units: int, interval: float = 0.1) -> dict[str, Any]:
    return {
        "name": name,
        "driver": "modbus",
        "host": "127.0.0.1",
        "port": port,
        "timeout": 20.0,  # a busy machine is no dead device
        "devices": [
            {"name": f"{name}-{unit}", "unit": unit, "profile": PROFILE, "interval": interval}
            for unit in units
        ],
    }


class Site:
    """A configuration file and the agent that runs it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "edge.yaml"
        self.audit: list[tuple[str, dict[str, Any]]] = []
        self.content: dict[str, Any] = {
            "gateway": "gw-test-0001",
            "site": "bench",
            "buffer": {"commit_ms": 5},
            "buses": [],
        }

    def write(self, *buses: dict[str, Any], **more: Any) -> AgentConfig:
        self.content |= {"buses": list(buses), **more}
        self.file.write_bytes(orjson.dumps(self.content))
        return load(self.file)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Line]:
        config, stop = load(self.file), asyncio.Event()
        task = asyncio.create_task(agent.run(config, stop=stop, file=self.file))
        try:
            async with asyncio.timeout(LIMIT):
                await eventually(config.control_file.is_socket)
                async with connect(config) as line:
                    yield line
        finally:
            stop.set()
            async with asyncio.timeout(LIMIT):
                await task

    def said(self, kind: str) -> list[dict[str, Any]]:
        """Return what was entered into the audit as `kind`."""
        return [details for one, details in self.audit if one == kind]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made, enter = Site(tmp_path), Buffer.audit

    def audit(buffer: Buffer, kind: str, **details: Any) -> None:
        made.audit.append((kind, details))
        enter(buffer, kind, **details)

    monkeypatch.setattr(Buffer, "audit", audit)
    return made


@contextlib.asynccontextmanager
async def meters() -> AsyncIterator[tuple[Scripted, Scripted]]:
    """Two meters, each on a port of its own; they note what they are asked."""
    image, _ = filled(load_profile(PROFILE), 1)

    def answer(request: Request) -> bytes:
        return request.answer(image)

    async with scripted(answer) as one, scripted(answer) as two:
        yield one, two


async def values(line: Line) -> dict[str, list[Any]]:
    """Return what each device's points say."""
    out: dict[str, list[Any]] = {}
    for row in (await line.ask("values"))["rows"]:
        out.setdefault(row["device"], []).append(row["value"])
    return out


async def has_values(line: Line, device: str) -> None:
    while not any(value is not None for value in (await values(line)).get(device, [])):
        await asyncio.sleep(0.01)


def _polls(status: dict[str, Any], bus: str) -> int:
    return int(status["buses"][bus]["counters"]["polls"])


async def polled(server: Scripted, more: int = 3) -> None:
    goal = len(server.requests) + more
    await eventually(lambda: len(server.requests) >= goal)


async def test_only_the_changed_bus_starts_anew(site: Site) -> None:
    """The other bus keeps its connection and every poll; epoch and aliases stay."""
    async with meters() as (one, two):
        slow = bus("a", one.port, 1, interval=3.0)
        site.write(slow, bus("b", two.port, 1))
        async with site.running() as line:
            await has_values(line, "modbus:a-1")
            await has_values(line, "modbus:b-1")
            before = (await line.ask("status"))["status"]
            site.write(slow, bus("b", two.port, 1, 2))
            plan = (await line.ask("plan"))["plan"]
            assert [change["name"] for change in plan["changes"]] == ["b/b-2"]
            answer = await line.ask("apply", expect=plan["after"])
            assert (answer["plan"]["stop"], answer["plan"]["start"]) == (["b"], ["b"])
            await has_values(line, "modbus:b-2")
            after = before
            while _polls(after, "a") <= _polls(before, "a"):
                await asyncio.sleep(0.01)
                after = (await line.ask("status"))["status"]
        assert (one.connections, two.connections) == (1, 2)
        assert after["epoch"] == before["epoch"]
        assert after["buses"]["a"]["counters"].get("overruns", 0) == 0
        assert after["buses"]["a"]["devices"]["modbus:a-1"]["failures"] == 0
        assert after["counters"]["samples"] >= before["counters"]["samples"]
        assert after["buses"]["b"]["devices"]["modbus:b-2"]["points"] > 0


async def test_the_same_configuration_is_no_change(site: Site) -> None:
    """Nothing starts anew, no poll is missed, and the audit says no more than unchanged."""
    async with meters() as (one, two):
        slow = [bus("a", one.port, 1, interval=3.0), bus("b", two.port, 1, interval=3.0)]
        config = site.write(*slow)
        async with site.running() as line:
            await has_values(line, "modbus:a-1")
            await has_values(line, "modbus:b-1")
            for _ in range(3):
                assert (await line.ask("apply"))["plan"]["unchanged"]
            site.write(*reversed(slow))
            assert (await line.ask("apply"))["plan"]["unchanged"]
            os.kill(os.getpid(), signal.SIGHUP)
            await polled(one)
            await polled(two)
            status = (await line.ask("status"))["status"]
        assert (one.connections, two.connections) == (1, 1)
        assert status["counters"].get("overruns", 0) == 0
        assert status["counters"]["restarts"] == 0
    assert not site.said("config.applied")
    said = site.said("config.unchanged")
    assert len(said) == 5
    assert said[0]["config"] == config_hash(config)


async def test_buses_come_and_go(site: Site) -> None:
    """An agent that starts without devices takes them, and lets them go when that is confirmed."""
    async with meters() as (one, two):
        empty = site.write()
        async with site.running() as line:
            assert (await line.ask("values"))["rows"] == []
            full = site.write(bus("a", one.port, 1), bus("b", two.port, 1))
            await line.ask("apply")
            await has_values(line, "modbus:a-1")
            await has_values(line, "modbus:b-1")
            site.write(bus("a", one.port, 1))
            plan = await line.ask("plan")
            assert plan["points_dropped"] * 2 == plan["points"] > 0
            with pytest.raises(Rejected, match="--yes") as refused:
                await line.ask("apply")
            assert refused.value.reason == "confirm"
            assert "modbus:b-1" in await values(line)
            accepted = (await line.ask("status"))["status"]["counters"]["samples"]
            await line.ask("apply", force=True)
            assert "modbus:b-1" not in await values(line)
            status = (await line.ask("status"))["status"]
            assert status["counters"]["samples"] >= accepted
            assert "b" not in status["buses"]
            await eventually(lambda: not two.serving)
    applied = site.said("config.applied")
    assert [entry["count"] for entry in applied] == [2, 1]
    assert (applied[0]["before"], applied[0]["now"]) == (
        config_hash(empty),
        config_hash(full),
    )


async def test_what_cannot_be_hot_changes_nothing(site: Site) -> None:
    """A change that needs a new start is refused whole, with what to do."""
    async with meters() as (one, two):
        site.write(bus("a", one.port, 1))
        async with site.running() as line:
            await has_values(line, "modbus:a-1")
            site.write(bus("a", one.port, 1), bus("b", two.port, 1), gateway="gw-test-0002")
            with pytest.raises(Rejected, match="change id and certificate") as refused:
                await line.ask("apply")
            assert refused.value.reason == "restart"
            status = (await line.ask("status"))["status"]
            assert (list(status["buses"]), status["gateway"]) == (["a"], "gw-test-0001")


async def test_a_file_that_is_wrong_changes_nothing(site: Site) -> None:
    """Mistakes in the file, a missing profile and a file that moved on are told; all goes on."""
    async with meters() as (one, two):
        site.write(bus("a", one.port, 1))
        async with site.running() as line:
            await has_values(line, "modbus:a-1")
            good = site.file.read_bytes()
            site.file.write_text("gateway: [\n")
            with pytest.raises(ConfigError, match=r"edge\.yaml"):
                await line.ask("apply")
            os.kill(os.getpid(), signal.SIGHUP)
            site.file.write_bytes(good.replace(PROFILE.encode(), b"meter/nonsense"))
            with pytest.raises(ConfigError, match="nonsense"):
                await line.ask("apply")
            site.file.write_bytes(good)
            with pytest.raises(Rejected, match="has changed"):
                await line.ask("apply", expect="0" * 16)
            text = orjson.dumps(site.content | {"buses": [bus("c", two.port, 1)]}).decode()
            plan = await line.ask("plan", text=text)
            assert plan["plan"]["start"] == ["c"]
            assert list((await line.ask("status"))["status"]["buses"]) == ["a"]
            await polled(one)
        assert one.connections == 1


async def test_a_bus_that_does_not_open_is_tried_again(site: Site) -> None:
    """A new bus that fails is the supervisor's; everything else goes on."""
    async with meters() as (one, _):
        site.write(bus("a", one.port, 1))
        async with site.running() as line:
            await has_values(line, "modbus:a-1")
            site.write(bus("a", one.port, 1), {"name": "s", "driver": "scripted", "devices": 1})
            failing = edge_driver.Script(fail_discovery=2)
            original = edge_driver.SPEC

            def opened(config: Any, clock: Any) -> ScriptedDriver:
                return ScriptedDriver(config, clock, failing)

            drivers._items["scripted"] = DriverSpec(edge_driver.ScriptedBus, opened)
            try:
                await line.ask("apply")
                await has_values(line, "scripted:0")
            finally:
                drivers._items["scripted"] = original
            await polled(one)
        assert (one.connections, failing.discoveries) == (1, 3)


class _Watch:
    """A detector that notes that it is fed, and that it has ended."""

    alive: dict[str, int]

    def __init__(self, config: DetectorConfig, *_: object) -> None:
        self.name = config.name

    def feed(self, *_: object) -> None:
        self.alive[self.name] = self.alive.get(self.name, 0) + 1

    async def run(self, _: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.alive.pop(self.name, None)

    def status(self) -> dict[str, Any]:
        return {"state": "watching"}


async def test_detectors_change_without_the_buses(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector starts and stops while the bus it watches goes on."""
    _Watch.alive = {}
    monkeypatch.setitem(detectors._items, "watch", DetectorSpec(DetectorConfig, _Watch))
    async with meters() as (one, _):
        site.write(bus("a", one.port, 1))
        async with site.running() as line:
            await has_values(line, "modbus:a-1")
            both = [{"name": name, "detector": "watch"} for name in ("x", "y")]
            site.write(bus("a", one.port, 1), detectors=both)
            await line.ask("apply")
            await eventually(lambda: set(_Watch.alive) == {"x", "y"})
            site.write(bus("a", one.port, 1), detectors=both[1:])
            await line.ask("apply")
            await eventually(lambda: set(_Watch.alive) == {"y"})
            assert list((await line.ask("status"))["status"]["detectors"]) == ["y"]
        assert one.connections == 1


async def test_sighup_applies_the_file(site: Site) -> None:
    """What an editor has saved runs after a SIGHUP, and is known at the next start."""
    async with meters() as (one, two):
        site.write(bus("a", one.port, 1))
        async with site.running() as line:
            config = site.write(bus("a", one.port, 1), bus("b", two.port, 1))
            os.kill(os.getpid(), signal.SIGHUP)
            await has_values(line, "modbus:b-1")
            assert (await line.ask("status"))["config"] == config_hash(config)
        async with site.running():
            pass
    assert not site.said("config.changed")


async def test_an_agent_without_a_file(site: Site) -> None:
    """It can be asked how it is, and takes no other configuration."""
    config, stop = site.write(), asyncio.Event()
    task = asyncio.create_task(agent.run(config, stop=stop))
    async with asyncio.timeout(LIMIT):
        await eventually(config.control_file.is_socket)
        async with connect(config) as line:
            with pytest.raises(ConfigError, match="without a file"):
                await line.ask("apply")
        stop.set()
        await task


async def test_drivers_that_tell_are_heard(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of a driver come with the status, with how long its bus has been open."""
    told = DeviceFigures("scripted:0", requests=7, plan=("read 1-10",))

    class Tells(ScriptedDriver):
        def figures(self) -> list[DeviceFigures]:
            return [told]

    spec = DriverSpec(edge_driver.ScriptedBus, Tells)
    monkeypatch.setitem(drivers._items, "scripted", spec)
    site.write({"name": "s", "driver": "scripted", "devices": 1})
    async with site.running() as line:
        await has_values(line, "scripted:0")
        traffic = (await line.ask("status"))["traffic"]["s"]
        assert traffic["devices"][0]["requests"] == 7
        assert traffic["since_s"] >= 0


async def test_nothing_is_applied_once_it_stops(site: Site) -> None:
    """A change that comes while the agent stops starts nothing any more."""
    config = site.write()
    one = crew.Crew(None, None, sampler=None, emit=None)  # type: ignore[arg-type] # never used
    await one.stop()
    with pytest.raises(Unavailable, match="stopping"):
        await one.apply(config)


async def test_the_register_is_told_and_keeps_no_samples() -> None:
    """The sink behind previews knows points and devices, and leaves samples to the buffer."""
    register = crew.Register()
    register.feed(None)  # type: ignore[arg-type] # it does not look
    await register.run()
    assert register.status() == {"connected": True, "points": 0}
    register.describe([Point(key="k", device="d", name="N", unit="kW")], [3], [])
    known = [register.point(alias) for alias in (2, 3, 4)]
    assert known == [None, ("k", crew.Shown("N", "kW", (), "", "")), None]
    assert register.status()["points"] == 1
