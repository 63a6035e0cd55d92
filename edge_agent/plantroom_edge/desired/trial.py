"""Whether a change has done good: what must give values again, and what is missing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plantroom_edge.desired.state import Trial
from plantroom_edge.reconfigure import ASK_FROM, Plan, removed_devices


@dataclass(frozen=True, slots=True)
class Seen:
    """A device as it is now."""

    gives: bool
    """Whether it gives good values."""
    points: tuple[str, ...] = ()
    """Keys of them."""
    interval: float = 0.0
    """The longest of its groups."""


Look = Mapping[str, Mapping[str, Seen]]
"""Bus → key of a device → what is seen of it."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What a plan takes away."""

    points: int
    of: int
    writable: int
    """Points that may be written and go away ..."""
    of_writable: int
    """... of so many."""
    devices: int = 0
    """Devices by the file that go away, of buses that nobody has looked at yet ..."""
    of_devices: int = 0

    @property
    def reason(self) -> str:
        """Why a person must confirm it; empty if nobody must."""
        if self.of_writable and self.writable == self.of_writable:
            return "all-writes"
        much = self.points and self.points >= ASK_FROM * self.of
        blind = self.devices and self.devices >= ASK_FROM * self.of_devices
        return "points-dropped" if much or blind else ""

    def words(self) -> str:
        """Return it for a person."""
        if self.reason == "all-writes":
            return f"all {self.of_writable} points that may be written would go away"
        if self.points:
            return f"{self.points} of {self.of} points would go away"
        return f"{self.devices} of {self.of_devices} devices would go away"


def is_lost(lost: Mapping[str, set[str]], bus: str, device: str) -> bool:
    """Say whether a device goes away with a plan (`removed_devices`)."""
    return bus in lost and (not lost[bus] or device.partition(":")[2] in lost[bus])


def make_trial(plan: Plan, look: Look) -> Trial:
    """Return what must come again after `plan`, of what is there before it."""
    lost = removed_devices(plan)
    staying = {
        bus: {key: seen for key, seen in look.get(bus, {}).items() if not is_lost(lost, bus, key)}
        for bus in plan.start
    }
    named = {change.name for change in plan.changes if change.kind == "device"}
    return Trial(
        added=[bus for bus in plan.start if bus not in plan.stop],
        expect={bus: [k for k, seen in devices.items() if seen.gives] for bus, devices in staying.items()},
        changed=[
            key
            for bus, devices in staying.items()
            for key, seen in devices.items()
            if seen.gives and f"{bus}/{key.partition(':')[2]}" in named
        ],
        points=sum(len(seen.points) for devices in staying.values() for seen in devices.values()),
    )  # fmt: skip


def missing(trial: Trial, look: Look) -> list[str]:
    """Return the keys of devices that do not give values again, and names of buses that give none.

    Args:
        trial: what must come again.
        look: what is there now.
    """
    gone = [
        key
        for bus, keys in trial.expect.items()
        for key in keys
        if (seen := look.get(bus, {}).get(key)) is None or not seen.gives
    ]
    silent = [
        bus for bus in trial.added if not any(seen.gives for seen in look.get(bus, {}).values())
    ]
    return [*gone, *silent]


def points_of(trial: Trial, look: Look) -> int:
    """Return how many points the buses of a trial have now."""
    return sum(len(seen.points) for bus in trial.expect for seen in look.get(bus, {}).values())


def verdict(trial: Trial, look: Look, *, force: bool) -> tuple[str, list[str]]:
    """Return why the change is to be taken back, at the end of its time, and what is missing.

    Empty where it may stay: a device or two that happen to be silent are no reason, unless they
    are the ones that were changed; a whole bus is one, and so is a fifth of what there was.
    """
    gone = missing(trial, look)
    silent = [bus for bus in gone if bus in trial.added]
    silent += [bus for bus, keys in trial.expect.items() if keys and set(keys) <= set(gone)]
    if silent:
        return "no-samples", silent
    if broken := [key for key in trial.changed if key in gone]:
        return "no-samples", broken
    all_of = sum(map(len, trial.expect.values()))
    if gone and len(gone) >= ASK_FROM * all_of and not force:
        return "no-samples", gone
    if points_of(trial, look) <= (1 - ASK_FROM) * trial.points and trial.points and not force:
        return "points-lost", [f"{points_of(trial, look)} of {trial.points} points"]
    return "", gone


def settled(trial: Trial, look: Look, *, force: bool) -> bool:
    """Say whether all is well already, before the time is over."""
    enough = force or points_of(trial, look) > (1 - ASK_FROM) * trial.points or not trial.points
    return enough and not missing(trial, look)


def longest(look: Look, buses: Sequence[str]) -> float:
    """Return the longest interval of what is read on `buses`, in seconds."""
    return max((seen.interval for bus in buses for seen in look.get(bus, {}).values()), default=0.0)
