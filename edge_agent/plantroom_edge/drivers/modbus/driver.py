"""The Modbus TCP driver: discovers from profiles, reads in blocks, learns what is refused."""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass, field

from plantroom_edge.drivers import Inventory, Poll, PollGroup
from plantroom_edge.drivers.modbus.config import ModbusBus, ModbusDevice
from plantroom_edge.drivers.modbus.connection import Connection, Fault
from plantroom_edge.drivers.modbus.described import describe_device, describe_point
from plantroom_edge.drivers.modbus.group import GroupPlan, Sweep
from plantroom_edge.drivers.modbus.learning import REFUSALS, Lessons
from plantroom_edge.drivers.modbus.planner import Block
from plantroom_edge.drivers.modbus.sunspec import Read, Trouble
from plantroom_edge.drivers.modbus.sunspec_unit import NAME as SUNSPEC
from plantroom_edge.drivers.modbus.sunspec_unit import SunSpecUnit, moved
from plantroom_shared.clock import Clock
from plantroom_shared.model import Device, Value
from plantroom_shared.profiles import Profile, Register, load_profile
from plantroom_shared.registers import decode

EXTRA_REQUESTS = 32
"""How many requests more one poll may make to find what a device refuses."""
FRESH_SECONDS = 60.0
"""For so long a right answer proves that a refusal is about an address, not the whole device."""
PROBE_SECONDS = 10.0
"""How long `discover` may wait for units that do not answer, all together."""
_UNREACHABLE = "no answer (unreachable)"


@dataclass(slots=True)
class _Unit:
    """A device and what is known about it."""

    config: ModbusDevice
    profile: Profile
    lessons: Lessons = field(default_factory=Lessons)
    seen: bool = False
    """It has answered once and is what its profile says."""
    data_at: float = float("-inf")
    """Monotonic seconds of the last right answer."""
    split_from: float = float("-inf")
    """Monotonic seconds before which a refused block is not taken apart again."""
    sunspec: SunSpecUnit | None = None
    """Set where the profile is what the device says."""
    groups: list[PollGroup] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"modbus:{self.config.name}"


@dataclass(slots=True)
class _Plan:
    unit: _Unit
    group: GroupPlan
    gone: frozenset[int] = frozenset()
    """Rows that the device had before it was changed."""


@dataclass(slots=True)
class _Pass:
    """One read of a group under way."""

    unit: _Unit
    sweep: Sweep
    extra: int
    refused: list[tuple[Block, int]] = field(default_factory=list)
    """Blocks that cannot be taken apart further, and the exception code."""
    cuts: list[Block] = field(default_factory=list)
    """Right halves that are read alone, but not together with their left halves."""


class ModbusDriver:
    """One bus: a connection and the units behind it."""

    def __init__(self, config: ModbusBus, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._connection = Connection(config.host, config.port, config.timeout)
        names = {(device.profile, device.profile_dir) for device in config.devices}
        profiles = {name: load_profile(*name) for name in names if name[0] != SUNSPEC}
        self._units = [
            _sunspec_unit(device)
            if device.profile == SUNSPEC
            else _Unit(device, profiles[device.profile, device.profile_dir])
            for device in config.devices
        ]
        for unit in self._units:
            unit.groups = _groups(unit)

    async def discover(self) -> Inventory:
        """Return what the profiles say; `missing` names the units that do not answer."""
        missing = await self._probe_all()
        return Inventory(
            devices=tuple(self._device(unit) for unit in self._units),
            points=tuple(
                describe_point(unit.key, unit.profile, register)
                for unit in self._units
                for register in unit.profile.points
            ),
            groups=tuple(group for unit in self._units for group in unit.groups),
            missing=tuple(missing),
        )

    async def read(self, group: PollGroup) -> Poll:
        """Read every point of `group` once."""
        plan: _Plan = group.plan
        if trouble := await self._look_again(plan.unit):
            return Poll.dead(self._clock.now_us(), len(group.points), trouble)
        compiled, start = plan.group, self._clock.now_us()
        sweep = compiled.sweep()
        under_way = _Pass(plan.unit, sweep, EXTRA_REQUESTS)
        blocks = self._due(plan, sweep)
        for index, block in enumerate(blocks):
            await self._fetch(block, under_way)
            if sweep.silent:
                sweep.spoil_rest(blocks[index:])
                compiled.skip_to_after(block)
                break
        if plan.group is not compiled:
            # A look at the device, meanwhile, found everything elsewhere.
            return Poll.dead(self._clock.now_us(), len(group.points), "other-device")
        self._learn(under_way)
        sweep.flaws.update(dict.fromkeys(plan.gone, "no-such-point"))
        if sweep.silent and plan.unit.sunspec is not None:
            plan.unit.sunspec.doubt()
        return compiled.poll((start + self._clock.now_us()) // 2, sweep)

    async def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _due(self, plan: _Plan, sweep: Sweep) -> list[Block]:
        """Return the blocks to ask for now: all but the holes that rest."""
        now, lessons = self._clock.monotonic(), plan.unit.lessons
        lessons.expire(now)
        blocks, due = plan.group.blocks(), []
        for block in blocks:
            hole = lessons.resting(block.hole, now)
            if hole is None:
                due.append(block)
            else:
                sweep.spoil(block, hole.reason)
        # Nothing but holes: one of them tells whether the unit still lives.
        return due or blocks[:1]

    async def _fetch(self, block: Block, under_way: _Pass) -> bool:
        """Read a block, in halves if it is refused; return whether all of it was read."""
        unit, sweep = under_way.unit, under_way.sweep
        reply = await self._ask(unit, block)
        if isinstance(reply, bytes):
            sweep.answered = True
            if len(reply) != block.size:
                sweep.spoil(block, "short-reply")
                return False
            sweep.take(block, reply)
            if block.hole is not None:
                unit.lessons.heal(block.hole)
            return True
        if reply.silent:
            sweep.silent = reply.reason
            return False
        sweep.answered = True
        return await self._refused(block, reply.code or 0, under_way)

    async def _refused(self, block: Block, code: int, under_way: _Pass) -> bool:
        """Find what in a refused block is to blame; return whether all was read after all."""
        sweep = under_way.sweep
        sweep.spoil(block, f"exception-{code}")
        if code not in REFUSALS:
            return False
        halves = None if block.hole is not None else block.split()
        if halves is None:
            under_way.refused.append((block, code))
            return False
        if under_way.extra < 2 or self._clock.monotonic() < under_way.unit.split_from:
            return False
        under_way.extra -= 2
        done = [await self._fetch(half, under_way) for half in halves if not sweep.silent]
        if done != [True, True]:
            return False
        under_way.cuts.append(halves[1])
        return True

    def _learn(self, under_way: _Pass) -> None:
        unit, now = under_way.unit, self._clock.monotonic()
        if under_way.sweep.got_data:
            unit.data_at = now
        tried = under_way.extra < EXTRA_REQUESTS
        if now - unit.data_at > FRESH_SECONDS:
            # The device refuses everything: it is not ready, or no such device. Ask for less.
            unit.split_from = now + FRESH_SECONDS if tried else unit.split_from
            return
        for block, code in under_way.refused:
            unit.lessons.refuse(block.hole or block.span(), code, now)
        for block in under_way.cuts:
            unit.lessons.cut(block.space, block.start, now)

    async def _ask(self, unit: _Unit, block: Block) -> bytes | Fault:
        return await self._connection.ask(unit.config.unit, block.space, block.start, block.count)

    async def _probe_all(self) -> list[str]:
        missing: list[str] = []
        trouble = ""
        started = self._clock.monotonic()
        for unit in self._units:
            seen = unit.seen and unit.sunspec is None
            if seen or self._clock.monotonic() - started > PROBE_SECONDS:
                continue
            # Where nobody takes the connection, asking for each unit would only take longer.
            trouble = trouble if trouble == _UNREACHABLE else await self._probe(unit)
            if trouble:
                where = f"{self._address(unit)}, {unit.config.profile}"
                missing.append(f"{unit.config.name} ({where}): {trouble}")
        return missing

    async def _probe(self, unit: _Unit) -> str:
        """Ask a unit for one register; return what is wrong, or nothing."""
        if unit.sunspec is not None:
            return await self._explore(unit, unit.sunspec)
        expected = [one for one in unit.profile.registers if one.expect is not None]
        for register in expected or unit.profile.registers[:1]:
            data = await self._connection.ask(
                unit.config.unit, register.space, register.address, register.words
            )
            if isinstance(data, Fault) and data.silent:
                return f"no answer ({data.reason})"
            found = data.reason if isinstance(data, Fault) else _number(data, register)
            if expected and found != register.expect:
                where = f"{register.name} at {register.address}"
                return f"is no {unit.profile.model}: {where} is {found}, not {register.expect}"
        unit.seen = True
        return ""

    async def _explore(self, unit: _Unit, sunspec: SunSpecUnit) -> str:
        """Find out what a SunSpec device has; return what is wrong, or nothing."""
        try:
            await self._look(unit, sunspec)
        except Trouble as trouble:
            return str(trouble)
        return ""

    async def _look_again(self, unit: _Unit) -> str:
        """See whether a SunSpec device still has the models it had, where that is due.

        Returns:
            Why its points are bad: it is silent, or another device; else nothing.
        """
        if unit.sunspec is None or not unit.sunspec.due(self._clock.monotonic()):
            return ""
        try:
            await self._look(unit, unit.sunspec)
        except Trouble as trouble:
            unit.sunspec.doubt()
            return trouble.reason
        return ""

    async def _look(self, unit: _Unit, sunspec: SunSpecUnit) -> None:
        if await sunspec.look(self._reader(unit), self._clock.monotonic()):
            _replan(unit, sunspec.profile)

    def _reader(self, unit: _Unit) -> Read:
        async def read(start: int, count: int) -> bytes | Fault:
            return await self._connection.ask(unit.config.unit, "holding", start, count)

        return read

    def _address(self, unit: _Unit) -> str:
        return f"{self._config.host}:{self._config.port}, unit {unit.config.unit}"

    def _device(self, unit: _Unit) -> Device:
        return describe_device(unit.key, unit.config.name, self._address(unit), unit.profile)


def _number(data: bytes, register: Register) -> Value:
    """Return the raw value of a register; None if the reply is too short or too long for it."""
    if len(data) != 2 * register.words:
        return None
    words = struct.unpack(f">{register.words}H", data)
    return decode(words, register.type, register.order, length=register.length)


def _sunspec_unit(device: ModbusDevice) -> _Unit:
    sunspec = SunSpecUnit(device.name)
    return _Unit(device, sunspec.profile, sunspec=sunspec)


def _replan(unit: _Unit, profile: Profile) -> None:
    """Read a device after another profile: what is polled stays, from where it is now."""
    unit.profile, unit.lessons = profile, Lessons()
    known: set[str] = set()
    for group in unit.groups:
        plan: _Plan = group.plan
        known.update(point.id for point in plan.group.points)
        wider, plan.gone = moved(plan.group.points, profile)
        points = [wider.by_id[point.id] for point in plan.group.points]
        plan.group = GroupPlan(wider, points, unit.lessons)
    unit.groups += _groups(unit, known)


def _groups(unit: _Unit, known: Collection[str] = ()) -> list[PollGroup]:
    """Return the points of a device by interval: the device's, or a longer one of their own."""
    least = unit.config.interval or unit.profile.defaults.interval
    rates: dict[float, list[Register]] = {}
    for register in unit.profile.points:
        if register.id not in known:
            rates.setdefault(max(least, register.interval or 0), []).append(register)
    return [
        PollGroup(
            device=unit.key,
            interval=interval,
            points=tuple(f"{unit.key}:{register.id}" for register in registers),
            plan=_Plan(unit, GroupPlan(unit.profile, registers, unit.lessons)),
        )
        for interval, registers in sorted(rates.items())
    ]
