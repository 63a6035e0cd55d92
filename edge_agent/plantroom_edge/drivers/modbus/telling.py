"""What the traffic with each unit was like, in figures and in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from plantroom_edge.drivers import DeviceFigures, PollGroup
from plantroom_edge.drivers.modbus.group import GroupPlan
from plantroom_edge.drivers.modbus.patience import Record
from plantroom_edge.drivers.modbus.planner import Block
from plantroom_edge.drivers.modbus.unit import Unit
from plantroom_shared.registers import BIT_SPACES

_NEAR_TIMEOUT = 0.7
"""Of the time-out: answers slower than this will be missed one day."""
_MANY_LOST = 0.02
_ENOUGH = 50
"""Requests after which a share of lost ones means something."""


def figures(
    unit: Unit, record: Record, groups: Iterable[tuple[PollGroup, GroupPlan]], timeout: float
) -> DeviceFigures:
    """Return the figures of a unit."""
    return DeviceFigures(
        device=unit.key,
        requests=record.requests,
        failures=record.lost,
        latency_ms=1000 * record.average,
        latency_max_ms=1000 * record.longest,
        sent_bytes=record.sent,
        received_bytes=record.received,
        plan=tuple(
            line for group, plan in groups for line in _plan(plan.planned(), group.interval)
        ),
        advice=tuple(_advice(unit, record, timeout)),
    )


def _plan(blocks: Sequence[Block], interval: float) -> list[str]:
    return [_line(block, interval) for block in sorted(blocks, key=_place)]


def _place(block: Block) -> tuple[str, int]:
    return block.space, block.start


def _line(block: Block, interval: float) -> str:
    what = "bit" if block.space in BIT_SPACES else "register"
    points = sum(not cell.register.hidden for cell in block.cells)
    where = _range(block.space, block.start, block.start + block.count)
    line = f"{where} ({_count(block.count, what)}, {_count(points, 'point')}) every {interval:g} s"
    return f"{line}, refused so far: asked for again now and then" if block.hole else line


def _advice(unit: Unit, record: Record, timeout: float) -> list[str]:
    name = f"unit {unit.id}"
    advice = [f"{name}: {note}" for note in unit.sunspec.notes] if unit.sunspec is not None else []
    for span, hole in sorted(unit.lessons.holes.items(), key=lambda item: item[0].start):
        where = _range(span.space, span.start, span.end)
        code = hole.reason.removeprefix("exception-")
        advice.append(f"{name} refuses {where}: exception {code}; learned")
    for space, at in sorted(unit.lessons.cuts):
        advice.append(
            f"{name} refuses what lies before {space} {at}; it is not read along; learned"
        )
    if record.failures:
        count = _count(record.failures, "request")
        advice.append(f"{name} gives no answer ({record.reason}) to the last {count}")
    elif record.slowest > _NEAR_TIMEOUT * timeout:
        slow = f"{1000 * record.slowest:.0f} ms of {1000 * timeout:.0f} ms"
        advice.append(f"{name} takes up to {slow} to answer: raise `timeout` of the bus")
    elif record.requests >= _ENOUGH and record.lost > _MANY_LOST * record.requests:
        share = f"{100 * record.lost / record.requests:.0f} %"
        advice.append(f"{name} loses {share} of the requests: check cable, termination and `pause`")
    return advice


def _range(space: str, start: int, end: int) -> str:
    return f"{space} {start}" if end == start + 1 else f"{space} {start}-{end - 1}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
