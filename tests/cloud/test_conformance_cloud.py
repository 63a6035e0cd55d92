"""The kit as a gateway: our own cloud passes it, and a cloud that answers wrongly does not."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from demo.stack import GATEWAY as DEMO
from demo.stack import Stack
from plantroom_cloud.conformance import cloud_scenarios
from plantroom_cloud.conformance.assertions import CLOUD
from plantroom_cloud.conformance.kit import Patience
from plantroom_cloud.conformance.played_gateway import PlayedGateway
from plantroom_cloud.conformance.verdicts import Verdicts
from support.cloud_broker import open_to_others
from support.conformance_cloud import SmallCloud

PATIENCE = Patience(answer=0.5, quiet=0.2)


@pytest.mark.e2e
async def test_our_own_cloud_passes(tmp_path: Path) -> None:
    """Our ingest behind a real broker fails nothing; only a flow it has no reason to send."""
    stack = Stack(open_to_others(tmp_path))
    stack.write_cloud_config()
    try:
        await asyncio.to_thread(stack.start_broker)
        await asyncio.to_thread(stack.provision, ("demo",))
        await asyncio.to_thread(stack.child, "ingest", *stack.cloud("ingest"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "plantroom_cloud", "conformance", "cloud", "--json"),
            *(f"127.0.0.1:{stack.broker_port}", "--tls", str(stack.certificates)),
            *("--gateway", DEMO, "--mqtt", "5" if stack.broker_engine == "mosquitto" else "3.1.1"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    finally:
        await asyncio.to_thread(stack.stop)
    report: dict[str, Any] = json.loads(out)
    assert {row["id"]: row["failures"] for row in report["assertions"] if row["failures"]} == {}
    silent = [row["id"] for row in report["assertions"] if row["outcome"] == "not exercised"]
    assert silent == ["SV1-M-14"]
    assert (report["ended"], process.returncode) == ("", 0)


# ---------------------------------------------------------------- flaws


@dataclass
class MemoryLine:
    """Kit and cloud in one process, with nothing between them."""

    flaws: frozenset[str]
    kit: PlayedGateway | None = None
    cloud: SmallCloud = field(init=False)

    def __post_init__(self) -> None:
        self.cloud = SmallCloud(self._tell, self.flaws)

    async def _tell(self, channel: str, payload: bytes, qos: int) -> None:
        assert self.kit is not None
        await self.kit.receive(channel, payload, qos, "retains" in self.flaws)

    async def send(self, channel: str, payload: bytes) -> None:
        await self.cloud.receive(channel, payload)

    async def kick(self) -> bool:
        return False

    restart_broker = kill_client = stop_client = kick


async def judged(*flaws: str) -> tuple[Verdicts, str]:
    """Return what the kit finds about a small cloud with these flaws, and why it ended early."""
    verdicts, line = Verdicts(CLOUD), MemoryLine(frozenset(flaws))
    line.kit = PlayedGateway(line, verdicts, PATIENCE)
    return verdicts, await cloud_scenarios.run(line.kit)


FLAWS: dict[str, set[str]] = {
    "": set(),
    "silent": {"SV1-H-11"},
    "wrong session": {"SV1-H-11"},
    "no gzip": {"SV1-P-11", "SV1-H-11"},
    "odd resume": {"SV1-M-11", "SV1-H-11"},
    "qos 0": {"SV1-T-11"},
    "retains": {"SV1-T-11"},
    "one epoch": {"SV1-H-12"},
    "no echo": {"SV1-H-15"},
    "no size": {"SV1-H-16"},
    "forgetful": {"SV1-H-13"},
    "all streams": {"SV1-H-14"},
    "silent about holes": {"SV1-D-12"},
    "renames": {"SV1-D-14"},
    "no dictionary acks": {"SV1-D-11"},
    "takes any alias": {"SV1-D-13"},
    "acks once": {"SV1-A-13"},
    "acks ahead": {"SV1-A-12"},
    "in order only": {"SV1-A-14"},
    "samples only": {"SV1-A-15"},
    "bad rows block": {"SV1-A-16"},
    "blind to forks": {"SV1-N-11"},
    "acks snapshots": {"SV1-S-11"},
    "fragile": {"SV1-P-12", "SV1-H-11"},
    "strict keys": {"SV1-H-11"},
}


async def test_each_flaw_of_a_cloud_fails_what_it_breaks_and_nothing_else() -> None:
    """A cloud fails exactly the assertions that its flaw breaks; one without flaws fails none."""
    found = await asyncio.gather(*(judged(*filter(None, [flaw])) for flaw in FLAWS))
    failed = {
        flaw: set(verdicts.named("fails")) for flaw, (verdicts, _) in zip(FLAWS, found, strict=True)
    }
    assert failed == FLAWS
    ended = {flaw for flaw, (_, why) in zip(FLAWS, found, strict=True) if why}
    assert ended == {"silent", "no gzip", "odd resume", "strict keys"}
