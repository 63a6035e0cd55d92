"""The kit finds what is wrong with a client, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from plantroom_cloud.conformance import scenarios
from plantroom_cloud.conformance.assertions import GATEWAY
from plantroom_cloud.conformance.kit import Kit, Patience
from plantroom_cloud.conformance.verdicts import Verdicts
from support.conformance_client import SmallGateway, keep_ticking

PATIENCE = Patience(client=5, rows=4, answer=4, connect=4, quiet=0.5, pause=1.6)


@dataclass
class MemoryLine:
    """Kit and client in one process, with nothing between them."""

    flaws: frozenset[str]
    kit: Kit | None = None
    client: SmallGateway = field(init=False)
    _ticking: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.client = SmallGateway(self._publish, self.flaws)

    async def _publish(self, channel: str, payload: bytes) -> None:
        assert self.kit is not None
        await self.kit.receive(channel, payload, 1, "retains" in self.flaws)

    def connect(self) -> None:
        self.client.connected()
        self.client._answered = False
        self._ticking = asyncio.create_task(keep_ticking(self.client))

    async def send(self, channel: str, payload: bytes) -> None:
        self.client.receive(channel, payload, asyncio.get_running_loop().time())

    async def kick(self) -> bool:
        assert self._ticking is not None
        self._ticking.cancel()
        if "no will" not in self.flaws:
            await self._publish("state", self.client.will)
        if "stays away" not in self.flaws:
            self.connect()
        return True

    async def restart_broker(self) -> bool:
        return False

    async def kill_client(self) -> bool:
        return False

    async def stop_client(self) -> bool:
        return False

    def close(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()


async def judged(*flaws: str) -> Verdicts:
    """Return what the kit finds about a small gateway with these flaws."""
    verdicts, line = Verdicts(GATEWAY), MemoryLine(frozenset(flaws))
    line.kit = Kit(line, verdicts, "gw-small-0001", PATIENCE)
    line.connect()
    try:
        await scenarios.run(line.kit)
    finally:
        line.close()
    return verdicts


FLAWS = {
    "": set(),
    "early rows": {"SV1-H-02"},
    "any session": {"SV1-H-05"},
    "no second hello": {"SV1-H-04"},
    "same session": {"SV1-H-03"},
    "changed rows": {"SV1-R-02"},
    "believes acks": {"SV1-A-04"},
    "believes resume": {"SV1-H-09"},
    "part is all": {"SV1-A-03"},
    "never again": {"SV1-A-01", "SV1-A-03", "SV1-D-03"},
    "big window": {"SV1-L-01"},
    "deaf to flow": {"SV1-F-01", "SV1-F-03"},
    "believes flow": {"SV1-F-04"},
    "stubborn": {"SV1-N-01"},
    "drops refused": {"SV1-N-02"},
    "keeps its dictionary": {"SV1-D-03"},
    "rows first": {"SV1-D-01"},
    "forgets": {"SV1-H-06", "SV1-N-02"},
    "ignores resume": {"SV1-H-07"},
    "always fill": {"SV1-H-10", "SV1-L-02"},
    "never fill": {"SV1-L-02"},
    "holes": {"SV1-R-01"},
    "no will": {"SV1-T-04"},
    "no state": {"SV1-C-01"},
    "wrong state": {"SV1-M-08"},
    "retains": {"SV1-T-03"},
    "stays away": {"SV1-T-05"},
    "no rows": {"SV1-V-01"},
    "one row a message": set(),
}


async def test_each_flaw_fails_what_it_breaks_and_nothing_else() -> None:
    """A client fails exactly the assertions that its flaw breaks; one without flaws fails none."""
    found = await asyncio.gather(*(judged(*filter(None, [flaw])) for flaw in FLAWS))
    failed = {
        flaw: set(verdicts.named("fails")) for flaw, verdicts in zip(FLAWS, found, strict=True)
    }
    assert failed == FLAWS
