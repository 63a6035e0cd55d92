"""Looks for Modbus devices that nobody has configured: bounded in time and in traffic, reads only.

A host is asked by one request at a time, over one connection for each port, which is closed as soon
as the host is done. Who does not accept is asked once. Many devices serve one master alone: a bus
that is configured already must not be a target while the agent reads it.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_edge.drivers import Candidate, Progress, ScanRequest
from plantroom_edge.drivers.modbus.guess_tells import Tells, tells
from plantroom_edge.drivers.modbus.pdu import Fault
from plantroom_edge.drivers.modbus.scan_line import Asker, Line, Pace, Paced, Reading, TimeIsUp
from plantroom_edge.drivers.modbus.scan_targets import Host, Serial, parse, tcp_bus
from plantroom_edge.drivers.modbus.scan_unit import Examination, Place
from plantroom_edge.drivers.modbus.sunspec_models import check_installed
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError
from plantroom_shared.profiles import list_profiles, load_profile

HOSTS_AT_ONCE: Final = 16
TIMEOUT: Final = 1.0
"""Seconds to wait for a connection, and for a reply."""
UNITS: Final = (1, 255, *range(2, 11), *range(100, 111), 0)
"""The usual unit ids on TCP, the likeliest first."""
SERIAL_UNITS: Final = (*range(1, 33), *range(100, 111))
ANY_UNIT: Final = frozenset({255, 0})
"""How a device of its own is addressed: tried only while nobody has answered."""
STRANGER: Final = 173
"""A unit id that nobody has: who answers it heeds none."""
GRACE: Final = 0.5
"""Seconds beyond the scan's time for what is under way to end by itself."""

OpenSerial = Callable[[Mapping[str, Any]], Reading]
"""Takes the keys of a bus and returns its connection, not open yet."""


async def scan(
    request: ScanRequest, _clock: Clock, open_serial: OpenSerial | None = None
) -> AsyncGenerator[Candidate | Progress, None]:
    """Yield what is found, and how far the scan is.

    Args:
        request: where to look, and how gently.
        open_serial: opens a serial port.

    Raises:
        ConfigError: a target is none, or too large.
    """
    hosts, serials = parse(request.targets)
    if serials and open_serial is None:
        _refuse(serials[0].bus)
    check_installed()
    known = await asyncio.to_thread(_known_profiles)
    pace = Pace(request.rate, request.seconds, asyncio.get_running_loop().time)
    run = _Run(
        pace, request.units, known, deque([*serials, *hosts]), open_serial=open_serial or _refuse
    )
    run.of = len(run.work)
    workers = [
        asyncio.create_task(run.worker(), name="modbus-scan")
        for _ in range(min(HOSTS_AT_ONCE, run.of))
    ]
    try:
        async for event in run.events_until(pace.until + GRACE, workers):
            yield event
        for worker in workers:
            if worker.done() and (error := worker.exception()) is not None:
                raise error
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _refuse(bus: Mapping[str, Any]) -> Reading:
    what = f"{bus['serial']}: serial ports cannot be scanned by this version"
    raise ConfigError(what, key="targets", fix="name hosts or networks")


@functools.cache
def _known_profiles() -> tuple[Tells, ...]:
    """Return what tells the devices of every profile; a broken file is not this scan's business."""
    found: list[Tells] = []
    for name in list_profiles():
        try:
            found.append(tells(name, load_profile(name)))
        except ConfigError:
            continue
    return tuple(found)


@dataclass(slots=True)
class _Run:
    """One scan under way."""

    pace: Pace
    units: tuple[int, ...]
    known: Sequence[Tells]
    work: deque[Host | Serial]
    open_serial: OpenSerial
    of: int = 0
    done: int = 0
    events: asyncio.Queue[Candidate | Progress | None] = field(default_factory=asyncio.Queue)

    async def events_until(
        self, until: float, workers: Sequence[asyncio.Task[None]]
    ) -> AsyncIterator[Candidate | Progress]:
        """Yield what the workers tell until all of them have ended, or it is too late."""
        left = len(workers)
        while left or not self.events.empty():
            try:
                async with asyncio.timeout_at(until):
                    event = await self.events.get()
            except TimeoutError:
                return
            if event is None:
                left -= 1
            else:
                yield event

    async def worker(self) -> None:
        """Scan places until none is left, or the time is up."""
        try:
            while self.work:
                await self._place(self.work.popleft())
        except TimeIsUp:
            self._tell("the time is up")
        finally:
            self.events.put_nowait(None)

    async def _place(self, place: Host | Serial) -> None:
        if isinstance(place, Serial):
            await self._serial(place)
        else:
            for port in place.ports:
                await self._port(place.host, port)
        self.done += 1
        self._tell(place.path if isinstance(place, Serial) else place.host)

    async def _serial(self, place: Serial) -> None:
        line = Paced(self.open_serial(place.bus), self.pace)
        try:
            for unit in self.units or SERIAL_UNITS:
                await self._unit(line, Place(place.bus, unit, place.path), patient=False)
        finally:
            line.close()

    async def _port(self, host: str, port: int) -> None:
        line = Line(host, port, self.pace, TIMEOUT)
        try:
            if await line.open():
                await self._units(line, host, port)
        finally:
            line.close()

    async def _units(self, line: Line, host: str, port: int) -> None:
        """Try unit ids until the host has shown that it heeds none, or is of no use."""
        bus, address = tcp_bus(host, port), f"{host}:{port}"
        found = 0
        for unit in self.units or UNITS:
            if line.broken or (found and not self.units and unit in ANY_UNIT):
                continue
            patient = bool(self.units) or unit in {1, 255}
            answer = await self._unit(line, Place(bus, unit, address), patient=patient)
            if answer is None:
                continue
            found += 1
            if found == 1 and await self._heeds_none(line, answer):
                return
        if not found:
            why = f"speaks no Modbus ({line.broken})" if line.broken else "no unit answers"
            self._tell(f"{address} accepts connections, but {why}")

    async def _unit(self, line: Asker, place: Place, *, patient: bool) -> bytes | Fault | None:
        """Look at one unit; return how it answered, None if it did not."""
        self._tell(f"{place.address}, unit {place.unit}")
        examination = Examination(line, place, self.known)
        answer = await examination.alive(patient=patient)
        if answer is not None:
            self.events.put_nowait(await examination.candidate())
        return answer

    async def _heeds_none(self, line: Asker, answer: bytes | Fault) -> bool:
        """Return whether a unit that nobody has answers just so."""
        strange = await line.ask(STRANGER, "holding", 40000, 2)
        return strange == answer

    def _tell(self, now: str) -> None:
        self.events.put_nowait(Progress(self.done, self.of, now))
