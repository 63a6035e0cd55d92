"""The Modbus driver: discovers from profiles, reads in blocks, learns what is refused."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from plantroom_edge.drivers import DeviceFigures, Inventory, Poll, PollGroup, Written
from plantroom_edge.drivers.modbus import telling
from plantroom_edge.drivers.modbus.config import ModbusBus, ModbusDevice
from plantroom_edge.drivers.modbus.described import describe_device, describe_hints, describe_point
from plantroom_edge.drivers.modbus.group import GroupPlan, Layouts, Sweep
from plantroom_edge.drivers.modbus.learning import REFUSALS, Lessons
from plantroom_edge.drivers.modbus.opening import open_connection
from plantroom_edge.drivers.modbus.pdu import Fault
from plantroom_edge.drivers.modbus.planner import Block
from plantroom_edge.drivers.modbus.probing import address, missing_units
from plantroom_edge.drivers.modbus.sunspec import Read, Trouble
from plantroom_edge.drivers.modbus.sunspec_unit import NAME as SUNSPEC
from plantroom_edge.drivers.modbus.sunspec_unit import SunSpecUnit, moved
from plantroom_edge.drivers.modbus.unit import Unit
from plantroom_edge.drivers.modbus.writing import Writer, unwritable
from plantroom_shared.clock import Clock
from plantroom_shared.model import Device, Value
from plantroom_shared.profiles import Profile, Register, load_profile

EXTRA_REQUESTS = 32
"""How many requests more one poll may make to find what a device refuses."""
FRESH_SECONDS = 60.0
"""For so long a right answer proves that a refusal is about an address, not the whole device."""


@dataclass(slots=True)
class _Plan:
    unit: Unit
    group: GroupPlan
    gone: frozenset[int] = frozenset()
    """Rows that the device had before it was changed."""


@dataclass(slots=True)
class _Pass:
    """One read of a group under way."""

    unit: Unit
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
        self._connection = open_connection(config, clock)
        self._writer = Writer(self._connection)
        names = {(device.profile, device.profile_dir) for device in config.devices}
        profiles = {name: load_profile(*name) for name in names if name[0] != SUNSPEC}
        self._units = [
            _sunspec_unit(device)
            if device.profile == SUNSPEC
            else Unit(device, profiles[device.profile, device.profile_dir])
            for device in config.devices
        ]
        self._layouts = Layouts()
        for unit in self._units:
            unit.groups = self._groups(unit)
        self._by_key = {unit.key: unit for unit in self._units}

    async def discover(self) -> Inventory:
        """Return what the profiles say; `missing` names the units that do not answer."""
        missing = await missing_units(self._connection, self._units, self._clock, self._explore)
        return Inventory(
            devices=tuple(self._device(unit) for unit in self._units),
            points=tuple(
                describe_point(unit.key, unit.profile, register)
                for unit in self._units
                for register in unit.profile.points
            ),
            groups=tuple(group for unit in self._units for group in unit.groups),
            missing=tuple(missing),
            hints=describe_hints(self._units),
        )

    async def read(self, group: PollGroup) -> Poll:
        """Read every point of `group` once."""
        plan: _Plan = group.plan
        if trouble := await self._look_again(plan.unit):
            rows, now = len(group.points), self._clock.now_us()
            return Poll.dead(now, rows, trouble.reason, asked=trouble.asked)
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
        return compiled.poll((start + self._clock.now_us()) // 2, sweep, group.gate)

    async def held(self, point: str, priority: int | None) -> tuple[Value, str]:  # noqa: ARG002 -- Modbus has none
        """Return the value of a point, which is what a release has to give back."""
        return await self._writer.held(*self._find(point))

    def unwritable(self, point: str, value: Value) -> str:
        """Return why `point` does not take `value`, as far as the profile says."""
        try:
            known = self._find(point)
        except KeyError:
            return "no-such-point"
        return unwritable(*known, value)

    async def write(
        self,
        point: str,
        value: Value,
        priority: int | None,  # noqa: ARG002 -- Modbus has none
        *,
        back: bool = False,
    ) -> Written:
        """Write `value`, in the point's unit, and read it back."""
        unit, register = self._find(point)
        if unit.sunspec is not None:
            # Nothing is written where a register may be another one since an update.
            unit.sunspec.doubt()
            trouble = await self._look_again(unit)
            reason = trouble.reason if trouble else ""
            if not trouble and register.id not in unit.profile.by_id:
                reason = "no-such-point"
            if reason:
                return Written(ok=False, reason=reason, reached=False)
            unit, register = self._find(point)
        return await self._writer.write(unit, register, value, back=back)

    def figures(self) -> list[DeviceFigures]:
        """Return the figures of every device."""
        patience = self._connection.patience
        return [
            telling.figures(
                unit,
                patience.record(unit.id),
                [(one, one.plan.group) for one in unit.groups],
                self._config.timeout,
            )
            for unit in self._units
        ]

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
            sweep.silent, sweep.asked = reply.reason, reply.asked
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

    async def _ask(self, unit: Unit, block: Block) -> bytes | Fault:
        return await self._connection.ask(unit.id, block.space, block.start, block.count)

    def _find(self, point: str) -> tuple[Unit, Register]:
        """Return the register behind a point's key."""
        device, _, register = point.rpartition(":")
        unit = self._by_key[device]
        return unit, unit.profile.by_id[register]

    async def _explore(self, unit: Unit, sunspec: SunSpecUnit) -> str:
        """Find out what a SunSpec device has; return what is wrong, or nothing."""
        try:
            await self._look(unit, sunspec)
        except Trouble as trouble:
            return str(trouble)
        return ""

    async def _look_again(self, unit: Unit) -> Trouble | None:
        """See whether a SunSpec device still has the models it had, where that is due.

        Returns:
            Why its points are bad: it is silent, or another device.
        """
        if unit.sunspec is None or not unit.sunspec.due(self._clock.monotonic()):
            return None
        try:
            await self._look(unit, unit.sunspec)
        except Trouble as trouble:
            unit.sunspec.doubt()
            return trouble
        return None

    async def _look(self, unit: Unit, sunspec: SunSpecUnit) -> None:
        if await sunspec.look(self._reader(unit), self._clock.monotonic()):
            self._replan(unit, sunspec.profile)

    def _replan(self, unit: Unit, profile: Profile) -> None:
        """Read a device after another profile: what is polled stays, from where it is now."""
        unit.profile, unit.lessons = profile, Lessons()
        known: set[str] = set()
        for group in unit.groups:
            plan: _Plan = group.plan
            known.update(point.id for point in plan.group.points)
            wider, plan.gone = moved(plan.group.points, profile)
            points = [wider.by_id[point.id] for point in plan.group.points]
            plan.group = GroupPlan(self._layouts.of(wider, points), unit.lessons)
        unit.groups += self._groups(unit, known)

    def _groups(self, unit: Unit, known: Collection[str] = ()) -> list[PollGroup]:
        """Return the points of a device by interval: the device's, or a longer one of their own."""
        least = unit.config.interval or unit.profile.defaults.interval
        rates: dict[float, list[Register]] = {}
        for register in unit.profile.points:
            if register.id in known:
                continue
            rates.setdefault(max(least, register.interval or 0), []).append(register)
        groups = []
        for interval, registers in sorted(rates.items()):
            layout = self._layouts.of(unit.profile, registers)
            plan = _Plan(unit, GroupPlan(layout, unit.lessons))
            points = tuple(unit.point(register) for register in registers)
            groups.append(PollGroup(unit.key, interval, points, plan, layout.steps))
        return groups

    def _reader(self, unit: Unit) -> Read:
        async def read(start: int, count: int) -> bytes | Fault:
            return await self._connection.ask(unit.id, "holding", start, count)

        return read

    def _device(self, unit: Unit) -> Device:
        where = address(self._connection, unit)
        return describe_device(unit.key, unit.config.name, where, unit.profile)


def _sunspec_unit(device: ModbusDevice) -> Unit:
    sunspec = SunSpecUnit(device.name)
    return Unit(device, sunspec.profile, sunspec=sunspec)
