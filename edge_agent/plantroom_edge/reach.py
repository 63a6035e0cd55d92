"""The way to points that are to be written: their driver, and whose turn it is with their device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from plantroom_edge.drivers import Driver, Inventory, PollGroup
from plantroom_edge.turns import Turn


@dataclass(frozen=True, slots=True)
class Reach:
    """How points of an opened bus are reached: one object for all that are reached alike."""

    device: str
    """The key of their device."""
    protocol: str
    """Of the device: ``bacnet``, ``modbus`` ..."""
    driver: Driver
    turn: Turn
    """Of the device: whoever speaks to it has it."""
    group: PollGroup | None = None
    """With which they are read; None where they are not polled."""
    writable: bool | None = None
    """As the driver says it; None where nobody knows."""
    converted: bool = False
    """Whether they are stored in another unit than the device's, which a value to write is in."""


def ways(
    driver: Driver, found: Inventory, units: Mapping[str, str], turn: Callable[[str], Turn]
) -> dict[str, Reach]:
    """Return how each point that a driver has found is reached, by its key.

    Args:
        driver: has found them.
        found: what it has found, as it says it.
        units: in which each point is stored.
        turn: returns whose turn it is with a device.
    """
    protocols = {device.key: device.protocol for device in found.devices}
    groups = {key: place for place, group in enumerate(found.groups) for key in group.points}
    shared: dict[tuple[object, ...], Reach] = {}  # ten thousand points go a few dozen ways
    out = {}
    for point in found.points:
        place = groups.get(point.key)
        converted = units.get(point.key) != point.unit
        like = (point.device, place, point.writable, converted)
        if like not in shared:
            shared[like] = Reach(
                point.device,
                protocols.get(point.device, ""),
                driver,
                turn(point.device),
                None if place is None else found.groups[place],
                point.writable,
                converted,
            )
        out[point.key] = shared[like]
    return out
