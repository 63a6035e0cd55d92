"""The BACnet/IP driver: discovery into an inventory, and polls of present-values."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from plantroom_edge.drivers import DeviceFigures, Inventory, Poll, PollGroup, Written
from plantroom_edge.drivers.bacnet.client import Client, open_client
from plantroom_edge.drivers.bacnet.config import (
    BacnetConfig,
    DeviceOptions,
    Target,
    parse_target,
)
from plantroom_edge.drivers.bacnet.cov import Watch
from plantroom_edge.drivers.bacnet.figures import figures_of
from plantroom_edge.drivers.bacnet.frames import IAm, Notification, Peer
from plantroom_edge.drivers.bacnet.news import News
from plantroom_edge.drivers.bacnet.notices import decode_notice
from plantroom_edge.drivers.bacnet.plan import Plan
from plantroom_edge.drivers.bacnet.scan import Found, Scan
from plantroom_edge.drivers.bacnet.services import WHOLE, Ref, failure_of
from plantroom_edge.drivers.bacnet.session import Reading, Session
from plantroom_edge.drivers.bacnet.timesync import TimeSync
from plantroom_edge.drivers.bacnet.values import Bits, Failure, Malformed, ObjectId
from plantroom_edge.drivers.bacnet.vocabulary import (
    DEVICE,
    MAX_INSTANCE,
    OBJECT_IDENTIFIER,
    PRESENT_VALUE,
    STATUS_FLAGS,
    UNKNOWN_OBJECT,
    object_id,
    split,
)
from plantroom_edge.drivers.bacnet.writing import Writer
from plantroom_shared.clock import Clock
from plantroom_shared.model import Device, Point, Quality, Value

_SCAN_BUDGET: Final = 10.0
"""How many time-outs the scans of a discovery may take; a slow device goes on in the next."""
_READ_BUDGET: Final = 60.0
"""Seconds after which a read begins no further request."""
_NOBODY: Final = failure_of(UNKNOWN_OBJECT)
_SCANS_AT_ONCE: Final = 64  # answers that the socket's buffer holds at once
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
    watch: Watch | None = None
    """Its subscriptions, where COV is wanted."""
    group: PollGroup | None = None
    """As it was read the last time: with the gate that the sampler has set."""
    last: Poll | None = None
    """What that brought, and what was told since."""


class BacnetDriver:
    """One BACnet/IP network."""

    def __init__(self, config: BacnetConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._targets = tuple(parse_target(text) for text in config.who_is)
        self._client: Client | None = None
        self._opening = asyncio.Lock()
        self._scans: dict[int, Scan] = {}
        self._groups: dict[int, tuple[Found, PollGroup]] = {}
        self._news = News()
        self._time = TimeSync(clock, config.time_sync, config.time_sync_hours)

    async def _open(self) -> Client:
        async with self._opening:
            if self._client is None:
                self._client = await open_client(self._config)
                self._client.on_notice = self._hear
            return self._client

    async def close(self) -> None:
        """Release the sockets."""
        if self._client is not None:
            self._client.close()

    # ------------------------------------------------------------ discovery

    async def discover(self) -> Inventory:
        """Return every device that answers now or has answered before, with its points.

        Raises:
            ConfigError, Unavailable: the socket cannot be opened.
        """
        client = await self._open()
        heard = await client.who_is(self._targets, self._config.range)
        missing = self._meet(client, heard)
        present = {said.instance for said in heard}
        # One deadline for all: however many call themselves devices, this ends in time.
        deadline = asyncio.get_running_loop().time() + _SCAN_BUDGET * self._config.timeout
        gate = asyncio.Semaphore(_SCANS_AT_ONCE)

        async def run(scan: Scan) -> None:
            async with gate:
                await scan.run(deadline)

        async with asyncio.TaskGroup() as tasks:
            for instance, scan in self._scans.items():
                if instance in present:
                    tasks.create_task(run(scan), name=f"scan {scan.session.key}")
        missing += self._unheard(heard)
        if trouble := client.link.trouble():
            missing.append(trouble)
        return self._inventory(missing)

    def _meet(self, client: Client, heard: list[IAm]) -> list[str]:
        """Give every instance its session, at the address it has now; return who clashes."""
        self._forget(client, {said.instance for said in heard})
        clashes: list[str] = []
        for instance, claimants in self._claims(client, heard).items():
            known = self._scans.get(instance)
            home = known.session.peer if known else None
            first = next((said for said in claimants if said.peer == home), claimants[0])
            if known is None:
                self._scans[instance] = Scan(Session(client, first))
            else:
                known.session.peer = first.peer
            clashes += [
                f"{said.peer}: calls itself device {instance}, as {first.peer} does; "
                "give one of them another instance"
                for said in claimants
                if said is not first
            ]
        return clashes

    def _claims(self, client: Client, heard: list[IAm]) -> dict[int, list[IAm]]:
        """Return who says to be which instance, leaving out what is not ours."""
        low, high = self._config.range or (0, MAX_INSTANCE)
        names: dict[Peer, IAm] = {}
        for said in sorted(heard, key=lambda said: (said.instance, said.peer)):
            if not low <= said.instance <= high:
                client.ignored["out-of-range"] += 1
                continue
            other = names.setdefault(said.peer, said)
            if other is not said:  # one address is one device: the one it was before, if any
                client.ignored["second-instance"] += 1
                if said.instance in self._scans and other.instance not in self._scans:
                    names[said.peer] = said
        claims: dict[int, list[IAm]] = {}
        for said in names.values():
            claims.setdefault(said.instance, []).append(said)
        return claims

    def _forget(self, client: Client, present: set[int]) -> None:
        """Drop what never became a device: anybody can send an I-Am."""
        for instance in [key for key, scan in self._scans.items() if scan.found is None]:
            if instance not in present:
                del self._scans[instance]
        client.keep({scan.session.peer for scan in self._scans.values()})

    def _unheard(self, heard: list[IAm]) -> list[str]:
        """Return the devices and targets that did not answer this time."""
        present = {said.instance for said in heard}
        known = [scan.session for _, scan in sorted(self._scans.items()) if scan.found]
        out = [
            f"{session.key}: no answer to Who-Is; it was at {session.peer}"
            for session in known
            if session.instance not in present
        ]
        peers = [said.peer for said in heard] + [session.peer for session in known]
        named = {Target(peer.host, peer.port) for peer in peers}
        # Some devices answer from another port than they listen on.
        elsewhere = {target.host for target in named - set(self._targets)}
        out += [
            f"{target}: no answer to Who-Is"
            for target in self._targets
            if target.host and target not in named and target.host not in elsewhere
        ]
        if not peers:
            out += [
                f"{target} from {self._config.bind}: no device answered Who-Is"
                for target in self._targets
                if not target.host
            ]
        return out

    def _inventory(self, missing: list[str]) -> Inventory:
        devices: list[Device] = []
        points: list[Point] = []
        groups: list[PollGroup] = []
        for instance, scan in sorted(self._scans.items()):
            found = scan.found
            if found is None:
                missing.append(f"{scan.session.key} at {scan.session.peer}: {scan.trouble}")
                continue
            known = self._groups.get(instance)
            if known is None or known[0].points is not found.points:
                # Made once: a group's plan keeps what polling has taught.
                known = self._groups[instance] = found, self._group(scan.session, found)
            group = known[1]
            kept = set(group.points)
            devices.append(found.device)
            points += [point for point in found.points if point.key in kept]
            if kept:
                groups.append(group)
        return Inventory(tuple(devices), tuple(points), tuple(groups), tuple(missing))

    def _group(self, session: Session, found: Found) -> PollGroup:
        options = self._config.devices.get(session.instance, DeviceOptions())
        kept = [
            (point.key, oid)
            for point, oid in zip(found.points, found.objects, strict=True)
            if not _ignored(point, options.ignore)
        ]
        rows = [((oid, PRESENT_VALUE, WHOLE), (oid, STATUS_FLAGS, WHOLE)) for _, oid in kept]
        flags = self._config.status_flags
        # Who stands at the address is asked with every poll: addresses wander between devices.
        who = (object_id(DEVICE, session.instance), OBJECT_IDENTIFIER, WHOLE)
        refs = [who, *(ref for row in rows for ref in (row if flags else row[:1]))]
        readout = _Readout(session, session.plan(refs), who, rows)
        interval = options.interval or self._config.interval
        if self._config.cov != "off":
            readout.watch = Watch(session, rows, who, interval, readout.plan)
        points = tuple(key for key, _ in kept)
        return PollGroup(found.device.key, interval, points, readout)

    # ------------------------------------------------------------ polling

    async def read(self, group: PollGroup) -> Poll:
        """Read the present-value of every point of `group` once."""
        readout: _Readout = group.plan
        watch, now = readout.watch, asyncio.get_running_loop().time
        began, started = self._clock.now_us(), now()
        deadline = started + max(_READ_BUDGET, group.interval)
        plan = watch.plan(started, self._config.status_flags) if watch else readout.plan
        reading = await readout.session.read(plan, deadline=deadline)
        ts = (began + self._clock.now_us()) // 2
        if not reading.alive:
            return _lost(readout, ts, "timeout")
        who = reading.values.get(readout.who)
        if who == _NOBODY or (isinstance(who, ObjectId) and who != readout.who[0]):
            return _lost(readout, ts, "wrong-device")
        if watch is not None and plan is not readout.plan:
            watch.fill(reading)
        poll = _rows(ts, readout.rows, reading)
        if due := self._time.due(readout.session.key):
            readout.session.tell(*due)
        if watch is not None:
            if plan is readout.plan:
                watch.heed(reading, poll.values, started, now())
            readout.group, readout.last = group, poll
            await watch.tend(now, min(deadline, now() + group.interval / 2))
        return poll

    # ------------------------------------------------------------ what devices tell by themselves

    def _hear(self, said: Notification) -> bool:
        """Take a COV notification; False if nobody asked for it."""
        try:
            notice = decode_notice(said.body)
        except Malformed:
            return False
        known = self._groups.get(split(notice.device)[1])
        readout: _Readout | None = known[1].plan if known else None
        if readout is None or readout.session.peer.station != said.peer.station:
            return False
        watch = readout.watch
        row = watch.hear(notice, asyncio.get_running_loop().time()) if watch else None
        if watch is None or row is None:
            return False
        self._news.add(readout, row, watch.told(row), self._clock.now_us())
        return True

    async def notice(self) -> tuple[PollGroup, Poll]:
        """Wait for what a device tells by itself."""
        while True:
            bundle = await self._news.take()
            readout: _Readout = bundle.about
            if readout.group is not None and readout.last is not None:
                return readout.group, _told(readout, readout.group, bundle.rows, bundle.ts)

    # ------------------------------------------------------------ writing and telling

    def _object(self, point: str) -> tuple[Writer | None, int]:
        """Return who writes the object of a point, and the object."""
        instance = point.split(":")[1] if point.count(":") >= 2 else ""
        scan = self._scans.get(int(instance)) if instance.isdecimal() else None
        if scan is None or scan.found is None:
            return None, 0
        for known, oid in zip(scan.found.points, scan.found.objects, strict=True):
            if known.key == point:
                return Writer(scan.session), oid
        return None, 0

    async def held(self, point: str, priority: int | None) -> tuple[Value, str]:
        """Return the slot `priority` of the priority array; the present-value if that is None."""
        writer, oid = self._object(point)
        return await writer.held(oid, priority) if writer else (None, "unknown-point")

    async def write(self, point: str, value: Value, priority: int | None) -> Written:
        """Write the present-value at `priority` and read it back; None relinquishes the slot."""
        writer, oid = self._object(point)
        if writer is None:
            return Written(ok=False, reason="unknown-point", reached=False)
        return await writer.write(oid, value, priority)

    def figures(self) -> list[DeviceFigures]:
        """Return the figures of every device."""
        return [
            figures_of(group.plan.session, group.plan.plan, group.interval, group.plan.watch)
            for _, (_, group) in sorted(self._groups.items())
        ]


def _lost(readout: _Readout, ts: int, reason: str) -> Poll:
    if readout.watch is not None:
        readout.watch.lost()
        readout.last = None
    return Poll.dead(ts, len(readout.rows), reason)


def _told(readout: _Readout, group: PollGroup, news: dict[int, tuple[Any, Any]], ts: int) -> Poll:
    """Return news as a poll in which only its rows are worth a sample."""
    last = readout.last
    assert last is not None  # noqa: S101 - the caller has seen to it
    values, quality = list(last.values), dict(last.quality)
    for row, (value, flags) in news.items():
        value_ref, flags_ref = readout.rows[row]
        told = _rows(ts, [(value_ref, flags_ref)], Reading({value_ref: value, flags_ref: flags}))
        values[row] = told.values[0]
        quality.pop(row, None)
        if told.quality:
            quality[row] = told.quality[0]
    readout.last = Poll(ts, values, quality)
    rows = sorted(news) if group.gate is None else group.gate.changed(values, quality)
    return Poll(ts, list(values), dict(quality), rows=rows)


def _ignored(point: Point, patterns: tuple[str, ...]) -> bool:
    name = point.key.split(":", 2)[2]
    return any(fnmatchcase(name, pattern) for pattern in patterns)


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
