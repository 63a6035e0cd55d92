"""The BACnet/IP driver: discovery into an inventory, and polls of present-values."""

from __future__ import annotations

import asyncio
from typing import Final

from plantroom_edge.drivers import DeviceFigures, Inventory, Poll, PollGroup, Written
from plantroom_edge.drivers.bacnet.client import Client, open_client
from plantroom_edge.drivers.bacnet.config import BacnetConfig, DeviceOptions
from plantroom_edge.drivers.bacnet.discovery import Discovery
from plantroom_edge.drivers.bacnet.facts import Found, without
from plantroom_edge.drivers.bacnet.figures import figures_of
from plantroom_edge.drivers.bacnet.grouping import Readout, new_groups
from plantroom_edge.drivers.bacnet.judging import unwritable
from plantroom_edge.drivers.bacnet.listening import Listening
from plantroom_edge.drivers.bacnet.profile import (
    NO_PROFILE,
    Catalogue,
    apply,
    catalogue,
    choose,
    hints_of,
)
from plantroom_edge.drivers.bacnet.rows import rows_of
from plantroom_edge.drivers.bacnet.services import failure_of
from plantroom_edge.drivers.bacnet.timesync import TimeSync
from plantroom_edge.drivers.bacnet.values import ObjectId
from plantroom_edge.drivers.bacnet.vocabulary import UNKNOWN_OBJECT
from plantroom_edge.drivers.bacnet.writing import Writer
from plantroom_edge.hints import Hint
from plantroom_shared.clock import Clock
from plantroom_shared.model import Device, Point, Value
from plantroom_shared.profiles import load_bacnet_profile

_READ_BUDGET: Final = 60.0
"""Seconds after which a read begins no further request."""
_NOBODY: Final = failure_of(UNKNOWN_OBJECT)


class BacnetDriver:
    """One BACnet/IP network."""

    def __init__(self, config: BacnetConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._discovery = Discovery(config, clock)
        self._client: Client | None = None
        self._opening = asyncio.Lock()
        self._groups: dict[int, list[PollGroup]] = {}
        self._profiles: Catalogue = ()
        self._meanings: dict[int, tuple[Found, Found]] = {}
        """By instance, what was found and what it means."""
        self._listening = Listening(clock, self._readouts)
        self._time = TimeSync(clock, config.time_sync, config.time_sync_hours)

    async def _open(self) -> Client:
        async with self._opening:
            if self._client is None:
                # Files of a site, and dozens of profiles: they may take a second to read.
                await asyncio.to_thread(self._prepare)
                self._client = await open_client(self._config)
                self._client.on_notice = self._listening.hear
            return self._client

    def _prepare(self) -> None:
        """Read the files that the configuration names; ConfigError if one is no good now."""
        config = self._config
        self._profiles = catalogue(config.profile_dir)
        for name in {options.profile for options in config.devices.values()} - {None, NO_PROFILE}:
            load_bacnet_profile(str(name), config.profile_dir)
        self._discovery.prepare()

    async def close(self) -> None:
        """Release the sockets."""
        if self._client is not None:
            self._client.close()

    # ------------------------------------------------------------ discovery

    async def discover(self) -> Inventory:
        """Return every device that answers now or has answered before, with its points.

        Raises:
            ConfigError, Unavailable: the socket cannot be opened, or a file cannot be read.
        """
        client = await self._open()
        missing = await self._discovery.run(client)
        if trouble := client.link.trouble():
            missing.append(trouble)
        return self._inventory(missing)

    def _inventory(self, missing: list[str]) -> Inventory:
        devices: list[Device] = []
        points: list[Point] = []
        groups: list[PollGroup] = []
        hints: dict[str, Hint] = {}
        for instance, scan in sorted(self._discovery.scans.items()):
            if scan.trouble:
                missing.append(f"{scan.session.key} at {scan.session.peer}: {scan.trouble}")
            if scan.found is None:
                continue
            found = self._meaning(instance, scan.found)
            devices.append(found.device)
            points += found.points
            hints |= hints_of(found)
            mine = self._groups.setdefault(instance, [])
            mine += new_groups(self._config, self._clock, scan.session, found, mine)
            groups += mine
        again = self._config.discover_every
        return Inventory(tuple(devices), tuple(points), tuple(groups), tuple(missing), again, hints)

    def _meaning(self, instance: int, found: Found) -> Found:
        """Return what the configuration and a profile make of what was found."""
        known = self._meanings.get(instance)
        if known is None or known[0] is not found:
            options = self._config.devices.get(instance, DeviceOptions())
            kept = without(found, options.ignore)
            profile = choose(self._profiles, kept, options.profile)
            known = self._meanings[instance] = found, apply(profile, kept) if profile else kept
        return known[1]

    # ------------------------------------------------------------ polling

    async def read(self, group: PollGroup) -> Poll:
        """Read the present-value of every point of `group` once."""
        readout: Readout = group.plan
        watch, loop = readout.watch, asyncio.get_running_loop()
        began, started = self._clock.now_us(), loop.time()
        deadline = started + max(_READ_BUDGET, group.interval)
        plan = watch.plan(started) if watch else readout.plan
        reading = await readout.session.read(plan, deadline=deadline)
        ts = (began + self._clock.now_us()) // 2
        who = reading.values.get(readout.who)
        if not reading.alive:
            return readout.lost(ts, "timeout")
        if who == _NOBODY or (isinstance(who, ObjectId) and who != readout.who[0]):
            return readout.lost(ts, "wrong-device")
        if watch is not None:
            watch.fill(reading)
        poll = rows_of(ts, readout.rows, reading)
        readout.scale(poll)
        readout.check(poll)
        await readout.doubts.settle(poll, readout.objects, deadline)
        if due := self._time.due(readout.session.key):
            readout.session.tell(*due)
        if watch is not None:
            watch.heed(group, poll, reading, started)
            await watch.tend(min(deadline, loop.time() + group.interval / 2))
        return poll

    async def notice(self) -> tuple[PollGroup, Poll]:
        """Wait for what a device tells by itself."""
        return await self._listening.notice()

    def _readouts(self, instance: int) -> list[Readout]:
        return [group.plan for group in self._groups.get(instance, ())]

    # ------------------------------------------------------------ writing and telling

    def _place(self, point: str) -> tuple[int, int] | None:
        """Return the instance of the device of a point, and its row there."""
        for instance, (_, found) in self._meanings.items():
            if point.startswith(f"{found.device.key}:"):
                keys = (known.key for known in found.points)
                row = next((row for row, key in enumerate(keys) if key == point), None)
                return None if row is None else (instance, row)
        return None

    def _object(self, point: str) -> tuple[Writer, int] | None:
        """Return who writes the object of a point, and the object."""
        if (place := self._place(point)) is None:
            return None
        instance, row = place
        oid = self._meanings[instance][1].objects[row]
        return Writer(self._discovery.scans[instance].session), oid

    def unwritable(self, point: str, value: Value) -> str:
        """Return why `point` does not take `value`: by its type, the profile and the device."""
        if (place := self._place(point)) is None:
            return "unknown-point"
        instance, row = place
        return unwritable(*self._meanings[instance], row, value)

    async def held(self, point: str, priority: int | None) -> tuple[Value, str]:
        """Return the slot `priority` of the priority array; the present-value if that is None."""
        known = self._object(point)
        return await known[0].held(known[1], priority) if known else (None, "unknown-point")

    async def write(
        self, point: str, value: Value, priority: int | None, *, back: bool = False
    ) -> Written:
        """Write the present-value at `priority` and read it back; None relinquishes the slot."""
        known, why = self._object(point), "" if back else self.unwritable(point, value)
        if known is None or why:
            return Written(ok=False, reason=why or "unknown-point", reached=False)
        return await known[0].write(known[1], value, priority)

    def figures(self) -> list[DeviceFigures]:
        """Return the figures of every device."""
        return [figures_of(groups) for _, groups in sorted(self._groups.items()) if groups]
