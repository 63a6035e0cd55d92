"""Which devices there are and what they have: Who-Is, then a scan of each.

All are asked for at the start and every `discover_every`; in between only those that did not
answer. What a scan could not finish goes on in the next run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from plantroom_edge.drivers.bacnet.client import Client
from plantroom_edge.drivers.bacnet.config import BacnetConfig, Range, parse_target
from plantroom_edge.drivers.bacnet.ede import read_ede
from plantroom_edge.drivers.bacnet.frames import IAm
from plantroom_edge.drivers.bacnet.roster import (
    EVERYBODY,
    around,
    call,
    claims,
    clashes,
    silent_targets,
    slices,
)
from plantroom_edge.drivers.bacnet.scan import Scan
from plantroom_edge.drivers.bacnet.services import Ref
from plantroom_edge.drivers.bacnet.session import Session
from plantroom_shared.clock import Clock

_SCAN_BUDGET: Final = 10.0
"""How many time-outs the scans of a discovery may take; a slow device goes on in the next."""
_SCANS_AT_ONCE: Final = 64  # answers that the socket's buffer holds at once


class Discovery:
    """The devices of one bus, as far as they are known; `run` may be called again and again."""

    def __init__(self, config: BacnetConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._targets = tuple(parse_target(text) for text in config.who_is)
        self.scans: dict[int, Scan] = {}
        """By device instance; one that has `found` something stays."""
        self._ede: dict[int, dict[Ref, object]] = {}
        self._expected = set(config.devices)
        """The instances that the configuration names."""
        self._lost: set[int] = set()
        """Those that were asked for and did not answer."""
        self._searched: float | None = None
        """When all were asked for, on the monotonic clock."""

    def prepare(self) -> None:
        """Read the files that the configuration names; ConfigError if one is no good now."""
        self._ede = read_ede(self._config.ede)
        self._expected |= {instance for instance in self._ede if self._config.ours(instance)}

    async def run(self, client: Client) -> list[str]:
        """Look for devices and scan them; return what is missing, a line each, for a person."""
        asked = self._to_ask()
        heard = await call(client, self._targets, asked)
        missing = self._meet(client, heard, asked)
        present = {said.instance for said in heard}
        # One deadline for all: however many call themselves devices, this ends in time.
        deadline = asyncio.get_running_loop().time() + _SCAN_BUDGET * self._config.timeout
        gate = asyncio.Semaphore(_SCANS_AT_ONCE)

        async def run(scan: Scan) -> None:
            async with gate:
                await scan.run(deadline)

        async with asyncio.TaskGroup() as tasks:
            for instance, scan in self.scans.items():
                if instance in present or (scan.trouble and not self._asked(instance, asked)):
                    tasks.create_task(run(scan), name=f"scan {scan.session.key}")
        return missing + self._unheard(heard, asked)

    def _to_ask(self) -> list[Range]:
        """Return the instances that broadcasts ask for: all that are due, else who is missing."""
        now, config = self._clock.monotonic(), self._config
        due = self._searched is None or now - self._searched >= config.discover_every
        if not due and self.scans:
            return slices(around(self._lost), self.scans)
        self._searched = now
        if config.only_listed:
            return slices(around(self._expected), self._expected)
        return slices(config.range or (EVERYBODY,), self.scans)

    def _asked(self, instance: int, asked: Sequence[Range]) -> bool:
        """Return whether `instance` had reason to answer."""
        if instance not in self.scans:
            return True  # who was never heard is asked for until it is
        hosts = {target.host for target in self._targets}
        if self.scans[instance].session.peer.host in hosts:
            return True
        return "" in hosts and any(low <= instance <= high for low, high in asked)

    def _meet(self, client: Client, heard: list[IAm], asked: Sequence[Range]) -> list[str]:
        """Give every instance its session, at the address it has now; return who clashes."""
        present = {said.instance for said in heard}
        for instance in [key for key, scan in self.scans.items() if scan.found is None]:
            # What never became a device is dropped: anybody can send an I-Am.
            if instance not in present and self._asked(instance, asked):
                del self.scans[instance]
        client.keep({scan.session.peer for scan in self.scans.values()})
        out: list[str] = []
        ours, known = self._config.ours, self.scans.keys()
        for instance, claimants in claims(heard, ours, known, client.ignored).items():
            scan = self.scans.get(instance)
            home = scan.session.peer if scan else None
            first = next((said for said in claimants if said.peer == home), claimants[0])
            if scan is None:
                given = self._ede.get(instance, {})
                self.scans[instance] = Scan(Session(client, first), given)
            else:
                scan.session.peer = first.peer
            out += clashes(instance, first, claimants)
        return out

    def _unheard(self, heard: list[IAm], asked: Sequence[Range]) -> list[str]:
        """Return the devices and targets that did not answer this time."""
        present = {said.instance for said in heard}
        known = {instance: scan.session for instance, scan in self.scans.items() if scan.found}
        for instance in known.keys() | self._expected:
            if instance not in present and self._asked(instance, asked):
                self._lost.add(instance)
        self._lost -= present
        out = [
            f"{session.key}: no answer to Who-Is; it was at {session.peer}"
            for instance, session in sorted(known.items())
            if instance in self._lost
        ]
        out += [
            f"bacnet:{instance}: no answer to Who-Is, though the configuration names it"
            for instance in sorted(self._lost - known.keys())
        ]
        peers = {said.peer for said in heard} | {session.peer for session in known.values()}
        return out + silent_targets(self._targets, peers, self._config.bind)
