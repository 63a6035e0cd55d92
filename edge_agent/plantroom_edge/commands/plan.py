"""From an order to steps: what it may do at all, before any device is asked. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plantroom_edge.commands.config import LIFE_SAFETY, Grant, WritesConfig, same
from plantroom_edge.commands.entries import MAX_WRITTEN, Hold
from plantroom_edge.commands.moments import Lease, Now
from plantroom_edge.drivers import Judging, Writing
from plantroom_edge.reach import Reach
from plantroom_shared.model import Value
from plantroom_shared.wire import Order, Write

SLOTTED: Final = frozenset({"bacnet"})
"""Protocols whose points have a priority array."""

Find = Callable[[str], Reach | None]
"""Point key → the way to it; None where no bus has it."""


@dataclass(slots=True)
class Step:
    """One write of an order, and what is found out on the way."""

    write: Write
    grant: Grant
    reach: Reach
    driver: Writing
    slot: int | None
    lease_s: float
    before: Value = None
    """What is in its place now: the point's value, or the content of its slot."""
    after: Value = None
    ok: bool = False
    reached: bool = False
    answered: bool = True
    """False if the device may carry the write out later: nothing came back."""
    reason: str = ""
    traces: tuple[Value, ...] = ()
    """What else may be there of ours: the value as the device has rounded or clamped it."""
    old: Hold | None = None
    """A hold of ours that was there already."""

    @property
    def place(self) -> tuple[str, int | None]:
        """The point and its slot."""
        return self.write.point, self.slot

    def hold(self, command: str, now: Now) -> Hold:
        """Return what has to be taken back once this is written; its lease begins now."""
        lease = Lease.begin(self.lease_s, now)
        before, written = self.before, ()
        if self.old is not None and self.old.ours(self.before):
            before, written = self.old.before, self.old.written  # type: ignore[assignment] # longer
        safe = self.grant.safe_value
        return Hold(
            self.write.point,
            self.slot,
            command,
            before,
            before if safe is None else safe,
            (*written, self.write.value)[-MAX_WRITTEN:],
            lease,
            self.old.command if self.old else "",
        )

    def document(self) -> dict[str, Any]:
        """Return what is to be told of it."""
        out = {
            "point": self.write.point,
            "priority": self.slot,
            "value": self.write.value,
            "before": self.before,
            "after": self.after,
            "ok": self.ok,
            "lease_s": self.lease_s,
        }
        return out | ({"reason": self.reason} if self.reason else {})


def plan(order: Order, config: WritesConfig, find: Find) -> list[Step] | str:
    """Return the steps of `order`, or why it must not be carried out: all of it or nothing."""
    steps: list[Step] = []
    for write in order.writes:
        step = _step(write, order.lease_s, config, find)
        if isinstance(step, str):
            return f"{step}: {write.point}"
        steps.append(step)
    if len({step.place for step in steps}) != len(steps):
        return "written-twice"
    return steps


def _step(write: Write, lease_s: float | None, config: WritesConfig, find: Find) -> Step | str:
    grant, reach = config.grant(write.point), find(write.point)
    if grant is None:
        return "not-allowed"
    if reach is None:
        return "unknown-point"
    if not isinstance(reach.driver, Writing):
        return "bus-cannot-write"
    if reach.writable is False or reach.converted:
        return "unit-converted" if reach.converted else "not-writable"
    lease = grant.lease if lease_s is None else lease_s
    slot = _slot(write, grant, reach)
    why = (
        grant.unfit(write.value)
        or _unwritable(reach, write.point, write.value)
        or (slot if isinstance(slot, str) else "")
        or ("lease-too-long" if lease > grant.max_lease else "")
    )
    if why or isinstance(slot, str):
        return why
    return Step(write, grant, reach, reach.driver, slot, lease)


def _slot(write: Write, grant: Grant, reach: Reach) -> int | str | None:
    """Return the slot to write, None where there are none, or why it must not be that one."""
    if reach.protocol not in SLOTTED:
        return None if write.priority is None else "no-priorities-here"
    slot = grant.priority if write.priority is None else write.priority
    if slot is None:
        return None
    if slot <= LIFE_SAFETY:
        return "priority-of-life-safety"
    return slot if grant.priority_min <= slot <= grant.priority_max else "priority-not-allowed"


def _unwritable(reach: Reach, point: str, value: Value) -> str:
    driver = reach.driver
    return driver.unwritable(point, value) if isinstance(driver, Judging) else ""


def misfit(step: Step, present: Value) -> str:
    """Return why a step must not be taken now that `before` and the present value are known."""
    write, grant = step.write, step.grant
    if write.expect is not None and not same(write.expect.value, step.before):
        return "changed"
    if why := _irrevocable(step):
        return why
    if grant.max_change is None:
        return ""
    if isinstance(present, bool | str) or present is None or isinstance(write.value, bool | str):
        return "present-value-unknown"
    return "change-too-big" if abs(write.value - present) > grant.max_change else ""


def _irrevocable(step: Step) -> str:
    """Return why what is there could not be put back, so that it must not be replaced."""
    safe = step.grant.safe_value
    if safe is None and step.slot is not None:
        return ""  # a slot is freed, or gets back what the device itself has had in it
    restore = step.before if safe is None else safe
    if restore is None:
        return "nothing-to-restore"
    why = _unwritable(step.reach, step.write.point, restore)
    return f"cannot-be-restored {why}" if why else ""


def places(steps: Sequence[Step]) -> dict[str, str]:
    """Return point → device of what is written."""
    return {step.write.point: step.reach.device for step in steps}
