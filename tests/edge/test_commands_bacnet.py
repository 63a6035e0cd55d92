"""Commands on a BACnet device of another stack: priority 13, relinquished by the agent, however it ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from demo.processes import Child, python
from plantroom_edge import cli_writes
from plantroom_edge.commands.spool import Spool
from plantroom_edge.config import load
from plantroom_shared.model import Value
from support.bacnet_peers import driver, simulator
from support.waiting import eventually

FAN = "bacnet:77:binary-output:2"


@dataclass
class Site:
    """The configuration of an agent, and what it has in its journal."""

    file: Path

    def put(self, value: Any, lease_s: float, priority: int | None = None) -> str:
        config = load(self.file)
        wanted = {"point": FAN, "value": value, "priority": priority}
        spool = Spool(config.writes_folder / "spool")
        return spool.put(
            config.gateway, cli_writes._now(), kind="write", writes=[wanted], lease_s=lease_s
        )

    def journal(self) -> dict[str, Any]:
        return cli_writes._journal(load(self.file))

    async def ended(self, ident: str) -> str:
        """Return what became of an order."""
        ends: list[str] = []

        def over() -> bool:
            rows = [one for one in self.journal()["commands"] if one["id"] == ident]
            ends[:] = [f"{one['state']} {one['reason']}".strip() for one in rows]
            return bool(ends) and not ends[0].startswith("intent")

        await eventually(over)
        return ends[0]


def site(folder: Path, address: str) -> Site:
    bus = {"name": "b", "driver": "bacnet", "bind": "127.0.0.1:0", "who_is": [address]}
    grant = {"point": FAN, "values": [False, True], "min_interval": 0}
    writes = {"enabled": True, "device_interval": 0, "allow": [grant]}
    file = folder / "edge.yaml"
    content = {"gateway": "gw-test-0001", "site": "bench", "buses": [bus], "writes": writes}
    file.write_bytes(orjson.dumps(content))
    return Site(file)


async def test_a_slot_is_free_again_after_a_kill(tmp_path: Path) -> None:
    """Priority 13 is taken while the lease lasts, and relinquished after it, by the next agent too."""
    with simulator("bacnet_bacpypes3", instance=77, analog=1) as address:
        at = site(tmp_path, address)
        status = load(at.file).status_file
        command = python("-m", "plantroom_edge", "run", str(at.file))
        agent = Child("agent", command, tmp_path, ready=status).start()
        try:
            async with asyncio.timeout(60), driver(address) as bus:
                await asyncio.to_thread(agent.wait_ready)
                await bus.discover()

                async def slot(priority: int) -> Value:
                    value, why = await bus.held(FAN, priority)
                    assert why == ""
                    return value

                while (said := await at.ended(at.put(True, 1))) != "executed":
                    assert said.startswith("refused unknown-point")  # it still looks for the device
                assert await at.ended(at.put(True, 60, priority=8)) == (
                    f"refused priority-not-allowed: {FAN}"
                )
                await eventually(lambda: not at.journal()["holds"])
                assert await slot(13) is None

                assert await at.ended(at.put(True, 3)) == "executed"
                assert (await slot(13), await slot(12), await slot(14)) == (1, None, None)
                agent.kill()
                assert (await slot(13), len(at.journal()["holds"])) == (1, 1)
                agent.start()
                await eventually(lambda: not at.journal()["holds"])
                assert (await slot(13), (await bus.held(FAN, None))[0]) == (None, 0)
        finally:
            agent.kill()
