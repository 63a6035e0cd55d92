"""Looks for BACnet devices that nobody has configured: `DriverSpec.scan`.

It reads only, asks one thing at a time of a device and no more than `ScanRequest.rate` things a
second of all together, and ends in time with what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_edge.drivers import Candidate, Progress, ScanRequest
from plantroom_edge.drivers.bacnet.candidates import candidate
from plantroom_edge.drivers.bacnet.cards import cards
from plantroom_edge.drivers.bacnet.client import Client, open_client
from plantroom_edge.drivers.bacnet.config import PORT, BacnetConfig, Target
from plantroom_edge.drivers.bacnet.frames import IAm, Reply
from plantroom_edge.drivers.bacnet.places import EVERYWHERE, Place, places
from plantroom_edge.drivers.bacnet.profile import Catalogue, catalogue
from plantroom_edge.drivers.bacnet.roster import claims, clashes
from plantroom_edge.drivers.bacnet.scan import Scan
from plantroom_edge.drivers.bacnet.session import Session
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable

_TIMEOUT: Final = 1.0
_RETRIES: Final = 1
_AT_ONCE: Final = 4
"""Devices that are asked side by side: one that is slow must not use up everybody's time."""
_FOR_ROLL_CALL: Final = 0.5
"""Part of the time that asking who is there may take."""


class Pace:
    """Lets no more than `rate` go on in a second."""

    def __init__(self, rate: float) -> None:
        self._gap, self._next = 1 / rate, 0.0

    async def turn(self, count: int = 1) -> None:
        """Wait for one's turn, as one who sends `count` datagrams."""
        now = asyncio.get_running_loop().time()
        at = max(now, self._next)
        self._next = at + self._gap * count
        if at > now:
            await asyncio.sleep(at - now)


class PacedClient(Client):
    """A client whose requests wait for their turn."""

    pace: Pace

    async def ask(self, *args: Any, **kwargs: Any) -> Reply | None:
        """Return the answer to a request, as `Client.ask` does."""
        await self.pace.turn()
        return await super().ask(*args, **kwargs)


@dataclass(slots=True)
class _Met:
    """A device that said to be there."""

    said: IAm
    place: Place
    scan: Scan
    notes: list[str] = field(default_factory=list)


async def look_around(
    request: ScanRequest, clock: Clock, profiles: Catalogue | None = None
) -> AsyncIterator[Candidate | Progress]:
    """Yield every device that answers, with what could be learned of it in time.

    Args:
        request: `units` mean nothing here; targets that are no IPv4 address, network or card are
            left to other drivers.
        clock: not used; pauses are on the loop's clock.
        profiles: the device profiles to choose from; those of the product if not given.
    """
    del clock
    if profiles is None:
        profiles = await asyncio.to_thread(catalogue)
    where, _ = places(request.targets, cards(loopback=True))
    found: asyncio.Queue[Candidate | Progress | None] = asyncio.Queue()
    task = asyncio.create_task(_Survey(request, profiles, found).run(where), name="bacnet scan")
    task.add_done_callback(lambda _: found.put_nowait(None))
    try:
        while (item := await found.get()) is not None:
            yield item
        await task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class _Survey:
    def __init__(
        self,
        request: ScanRequest,
        profiles: Catalogue,
        out: asyncio.Queue[Candidate | Progress | None],
    ) -> None:
        self._request, self._profiles, self._out = request, profiles, out
        self._pace = Pace(request.rate)
        self._end = asyncio.get_running_loop().time() + request.seconds
        self._done = self._of = 0
        self._buses: dict[Place, dict[str, Any]] = {}

    async def run(self, where: Sequence[Place]) -> None:
        opened: list[PacedClient] = []
        met: list[_Met] = []
        try:
            for at, place in enumerate(where):
                client, note = await self._open(place)
                if client is not None:
                    opened.append(client)
                self._tell(at, len(where), note or f"who is there, from {place.bind}")
                if client is not None:
                    met += await self._roll_call(client, place)
            await self._learn(met)
        finally:
            for client in opened:
                client.close()

    async def _open(self, place: Place) -> tuple[PacedClient | None, str]:
        """Return a client; from another port where BACnet's is in use."""
        config = BacnetConfig(name="scan", bind=place.bind, timeout=_TIMEOUT, retries=_RETRIES)
        note = ""
        try:
            client = await open_client(config, PacedClient)
        except Unavailable as error:
            other = {"bind": f"{place.bind.rpartition(':')[0]}:0"}
            try:
                client = await open_client(config.model_copy(update=other), PacedClient)
            except Unavailable:
                return None, str(error)
            note = (
                f"{place.bind} is in use, perhaps by the agent: from another port only devices "
                "that answer to it are found"
            )
        assert isinstance(client, PacedClient)  # noqa: S101 - `open_client` makes what it is told
        client.pace = self._pace
        return client, note

    # ------------------------------------------------------------ who is there

    async def _roll_call(self, client: PacedClient, place: Place) -> list[_Met]:
        loop = asyncio.get_running_loop()
        limit = loop.time() + (self._end - loop.time()) * _FOR_ROLL_CALL
        heard: list[IAm] = []
        # So many that all are sent again while the first answers come, and the rate still holds.
        slice_size = max(1, int(self._request.rate * _TIMEOUT))
        for start in range(0, len(place.targets), slice_size):
            if loop.time() >= limit:
                break
            part = place.targets[start : start + slice_size]
            if start:
                self._tell(start, len(place.targets), f"who is there, at {part[0]} and on")
            await self._pace.turn(len(part))
            heard += await client.who_is(part, None)
        met = []
        for instance, claimants in claims(heard, lambda _: True, (), client.ignored).items():
            first = claimants[0]
            scan = Scan(Session(client, first))
            met.append(_Met(first, place, scan, clashes(instance, first, claimants)))
        return met

    # ------------------------------------------------------------ what it is

    async def _learn(self, met: list[_Met]) -> None:
        """Scan everyone, first with a fair share of the time, then with what is left."""
        self._of, self._buses = len(met), _buses(met)
        rest = await self._round(await self._round(met))
        for one in rest:
            self._give(one)

    async def _round(self, met: list[_Met]) -> list[_Met]:
        """Scan `met` and give what is complete; return what is not."""
        loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE)
        share = (self._end - loop.time()) / max(1, -(-len(met) // _AT_ONCE))

        async def learn(one: _Met) -> None:
            async with gate:
                if loop.time() < self._end:
                    self._tell(self._done, self._of, f"{one.scan.session.key} at {one.said.peer}")
                    await one.scan.run(min(loop.time() + share, self._end))
            if one.scan.found is not None:
                self._give(one)

        async with asyncio.TaskGroup() as tasks:
            for one in met:
                tasks.create_task(learn(one), name=f"bacnet scan of {one.scan.session.key}")
        return [one for one in met if one.scan.found is None]

    def _give(self, one: _Met) -> None:
        self._done += 1
        bus = self._buses[one.place]
        self._out.put_nowait(candidate(one.scan, bus, one.notes, self._profiles))
        self._tell(self._done, self._of, f"{one.scan.session.key} done")

    def _tell(self, done: int, of: int, now: str) -> None:
        self._out.put_nowait(Progress(done, of, now))


def _buses(met: Sequence[_Met]) -> dict[Place, dict[str, Any]]:
    """Return the bus for each place: a broadcast, or the addresses where somebody answered."""
    buses: dict[Place, dict[str, Any]] = {}
    for place in {one.place: None for one in met}:
        hosts = sorted({one.said.peer[:2] for one in met if one.place == place})
        asked = place.targets if place.broadcast else tuple(Target(*host) for host in hosts)
        # As a person writes it, so that it is known again beside what is there already.
        texts = [str(target).removesuffix(f":{PORT}") for target in asked]
        bus: dict[str, Any] = {"driver": "bacnet", "who_is": texts, "only_listed": True}
        buses[place] = bus if place.bind == EVERYWHERE else bus | {"bind": place.bind}
    return buses
