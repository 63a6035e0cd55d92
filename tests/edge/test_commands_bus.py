"""Commands on the real drivers in a running agent: units, points that nobody can write, buses that change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from plantroom_edge import agent, cli_writes
from plantroom_edge.commands.spool import Spool
from plantroom_edge.config import AgentConfig, load
from plantroom_edge.control_client import Line, connect
from plantroom_shared.errors import Rejected
from simulators.modbus_scripted import scripted
from support.bacnet_device import Field, enumerated, real, serving
from support.modbus_bus import write_profile
from support.modbus_writable import Writable
from support.waiting import eventually

GATEWAY = "gw-test-0001"
SETPOINT = "modbus:bench:setpoint"
REGISTERS: list[dict[str, Any]] = [
    {"id": "setpoint", "address": 0, "unit": "degF", "write": {"min": 60, "max": 80}},
    {"id": "outside", "address": 1, "unit": "degF"},
    {"id": "energy", "address": 2, "unit": "kWh", "counter": True},
]
SAMPLING: dict[str, Any] = {
    "units": [{"quantity": "temperature", "to": "°C"}],
    "counters": [{"point": "modbus:bench:energy"}],
    "derived": [{"id": "half", "name": "Half", "expression": "'modbus:bench:setpoint' / 2"}],
}
GRANTS: list[dict[str, Any]] = [
    {"point": "bacnet:*", "min": 0, "max": 100, "priority": None, "min_interval": 0},
    {"point": "*", "min": 0, "max": 100, "min_interval": 0},
]


@dataclass
class Site:
    """A configuration file, and a Modbus device on a port."""

    folder: Path
    port: int
    more: dict[str, Any]

    def bus(self, interval: float = 0.1) -> dict[str, Any]:
        device = write_profile(self.folder, REGISTERS) | {"interval": interval}
        device["profile_dir"] = str(self.folder)
        return {"name": "a", "driver": "modbus", "host": "127.0.0.1", "port": self.port,
                "timeout": 10.0, "devices": [device]}  # fmt: skip

    def write(self, *buses: dict[str, Any], per_minute: int = 60) -> AgentConfig:
        writes = {"enabled": True, "allow": GRANTS, "device_interval": 0, "per_minute": per_minute}
        content = {"gateway": GATEWAY, "site": "bench", "buses": list(buses), "writes": writes}
        (self.folder / "edge.yaml").write_bytes(orjson.dumps(content | self.more))
        return self.config

    @property
    def config(self) -> AgentConfig:
        return load(self.folder / "edge.yaml")

    async def order(self, point: str, value: float, lease_s: float = 60) -> str:
        """Hand an order in, and return what became of it."""
        spool = Spool(self.config.writes_folder / "spool")
        wanted = [{"point": point, "value": value}]
        ident = spool.put(GATEWAY, cli_writes._now(), kind="write", writes=wanted, lease_s=lease_s)
        ended: list[str] = []

        def over() -> bool:
            rows = cli_writes._journal(self.config)["commands"]
            ended[:] = [
                f"{one['state']} {one['reason']}".strip()
                for one in rows
                if one["id"] == ident and one["state"] != "intent"
            ]
            return bool(ended)

        async with asyncio.timeout(30):
            await eventually(over)
        return ended[0]

    def holds(self) -> list[tuple[str, Any, Any]]:
        """Return point, value and what comes back, of all that stands."""
        rows = cli_writes._journal(self.config)["holds"]
        return [(one["point"], one["value"], one["restore"]) for one in rows]


@contextlib.asynccontextmanager
async def running(
    folder: Path, device: Writable, *buses: dict[str, Any], **more: Any
) -> AsyncIterator[tuple[Site, Line]]:
    """Run an agent until all its points are known."""
    async with scripted(device) as server:
        site = Site(folder, server.port, more)
        config, stop = site.write(site.bus(), *buses), asyncio.Event()
        task = asyncio.create_task(agent.run(config, stop=stop, file=folder / "edge.yaml"))
        try:
            async with asyncio.timeout(30):
                await eventually(config.control_file.is_socket)
                async with connect(config) as line:
                    await _points(line, 1 + len(buses))
                    yield site, line
        finally:
            stop.set()
            async with asyncio.timeout(30):
                await task


async def _points(line: Line, devices: int) -> None:
    """Wait until so many devices of buses have values."""
    async with asyncio.timeout(30):
        while True:
            rows = (await line.ask("values"))["rows"]
            if len({row["device"] for row in rows if row["device"] != "derived"}) >= devices:
                return
            await asyncio.sleep(0.02)


def device() -> Writable:
    return Writable({"holding": {0: 70, 1: 50, 2: 1000}})


async def test_a_value_is_in_the_unit_that_the_device_has(tmp_path: Path) -> None:
    """What can be written keeps its unit; what is stored in another one, or computed, is refused."""
    field, bench = Field(instance=7), device()
    field.add(2, 1, real(68), "Wanted", _117=enumerated(64))
    async with serving(field) as targets:
        bacnet = {"name": "b", "driver": "bacnet", "bind": "127.0.0.1:0", "who_is": targets}
        async with running(tmp_path, bench, bacnet, sampling=SAMPLING) as (site, _):
            assert await site.order(SETPOINT, 75) == "executed"
            assert bench.image["holding"][0] == 75
            assert await site.order(SETPOINT, 21) == f"refused below-minimum: {SETPOINT}"
            for point, why in (
                ("bacnet:7:analog-value:1", "unit-converted"),
                ("modbus:bench:outside", "unit-converted"),
                ("modbus:bench:energy", "write-access-denied"),
                ("modbus:bench:energy:total", "unknown-point"),
                ("derived:half", "unknown-point"),
            ):
                assert await site.order(point, 20) == f"refused {why}: {point}"
    assert not [request for request in field.requests if request.service == 15]
    assert [one for one in bench.asked if one[0] != 3] == [(6, 0), (6, 0)]
    assert bench.image["holding"] == {0: 70, 1: 50, 2: 1000}


async def test_what_could_not_come_back_is_not_replaced(tmp_path: Path) -> None:
    """A former value beyond the profile's own limits refuses the command: nothing is written."""
    bench = device()
    bench.image["holding"][0] = 90
    async with running(tmp_path, bench) as (site, _):
        why = f"refused cannot-be-restored above-maximum: {SETPOINT}"
        assert await site.order(SETPOINT, 75) == why
        assert {function for function, _ in bench.asked} == {3}


async def test_a_lease_outlives_a_change_of_its_bus(tmp_path: Path) -> None:
    """A bus that is opened anew under an override gives the former value back in time, and once."""
    bench = device()
    async with running(tmp_path, bench) as (site, line), asyncio.timeout(60):
        assert await site.order(SETPOINT, 75, lease_s=3) == "executed"
        site.write(site.bus(interval=0.2))
        await line.ask("apply")
        assert (site.holds(), bench.image["holding"][0]) == ([(SETPOINT, 75, 70)], 75)
        await eventually(lambda: not site.holds())
        assert bench.image["holding"][0] == 70
        assert [one for one in bench.asked if one[0] != 3] == [(6, 0), (6, 0)]
        assert await site.order(SETPOINT, 76, lease_s=1) == "executed"


async def test_a_bus_that_is_away_when_a_lease_ends(tmp_path: Path) -> None:
    """While nobody has the point its value stands, and that is told; it is taken back once it is there."""
    bench = device()
    async with running(tmp_path, bench) as (site, line), asyncio.timeout(60):
        assert await site.order(SETPOINT, 75, lease_s=1) == "executed"
        site.write()
        await line.ask("apply", force=True)
        assert await site.order(SETPOINT, 76) == f"refused unknown-point: {SETPOINT}"
        left = 1.0
        while left > -1:  # it has been due for a while
            await asyncio.sleep(0.05)
            [hold] = (await line.ask("status"))["status"]["writes"]["holds"]
            left = hold["left_s"]
        assert site.holds() == [(SETPOINT, 75, 70)]
        site.write(site.bus())
        await line.ask("apply")
        await eventually(lambda: not site.holds())
        assert bench.image["holding"][0] == 70


async def test_what_may_be_written_does_not_change_while_the_agent_runs(tmp_path: Path) -> None:
    """A change of `writes:` needs a new start, and says so; limits stay as they are."""
    async with running(tmp_path, device()) as (site, line):
        site.write(site.bus(), per_minute=1)
        with pytest.raises(Rejected, match="start the agent anew"):
            await line.ask("apply")
        for value in (75, 76):
            assert await site.order(SETPOINT, value) == "executed"
