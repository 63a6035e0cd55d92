"""The BACnet/IP driver: discovery into an inventory, and polls of present-values."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from plantroom_edge.drivers import Inventory, Poll, PollGroup
from plantroom_edge.drivers.bacnet.client import Client, open_client
from plantroom_edge.drivers.bacnet.config import BacnetConfig, DeviceOptions
from plantroom_edge.drivers.bacnet.discovery import Discovery
from plantroom_edge.drivers.bacnet.facts import Found, Hint, without
from plantroom_edge.drivers.bacnet.grouping import Readout, new_groups
from plantroom_edge.drivers.bacnet.profile import NO_PROFILE, Catalogue, apply, catalogue, choose
from plantroom_edge.drivers.bacnet.services import Ref, failure_of
from plantroom_edge.drivers.bacnet.session import Reading
from plantroom_edge.drivers.bacnet.values import Bits, Failure, ObjectId
from plantroom_edge.drivers.bacnet.vocabulary import (
    UNKNOWN_OBJECT,
)
from plantroom_shared.clock import Clock
from plantroom_shared.model import Device, Point, Quality, Value
from plantroom_shared.profiles import load_bacnet_profile

_READ_BUDGET: Final = 60.0
"""Seconds after which a read begins no further request."""
_NOBODY: Final = failure_of(UNKNOWN_OBJECT)
_MAX_TEXT: Final = 512
_EXACT: Final = 2**53
"""Integers beyond it become floats: JSON readers would round them anyway."""
_NO_SAMPLE: Final = {type(None): "null", float: "nan"}

_FAULT, _OVERRIDDEN, _OUT_OF_SERVICE = 0x40, 0x20, 0x10
_NOT_NORMAL: Final = _FAULT | _OVERRIDDEN | _OUT_OF_SERVICE
_BAD, _UNCERTAIN = int(Quality.BAD), int(Quality.UNCERTAIN)


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

    async def _open(self) -> Client:
        async with self._opening:
            if self._client is None:
                # Files of a site, and dozens of profiles: they may take a second to read.
                await asyncio.to_thread(self._prepare)
                self._client = await open_client(self._config)
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
        return self._inventory(await self._discovery.run(client))

    def _inventory(self, missing: list[str]) -> Inventory:
        devices: list[Device] = []
        points: list[Point] = []
        groups: list[PollGroup] = []
        for instance, scan in sorted(self._discovery.scans.items()):
            if scan.trouble:
                missing.append(f"{scan.session.key} at {scan.session.peer}: {scan.trouble}")
            if scan.found is None:
                continue
            found = self._meaning(instance, scan.found)
            devices.append(found.device)
            points += found.points
            mine = self._groups.setdefault(instance, [])
            mine += new_groups(self._config, self._clock, scan.session, found, mine)
            groups += mine
        again = self._config.discover_every
        return Inventory(tuple(devices), tuple(points), tuple(groups), tuple(missing), again)

    def _meaning(self, instance: int, found: Found) -> Found:
        """Return what the configuration and a profile make of what was found."""
        known = self._meanings.get(instance)
        if known is None or known[0] is not found:
            options = self._config.devices.get(instance, DeviceOptions())
            kept = without(found, options.ignore)
            profile = choose(self._profiles, kept, options.profile)
            known = self._meanings[instance] = found, apply(profile, kept) if profile else kept
        return known[1]

    def hints(self) -> Mapping[str, Hint]:
        """Return, by point key, what is known for deadbands and for limits of writes."""
        return {
            key: hint for _, found in self._meanings.values() for key, hint in found.hints.items()
        }

    # ------------------------------------------------------------ polling

    async def read(self, group: PollGroup) -> Poll:
        """Read the present-value of every point of `group` once."""
        readout: Readout = group.plan
        began = self._clock.now_us()
        deadline = asyncio.get_running_loop().time() + max(_READ_BUDGET, group.interval)
        reading = await readout.session.read(readout.plan, deadline=deadline)
        ts = (began + self._clock.now_us()) // 2
        if not reading.alive:
            return Poll.dead(ts, len(readout.rows), "timeout")
        who = reading.values.get(readout.who)
        if who == _NOBODY or (isinstance(who, ObjectId) and who != readout.who[0]):
            return Poll.dead(ts, len(readout.rows), "wrong-device")
        poll = _rows(ts, readout.rows, reading)
        readout.check(poll)
        await readout.doubts.settle(poll, readout.objects, deadline)
        return poll


def _rows(ts: int, rows: list[tuple[Ref, Ref]], reading: Reading) -> Poll:
    """Put what a device said in the order of the group; a row never moves for another's sake."""
    values: list[Value] = [None] * len(rows)
    quality: dict[int, tuple[int, str]] = {}
    if reading.put(values) == len(rows):
        return Poll(ts, values, quality)
    get = reading.values.get
    unasked = Failure("overrun" if reading.late else "timeout")
    good: dict[Ref, int] = {}
    for row, (value_ref, flags_ref) in enumerate(rows):
        if values[row] is not None:  # as it was recalled
            continue
        value = get(value_ref, unasked)
        if type(value) is not float or value - value != 0.0:  # only finite numbers give 0
            value, why = _plain(value)
            if why:
                quality[row] = (_BAD, why)
                continue
        values[row] = value
        flags = get(flags_ref)
        if type(flags) is Bits and len(flags) > 1 and flags[1] & _NOT_NORMAL:
            quality[row] = _flagged(flags[1])
        else:
            good[value_ref] = row
    reading.remember(good)
    return Poll(ts, values, quality)


def _plain(value: Any) -> tuple[Value, str]:
    """Return `value` as a sample can hold it, or why it cannot."""
    if isinstance(value, str):
        return value[:_MAX_TEXT], ""
    if type(value) is bool or (type(value) is int and -_EXACT <= value <= _EXACT):
        return value, ""
    if type(value) is int:
        return float(value), ""
    if isinstance(value, Failure):
        return None, value.reason
    return None, _NO_SAMPLE.get(type(value), "unsupported-type")


def _flagged(flags: int) -> tuple[int, str]:
    if flags & _FAULT:
        return _BAD, "fault"
    if flags & _OVERRIDDEN:
        return _UNCERTAIN, "overridden"
    return _UNCERTAIN, "out-of-service"
