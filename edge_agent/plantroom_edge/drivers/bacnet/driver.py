"""The BACnet/IP driver: discovery into an inventory, and polls of present-values."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from plantroom_edge.drivers import Inventory, Poll, PollGroup
from plantroom_edge.drivers.bacnet.client import Client, open_client
from plantroom_edge.drivers.bacnet.config import BacnetConfig, DeviceOptions
from plantroom_edge.drivers.bacnet.discovery import Discovery
from plantroom_edge.drivers.bacnet.doubts import Doubts, commandable
from plantroom_edge.drivers.bacnet.facts import Found, without
from plantroom_edge.drivers.bacnet.plan import Plan
from plantroom_edge.drivers.bacnet.services import WHOLE, Ref, failure_of
from plantroom_edge.drivers.bacnet.session import Reading, Session
from plantroom_edge.drivers.bacnet.values import Bits, Failure, ObjectId
from plantroom_edge.drivers.bacnet.vocabulary import (
    DEVICE,
    OBJECT_IDENTIFIER,
    PRESENT_VALUE,
    STATUS_FLAGS,
    UNKNOWN_OBJECT,
    object_id,
)
from plantroom_shared.clock import Clock
from plantroom_shared.model import Device, Point, Quality, Value

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


@dataclass(slots=True)
class _Readout:
    """What a poll group needs: the device, its requests, and which answers make which row."""

    session: Session
    plan: Plan
    who: Ref
    """Answers only if the device is the one it was."""
    rows: list[tuple[Ref, Ref]]
    """Present-value and status flags of each point, in the order of the group."""
    objects: tuple[int, ...]
    """The object of each row."""
    doubts: Doubts


class BacnetDriver:
    """One BACnet/IP network."""

    def __init__(self, config: BacnetConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._discovery = Discovery(config, clock)
        self._client: Client | None = None
        self._opening = asyncio.Lock()
        self._groups: dict[int, list[PollGroup]] = {}

    async def _open(self) -> Client:
        async with self._opening:
            if self._client is None:
                self._discovery.prepare()
                self._client = await open_client(self._config)
            return self._client

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
            options = self._config.devices.get(instance, DeviceOptions())
            found = without(scan.found, options.ignore)
            devices.append(found.device)
            points += found.points
            groups += self._groups_of(scan.session, found, options)
        again = self._config.discover_every
        return Inventory(tuple(devices), tuple(points), tuple(groups), tuple(missing), again)

    def _groups_of(self, session: Session, found: Found, options: DeviceOptions) -> list[PollGroup]:
        """Return the poll groups of a device: those it had, and one more for what is new.

        A group is made once, as its plan keeps what polling has taught. What a device has no
        longer stays in its group, bad, until the agent starts anew.
        """
        groups = self._groups.setdefault(session.instance, [])
        polled = {key for group in groups for key in group.points}
        pairs = zip(found.points, found.objects, strict=True)
        fresh = [(point.key, oid) for point, oid in pairs if point.key not in polled]
        if fresh:
            groups.append(self._group(session, found, fresh, options))
        return groups

    def _group(
        self,
        session: Session,
        found: Found,
        fresh: list[tuple[str, int]],
        options: DeviceOptions,
    ) -> PollGroup:
        config = self._config
        rows = [((oid, PRESENT_VALUE, WHOLE), (oid, STATUS_FLAGS, WHOLE)) for _, oid in fresh]
        # Who stands at the address is asked with every poll: addresses wander between devices.
        who = (object_id(DEVICE, session.instance), OBJECT_IDENTIFIER, WHOLE)
        refs = [
            who,
            *(ref for row in rows for ref in (row if config.status_flags else row[:1])),
        ]
        arrays = commandable(found.points, found.objects) if config.priority_array else frozenset()
        doubts = Doubts(session, self._clock, reliability=config.reliability, arrays=arrays)
        return PollGroup(
            device=found.device.key,
            interval=options.interval or config.interval,
            points=tuple(key for key, _ in fresh),
            plan=_Readout(
                session, session.plan(refs), who, rows, tuple(oid for _, oid in fresh), doubts
            ),
        )

    # ------------------------------------------------------------ polling

    async def read(self, group: PollGroup) -> Poll:
        """Read the present-value of every point of `group` once."""
        readout: _Readout = group.plan
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
        await readout.doubts.settle(poll, readout.objects, deadline)
        return poll


def _rows(ts: int, rows: list[tuple[Ref, Ref]], reading: Reading) -> Poll:
    """Put what a device said in the order of the group; a row never moves for another's sake."""
    get = reading.values.get
    unasked = Failure("overrun" if reading.late else "timeout")
    values: list[Value] = []
    quality: dict[int, tuple[int, str]] = {}
    for row, (value_ref, flags_ref) in enumerate(rows):
        value = get(value_ref, unasked)
        if type(value) is not float or value - value != 0.0:  # only finite numbers give 0
            value, why = _plain(value)
            if why:
                quality[row] = (_BAD, why)
                values.append(None)
                continue
        values.append(value)
        flags = get(flags_ref)
        if type(flags) is Bits and len(flags) > 1 and flags[1] & _NOT_NORMAL:
            quality[row] = _flagged(flags[1])
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
